//go:build wine

package bundle

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"licenseagent.example/docs/promise"
)

// processes are the programs of this Windows whose command line pick wants, by
// their Linux number.
func (w windows) processes(pick func(line string) bool) (pids []int) {
	w.t.Helper()
	mine := []byte("WINEPREFIX=" + os.Getenv("WINE_PREFIX") + "\x00")
	for _, dir := range must[[]string](w.t)(filepath.Glob("/proc/[0-9]*")) {
		// One that has ended meanwhile has neither.
		line, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err != nil || !pick(strings.ReplaceAll(string(line), "\x00", " ")) {
			continue
		}
		env, err := os.ReadFile(filepath.Join(dir, "environ"))
		if err == nil && bytes.Contains(env, mine) {
			pids = append(pids, must[int](w.t)(strconv.Atoi(filepath.Base(dir))))
		}
	}
	return pids
}

// What runs: the cmd of a stage; the agent that this calls, from its package or
// where it is installed; the agent that is the service; the product.
func ofCmd(line string) bool {
	return strings.Contains(line, "cmd") && strings.Contains(line, "line.cmd")
}

func ofCall(line string) bool {
	return strings.Contains(line, "license-agent.exe") &&
		slices.ContainsFunc([]string{" install ", " uninstall ", " verify-bundle ", " status ", " run --check-config "}, func(verb string) bool {
			return strings.Contains(line, verb)
		})
}

func ofService(line string) bool {
	return strings.Contains(line, "license-agent.exe") && strings.Contains(line, " run --instance ")
}

// With its folder: the stages look for programs of this name by other programs.
func ofProduct(line string) bool { return strings.Contains(line, `bin\my product.exe`) }

// ofApp is the product and the cmd that waits for it and has its log open, whose
// command line is the name of a variable.
func ofApp(line string) bool { return ofProduct(line) || strings.Contains(line, "%product%") }

// kill ends processes until there are none, and says whether there was one. In
// Wine that is TerminateProcess.
func (w windows) kill(pick func(string) bool) (some bool) {
	w.t.Helper()
	for pids := w.processes(pick); len(pids) > 0; pids = w.processes(pick) {
		for _, pid := range pids {
			switch err := syscall.Kill(pid, syscall.SIGKILL); {
			case err == nil:
				some = true
			case !errors.Is(err, syscall.ESRCH):
				w.t.Fatal(err)
			}
		}
	}
	return some
}

// cut runs a stage and kills it at its n-th sign of life: a line that it prints,
// or a program of ours that it brings up. killed is false when it had ended just
// then, over when it gave fewer. Service, product and small tools live on.
func (w windows) cut(n int, stage string, args ...string) (killed, over bool) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 3*time.Minute)
	defer cancel()
	// A file of its own: what an earlier one has left running has that one open.
	f := must[*os.File](w.t)(os.CreateTemp(filepath.Dir(w.home), "cut*.txt"))
	out := f.Name()
	check(w.t, f.Close())
	ours := func(line string) bool { return ofCall(line) || ofService(line) || ofProduct(line) }
	before := w.processes(ours)
	seen := map[int]bool{}
	cmd := w.command(ctx, w.line(stage, args...)+` >"Z:`+strings.ReplaceAll(out, "/", `\`)+`" 2>&1`)
	check(w.t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		for _, pid := range w.processes(ours) {
			if !slices.Contains(before, pid) {
				seen[pid] = true
			}
		}
		text := must[[]byte](w.t)(os.ReadFile(out))
		if bytes.Count(text, []byte("\n"))+len(seen) >= n {
			break
		}
		select {
		case err := <-ended:
			if err != nil {
				w.t.Fatalf("%s with a kill at %d: %v %s", stage, n, err, must[[]byte](w.t)(os.ReadFile(out)))
			}
			return false, true
		case <-time.After(2 * time.Millisecond): // polls
		}
	}
	// First the cmd, which would go on when the agent that it waits for ends.
	killed = w.kill(ofCmd)
	killed = w.kill(ofCall) || killed
	err := <-ended
	w.t.Logf("%s at %d: killed %v, %v, %s", stage, n, killed, err, must[[]byte](w.t)(os.ReadFile(out)))
	return killed, false
}

// state is what a stage has to bring about: files by their digest, but not what
// the agent and the product write by themselves, and what runs.
func (w windows) state(program, data string) map[string]string {
	w.t.Helper()
	out := map[string]string{
		"service": strconv.Itoa(len(w.processes(ofService))), "product": strconv.Itoa(len(w.processes(ofProduct))),
	}
	for _, folder := range []string{program, data} {
		err := filepath.WalkDir(folder, func(name string, e fs.DirEntry, err error) error {
			switch {
			case errors.Is(err, fs.ErrNotExist):
				return nil
			case err != nil || filepath.Base(name) == "app.log":
				return err
			case e.IsDir():
				out[name] = "folder"
				if base := filepath.Base(name); base == "state" || base == "run" {
					return fs.SkipDir
				}
				return nil
			}
			b, err := os.ReadFile(name)
			out[name] = fmt.Sprintf("%x", sha256.Sum256(b))
			return err
		})
		check(w.t, err)
	}
	return out
}

// TestStagesKilledOnWindows kills stages at many points; each, run once more,
// ends as one that was left alone.
func TestStagesKilledOnWindows(t *testing.T) {
	stride := promise.Size(4, 1)
	v := newVendor(t, "acme")
	o, dir := forWindows(t, v, "my product.exe"), folder(t)
	w := windows{t, filepath.Join(dir, "unpacked one")}
	check(t, os.Rename(unpack(t, v.bundle(t, o)), w.home))
	// The next version has another agent: the same program with a tail.
	other := filepath.Join(t.TempDir(), "license-agent.exe")
	check(t, os.WriteFile(other, append(must[[]byte](t)(os.ReadFile(o.Agent)), "newer"...), 0o755))
	o.Agent, o.Version, o.Out = other, "2.0", t.TempDir()
	next := windows{t, filepath.Join(dir, "unpacked two")}
	check(t, os.Rename(unpack(t, v.bundle(t, o)), next.home))
	t.Cleanup(func() { next.stage("uninstall", "--purge") }) //nolint:errcheck // after a failure

	program, data := places("acme-my-cad")
	clean := map[string]string{"service": "0", "product": "0"}
	kills, between := 0, 0
	// comes waits for a state and says what is missing. It waits because a program
	// that starts another has for an instant two processes with its command line,
	// and one that is ended is listed a moment longer.
	comes := func(w windows, after map[string]string) (diff string) {
		for end := time.Now().Add(20 * time.Second); ; {
			if diff = cmp.Diff(after, w.state(program, data)); diff == "" || time.Now().After(end) {
				return diff
			}
			time.Sleep(20 * time.Millisecond) // polls
		}
	}
	// once kills a stage and runs another, or the same; after is the state to come to.
	once := func(w windows, n int, after map[string]string, again, stage string, args ...string) (over bool) {
		t.Helper()
		killed, over := w.cut(n, stage, args...)
		if over {
			return true
		}
		if killed {
			kills++
			if cmp.Diff(after, w.state(program, data)) != "" {
				between++
			}
		}
		if out, err := w.run(again); err != nil {
			t.Fatalf("%s killed at %d, then %s: %v %s", stage, n, again, err, out)
		}
		if diff := comes(w, after); diff != "" {
			t.Errorf("%s killed at %d, then %s: %s", stage, n, again, diff)
		}
		return false
	}
	remove := func() {
		t.Helper()
		if out, err := w.stage("uninstall", "--purge"); err != nil {
			t.Fatalf("uninstall: %v %s", err, out)
		}
		if diff := comes(w, clean); diff != "" {
			t.Fatalf("uninstall: %s", diff)
		}
	}

	w.ok("install", "installed")
	installed := w.state(program, data)
	installed["service"] = "1"
	for n := 1; ; n += stride {
		remove()
		if once(w, n, installed, w.line("install"), "install") {
			break
		}
	}
	// A removal that was killed is finished by another, and undone by install.
	for n := 1; !once(w, n, installed, w.line("install"), "uninstall", "--purge"); n += stride {
		if once(w, n, clean, w.line("uninstall", "--purge"), "uninstall", "--purge") {
			break
		}
		w.ok("install", "installed")
	}

	w.ok("install")
	next.ok("update", "updated to 2.0")
	updated := next.state(program, data)
	updated["service"] = "1"
	for n := 1; ; n += stride {
		w.ok("update", "updated to 1.0")
		if once(next, n, updated, next.line("update"), "update") {
			break
		}
	}
	running := maps.Clone(updated)
	running["product"] = "1"
	running[filepath.Join(data, "bundle", "from")] = updated[filepath.Join(data, "bundle", "home")]
	for n := 1; ; n += stride {
		next.kill(ofApp)
		if once(next, n, running, next.line("start"), "start") {
			break
		}
	}
	// It ran, so it runs: killed after the product was ended.
	w.ok("update", "updated to 1.0")
	if once(next, 3, running, next.line("update"), "update") {
		t.Error("update gives no third sign of life")
	}
	next.kill(ofApp)
	remove()
	t.Logf("%d kills, %d of them left something in between", kills, between)
	if kills < 36/stride || between < kills/4 {
		t.Errorf("%d kills, %d in between: the test shows nothing", kills, between)
	}
	promise.Reached(t, "P03", fmt.Sprintf("a vendor's package on Windows: its scripts killed at %d points of installing, starting, updating, removing: all ended right after one more run", kills),
		fmt.Sprintf("without the second run %d of %d are in between", between, kills))
}
