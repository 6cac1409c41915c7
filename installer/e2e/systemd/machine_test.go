//go:build e2e

package systemd

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"sort"
	"strings"
	"testing"
	"time"
)

// machine is a Debian with a real systemd as process 1, real packages, a network
// of its own and a disk that is thrown away.
type machine struct {
	t    *testing.T
	hull hull
	host string // address of the host as the machine sees it
}

// hull is what a machine runs in: systemd-nspawn or QEMU.
type hull interface {
	on(t *testing.T)   // starts it; then commands can be run
	online(m *machine) // connects it with the host, once systemd is up
	kill()             // by force
	wait(time.Duration) bool
	enter(ctx context.Context, stdin string, argv ...string) (string, error)
	console() string
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

// boot makes a machine and switches it on.
func boot(t *testing.T, h hull, host string) *machine {
	t.Helper()
	m := &machine{t: t, hull: h, host: host}
	t.Cleanup(m.off)
	m.on()
	return m
}

// on starts the machine and waits until systemd says that it is up.
func (m *machine) on() {
	m.t.Helper()
	m.hull.on(m.t)
	m.wait("systemd", func() bool {
		out, _ := m.try("systemctl", "is-system-running")
		return strings.HasPrefix(out, "running") || strings.HasPrefix(out, "degraded")
	})
	m.hull.online(m)
}

// off ends the machine in order, and by force if that takes too long.
func (m *machine) off() {
	if m.hull.wait(0) {
		return
	}
	m.try("systemctl", "poweroff", "--no-block") //nolint:errcheck // the connection may end before the answer
	if !m.hull.wait(5 * time.Minute) {
		m.hull.kill()
		m.t.Errorf("the machine did not switch itself off: %s", m.hull.console())
	}
}

// try runs a program inside and returns what it printed, both streams.
func (m *machine) try(argv ...string) (string, error) { return m.feed("", argv...) }

func (m *machine) feed(stdin string, argv ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), inside)
	defer cancel()
	out, err := m.hull.enter(ctx, stdin, argv...)
	return strings.TrimSpace(out), err
}

// inside is how long one command may take.
const inside = 3 * time.Minute

// environment is what commands inside see.
func environment() []string {
	return []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "HOME=/root", "DEBIAN_FRONTEND=noninteractive", "SYSTEMD_PAGER=", "SYSTEMD_BUS_TIMEOUT=150s"}
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
	for range 1200 {
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
	out, err := m.feed(string(content), "/bin/sh", "-c", fmt.Sprintf(`mkdir -p "$(dirname "$1")" && cat >"$1" && chmod %o "$1"`, mode), "sh", path)
	if err != nil {
		m.t.Fatalf("%s: %v %s", path, err, out)
	}
}

// self puts this program into the machine, where it is other programs (TestMain).
func (m *machine) self(path string) {
	m.t.Helper()
	if m.exists("/usr/local/sbin/e2e") { // in QEMU it obeys the test
		m.run("cp", "/usr/local/sbin/e2e", path)
		return
	}
	b, err := os.ReadFile("/proc/self/exe")
	must(m.t, err)
	m.put(path, b, 0o755)
}

func (m *machine) exists(path string) bool {
	_, err := m.try("test", "-e", path)
	return err == nil
}

// snapshot is everything that an installation could leave behind: files with owner
// and mode, in /etc with their content and in /usr with their size; users, groups,
// units, sockets, listeners and processes. TestSnapshot shows that it sees them.
func (m *machine) snapshot() map[string]bool {
	m.t.Helper()
	out := map[string]bool{}
	lines := func(argv ...string) []string { return strings.Split(m.run(argv...), "\n") }
	add := func(kind string, argv ...string) {
		for _, line := range lines(argv...) {
			out[kind+" "+strings.Join(strings.Fields(line), " ")] = true
		}
	}
	// What changes by itself (a day after, in a clock that is moved: var/backups), and
	// what dpkg and passwd(5) tools keep as the copy of the state before.
	noise := regexp.MustCompile(`^/(var/log|var/lib/systemd|var/lib/dpkg/[a-z]+-old|var/lib/dpkg/(lock|triggers|updates|info/format)|var/(backups|cache)|tmp|var/tmp|run/(agetty.reload|systemd|udev|log|lock|user|dbus|credentials|utmp)|etc/(passwd|group|shadow|gshadow|subuid|subgid)-$|etc/\.pwd\.lock|root/)`)
	file := func(line string) {
		// Of those no more than the name is judged, except where systemd keeps what runs.
		path, _, _ := strings.Cut(line, " ")
		switch {
		case !noise.MatchString(path):
			out["file "+line] = true
		case strings.Contains(path, "license-agent") && !strings.HasPrefix(path, "/run/"):
			out["named "+path] = true
		}
	}
	for _, line := range lines("find", "/", "/run", "/tmp", "/var/tmp", "-xdev", "-printf", `%p %y %m %U:%G %l\n`) {
		file(strings.TrimSpace(line))
	}
	for _, line := range lines("find", "/usr", "-xdev", "-type", "f", "-printf", `%p %s bytes\n`) {
		file(line)
	}
	for _, line := range lines("find", "/etc", "-xdev", "-type", "f", "-exec", "sha256sum", "{}", "+") {
		if sum, path, ok := strings.Cut(line, "  "); ok {
			file(path + " " + sum)
		}
	}
	add("user", "cut", "-d:", "-f1", "/etc/passwd")
	add("group", "cut", "-d:", "-f1", "/etc/group")
	add("unit file", "systemctl", "list-unit-files", "--no-legend", "--no-pager")
	add("socket", "systemctl", "list-sockets", "--all", "--no-legend", "--no-pager", "--show-types")
	add("listener", "ss", "-Hlntu")
	add("unix listener", "sh", "-c", "ss -Hlx | awk '{print $5}' | grep -v '^/proc\\|^@'")
	add("failed", "systemctl", "--failed", "--no-legend", "--no-pager")
	add("process", "sh", "-c", "pgrep -af '[l]icense-agent' | cut -d ' ' -f 2-") // not this shell
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
	out, _ := m.try("license-agent", "status", "--output", "json") // not licensed is an error for scripts
	if found := regexp.MustCompile(`"phase": *"([a-z-]+)"`).FindStringSubmatch(out); found != nil {
		return found[1]
	}
	return ""
}
