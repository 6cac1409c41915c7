//go:build wine

package bundle

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const productSource = `package main

import ("fmt"; "os"; "time")

func main() {
	fmt.Println("started", os.Args[1:], os.Getenv("LICENSE_AGENT_INSTANCE"))
	time.Sleep(time.Hour) // stands for a product that works
}
`

// windows is an unpacked bundle that Wine runs the scripts of.
type windows struct {
	t    *testing.T
	home string
}

// command is one command line of cmd, not yet started.
func (w windows) command(ctx context.Context, line string) *exec.Cmd {
	w.t.Helper()
	script := filepath.Join(w.home, "..", "line.cmd")
	check(w.t, os.WriteFile(script, []byte("@set LICENSE_AGENT_INSTALL_OPTIONS=--keep-unhardened\r\n@"+line+"\r\n"), 0o644))
	return exec.CommandContext(ctx, must[string](w.t)(filepath.Abs("../../.ci/wine-exec")), "cmd", "/d", "/c", "Z:"+strings.ReplaceAll(script, "/", `\`))
}

// run runs one command line. Its output goes to a file: what it starts lives on.
func (w windows) run(line string) (string, error) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	return said(w.t, w.command(ctx, line))
}

// line is the command line of a stage.
func (w windows) line(stage string, args ...string) string {
	return `call "Z:` + strings.ReplaceAll(w.home, "/", `\`) + `\scripts\` + stage + `.cmd" ` + strings.Join(args, " ")
}

func (w windows) stage(stage string, args ...string) (string, error) {
	w.t.Helper()
	return w.run(w.line(stage, args...))
}

func (w windows) ok(stage string, wants ...string) {
	w.t.Helper()
	out, err := w.stage(stage)
	if err != nil {
		w.t.Fatalf("%s: %v\n%s", stage, err, out)
	}
	contains(w.t, out, wants...)
}

// folder is a place for unpacked bundles with a blank in its name.
func folder(t *testing.T) string {
	t.Helper()
	dir := must[string](t)(os.MkdirTemp("", "bundle on windows"))
	t.Cleanup(func() { os.RemoveAll(dir) }) //nolint:errcheck // a temporary folder
	return dir
}

// compile makes a Windows program of one source file.
func compile(t *testing.T, out, source string) {
	t.Helper()
	src := filepath.Join(t.TempDir(), "x.go")
	check(t, os.WriteFile(src, []byte(source), 0o644))
	build := exec.Command("go", "build", "-o", out, src)
	build.Env = append(os.Environ(), "GOOS=windows", "GOARCH=amd64", "CGO_ENABLED=0")
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%s", said)
	}
}

// places are where an instance is on this Windows: its program and its data.
func places(instance string) (program, data string) {
	drive, name := filepath.Join(os.Getenv("WINE_PREFIX"), "drive_c"), "license-agent-"+instance
	return filepath.Join(drive, "Program Files", name), filepath.Join(drive, "ProgramData", name)
}

// forWindows are options for a bundle of a product that runs and has a hook.
func forWindows(t *testing.T, v *vendor, product string) Options {
	t.Helper()
	o := v.working(t, "My CAD")
	app := t.TempDir()
	compile(t, filepath.Join(app, product), productSource)
	addHook(t, app, "start.cmd", "@echo hook start\r\n")
	o.App, o.Start, o.Target, o.Agent, o.Format = app, []string{product, "--port=1"}, "windows/amd64", agent(t, "windows/amd64"), "zip"
	return o
}

// The life of a product on Windows, by cmd and a service manager, from a folder
// with a blank in its name, then one with an ampersand. Run by .ci/wine, which has Wine ready.
func TestLifeOnWindows(t *testing.T) {
	v := newVendor(t, "acme")
	o, dir := forWindows(t, v, "my product.exe"), folder(t)
	w := windows{t, filepath.Join(dir, "unpacked one")}
	file := v.bundle(t, o)
	check(t, os.Rename(unpack(t, file), w.home))
	t.Cleanup(func() { w.stage("uninstall", "--purge") }) //nolint:errcheck // after a failure

	for _, stage := range []string{"start", "restart", "update", "poststart"} {
		if out, err := w.stage(stage); err == nil || !strings.Contains(out, `next: run: scripts\install.cmd`) {
			t.Errorf("%s before install: %v %s", stage, err, out)
		}
	}
	bad := windows{t, filepath.Join(dir, "changed")}
	check(t, os.Rename(unpack(t, file), bad.home))
	check(t, os.WriteFile(filepath.Join(bad.home, "bin", "plugin.dll"), nil, 0o644))
	if out, err := bad.stage("install"); err == nil || !strings.Contains(out, "plugin.dll is not a file of the vendor") || !strings.Contains(out, "nothing was changed") {
		t.Errorf("a changed bundle: %v %s", err, out)
	}
	program, data := places("acme-my-cad")
	for _, place := range []string{program, data} {
		if _, err := os.Stat(place); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a refused bundle left %s", place)
		}
	}

	w.ok("install", "installed")
	w.ok("install", "installed")
	hook := filepath.Join(w.home, "bin", "hooks", "start.cmd")
	whole := must[[]byte](t)(os.ReadFile(hook))
	check(t, os.WriteFile(hook, []byte("@exit /b 7\r\n"), 0o644))
	out, err := w.stage("start")
	if err == nil {
		t.Error("the hook failed, and start did not")
	}
	contains(t, out, `bin\hooks\start.cmd has failed (7)`, `run this again: scripts\start.cmd`)
	check(t, os.WriteFile(hook, whole, 0o644))
	w.ok("start", "hook start")
	w.ok("start")
	w.ok("poststart", "no valid license yet")
	if out, err := bad.stage("update"); err == nil || !strings.Contains(out, "nothing was changed") {
		t.Errorf("a changed update: %v %s", err, out)
	}
	log := string(must[[]byte](t)(os.ReadFile(filepath.Join(data, "bundle", "app.log"))))
	if n := strings.Count(log, "started [--port=1] acme-my-cad"); n != 1 {
		t.Errorf("%d starts: %s", n, log)
	}
	w.ok("restart")
	o.Version, o.Out = "2.0", t.TempDir()
	next := windows{t, filepath.Join(dir, "unpacked & two")}
	check(t, os.Rename(unpack(t, v.bundle(t, o)), next.home))
	next.ok("update", "updated to 2.0") // ran in the other folder, runs in this one
	next.ok("poststart", "no valid license yet")
	if out, err := w.run(`>>"Z:` + strings.ReplaceAll(w.home, "/", `\`) + `\bin\my product.exe" call `); err != nil {
		t.Errorf("the older one runs still: %s", out)
	}
	config := filepath.Join(data, "config", "agent.toml")
	kept := must[[]byte](t)(os.ReadFile(config))
	check(t, os.WriteFile(config, []byte("log_levle = \"debug\"\n"), 0o644))
	if out, err := next.stage("update"); err == nil || !strings.Contains(out, `did you mean "log_level"`) || !strings.Contains(out, "nothing was changed") {
		t.Errorf("a key of an older configuration: %v %s", err, out)
	}
	check(t, os.WriteFile(config, kept, 0o644))
	next.ok("update", "updated to 2.0")
	next.ok("stop")
	if out, err := next.stage("poststart"); err == nil || !strings.Contains(out, "has ended") {
		t.Errorf("after stop: %v %s", err, out)
	}
	if out, err := next.stage("uninstall", "--purge"); err != nil {
		t.Errorf("uninstall: %v %s", err, out)
	}
	for _, place := range []string{program, data} {
		if _, err := os.Stat(place); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("left: %s", place)
		}
	}
}

// Two vendors with products of the same name on one Windows: services, places and
// trust of their own, and the purge of one leaves the other as it was.
func TestTwoVendorsOnWindows(t *testing.T) {
	dir := folder(t)
	place := func(name string, o Options, v *vendor) windows {
		w := windows{t, filepath.Join(dir, name)}
		check(t, os.Rename(unpack(t, v.bundle(t, o)), w.home))
		return w
	}
	var products []windows
	data := func(issuer string) string {
		_, data := places(issuer + "-my-cad")
		return data
	}
	for _, issuer := range []string{"acme", "other"} {
		v := newVendor(t, issuer)
		w := place(issuer, forWindows(t, v, issuer+" product.exe"), v)
		t.Cleanup(func() { w.stage("uninstall", "--purge") }) //nolint:errcheck // after a failure
		w.ok("install", "installed")
		w.ok("start", "hook start")
		products = append(products, w)
	}
	for i, issuer := range []string{"acme", "other"} {
		products[i].ok("poststart", "no valid license yet")
		anchors := must[[]fs.DirEntry](t)(os.ReadDir(filepath.Join(data(issuer), "config", "anchors")))
		if len(anchors) != 1 || anchors[0].Name() != issuer+".json" {
			t.Errorf("%s trusts %v", issuer, anchors)
		}
	}
	evil := newVendor(t, "evil")
	o := forWindows(t, evil, "evil product.exe")
	o.Instance = "other-my-cad"
	claims := place("evil", o, evil)
	for _, stage := range []string{"install", "poststart", "start", "restart", "prestop", "stop", "update", "uninstall"} {
		if out, err := claims.stage(stage); err == nil || !strings.Contains(out, "belongs to another vendor (other.json)") {
			t.Errorf("%s of a bundle that claims the other's instance: %v %s", stage, err, out)
		}
	}
	if out, err := products[0].stage("uninstall", "--purge"); err != nil {
		t.Errorf("uninstall: %v %s", err, out)
	}
	if _, err := os.Stat(data("acme")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("left: %s", data("acme"))
	}
	products[1].ok("poststart", "no valid license yet")
	if log := string(must[[]byte](t)(os.ReadFile(filepath.Join(data("other"), "bundle", "app.log")))); strings.Count(log, "started [--port=1] other-my-cad") != 1 {
		t.Errorf("removing one touched the other: %s", log)
	}
	if out, err := products[1].stage("uninstall", "--purge"); err != nil {
		t.Errorf("uninstall: %v %s", err, out)
	}
}
