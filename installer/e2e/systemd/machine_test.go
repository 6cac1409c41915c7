//go:build e2e

package systemd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"
)

// machine is a Debian that systemd-nspawn boots: a real systemd as process 1,
// real packages, its own network, and a disk that is thrown away.
type machine struct {
	t      *testing.T
	name   string
	root   string
	number int
	host   string // address of the host as the machine sees it
	leader int
	nspawn *exec.Cmd
	log    bytes.Buffer
}

// need reads what .ci/e2e has prepared.
func need(t *testing.T, name string) string {
	t.Helper()
	v := os.Getenv(name)
	if v == "" {
		t.Fatalf("%s is not set: run these tests by `make e2e`", name)
	}
	return v
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// disk is a fresh copy-on-write copy of a root.
func disk(t *testing.T, lower string) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{"upper", "work", "root"} {
		must(t, os.Mkdir(filepath.Join(dir, d), 0o755))
	}
	root := filepath.Join(dir, "root")
	out, err := exec.Command("mount", "-t", "overlay", "overlay", "-o", "lowerdir="+lower+",upperdir="+dir+"/upper,workdir="+dir+"/work", root).CombinedOutput()
	if err != nil {
		t.Fatalf("%v %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "-R", root).CombinedOutput(); err != nil {
			t.Errorf("umount: %v %s", err, out)
		}
	})
	return root
}

// boot makes a machine of a disk and switches it on.
func boot(t *testing.T, root string, number int) *machine {
	t.Helper()
	m := &machine{t: t, root: root, number: number, name: fmt.Sprintf("la%d-%d", os.Getpid()%100000, number)}
	t.Cleanup(m.off)
	m.on()
	return m
}

// on starts the machine and waits until systemd says that it is up.
func (m *machine) on() {
	t, number := m.t, m.number
	t.Helper()
	m.leader = 0
	m.log.Reset()
	m.nspawn = exec.Command("systemd-nspawn", "-q", "-D", m.root, "--boot", "--register=no", "--keep-unit", "--machine="+m.name,
		"--network-veth", "--private-users=no", "--link-journal=no")
	m.nspawn.Stdout, m.nspawn.Stderr = &m.log, &m.log
	must(t, m.nspawn.Start())
	m.wait("process 1 of the machine", func() bool {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", m.nspawn.Process.Pid, m.nspawn.Process.Pid))
		fields := strings.Fields(string(b))
		if err == nil && len(fields) > 0 {
			m.leader, err = strconv.Atoi(fields[0])
		}
		return err == nil && m.leader > 0
	})
	m.wait("systemd", func() bool {
		out, _ := m.try("systemctl", "is-system-running")
		return strings.HasPrefix(out, "running") || strings.HasPrefix(out, "degraded")
	})
	third := 1 + os.Getpid()%250
	m.host = fmt.Sprintf("10.213.%d.%d", third, 4*number+1)
	for _, c := range [][]string{
		{"ip", "addr", "replace", m.host + "/30", "dev", "ve-" + m.name}, {"ip", "link", "set", "ve-" + m.name, "up"},
	} {
		if out, err := exec.Command(c[0], c[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v %s", c, err, out)
		}
	}
	m.run("ip", "addr", "replace", fmt.Sprintf("10.213.%d.%d/30", third, 4*number+2), "dev", "host0")
	m.run("ip", "link", "set", "host0", "up")
}

// off ends the machine in order, and by force if that takes too long.
func (m *machine) off() {
	if m.nspawn == nil {
		return
	}
	ended := make(chan struct{})
	go func() { m.nspawn.Wait(); close(ended) }() //nolint:errcheck // its status is that of a machine that was switched off
	m.try("systemctl", "poweroff")
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		m.nspawn.Process.Kill() //nolint:errcheck // it may have ended
		<-ended
		m.t.Errorf("the machine did not switch itself off: %s", m.log.String())
	}
	m.nspawn = nil
}

// try runs a program inside and returns what it printed, both streams.
func (m *machine) try(argv ...string) (string, error) { return m.feed("", argv...) }

func (m *machine) feed(stdin string, argv ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	args := append([]string{"-t", strconv.Itoa(m.leader), "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w", "--"}, argv...)
	cmd := exec.CommandContext(ctx, "nsenter", args...)
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "HOME=/root", "DEBIAN_FRONTEND=noninteractive", "SYSTEMD_PAGER="}
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// run is try for what must succeed.
func (m *machine) run(argv ...string) string {
	m.t.Helper()
	out, err := m.try(argv...)
	if err != nil {
		m.t.Fatalf("%s: %v\n%s", strings.Join(argv, " "), err, out)
	}
	return out
}

// wait polls until something is so.
func (m *machine) wait(what string, ok func() bool) {
	m.t.Helper()
	for range 600 {
		if ok() {
			return
		}
		time.Sleep(50 * time.Millisecond) // polls
	}
	journal, _ := m.try("journalctl", "--no-pager", "-n", "40", "-o", "cat")
	m.t.Fatalf("waited for %s in vain\n%s", what, journal)
}

// show is one property of a unit.
func (m *machine) show(unit, property string) string {
	m.t.Helper()
	return m.run("systemctl", "show", "-p", property, "--value", unit)
}

// put writes a file into the machine's disk.
func (m *machine) put(path string, content []byte, mode fs.FileMode) {
	m.t.Helper()
	cmd := exec.Command("nsenter", "-t", strconv.Itoa(m.leader), "-m", "-r", "-w", "--", "/bin/sh", "-c",
		fmt.Sprintf(`mkdir -p "$(dirname "$1")" && cat >"$1" && chmod %o "$1"`, mode), "sh", path)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.Stdin = bytes.NewReader(content)
	if out, err := cmd.CombinedOutput(); err != nil {
		m.t.Fatalf("%s: %v %s", path, err, out)
	}
}

func (m *machine) exists(path string) bool {
	_, err := m.try("test", "-e", path)
	return err == nil
}

// snapshot is everything that an installation could leave behind: files, users,
// groups, units, sockets, listeners and processes.
func (m *machine) snapshot() map[string]bool {
	m.t.Helper()
	out := map[string]bool{}
	add := func(kind string, argv ...string) {
		for _, line := range strings.Split(m.run(argv...), "\n") {
			out[kind+" "+strings.Join(strings.Fields(line), " ")] = true
		}
	}
	// What changes by itself, and what dpkg and passwd(5) tools keep as the copy
	// of the state before.
	noise := regexp.MustCompile(`^/(var/log|var/lib/systemd|var/lib/dpkg/[a-z]+-old|var/lib/dpkg/(lock|triggers|updates|info/format)|var/cache|tmp|var/tmp|run/(agetty.reload|systemd|udev|log|lock|user|dbus|credentials|utmp)|etc/(passwd|group|shadow|gshadow|subuid|subgid)-$|etc/\.pwd\.lock|root/)`)
	for _, line := range strings.Split(m.run("find", "/", "/run", "-xdev", "-printf", `%p %y\n`), "\n") {
		if !noise.MatchString(line) {
			out["file "+line] = true
		}
	}
	add("user", "cut", "-d:", "-f1", "/etc/passwd")
	add("group", "cut", "-d:", "-f1", "/etc/group")
	add("unit file", "systemctl", "list-unit-files", "--no-legend", "--no-pager")
	add("socket", "systemctl", "list-sockets", "--all", "--no-legend", "--no-pager", "--show-types")
	add("listener", "ss", "-Hlntu")
	add("unix listener", "sh", "-c", "ss -Hlx | awk '{print $5}' | grep -v '^/proc\\|^@'")
	add("failed", "systemctl", "--failed", "--no-legend", "--no-pager")
	return out
}

// left compares two snapshots.
func left(before, after map[string]bool) []string {
	var out []string
	for k := range after {
		if !before[k] {
			out = append(out, "new: "+k)
		}
	}
	for k := range before {
		if !after[k] {
			out = append(out, "gone: "+k)
		}
	}
	sort.Strings(out)
	return out
}

// phase is what the agent says about its only license, "" for none.
func (m *machine) phase() string {
	out, err := m.try("license-agent", "status", "--output", "json")
	exit := (*exec.ExitError)(nil)
	if err != nil && !errors.As(err, &exit) {
		m.t.Fatal(err)
	}
	if found := regexp.MustCompile(`"phase": *"([a-z-]+)"`).FindStringSubmatch(out); found != nil {
		return found[1]
	}
	return ""
}
