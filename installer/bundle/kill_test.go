//go:build linux

package bundle

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"licenseagent.example/docs/promise"
)

// cut runs a stage under strace, which kills the shell with SIGKILL when it is
// about to start its n-th program. killed is false when it had ended before.
// What the shell has started goes on: the agent, the product, a copy half done.
func (p *place) cut(stage string, n int) (killed bool, text string) {
	p.t.Helper()
	cmd := p.command(stage)
	inject := "inject=clone,clone3,fork,vfork:signal=SIGKILL:when=" + strconv.Itoa(n)
	cmd.Args = append([]string{"strace", "-qq", "-o", "/dev/null", "-e", "trace=clone,clone3,fork,vfork", "-e", inject, cmd.Path}, cmd.Args[1:]...)
	path, err := exec.LookPath("strace")
	if err != nil {
		p.t.Fatal("this test needs strace")
	}
	cmd.Path = path
	text, err = said(p.t, cmd)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		status, ok := exit.Sys().(syscall.WaitStatus)
		if ok && status.Signaled() && status.Signal() == syscall.SIGKILL {
			return true, text
		}
	}
	if err != nil {
		p.t.Fatalf("%s with a kill at %d: %v %s", stage, n, err, text)
	}
	return false, text
}

// Each stage, killed at each of its steps and run once more, ends as one that
// was left alone.
func TestStagesKilled(t *testing.T) {
	stride := promise.Size(4, 1)
	v := newVendor(t, "acme")
	o := v.working(t, "My CAD")
	file := v.bundle(t, o)
	o.Version, o.Out = "2.0", t.TempDir()
	next := v.bundle(t, o)
	kills, between := 0, 0
	for _, c := range []struct {
		stage  string
		before []string // stages that lead there
		app    int      // running afterwards
		agent  int
	}{
		{"install", nil, 0, 0},
		{"start", []string{"install"}, 1, 1},
		{"restart", []string{"install", "start"}, 1, 1},
		{"stop", []string{"install", "start"}, 0, 0},
		{"update", []string{"install", "start"}, 1, 1},
		{"uninstall", []string{"install", "start"}, 0, 0},
	} {
		p := newPlace(t, file, "acme-my-cad")
		first := p.home
		second := unpack(t, next)
		arrive := func() {
			p.home = first
			p.ok("uninstall", "--purge")
			for _, s := range c.before {
				p.ok(s)
			}
			if c.stage == "update" {
				p.home = second
			}
		}
		arrive()
		p.ok(c.stage)
		want := p.files()
		for n := 1; ; n += stride {
			arrive()
			killed, _ := p.cut(c.stage, n)
			if !killed {
				break
			}
			kills++
			if cmp.Diff(want, p.files()) != "" {
				between++
			}
			text, err := p.run(c.stage)
			if err != nil {
				t.Fatalf("%s killed at step %d, then again: %v %s", c.stage, n, err, text)
			}
			p.count(c.app, c.agent)
			if diff := cmp.Diff(want, p.files()); diff != "" {
				t.Errorf("%s killed at step %d, then again: %s", c.stage, n, diff)
			}
		}
		p.ok("uninstall", "--purge")
	}
	t.Logf("%d kills in six stages, %d of them left something in between", kills, between)
	if kills < 60/stride || between < kills/4 {
		t.Errorf("%d kills, %d in between: the test shows nothing", kills, between)
	}
}

// A product that is just beginning, because the stage that started it was
// killed, is found by the next stage although it has not written down its number.
func TestProductThatIsBeginning(t *testing.T) {
	v := newVendor(t, "acme")
	p := newPlace(t, v.bundle(t, v.working(t, "CAD")), "acme-cad")
	p.ok("install")
	p.ok("start")
	t.Cleanup(func() { p.ok("uninstall", "--purge") })
	first, run := p.pid("app"), filepath.Join(p.base(), "bundle")
	number := must[[]byte](t)(os.ReadFile(filepath.Join(run, "app.pid")))
	lock := must[*os.File](t)(os.OpenFile(filepath.Join(run, "app.lock"), os.O_RDWR, 0))
	defer lock.Close() //nolint:errcheck // nothing was written
	check(t, syscall.Flock(int(lock.Fd()), syscall.LOCK_EX))
	check(t, os.Remove(filepath.Join(run, "app.pid")))
	ended := make(chan error, 1)
	go func() {
		_, err := p.run("restart")
		ended <- err
	}()
	inode := must[os.FileInfo](t)(lock.Stat()).Sys().(*syscall.Stat_t).Ino
	waits := regexp.MustCompile(fmt.Sprintf(`->.*:%d `, inode))
	until(t, func() bool { return waits.Match(must[[]byte](t)(os.ReadFile("/proc/locks"))) })
	check(t, os.WriteFile(filepath.Join(run, "app.pid"), number, 0o644))
	check(t, syscall.Flock(int(lock.Fd()), syscall.LOCK_UN))
	check(t, <-ended)
	p.count(1, 1)
	if p.pid("app") == first {
		t.Error("restart left the product as it was")
	}
}
