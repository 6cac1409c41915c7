//go:build linux

package bundle

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// A stage that a signal ends takes its copies of the agent with it and says how to
// go on. The signal comes while install is at work, and goes to its whole group as
// that of a terminal does.
func TestEndedBySignal(t *testing.T) {
	v := newVendor(t, "acme")
	p := newPlace(t, v.bundle(t, v.working(t, "CAD")), "acme-cad")
	// Under nohup, which has the signal ignored, no shell could be told of it; what is
	// caught here is as usual in what is started.
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(caught)
	tools, tmp := t.TempDir(), t.TempDir()
	atWork := filepath.Join(tools, "at-work")
	check(t, os.WriteFile(filepath.Join(tools, "cmp"), []byte("#!/bin/sh\n: >'"+atWork+"'\nexec sleep 100\n"), 0o755))
	for sig, code := range map[syscall.Signal]int{syscall.SIGHUP: 129, syscall.SIGINT: 130, syscall.SIGTERM: 143} {
		cmd := p.command("install")
		cmd.Env = append(cmd.Env, "PATH="+tools+":"+os.Getenv("PATH"), "TMPDIR="+tmp)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		out := must[*os.File](t)(os.Create(filepath.Join(tools, "said")))
		cmd.Stderr = out
		check(t, cmd.Start())
		until(t, func() bool { _, err := os.Stat(atWork); return err == nil })
		check(t, syscall.Kill(-cmd.Process.Pid, sig))
		var exit *exec.ExitError
		if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != code {
			t.Errorf("%v: %v", sig, err)
		}
		check(t, out.Close())
		contains(t, string(must[[]byte](t)(os.ReadFile(out.Name()))), "install was not finished", "next: ", "sh "+p.home+"/scripts/install.sh")
		if left := must[[]os.DirEntry](t)(os.ReadDir(tmp)); len(left) != 0 {
			t.Errorf("%v: left %v", sig, left)
		}
		check(t, os.Remove(atWork))
	}
	p.ok("install")
	p.ok("uninstall", "--purge")
}

// What the tools say in their own words, of a disk that cannot be written to, has a
// next step that a shell understands, whatever the folders are called.
func TestNextStepOfTheTools(t *testing.T) {
	v := newVendor(t, "acme")
	p := newPlace(t, v.bundle(t, v.working(t, "CAD")), "acme-cad")
	home := filepath.Join(t.TempDir(), "it's a\n$(id) folder")
	check(t, os.Rename(p.home, home))
	p.home, p.dir = home, filepath.Join(p.dir, "a b'c")
	check(t, os.Mkdir(p.dir, 0o755))
	check(t, os.WriteFile(p.base(), nil, 0o644)) // where a folder should be
	text, err := p.run("install")
	if err == nil {
		t.Fatal(text)
	}
	check(t, os.Remove(p.base()))
	_, next, _ := strings.Cut(text, "run this again: ")
	p.follow(next)
	_, next, _ = strings.Cut(p.ok("install"), "start it by: ")
	p.follow(next)
	p.count(1, 1)
	_, next, _ = strings.Cut(p.ok("poststart"), "authorization code: ")
	p.follow(regexp.MustCompile(`activate\n$`).ReplaceAllString(next, "version"))
	p.ok("uninstall", "--purge")
}

// A version that is unpacked over another finds files that are not its own. The way
// out is said, and is one.
func TestUnpackedOverAnother(t *testing.T) {
	v := newVendor(t, "acme")
	p := newPlace(t, v.bundle(t, v.working(t, "CAD")), "acme-cad")
	p.ok("install")
	old := filepath.Join(p.home, "bin", "of-the-version-before")
	check(t, os.WriteFile(old, nil, 0o644))
	text, err := p.run("update")
	if err == nil {
		t.Fatal(text)
	}
	contains(t, text, "of-the-version-before is not a file of the vendor", "nothing was changed", "unpack the package anew, into an empty folder")
	check(t, os.Remove(old))
	p.ok("update")
	p.ok("uninstall", "--purge")
}

// follow does what a stage says, from another folder and without its variables.
func (p *place) follow(next string) {
	p.t.Helper()
	cmd := exec.Command("/bin/sh", "-euc", next)
	cmd.Env, cmd.Dir = []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + p.t.TempDir(), "LANG=C"}, "/"
	if text, err := said(p.t, cmd); err != nil {
		p.t.Fatal(fmt.Sprint(next, err, text))
	}
}

// Where the log cannot be written to, as on a disk that has gone read-only, an update
// says so before it ends the product, which could not be started again.
func TestReadOnlyLog(t *testing.T) {
	v := newVendor(t, "acme")
	p := newPlace(t, v.bundle(t, v.working(t, "CAD")), "acme-cad")
	p.ok("install")
	p.ok("start")
	first := p.pid("app")
	for _, stage := range []string{"install", "update"} {
		text, err := p.mounted("ro", []string{filepath.Join(p.base(), "log")}, stage)
		if err == nil {
			t.Errorf("%s: %s", stage, text)
		}
		contains(t, text, "/log cannot be written to; nothing was changed", "next: make it writable")
	}
	p.count(1, 1)
	if p.pid("app") != first {
		t.Error("the product was started anew")
	}
	p.ok("uninstall", "--purge")
}
