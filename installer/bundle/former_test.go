//go:build linux

package bundle

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"licenseagent.example/installer/bundle/manifest"
	"licenseagent.example/platform/paths"
)

// Bundles had longer names of instances once. A customer who has one below a folder
// keeps it, and the licenses in it, when the vendor's next bundle would choose a
// shorter one; another folder gets the shorter one.
func TestLongerNameGoesOn(t *testing.T) {
	const long = "acme-my-cad-professional"
	v := newVendor(t, "acme")
	o := v.working(t, "My CAD Professional")
	o.Instance = long // what was made of vendor and product
	p := newPlace(t, v.bundle(t, o), long)
	p.ok("install")
	p.ok("start")
	key := filepath.Join(p.base(), "state", "device.key")
	until(t, func() bool { _, err := os.Stat(key); return err == nil })
	before := must[[]byte](t)(os.ReadFile(key))

	o.Instance, o.Version, o.Out = "", "2.0", t.TempDir()
	file, m, err := Build(o)
	check(t, err)
	p.home = unpack(t, file)
	contains(t, p.ok("update"), "updated to 2.0")
	p.count(1, 1)
	contains(t, p.ok("poststart"), p.base()+"/run/agent.sock")
	p.ok("uninstall")
	p.ok("install")
	if after := must[[]byte](t)(os.ReadFile(key)); string(after) != string(before) {
		t.Error("it is another device now")
	}
	p.ok("uninstall", "--purge")

	short := newPlace(t, file, m.Instance)
	short.ok("install")
	if m.Instance == long || len(m.Instance) > paths.MaxUser || !installedIn(short) {
		t.Errorf("a new customer has %s in %v", m.Instance, short.files())
	}
	short.ok("uninstall", "--purge")
}

func installedIn(p *place) bool {
	_, err := os.Stat(filepath.Join(p.base(), "etc", "bundle"))
	return err == nil
}

// Where a user limits the name of an instance it is short, and Windows, where none
// does, keeps the names that it has.
func TestDefaultNamePerSystem(t *testing.T) {
	v := newVendor(t, "acme")
	for _, target := range []string{"linux/" + runtime.GOARCH, "windows/amd64"} {
		o := v.options(t, "My CAD Professional")
		o.Target, o.Agent = target, must[string](t)(standIn[target]())
		m, _, err := o.manifest()
		check(t, err)
		if m.Windows() && m.Instance != "acme-my-cad-professional" || !m.Windows() && len(m.Instance) > paths.MaxUser {
			t.Errorf("%s: %s", target, m.Instance)
		}
	}
	if m := (manifest.Manifest{Issuer: "acme", Name: "CAD", Instance: "acme-cad"}); (Options{}).former(m) != "" {
		t.Error("a name that was never longer has a former one")
	}
}
