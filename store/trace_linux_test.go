package store

import (
	"bufio"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// event is one step of a traced program on its state directory: a step of the
// disk, or a line that it said.
type event struct {
	run func(d *disk)
	say string
}

// traced runs a child under strace and returns what it did.
func traced(t *testing.T, c spec, inject ...string) []event {
	t.Helper()
	log := filepath.Join(t.TempDir(), "strace.log")
	calls := "openat,pwrite64,write,fdatasync,fsync,ftruncate,rename,renameat,renameat2,unlink,unlinkat,linkat"
	wrapper := []string{strace(t), "-f", "-y", "-xx", "-s", "2000000", "-e", "trace=" + calls, "-o", log}
	cmd := command(t, c, append(wrapper, inject...)...)
	if out, err := cmd.Output(); err != nil {
		t.Fatalf("strace: %v: %s", err, out)
	}
	return parseTrace(t, log, c.Dir)
}

// parseTrace reads the log of strace -f -y -xx.
func parseTrace(t *testing.T, log, dir string) []event {
	t.Helper()
	f, err := os.Open(log)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	call := regexp.MustCompile(`^(\w+)\((.*)\)\s+= (-?\d+)`)
	var events []event
	begun := map[string]string{} // pid → first half of a call that was interrupted in the log
	in := bufio.NewScanner(f)
	in.Buffer(nil, 64<<20)
	for in.Scan() {
		pid, line, ok := strings.Cut(strings.TrimSpace(in.Text()), " ")
		if !ok {
			continue
		}
		line = strings.TrimSpace(line)
		if head, cut := strings.CutSuffix(line, " <unfinished ...>"); cut {
			begun[pid] = head
			continue
		}
		if _, tail, cut := strings.Cut(line, " resumed>"); cut && strings.HasPrefix(line, "<... ") {
			line = begun[pid] + tail
		}
		if m := call.FindStringSubmatch(line); m != nil {
			if e := translate(t, dir, m[1], split(m[2]), m[3] == "-1"); e.run != nil || e.say != "" {
				events = append(events, e)
			}
		}
	}
	if err := in.Err(); err != nil {
		t.Fatal(err)
	}
	return events
}

// split takes the arguments apart; with -xx no string contains a comma.
func split(args string) []string {
	parts := strings.Split(args, ", ")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return parts
}

// unhex undoes -xx in "…" and <…>.
func unhex(t *testing.T, s string) []byte {
	t.Helper()
	s = strings.ReplaceAll(strings.Trim(s, `"`), `\x`, "")
	b := make([]byte, len(s)/2)
	for i := range b {
		n, err := strconv.ParseUint(s[2*i:2*i+2], 16, 8)
		if err != nil {
			t.Fatalf("strace wrote %.80q: %v", s, err)
		}
		b[i] = byte(n)
	}
	return b
}

// path of an argument like 9<\x2f\x74>.
func path(t *testing.T, arg string) string {
	t.Helper()
	_, rest, ok := strings.Cut(arg, "<")
	if !ok {
		return ""
	}
	return string(unhex(t, strings.TrimSuffix(rest, ">")))
}

func number(t *testing.T, s string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// translate turns one call into a step of the model; calls outside the state
// directory are none.
func translate(t *testing.T, dir, call string, a []string, failed bool) event {
	t.Helper()
	within := func(full string) string {
		if rel, err := filepath.Rel(dir, full); err == nil && !strings.Contains(rel, "/") && !strings.HasPrefix(rel, "..") {
			return rel
		}
		return ""
	}
	at := func(i int) string { // directory handle and name
		full := string(unhex(t, a[i+1]))
		if !filepath.IsAbs(full) {
			full = filepath.Join(path(t, a[i]), full)
		}
		return within(full)
	}
	switch call {
	case "write":
		if strings.HasPrefix(a[0], "1<") {
			return event{say: strings.TrimSpace(string(unhex(t, a[1])))}
		}
	case "fdatasync", "fsync":
		file := within(path(t, a[0]))
		switch {
		case file == "":
			return event{}
		case file == "." && !failed:
			return event{run: func(d *disk) { d.syncDir() }}
		case failed:
			return event{run: func(d *disk) { d.syncFailed(file) }}
		}
		return event{run: func(d *disk) { d.sync(file) }}
	}
	if failed {
		return event{}
	}
	switch call {
	case "openat":
		if file := at(0); file != "" && file != "." && strings.Contains(a[2], "O_CREAT") {
			return event{run: func(d *disk) { d.create(file) }}
		}
	case "write":
		if file := within(path(t, a[0])); file != "" {
			data := unhex(t, a[1])
			return event{run: func(d *disk) { d.appendTo(file, data) }}
		}
	case "pwrite64":
		if file := within(path(t, a[0])); file != "" {
			data, off := unhex(t, a[1]), number(t, a[3])
			return event{run: func(d *disk) { d.write(file, off, data) }}
		}
	case "ftruncate":
		if file := within(path(t, a[0])); file != "" {
			size := number(t, a[1])
			return event{run: func(d *disk) { d.write(file, size, nil) }}
		}
	case "renameat", "renameat2":
		if from, to := at(0), at(2); from != "" {
			return event{run: func(d *disk) { d.rename(from, to) }}
		}
	case "unlinkat":
		if file := at(0); file != "" {
			return event{run: func(d *disk) { d.remove(file) }}
		}
	case "rename", "unlink", "linkat":
		t.Fatalf("the program called %s, which this model of a disk does not know", call)
	}
	return event{}
}
