//go:build e2e && windows

package wine

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/windows/svc/mgr"
)

// refused runs msiexec, which must fail, and returns its exit code.
func refused(t *testing.T, args ...string) int {
	t.Helper()
	out, code := command(t, "msiexec", append(args, "/qn", "/l*v", filepath.Join(t.TempDir(), "msi.log"))...)
	if code == 0 {
		t.Fatalf("msiexec %v succeeded\n%s", args, out)
	}
	return code
}

// rolledBack is what a failed installation has left, without the empty key in
// which Wine's installer keeps the users of a component.
func rolledBack(before, now map[string]bool) (out []string) {
	for _, w := range added(before, now) {
		if !strings.HasPrefix(w, `key SOFTWARE\Microsoft\Windows\CurrentVersion\Installer\UserData\S-1-5-18\Components\`) {
			out = append(out, w)
		}
	}
	return out
}

// The property INSTANCE of the first installation says which instance it is, and
// is remembered: upgrade, repair and removal find it, whatever they are told.
func TestInstanceByProperty(t *testing.T) {
	i := named("shop")
	before := world(t)
	msiexec(t, "/i", given(t, "E2E_OLD_MSI"), "INSTANCE=shop", "KEEPUNHARDENED=1", "ANCHOR="+given(t, "E2E_ANCHOR"))
	i.checkService(t)
	i.running(t)
	id := i.status(t).DeviceID
	msiexec(t, "/i", given(t, "E2E_NEW_MSI"), "INSTANCE=other", "KEEPUNHARDENED=1")
	i.checkService(t)
	i.running(t)
	if s := i.status(t); s.Version != "1.1.0" || s.DeviceID != id {
		t.Errorf("after the upgrade: %+v, device was %s", s, id)
	}
	msiexec(t, "/i", packageCode(t, i), "REINSTALL=ALL", "REINSTALLMODE=amus", "KEEPUNHARDENED=1", "INSTANCE=other")
	i.checkService(t)
	i.running(t)
	for _, name := range []string{"", "other"} {
		if err := named(name).manage(t, func(*mgr.Service) {}); err == nil {
			t.Errorf("there is an instance %q", name)
		}
	}
	msiexec(t, "/x", given(t, "E2E_NEW_MSI"), "PURGE=1")
	if diff := cmp.Diff([]string(nil), added(before, world(t))); diff != "" {
		t.Errorf("the removal of everything left: %s", diff)
	}
	for _, bad := range []string{`..\evil`, "a.b", "two words", "UPPER", strings.Repeat("x", 33)} {
		refused(t, "/i", given(t, "E2E_NEW_MSI"), "INSTANCE="+bad, "KEEPUNHARDENED=1")
		if diff := cmp.Diff([]string(nil), rolledBack(before, world(t))); diff != "" {
			t.Errorf("INSTANCE=%s left: %s", bad, diff)
		}
	}
}

// An installation whose last step fails leaves nothing, and can be done again.
func TestFailedInstallationIsRolledBack(t *testing.T) {
	i := named("")
	before := world(t)
	refused(t, "/i", given(t, "E2E_NEW_MSI"), "KEEPUNHARDENED=1", `ANCHOR=C:\missing\anchor.json`)
	if diff := cmp.Diff([]string(nil), rolledBack(before, world(t))); diff != "" {
		t.Errorf("the failed installation left: %s", diff)
	}
	msiexec(t, "/i", given(t, "E2E_NEW_MSI"), "KEEPUNHARDENED=1") // control: without the fault it goes through
	i.running(t)
	msiexec(t, "/x", given(t, "E2E_NEW_MSI"), "PURGE=1")
}

// An upgrade whose last step fails loses nothing: the version that was there can
// be installed again and is the same device. (Windows Installer brings it back by
// itself; Wine's does not take a removal back.)
func TestFailedUpgradeLosesNothing(t *testing.T) {
	i := named("")
	msiexec(t, "/i", given(t, "E2E_OLD_MSI"), "KEEPUNHARDENED=1")
	i.running(t)
	id := i.status(t).DeviceID
	refused(t, "/i", given(t, "E2E_NEW_MSI"), "KEEPUNHARDENED=1", `ANCHOR=C:\missing\anchor.json`)
	msiexec(t, "/i", given(t, "E2E_OLD_MSI"), "KEEPUNHARDENED=1")
	i.running(t)
	if s := i.status(t); s.Version != "1.0.0" || s.DeviceID != id {
		t.Errorf("after the failed upgrade: %+v, device was %s", s, id)
	}
	msiexec(t, "/x", given(t, "E2E_OLD_MSI"), "PURGE=1")
}
