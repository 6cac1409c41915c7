//go:build e2e

package systemd

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// nspawn is a hull with a real systemd, real packages and no hardware: it boots
// in half a second and runs at full speed.
type nspawn struct {
	name    string
	root    string
	number  int
	process int
	leader  int
	log     bytes.Buffer
	ended   chan struct{} // nil: never started
	more    []string      // options
}

// inContainer makes a machine of a disk; number tells it from others of the test.
func inContainer(t *testing.T, root string, number int, more ...string) *machine {
	t.Helper()
	h := &nspawn{root: root, number: number, name: fmt.Sprintf("la%d-%d", os.Getpid()%100000, number), more: more}
	return boot(t, h, h.address(1))
}

// base is the Debian that .ci/e2e has prepared.
func base(t *testing.T) string {
	t.Helper()
	return need(t, "E2E_BASE")
}

func (h *nspawn) address(last int) string {
	return fmt.Sprintf("10.213.%d.%d", 1+os.Getpid()%250, 4*h.number+last)
}

func (h *nspawn) on(t *testing.T) {
	t.Helper()
	h.leader = 0
	h.log.Reset()
	cmd := exec.Command("systemd-nspawn", append([]string{
		"-q", "-D", h.root, "--boot", "--register=no", "--keep-unit", "--machine=" + h.name,
		"--network-veth", "--private-users=no", "--link-journal=no",
	}, h.more...)...)
	cmd.Stdout, cmd.Stderr = &h.log, &h.log
	must(t, cmd.Start())
	h.process, h.ended = cmd.Process.Pid, make(chan struct{})
	go func(ended chan struct{}) { cmd.Wait(); close(ended) }(h.ended)                         //nolint:errcheck // its status is that of a machine that was switched off
	for end := time.Now().Add(time.Minute); h.leader == 0; time.Sleep(20 * time.Millisecond) { // polls
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", h.process, h.process))
		must(t, err)
		for _, child := range strings.Fields(string(b)) { // the first ones only prepare
			if name, err := os.ReadFile("/proc/" + child + "/comm"); err == nil && string(name) == "systemd\n" {
				h.leader, err = strconv.Atoi(child)
				must(t, err)
			}
		}
		if time.Now().After(end) {
			t.Fatalf("no process 1: %s", h.log.String())
		}
	}
}

func (h *nspawn) online(m *machine) {
	for _, c := range [][]string{
		{"ip", "addr", "replace", h.address(1) + "/30", "dev", "ve-" + h.name}, {"ip", "link", "set", "ve-" + h.name, "up"},
	} {
		tool(m.t, c...)
	}
	m.run("ip", "addr", "replace", h.address(2)+"/30", "dev", "host0")
	m.run("ip", "link", "set", "host0", "up")
}

func (h *nspawn) wait(d time.Duration) bool {
	if h.ended == nil {
		return true
	}
	select {
	case <-h.ended:
		return true
	case <-time.After(d):
		return false
	}
}

func (h *nspawn) kill() {
	if p, err := os.FindProcess(h.process); err == nil {
		p.Kill() //nolint:errcheck // it may have ended
	}
	<-h.ended
}

func (h *nspawn) console() string { return h.log.String() }

func (h *nspawn) enter(ctx context.Context, stdin string, argv ...string) (string, error) {
	args := append([]string{"-t", strconv.Itoa(h.leader), "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w", "--"}, argv...)
	cmd := exec.CommandContext(ctx, "nsenter", args...)
	cmd.Env, cmd.Stdin = environment(), strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// disk is a fresh copy-on-write copy of a root, with what prepare adds.
func disk(t *testing.T, lower string) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{"upper", "work", "root"} {
		must(t, os.Mkdir(filepath.Join(dir, d), 0o755))
	}
	root := filepath.Join(dir, "root")
	tool(t, "mount", "-t", "overlay", "overlay", "-o", "lowerdir="+lower+",upperdir="+dir+"/upper,workdir="+dir+"/work", root)
	t.Cleanup(func() { tool(t, "umount", "-R", root) })
	return root
}
