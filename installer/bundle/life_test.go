//go:build linux

package bundle

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// place is a folder that a bundle lives below, and the unpacked bundle. The
// processes are real: the shipped agent and a product.
type place struct {
	t    *testing.T
	dir  string // LICENSE_AGENT_DIR
	home string // unpacked
	inst string
}

func newPlace(t *testing.T, file, instance string) *place {
	t.Helper()
	// Socket paths are short (unix(7)); the name of a test is not.
	dir := must[string](t)(os.MkdirTemp("", "b"))
	p := &place{t, dir, unpack(t, file), instance}
	t.Cleanup(func() {
		for _, name := range []string{"app", "agent"} {
			if pid := p.pid(name); pid > 0 {
				syscall.Kill(-pid, syscall.SIGKILL) //nolint:errcheck // it may be gone
			}
		}
		os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	})
	return p
}

func (p *place) base() string { return filepath.Join(p.dir, "license-agent-"+p.inst) }

// command is one stage as the marketplace runs it: by sh, from anywhere.
func (p *place) command(stage string, args ...string) *exec.Cmd {
	cmd := exec.Command("/bin/sh", append([]string{filepath.Join(p.home, "scripts", stage+".sh")}, args...)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LICENSE_AGENT_DIR=" + p.dir, "TMPDIR=" + p.t.TempDir(), "LANG=C"}
	cmd.Dir = "/"
	return cmd
}

// run runs a stage. Its output goes to a file: the agent inherits it, and a pipe
// would be open as long as the agent lives.
func (p *place) run(stage string, args ...string) (string, error) {
	p.t.Helper()
	return said(p.t, p.command(stage, args...))
}

func said(t *testing.T, cmd *exec.Cmd) (string, error) {
	t.Helper()
	out := must[*os.File](t)(os.CreateTemp(t.TempDir(), "said"))
	defer out.Close() //nolint:errcheck // a temporary file
	cmd.Stdout, cmd.Stderr = out, out
	err := cmd.Run()
	return string(must[[]byte](t)(os.ReadFile(out.Name()))), err
}

func (p *place) ok(stage string, args ...string) string {
	p.t.Helper()
	text, err := p.run(stage, args...)
	if err != nil {
		p.t.Fatalf("%s: %v\n%s\n%s", stage, err, text, p.log("agent"))
	}
	return text
}

func (p *place) log(name string) string {
	b, _ := os.ReadFile(filepath.Join(p.base(), "log", name+".log"))
	return string(b)
}

// pid is the number in the file, 0 if there is none.
func (p *place) pid(name string) int {
	b, _ := os.ReadFile(filepath.Join(p.base(), "bundle", name+".pid"))
	n, _ := strconv.Atoi(strings.TrimSpace(strings.SplitN(string(b)+" ", " ", 2)[0]))
	return n
}

// processes counts what runs of this bundle, whatever its files say.
func (p *place) processes(name string) (pids []int) {
	want := filepath.Join(p.home, "bin", "product")
	if name == "agent" {
		want = filepath.Join(p.base(), "bin", "license-agent")
	}
	all := must[[]string](p.t)(filepath.Glob("/proc/[0-9]*"))
	for _, proc := range all {
		line, err := os.ReadFile(filepath.Join(proc, "cmdline"))
		if err != nil {
			continue // it has ended meanwhile
		}
		cwd, _ := os.Readlink(filepath.Join(proc, "cwd"))
		words := strings.Split(string(line), "\x00")
		mine := name == "agent" && words[0] == want ||
			name == "app" && len(words) > 1 && words[1] == "./product" && cwd == filepath.Dir(want)
		if mine {
			pid, _ := strconv.Atoi(filepath.Base(proc))
			if group, err := syscall.Getpgid(pid); err == nil && group == pid { // not a child on its way to another program
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

func (p *place) count(app, agent int) {
	p.t.Helper()
	if a, b := p.processes("app"), p.processes("agent"); len(a) != app || len(b) != agent {
		p.t.Fatalf("running: product %v, agent %v; want %d and %d", a, b, app, agent)
	}
}

// files are all names below the place, with what the content is.
func (p *place) files() map[string]string {
	out := map[string]string{}
	check(p.t, filepath.WalkDir(p.dir, func(name string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || name == p.dir {
			return err
		}
		rel := must[string](p.t)(filepath.Rel(p.dir, name))
		text := d.Type().String()
		if fi, err := d.Info(); err == nil && fi.Mode().IsRegular() && (strings.Contains(rel, "/etc/") || strings.Contains(rel, "/bin/")) {
			text = fmt.Sprintf("%s %d", fi.Mode(), fi.Size())
		}
		out[rel] = text
		return nil
	}))
	return out
}

// The whole life of a product, as the marketplace runs it.
func TestLife(t *testing.T) {
	v := newVendor(t, "acme")
	for _, format := range []string{"zip", "tar.gz"} { // zip: the modes are lost
		o := v.working(t, "My CAD")
		o.Format = format
		for _, stage := range []string{"install", "start", "stop", "prestop", "poststart", "update", "uninstall"} {
			addHook(t, o.App, stage+".sh", "echo hook "+stage+"\n")
		}
		p := newPlace(t, v.bundle(t, o), "acme-my-cad")
		for _, stage := range []string{"start", "restart", "update", "poststart"} {
			if text, err := p.run(stage); err == nil || !strings.Contains(text, "next: run: LICENSE_AGENT_DIR="+p.dir+" sh "+p.home+"/scripts/install.sh\n") {
				t.Fatalf("%s before install: %v %s", stage, err, text)
			}
		}
		contains(t, p.ok("install"), "hook install", "installed")
		before := p.files()
		p.ok("install")
		if diff := cmp.Diff(before, p.files()); diff != "" {
			t.Errorf("a second install: %s", diff)
		}
		p.count(0, 0)
		contains(t, p.ok("start"), "hook start")
		p.count(1, 1)
		p.ok("start")
		p.count(1, 1)
		contains(t, p.log("app"), "started it's --port=1 instance=acme-my-cad socket="+p.base()+"/run/agent.sock")
		contains(t, p.ok("poststart"), "no valid license yet", "activate", "hook poststart")
		first := p.pid("app")
		p.ok("restart")
		p.count(1, 1)
		if p.pid("app") == first {
			t.Error("restart left the product as it was")
		}
		// The product dies: the health check sees it, restart brings it back.
		check(t, syscall.Kill(p.pid("app"), syscall.SIGKILL))
		until(t, func() bool { return len(p.processes("app")) == 0 })
		if text, err := p.run("poststart"); err == nil || !strings.Contains(text, "has ended") {
			t.Errorf("poststart of a dead product: %v %s", err, text)
		}
		p.ok("restart")
		p.count(1, 1)
		contains(t, p.ok("prestop"), "hook prestop")
		contains(t, p.ok("stop"), "hook stop")
		p.count(0, 0)
		p.ok("stop")
		contains(t, p.log("app"), "stopping")

		// Update from a newly unpacked folder: the product goes on with the new one.
		p.ok("start")
		old := *p
		o.Version, o.Out = "2.0", t.TempDir()
		p.home = unpack(t, v.bundle(t, o))
		contains(t, p.ok("update"), "updated to 2.0", "hook update")
		p.count(1, 1)
		old.count(0, 1)
		p.ok("stop")
		contains(t, p.ok("update"), "updated to 2.0")
		p.count(0, 0) // what did not run is not started

		// Removal keeps the license's folder; purge leaves nothing.
		p.ok("start")
		contains(t, p.ok("uninstall"), "licenses stay", "hook uninstall")
		p.count(0, 0)
		for _, kept := range []string{"state", "etc/anchors/acme.json"} {
			if _, err := os.Stat(filepath.Join(p.base(), kept)); err != nil {
				t.Error(err)
			}
		}
		p.ok("uninstall")
		p.ok("install")
		p.ok("uninstall", "--purge")
		p.ok("uninstall", "--purge")
		if left := p.files(); len(left) != 0 {
			t.Errorf("left: %v", left)
		}
	}
}

func contains(t *testing.T, text string, wants ...string) {
	t.Helper()
	for _, w := range wants {
		if !strings.Contains(text, w) {
			t.Errorf("%q is not in:\n%s", w, text)
		}
	}
}

func until(t *testing.T, done func() bool) {
	t.Helper()
	for range 2000 {
		if done() {
			return
		}
		time.Sleep(5 * time.Millisecond) // polls
	}
	t.Fatal("it did not happen in ten seconds")
}

// An altered bundle is refused by the agent inside, with the next step, and the
// machine is as before: when nothing is installed, and when an older version is.
func TestAlteredBundleChangesNothing(t *testing.T) {
	v := newVendor(t, "acme")
	file := v.bundle(t, v.working(t, "My CAD"))
	fooled := 0
	for _, c := range tampered() {
		if strings.HasPrefix(c.name, "the agent") {
			continue // an agent that was exchanged says what it likes: see FORMAT.md
		}
		p := newPlace(t, file, "acme-my-cad")
		good := p.home
		c.spoil(t, p.home, v)
		fresh := strings.Contains(c.name, "another vendor") || strings.Contains(c.name, "revoked") // whole by its own anchor
		if text, err := p.run("install"); !fresh && (err == nil || !strings.Contains(text, "next:") && !strings.Contains(text, "Copy it again")) {
			t.Errorf("%s: %v %s", c.name, err, text)
		}
		if left := p.files(); !fresh && len(left) != 0 {
			t.Errorf("%s left %v", c.name, left)
		}
		if fresh {
			p.run("uninstall", "--purge") //nolint:errcheck // only to begin anew
		}
		bad := p.home
		p.home = unpack(t, file)
		p.ok("install")
		before := p.files()
		p.home = bad
		for _, stage := range []string{"install", "update"} {
			text, err := p.run(stage)
			if err == nil || !strings.Contains(text, "nothing was changed") {
				t.Errorf("%s over an installed one: %s: %v %s", c.name, stage, err, text)
			}
		}
		if diff := cmp.Diff(before, p.files()); diff != "" {
			t.Errorf("%s: the refused bundle changed something: %s", c.name, diff)
		}
		if listOnly(t, good) {
			fooled++
		}
	}
	if fooled < 6 {
		t.Errorf("the control passes only %d", fooled)
	}
}

// A configuration with a key of another version is named before anything changes:
// the new program would stop at its next start.
func TestKeyOfAnotherVersion(t *testing.T) {
	v := newVendor(t, "acme")
	p := newPlace(t, v.bundle(t, v.working(t, "My CAD")), "acme-my-cad")
	p.ok("install")
	p.ok("start")
	config := filepath.Join(p.base(), "etc", "agent.toml")
	check(t, os.WriteFile(config, []byte("log_levle = \"debug\"\n"), 0o644))
	before, agents := p.files(), p.processes("agent")
	for _, stage := range []string{"install", "update"} {
		text, err := p.run(stage)
		for _, words := range []string{`unknown key "log_levle", did you mean "log_level"?`, config, "nothing was changed", "next:"} {
			if err == nil || !strings.Contains(text, words) {
				t.Errorf("%s: %q is not said: %v %s", stage, words, err, text)
			}
		}
	}
	if diff := cmp.Diff(before, p.files()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(agents, p.processes("agent")); diff != "" {
		t.Error(diff)
	}
	check(t, os.WriteFile(config, []byte("log_level = \"debug\"\n"), 0o644))
	p.ok("update")
	p.ok("uninstall", "--purge")
}

// Two vendors with products of the same name on one machine.
func TestTwoVendors(t *testing.T) {
	var places []*place
	for _, name := range []string{"acme", "other"} {
		v := newVendor(t, name)
		p := newPlace(t, v.bundle(t, v.working(t, "CAD")), name+"-cad")
		if len(places) > 0 { // the same folder for both
			os.RemoveAll(p.dir) //nolint:errcheck // empty
			p.dir = places[0].dir
		}
		p.ok("install")
		p.ok("start")
		places = append(places, p)
	}
	a, b := places[0], places[1]
	for i, p := range places {
		p.count(1, 1)
		q := places[1-i]
		out := must[[]byte](t)(exec.Command(filepath.Join(p.base(), "bin/license-agent"), "diagnose", "--dir", p.dir, "--instance", p.inst, "--output", "json").Output())
		if !json.Valid(out) || !bytes.Contains(out, []byte(p.inst)) || bytes.Contains(out, []byte(q.inst)) {
			t.Errorf("%s: %s", p.inst, out)
		}
		anchors := must[[]fs.DirEntry](t)(os.ReadDir(filepath.Join(p.base(), "etc/anchors")))
		if len(anchors) != 1 || anchors[0].Name() != []string{"acme.json", "other.json"}[i] {
			t.Errorf("%s trusts %v", p.inst, anchors)
		}
	}
	// The key of a device is of one vendor: nobody can bring the two together.
	keys := map[string]bool{}
	for _, p := range places {
		for name := range p.files() {
			if regexp.MustCompile(`device.*key$`).MatchString(filepath.Base(name)) && strings.HasPrefix(name, "license-agent-"+p.inst) {
				keys[string(must[[]byte](t)(os.ReadFile(filepath.Join(p.dir, name))))] = true
			}
		}
	}
	if len(keys) != 2 {
		t.Errorf("%d device keys, want 2: %v", len(keys), a.files())
	}
	pid := b.pid("agent")
	a.ok("uninstall", "--purge")
	b.count(1, 1)
	if b.pid("agent") != pid {
		t.Error("removing one restarted the other")
	}
	b.ok("poststart")
	for name := range a.files() {
		if strings.HasPrefix(name, "license-agent-acme") {
			t.Errorf("left: %s", name)
		}
	}
	// A bundle of somebody else that claims the instance is refused.
	evil := newVendor(t, "evil")
	o := evil.working(t, "CAD")
	o.Instance = "other-cad"
	e := newPlace(t, evil.bundle(t, o), "other-cad")
	e.dir = b.dir
	// What a marketplace runs after a failure to clean up does not touch it either.
	before := b.files()
	for _, stage := range []string{"install", "update", "start", "restart", "poststart", "prestop", "stop", "uninstall"} {
		if text, err := e.run(stage); err == nil || !strings.Contains(text, "belongs to another vendor (other.json)") {
			t.Errorf("%s: %v %s", stage, err, text)
		}
	}
	if text, err := e.run("uninstall", "--purge"); err == nil {
		t.Errorf("uninstall --purge: %s", text)
	}
	if diff := cmp.Diff(before, b.files()); diff != "" {
		t.Error(diff)
	}
	b.count(1, 1)
	b.ok("uninstall", "--purge")
}

// The folder may be given in any form: each stage means the same one. Only where ".."
// leads is not for a script to find out.
func TestFolderInAnyForm(t *testing.T) {
	v := newVendor(t, "acme")
	p := newPlace(t, v.bundle(t, v.working(t, "My CAD")), "acme-my-cad")
	as := func(dir string) *place {
		other := *p
		other.dir = dir
		return &other
	}
	up := as(p.dir + "/../" + filepath.Base(p.dir))
	if text, err := up.run("install"); err == nil || !strings.Contains(text, "give the path without it") {
		t.Errorf("%v %s", err, text)
	}
	if left := p.files(); len(left) != 0 {
		t.Errorf("it left %v", left)
	}
	as(p.dir + "/").ok("install")
	as("/" + p.dir + "//").ok("start")
	p.count(1, 1)
	first := p.pid("app")
	as("/." + p.dir + "/./").ok("start")
	p.count(1, 1)
	if p.pid("app") != first {
		t.Error("a second start is another one")
	}
	as(p.dir + "/").ok("restart")
	p.count(1, 1)
	contains(t, p.log("app"), "socket="+p.base()+"/run/agent.sock")
	as(p.dir + "/.").ok("stop")
	p.count(0, 0)
	as(p.dir+"//").ok("uninstall", "--purge")
	if left := p.files(); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}
