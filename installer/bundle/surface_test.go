//go:build linux

package bundle

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"licenseagent.example/docs/surface"
)

// What a running package has on the disk beside its agent's own files is what
// ATTACK_SURFACE.md lists. The control is a folder of locks that others may enter.
func TestSurface(t *testing.T) {
	v := newVendor(t, "acme")
	p := newPlace(t, v.bundle(t, v.working(t, "My CAD")), "acme-my-cad")
	p.ok("install")
	p.ok("start")
	compare := func() []string {
		all := must[[]surface.Entry](t)(surface.List(p.base()))
		all = slices.DeleteFunc(all, func(e surface.Entry) bool { // in the agent's table
			agents, _, _ := strings.Cut(e.Name, "/")
			return agents == "state" || agents == "run" || strings.HasPrefix(e.Name, "etc") && e.Name != "etc/bundle"
		})
		return must[[]string](t)(surface.Compare("../../platform/ATTACK_SURFACE.md", "### What lies where: a vendor's package", all))
	}
	if wrong := compare(); len(wrong) > 0 {
		t.Errorf("against ATTACK_SURFACE.md: %q", wrong)
	}
	check(t, os.Chmod(filepath.Join(p.base(), "bundle"), 0o755))
	if wrong := compare(); len(wrong) != 2 {
		t.Errorf("control: a folder of locks that others may enter: %q", wrong)
	}
	p.ok("uninstall", "--purge")
}

// A lock can be held by whoever can open its file, for reading as well: no other
// user may get that far, or he would keep the product from being started, stopped
// and updated. The control is the same folder open; one of the scripts may be just
// letting go, so it waits.
func TestStrangersCannotHoldTheLocks(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("this test acts as another user and needs root: run it with sudo")
	}
	v := newVendor(t, "acme")
	p := newPlace(t, v.bundle(t, v.working(t, "My CAD")), "acme-my-cad")
	check(t, os.Chmod(p.dir, 0o755))
	p.ok("install")
	p.ok("start")
	folder := filepath.Join(p.base(), "bundle")
	locks := must[[]string](t)(filepath.Glob(filepath.Join(folder, "*lock")))
	held := func() (n int) {
		for _, lock := range locks {
			if exec.Command("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "flock", "-w", "20", lock, "true").Run() == nil {
				n++
			}
		}
		return n
	}
	if n := held(); n != 0 || len(locks) != 3 {
		t.Errorf("another user holds %d of %d locks", n, len(locks))
	}
	check(t, os.Chmod(folder, 0o755))
	if n := held(); n != len(locks) {
		t.Errorf("control: with the folder open another user holds %d of %d locks", n, len(locks))
	}
	p.ok("restart") // closes what an older version has left open
	if n := held(); n != 0 {
		t.Errorf("after a restart another user holds %d locks", n)
	}
	p.ok("uninstall", "--purge")
}
