//go:build wine

package bundle

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What the caller has in its environment and in its current folder is not for the
// stages: variables with the names of the scripts' own, options of cmd's commands,
// the address of another agent, a cmd of 32 bits, programs with the names of tools.
func TestCallerOnWindows(t *testing.T) {
	v := newVendor(t, "acme")
	o, dir := forWindows(t, v, "my product.exe"), folder(t)
	// A hook that leaves everything as no stage needs it.
	addHook(t, o.App, "start.cmd", "@set program=other.exe\r\n@set run=C:\\\r\n@set here=C:\\\r\n@cd /d C:\\\r\n@exit 0\r\n")
	w := windows{t, filepath.Join(dir, "unpacked & (one)")}
	file := v.bundle(t, o)
	check(t, os.Rename(unpack(t, file), w.home))
	t.Cleanup(func() { w.stage("uninstall", "--purge") }) //nolint:errcheck // after a failure

	trap, mark := filepath.Join(dir, "trap"), filepath.Join(dir, "trapped")
	check(t, os.Mkdir(trap, 0o755))
	compile(t, filepath.Join(trap, "sc.exe"), "package main\n\nimport \"os\"\n\nfunc main() { os.WriteFile(`"+"Z:"+strings.ReplaceAll(mark, "/", `\`)+"`, []byte(os.Args[0]), 0o644) }\n")
	for _, tool := range []string{"findstr", "net", "ping", "tasklist", "taskkill", "cmd"} {
		check(t, os.Link(filepath.Join(trap, "sc.exe"), filepath.Join(trap, tool+".exe")))
	}
	around := []string{`cd /d "Z:` + strings.ReplaceAll(trap, "/", `\`) + `"`}
	for _, variable := range []string{
		"errorlevel=0", "ERRORLEVEL=0", "DIRCMD=/s", `ProgramFiles=C:\Program Files (x86)`, `LICENSE_AGENT_SOCKET=\\.\pipe\nobody`,
		"here=x", "where=x", "run=x", "count=7", "program=x.exe", "product=x", "scripts=x", "system=x", "programs=x", "stage=x", "option=--x", "what=x", "next=x",
	} {
		around = append(around, `set "`+variable+`"`)
	}
	stage := func(name string, args ...string) (string, error) {
		return w.run(strings.Join(append(around, w.line(name, args...)), "\r\n@"))
	}
	ok := func(name string, wants ...string) {
		t.Helper()
		out, err := stage(name)
		if err != nil {
			t.Fatalf("%s: %v %s", name, err, out)
		}
		contains(t, out, wants...)
	}

	if out, err := stage("start"); err == nil || !strings.Contains(out, `next: run: scripts\install.cmd`) {
		t.Errorf("start before install: %v %s", err, out)
	}
	ok("install", "installed")
	ok("install", "installed")
	ok("start")
	ok("poststart", "no valid license yet")
	ok("START")
	hook := filepath.Join(w.home, "bin", "hooks", "start.cmd")
	whole := must[[]byte](t)(os.ReadFile(hook))
	check(t, os.WriteFile(hook, []byte("@exit -7\r\n"), 0o644))
	out, err := stage("restart")
	if err == nil {
		t.Error("the hook failed, and restart did not")
	}
	contains(t, out, `unpacked & (one)\bin\hooks\start.cmd has failed (-7)`)
	check(t, os.WriteFile(hook, whole, 0o644))
	ok("restart")
	if n := len(w.processes(ofProduct)); n != 1 {
		t.Errorf("%d products", n)
	}
	if out, err := w.run("set LICENSE_AGENT_DIR=C:\\mine\r\n@" + w.line("install")); err == nil || !strings.Contains(out, "on Windows the agent is always a service; nothing was changed") {
		t.Errorf("with a folder of one's own: %v %s", err, out)
	}
	// The folder that the product ran from has been removed after it had ended.
	w.kill(ofApp)
	o.Version, o.Out = "2.0", t.TempDir()
	next := windows{t, filepath.Join(dir, "unpacked two")}
	check(t, os.Rename(unpack(t, v.bundle(t, o)), next.home))
	check(t, os.RemoveAll(w.home))
	w = next
	ok("update", "updated to 2.0")
	ok("start")
	ok("poststart")
	ok("stop")
	if out, err := stage("uninstall", "--purge"); err != nil {
		t.Errorf("uninstall: %v %s", err, out)
	}
	ok("stop") // and there is nothing that it could stop
	if by, err := os.ReadFile(mark); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s was run from the caller's folder (%v)", by, err)
	}
}

// A bundle that was unpacked at the top of a drive, and one whose files cannot be
// written to: both are started, found and ended.
func TestPlacesOnWindows(t *testing.T) {
	v := newVendor(t, "acme")
	o := forWindows(t, v, "my product.exe")
	top := folder(t)
	home := unpack(t, v.bundle(t, o))
	check(t, os.Chmod(filepath.Join(home, "bin", "my product.exe"), 0o555)) // the attribute R
	drive := filepath.Join(os.Getenv("WINE_PREFIX"), "dosdevices", "q:")
	check(t, os.Symlink(home, drive))
	t.Cleanup(func() { os.Remove(drive) }) //nolint:errcheck // the prefix goes too
	w := windows{t, filepath.Join(top, "unused")}
	stage := func(name string, args ...string) (string, error) {
		return w.run(`call Q:\scripts\` + name + ".cmd " + strings.Join(args, " "))
	}
	t.Cleanup(func() { stage("uninstall", "--purge") }) //nolint:errcheck // after a failure
	for _, s := range [][2]string{{"install", "installed"}, {"start", "hook start"}, {"poststart", "no valid license yet"}, {"restart", "hook start"}, {"stop", ""}} {
		out, err := stage(s[0])
		if err != nil || !strings.Contains(out, s[1]) {
			t.Fatalf("%s: %v %s", s[0], err, out)
		}
		want := 1
		if s[0] == "stop" || s[0] == "install" {
			want = 0
		}
		if n := len(w.processes(ofProduct)); n != want {
			t.Errorf("after %s: %d products", s[0], n)
		}
	}
	if out, err := stage("poststart"); err == nil || !strings.Contains(out, "has ended") {
		t.Errorf("after stop: %v %s", err, out)
	}
}
