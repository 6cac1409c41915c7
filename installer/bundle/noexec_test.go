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
// hardened machine has it for /tmp.
func (p *place) barred(folders []string, stage string) (string, error) {
	p.t.Helper()
	return p.mounted("noexec", folders, stage, "TMPDIR="+folders[0])
}

// mounted runs a stage with folders mounted by an option. The mounts are seen by
// the stage alone.
func (p *place) mounted(option string, folders []string, stage string, env ...string) (string, error) {
	p.t.Helper()
	cmd := p.command(stage)
	script := `how=$2; for dir in $1; do mount --bind "$dir" "$dir"; mount -o remount,bind,$how "$dir"; done; shift 2; exec "$@"`
	cmd.Args = append([]string{"unshare", "-m", "/bin/sh", "-ec", script, "sh", strings.Join(folders, " "), option, cmd.Path}, cmd.Args[1:]...)
	if os.Geteuid() != 0 {
		cmd.Args = append([]string{"unshare", "-r"}, cmd.Args[1:]...) // root of nothing but its mounts
	}
	cmd.Path = must[string](p.t)(exec.LookPath("unshare"))
	cmd.Env = append(cmd.Env, env...)
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
		contains(t, text, "no program may run below "+tmp, "nothing was changed", "next: name a folder", "TMPDIR=/some/folder LICENSE_AGENT_DIR=", "/scripts/"+stage+".sh")
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

// Where the product's programs cannot be run from the folder that the package was
// unpacked to, that is said before anything is changed. With the modes kept, a
// folder that cannot be written to is good enough.
func TestFolderOfThePackage(t *testing.T) {
	v := newVendor(t, "acme")
	o := v.working(t, "CAD")
	o.Format = "zip" // the modes are lost
	p := newPlace(t, v.bundle(t, o), "acme-cad")
	for _, option := range []string{"ro", "noexec"} {
		text, err := p.mounted(option, []string{p.home}, "install")
		if left := p.files(); err == nil || len(left) != 0 {
			t.Errorf("%s: %v %s; left: %v", option, err, text, left)
		}
		for _, stage := range []string{"prestop", "stop", "uninstall"} { // to clean up
			p.ok(stage)
			if left := p.files(); len(left) != 0 {
				t.Errorf("%s after the refused install: %v", stage, left)
			}
		}
		contains(t, text, p.home+"/bin/product cannot be executed", "nothing was changed", "next: unpack")
	}
	check(t, os.Chmod(filepath.Join(p.home, "bin", "product"), 0o755))
	for _, stage := range []string{"install", "start", "stop", "uninstall"} {
		if text, err := p.mounted("ro", []string{p.home}, stage); err != nil {
			t.Errorf("%s: %v %s", stage, err, text)
		}
	}
}
