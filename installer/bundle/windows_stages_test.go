//go:build wine

package bundle

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const parentSource = `package main

import ("fmt"; "os"; "os/exec"; "time")

func main() {
	fmt.Println("started", os.Args[1:])
	helper := exec.Command(os.Args[0][:len(os.Args[0])-len("my product.exe")] + "helper.exe")
	helper.Stdout, helper.Stderr = os.Stdout, os.Stderr
	if err := helper.Start(); err != nil {
		fmt.Println(err)
	}
	time.Sleep(time.Hour) // stands for a product that works
}
`

// A product of two programs, the first of which ends without the other: nothing
// is started beside what is left, and what cannot be found by its name is named.
func TestProductOfTwoProgramsOnWindows(t *testing.T) {
	v := newVendor(t, "acme")
	o, dir := forWindows(t, v, "my product.exe"), folder(t)
	check(t, os.Rename(filepath.Join(o.App, "my product.exe"), filepath.Join(o.App, "helper.exe")))
	compile(t, filepath.Join(o.App, "my product.exe"), parentSource)
	w := windows{t, filepath.Join(dir, "unpacked one")}
	check(t, os.Rename(unpack(t, v.bundle(t, o)), w.home))
	t.Cleanup(func() { w.stage("uninstall", "--purge") }) //nolint:errcheck // after a failure
	ofHelper := func(line string) bool { return strings.Contains(line, "helper.exe") }
	t.Cleanup(func() { w.kill(ofHelper) })

	w.ok("install", "installed")
	w.ok("start", "hook start")
	until(t, func() bool { return len(w.processes(ofHelper)) == 1 })
	w.kill(ofApp)
	if out, err := w.stage("poststart"); err == nil || !strings.Contains(out, "has ended") {
		t.Errorf("poststart of what is left: %v %s", err, out)
	}
	if out, err := w.stage("start"); err == nil || !strings.Contains(out, "has ended, and something that it has started still runs") {
		t.Errorf("start beside what is left: %v %s", err, out)
	}
	if out, err := w.stage("stop"); err == nil || !strings.Contains(out, "or something that it has started, does not end") {
		t.Errorf("stop of what is left: %v %s", err, out)
	}
	if n := len(w.processes(ofProduct)); n != 0 {
		t.Errorf("%d products beside what was left", n)
	}
	w.kill(ofHelper)
	w.ok("stop")
	w.ok("start", "hook start")
}

// A new version that is installed over one that runs is what start starts. What an
// operator has stopped after an update that failed stays stopped.
func TestInstalledOverOneThatRunsOnWindows(t *testing.T) {
	v := newVendor(t, "acme")
	o, dir := forWindows(t, v, "my product.exe"), folder(t)
	broken := filepath.Join(dir, "broken")
	addHook(t, o.App, "update.cmd", `@if exist "Z:`+strings.ReplaceAll(broken, "/", `\`)+`" exit 7`+"\r\n")
	place := func(name string) windows {
		w := windows{t, filepath.Join(dir, name)}
		check(t, os.Rename(unpack(t, v.bundle(t, o)), w.home))
		return w
	}
	old := place("unpacked & one")
	o.Version, o.Out = "2.0", t.TempDir()
	next := place("unpacked two")
	t.Cleanup(func() { next.stage("uninstall", "--purge") }) //nolint:errcheck // after a failure
	in := func(name string) int {
		return len(next.processes(func(line string) bool { return ofProduct(line) && strings.Contains(line, name) }))
	}

	old.ok("install", "installed")
	old.ok("start")
	next.ok("install", "installed")
	if in("one") != 1 || in("two") != 0 {
		t.Errorf("after install: %d old, %d new", in("one"), in("two"))
	}
	next.ok("start")
	next.ok("start")
	old.ok("start") // finds that one runs
	if in("one") != 0 || in("two") != 1 {
		t.Errorf("after start: %d old, %d new", in("one"), in("two"))
	}
	check(t, os.WriteFile(broken, nil, 0o644))
	if out, err := old.stage("update"); err == nil {
		t.Errorf("the hook failed, and update did not: %s", out)
	}
	check(t, os.Remove(broken))
	next.ok("stop")
	next.ok("update", "updated to 2.0")
	if n := in("two"); n != 0 {
		t.Errorf("%d run that were stopped", n)
	}
}

// Two runs of a stage at once: one product is started, and both removals end with
// nothing left.
func TestStagesAtOnceOnWindows(t *testing.T) {
	v := newVendor(t, "acme")
	o, dir := forWindows(t, v, "my product.exe"), folder(t)
	w := windows{t, filepath.Join(dir, "unpacked one")}
	check(t, os.Rename(unpack(t, v.bundle(t, o)), w.home))
	t.Cleanup(func() { w.stage("uninstall", "--purge") }) //nolint:errcheck // after a failure
	// By another name of the folder: each has its own file of commands.
	beside := windows{t, filepath.Join(folder(t), "unpacked one")}
	check(t, os.Symlink(w.home, beside.home))
	both := func(stage string, args ...string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		one, two := w.command(ctx, w.line(stage, args...)), beside.command(ctx, beside.line(stage, args...))
		check(t, one.Start())
		check(t, two.Start())
		for _, c := range []*exec.Cmd{one, two} {
			if err := c.Wait(); err != nil {
				t.Errorf("%s at once: %v", stage, err)
			}
		}
	}
	w.ok("install", "installed")
	both("start")
	if n := len(w.processes(ofProduct)); n != 1 {
		t.Errorf("%d products", n)
	}
	both("stop")
	if n := len(w.processes(ofProduct)); n != 0 {
		t.Errorf("%d products after stop", n)
	}
	both("uninstall", "--purge")
	program, data := places("acme-my-cad")
	for _, place := range []string{program, data, filepath.Join(filepath.Dir(program), ".license-agent-install.lock")} {
		if _, err := os.Lstat(place); err == nil {
			t.Errorf("left: %s", place)
		}
	}
}
