//go:build linux

package bundle

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// A marketplace may install a new version over one that runs: start then starts the
// new product, and once more changes nothing. The package that was replaced starts
// nothing in the place of the new one.
func TestInstalledOverOneThatRuns(t *testing.T) {
	v := newVendor(t, "acme")
	o := v.working(t, "CAD")
	p := newPlace(t, v.bundle(t, o), "acme-cad")
	p.ok("install")
	p.ok("start")
	old := *p
	o.Version, o.Out = "2.0", t.TempDir()
	p.home = unpack(t, v.bundle(t, o))
	p.ok("install")
	old.count(1, 1) // it goes on until somebody starts
	p.ok("start")
	p.count(1, 1)
	old.count(0, 1)
	first := p.pid("app")
	p.ok("start")
	old.ok("start")
	p.count(1, 1)
	old.count(0, 1)
	if p.pid("app") != first {
		t.Error("a second start has started it anew")
	}
	p.ok("uninstall", "--purge")
}

// Whoever stops the product after an update that failed has stopped it: the update
// that succeeds does not start it.
func TestStoppedAfterAFailedUpdate(t *testing.T) {
	v := newVendor(t, "acme")
	o := v.working(t, "CAD")
	broken := filepath.Join(t.TempDir(), "broken")
	addHook(t, o.App, "update.sh", "[ ! -e '"+broken+"' ]\n")
	p := newPlace(t, v.bundle(t, o), "acme-cad")
	p.ok("install")
	for _, between := range []string{"stop", "", "restart"} {
		stopped := between == "stop"
		p.ok("start")
		check(t, os.WriteFile(broken, nil, 0o644))
		if text, err := p.run("update"); err == nil {
			t.Fatal(text)
		}
		check(t, os.Remove(broken))
		if between == "restart" { // one that fails, too, means that it shall run
			log := filepath.Join(p.base(), "log", "app.log")
			check(t, errors.Join(os.Remove(log), os.Mkdir(log, 0o755)))
			if text, err := p.run("restart"); err == nil {
				t.Fatal(text)
			}
			check(t, os.Remove(log))
		} else if stopped {
			p.ok("stop")
		}
		p.ok("update")
		if n := len(p.processes("app")); (n == 0) != stopped {
			t.Errorf("%q: %d run", between, n)
		}
	}
	p.ok("uninstall", "--purge")
}
