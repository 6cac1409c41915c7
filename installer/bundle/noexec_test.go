//go:build linux

package bundle

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// barred runs a stage where no program may be run from these folders, as a
// hardened machine has it for /tmp. The mounts are seen by the stage alone.
func (p *place) barred(folders []string, stage string) (string, error) {
	p.t.Helper()
	cmd := p.command(stage)
	script := `for dir in $1; do mount --bind "$dir" "$dir"; mount -o remount,bind,noexec "$dir"; done; shift; exec "$@"`
	cmd.Args = append([]string{"unshare", "-m", "/bin/sh", "-ec", script, "sh", strings.Join(folders, " "), cmd.Path}, cmd.Args[1:]...)
	if os.Geteuid() != 0 {
		cmd.Args = append([]string{"unshare", "-r"}, cmd.Args[1:]...) // root of nothing but its mounts
	}
	cmd.Path = must[string](p.t)(exec.LookPath("unshare"))
	cmd.Env = append(cmd.Env, "TMPDIR="+folders[0])
	return said(p.t, cmd)
}

// Where programs may not be run from /tmp the stages use another folder, and
// where there is none they say so before anything is changed. Nothing is left in
// any of them. Removal as root is shown in installer/e2e/systemd.
func TestNoProgramsBelowTmp(t *testing.T) {
	v := newVendor(t, "acme")
	o := v.working(t, "My CAD")
	p := newPlace(t, v.bundle(t, o), "acme-my-cad")
	o.Version, o.Out = "2.0", t.TempDir()
	next := unpack(t, v.bundle(t, o))
	tmp, before := t.TempDir(), p.files()
	ways := [][]string{{tmp}, {tmp, "/var/tmp"}}
	none := []string{tmp, "/var/tmp", p.dir}
	refused := func(stage string) {
		t.Helper()
		text, err := p.barred(none, stage)
		if err == nil || cmp.Diff(before, p.files()) != "" {
			t.Errorf("%s: %v\n%s\n%s", stage, err, text, cmp.Diff(before, p.files()))
		}
		contains(t, text, "no program may run below "+tmp, "nothing was changed", "next: name a folder", "TMPDIR=/some/folder sh scripts/"+stage+".sh")
	}

	refused("install")
	for _, folders := range ways {
		if text, err := p.barred(folders, "install"); err != nil {
			t.Errorf("install, %v: %v %s", folders, err, text)
		}
	}
	p.ok("start")
	p.home = next
	before = p.files()
	refused("update")
	for _, folders := range ways {
		if text, err := p.barred(folders, "update"); err != nil {
			t.Errorf("update, %v: %v %s", folders, err, text)
		}
		p.count(1, 1)
	}
	if text, err := p.barred(none, "uninstall"); err != nil {
		t.Errorf("uninstall: %v %s", err, text)
	}
	for _, dir := range none {
		if left := must[[]string](t)(filepath.Glob(filepath.Join(dir, ".license-agent-acme-my-cad.*"))); len(left) != 0 {
			t.Errorf("left: %v", left)
		}
	}
}
