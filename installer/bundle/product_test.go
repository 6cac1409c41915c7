//go:build linux

package bundle

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// family is a product that is two processes. The one that was started ends at
// once when it is asked to, the other needs a moment, as a program that writes its
// files does.
const family = `#!/bin/sh
if [ "${1:-}" = worker ]; then
	trap 'sleep 0.5; exit 0' TERM
	echo $$ >"$2"
	while :; do sleep 0.05; done
fi
sh ./product worker "$(cat where)" &
wait
`

// started gives the number that a process of a product has written.
func started(t *testing.T, file string) (pid int) {
	t.Helper()
	until(t, func() bool {
		b, _ := os.ReadFile(file)
		pid, _ = strconv.Atoi(strings.TrimSpace(string(b)))
		return pid > 0
	})
	check(t, os.Remove(file))
	return pid
}

// runs says whether a process is there and no dead one that nobody waited for.
func runs(pid int) bool {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	_, after, _ := strings.Cut(string(b), ") ")
	return err == nil && !strings.HasPrefix(after, "Z")
}

// A stage that ends the product ends all of it: also what takes longer than the
// process that was started, and what is left when that one has crashed. Two
// workers at a time would have the same files and ports.
func TestProductOfTwoProcesses(t *testing.T) {
	v := newVendor(t, "acme")
	o := v.working(t, "CAD")
	file := filepath.Join(t.TempDir(), "worker")
	check(t, os.WriteFile(filepath.Join(o.App, "product"), []byte(family), 0o755))
	check(t, os.WriteFile(filepath.Join(o.App, "where"), []byte(file), 0o644))
	p := newPlace(t, v.bundle(t, o), "acme-cad")
	p.ok("install")
	p.ok("start")
	worker := started(t, file)
	for _, c := range []struct {
		stage   string
		crashed bool
		again   bool // the product runs afterwards
	}{{"restart", false, true}, {"restart", true, true}, {"update", true, false}, {"start", false, true}, {"stop", true, false}, {"start", false, true}, {"uninstall", false, false}} {
		if c.crashed {
			check(t, syscall.Kill(p.pid("app"), syscall.SIGKILL))
			until(t, func() bool { return !runs(p.pid("app")) })
		}
		p.ok(c.stage)
		if runs(worker) && worker != 0 {
			t.Errorf("after %s, crashed before: %v: the old worker still runs", c.stage, c.crashed)
			check(t, syscall.Kill(worker, syscall.SIGKILL))
		}
		if worker = 0; c.again {
			worker = started(t, file)
		}
	}
}

func newSession(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd
}

// A number that was the product's may be somebody else's later.
func TestNumberOfAnother(t *testing.T) {
	v := newVendor(t, "acme")
	p := newPlace(t, v.bundle(t, v.working(t, "CAD")), "acme-cad")
	p.ok("install")
	file := filepath.Join(t.TempDir(), "other")
	for name, script := range map[string]string{
		"alone":        `echo $$ >"$0"; exec sleep 600`,
		"leader ended": `sleep 600 & echo $! >"$0"`,
	} {
		cmd := newSession("/bin/sh", "-c", script, file)
		if name == "alone" { // a shell in which somebody has asked the agent by hand
			cmd.Env = append(os.Environ(), "LICENSE_AGENT_SOCKET="+p.base()+"/run/agent.sock")
		}
		check(t, cmd.Start())
		if leader := cmd.Process.Pid; name != "alone" {
			check(t, cmd.Wait())
			t.Cleanup(func() { syscall.Kill(-leader, syscall.SIGKILL) }) //nolint:errcheck // it may be gone
		} else {
			t.Cleanup(func() { syscall.Kill(-leader, syscall.SIGKILL); cmd.Wait() }) //nolint:errcheck // killed
		}
		other := started(t, file)
		check(t, os.WriteFile(filepath.Join(p.base(), "bundle/app.pid"), []byte(strconv.Itoa(cmd.Process.Pid)+" 1\n"), 0o644))
		p.ok("stop")
		if !runs(other) {
			t.Errorf("%s: stop ended a process of somebody else", name)
		}
	}
	p.ok("uninstall", "--purge")
}

// What a hook starts and leaves running does not hold the lock of the stages.
func TestHookLeavesSomethingRunning(t *testing.T) {
	v := newVendor(t, "acme")
	o := v.working(t, "CAD")
	file := filepath.Join(t.TempDir(), "helper")
	addHook(t, o.App, "start.sh", "setsid sleep 600 >/dev/null 2>&1 </dev/null &\necho $! >'"+file+"'\n")
	p := newPlace(t, v.bundle(t, o), "acme-cad")
	p.ok("install")
	p.ok("start")
	helper := started(t, file)
	t.Cleanup(func() { syscall.Kill(helper, syscall.SIGKILL) }) //nolint:errcheck // it may be gone
	p.ok("stop")
	if !runs(helper) {
		t.Error("the helper has ended: the test shows nothing")
	}
	p.ok("uninstall", "--purge")
}

// A hook that fails without a word is named, and once it is mended the stage goes
// to its end.
func TestHookFails(t *testing.T) {
	v := newVendor(t, "acme")
	o := v.working(t, "CAD")
	mended := filepath.Join(t.TempDir(), "mended")
	for _, stage := range []string{"install", "start"} {
		addHook(t, o.App, stage+".sh", "[ -e '"+mended+"' ] || exit 7\n")
	}
	p := newPlace(t, v.bundle(t, o), "acme-cad")
	for _, stage := range []string{"install", "start", "restart"} {
		text, err := p.run(stage)
		if err == nil {
			t.Errorf("%s: %s", stage, text)
		}
		contains(t, text, p.home+"/bin/hooks/", ".sh has failed (7)", "next: mend what it says", "LICENSE_AGENT_DIR="+p.dir+" sh "+p.home+"/scripts/"+stage+".sh")
	}
	check(t, os.WriteFile(mended, nil, 0o644))
	for _, stage := range []string{"install", "restart"} {
		p.ok(stage)
	}
	p.count(1, 1)
	p.ok("uninstall", "--purge")
}

// The agent's socket has a name that the kernel can take (unix(7)); a folder that is
// too long for it is refused before anything is there.
func TestFolderTooLong(t *testing.T) {
	v := newVendor(t, "acme")
	p := newPlace(t, v.bundle(t, v.working(t, "CAD")), "acme-cad")
	within := p.dir
	rest := "/license-agent-acme-cad/run/agent.sock"
	for _, more := range []int{0, 1} {
		p.dir = within + "/" + strings.Repeat("ü", 5) + strings.Repeat("x", 107-len(within)-1-10-len(rest)+more)
		text, err := p.run("install")
		if more == 0 {
			if err != nil {
				t.Errorf("107 bytes: %v %s", err, text)
			}
			p.ok("start")
			p.ok("uninstall", "--purge")
			continue
		}
		if _, there := os.Stat(p.dir); err == nil || there == nil {
			t.Errorf("108 bytes: %v %s", err, text)
		}
		contains(t, text, "LICENSE_AGENT_DIR is too long", "next: give a folder with a shorter name")
	}
}

// Names of folders, the umask, variables and settings of whoever runs the stages
// do not matter.
func TestOddSurroundings(t *testing.T) {
	v := newVendor(t, "acme")
	o := v.working(t, "CAD 设计")
	o.Instance = "acme-cad"
	file := v.bundle(t, o)
	for name, c := range map[string]struct {
		first string // what the caller's shell does before
		home  string // what the folder is called
		env   []string
	}{
		"names":     {":", "-a b'\n$(id) ü", nil},
		"umask":     {"umask 077; cd /", "x", []string{"CDPATH=/:/tmp"}},
		"no folder": {`d=$(mktemp -d); cd "$d"; rmdir "$d"; exec <&-; unset PATH HOME TMPDIR`, "x", nil},
		"variables": {":", "x", []string{"purge=--purge", "changed=yes", "pid=1", "since=1", "place=/", "private=", "service=x", "POSIXLY_CORRECT=1", "LICENSE_AGENT_SOCKET=/nowhere", "LICENSE_AGENT_INSTANCE=other"}},
	} {
		p := newPlace(t, file, "acme-cad")
		p.dir = filepath.Join(p.dir, "a b ü")
		home := filepath.Join(t.TempDir(), c.home)
		check(t, os.Rename(p.home, home))
		p.home = home
		for _, stage := range []string{"install", "start", "poststart", "restart", "update", "stop", "uninstall"} {
			cmd := p.command(stage)
			cmd.Args = append([]string{"/bin/sh", "-c", c.first + `; exec "$@"`, "sh", cmd.Path}, cmd.Args[1:]...)
			cmd.Env = append(cmd.Env, c.env...)
			if text, err := said(t, cmd); err != nil {
				t.Errorf("%s, %s: %v %s", name, stage, err, text)
			}
		}
		if mode := must[os.FileInfo](t)(os.Stat(filepath.Join(p.base(), "etc/anchors/acme.json"))).Mode().Perm(); mode != 0o644 {
			t.Errorf("%s: the anchor has the mode %o", name, mode)
		}
		p.ok("uninstall", "--purge")
	}
}
