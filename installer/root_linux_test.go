package installer

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Links in an image that lead out of it, to this machine, are not followed.
func TestLinksOutOfAnImage(t *testing.T) {
	for _, link := range []string{"var", "var/lib", "etc", "etc/systemd", "usr", "usr/local/bin", "etc/sysusers.d", "etc/group"} {
		for _, climbs := range []bool{false, true} {
			root, out := image(t), t.TempDir()
			must(t, os.MkdirAll(filepath.Join(out, "lib/license-agent"), 0o755))
			must(t, os.MkdirAll(filepath.Join(out, "license-agent"), 0o755))
			must(t, os.RemoveAll(filepath.Join(root, link)))
			to := out
			if climbs {
				var err error
				to, err = filepath.Rel(filepath.Dir(filepath.Join(root, link)), out)
				must(t, err)
			}
			must(t, os.Symlink(to, filepath.Join(root, link)))
			before, elsewhere := tree(t, root), tree(t, out)
			// The real tools: nothing is called.
			target := Target{Root: root}
			_, errPurge := target.Uninstall(true)
			if !errors.Is(errPurge, ErrImage) || !strings.Contains(errPurge.Error(), filepath.Join(root, link)+":") {
				t.Errorf("%s -> %s: purge: %v", link, to, errPurge)
			}
			if _, err := target.Install(nil); !errors.Is(err, ErrImage) && !strings.HasPrefix(link, "var") { // it has nothing there
				t.Errorf("%s -> %s: install: %v", link, to, err)
			}
			if diff := cmp.Diff(before, tree(t, root)) + cmp.Diff(elsewhere, tree(t, out)); diff != "" {
				t.Errorf("%s -> %s: %s", link, to, diff)
			}
		}
	}
	// The control: a relative one that stays inside is a place like any other.
	w := &world{root: image(t)}
	must(t, os.RemoveAll(w.at("etc/systemd")))
	must(t, os.MkdirAll(w.at("var/systemd/system"), 0o755))
	must(t, os.Symlink("../var/systemd", w.at("etc/systemd")))
	must(t, install(t, w.target(false), "one"))
	if _, err := os.Lstat(w.at("var/systemd/system/license-agent.service")); err != nil {
		t.Error(err)
	}
	must(t, uninstall(t, w.target(false), true))
}

// A root that is none is refused when the plan is made; what an image lacks is made.
func TestRoots(t *testing.T) {
	root := image(t)
	file := filepath.Join(root, "etc/passwd")
	t.Chdir(filepath.Dir(root))
	for _, bad := range []string{filepath.Join(root, "typo"), filepath.Base(root), file} {
		_, errInstall := Target{Root: bad}.Install(nil)
		_, errUninstall := Target{Root: bad}.Uninstall(true)
		if !errors.Is(errInstall, ErrImage) || !errors.Is(errUninstall, ErrImage) {
			t.Errorf("%s: %v, %v", bad, errInstall, errUninstall)
		}
	}
	for _, manager := range []string{"linux-systemd", "linux-openrc", "unix-systemv"} {
		w := &world{root: image(t)}
		for _, dir := range []string{"etc/systemd", "etc/init.d", "etc/sysusers.d", "usr"} {
			must(t, os.RemoveAll(w.at(dir)))
		}
		target := w.target(false)
		target.Manager = manager
		if err := install(t, target, "one"); err != nil {
			t.Errorf("%s: %v", manager, err)
		}
	}
}

// A systemctl that was killed may have made the folder of a link, and no link.
func TestFolderOfALinkThatWasNotMade(t *testing.T) {
	for _, others := range []bool{false, true} {
		w := &world{root: image(t)}
		dir := w.at("etc/systemd/system/sockets.target.wants")
		must(t, os.RemoveAll(dir))
		must(t, os.Mkdir(dir, 0o755))
		if others {
			must(t, os.Symlink("/lib/systemd/system/theirs.socket", filepath.Join(dir, "theirs.socket")))
		}
		must(t, uninstall(t, w.target(false), true))
		if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) == others {
			t.Errorf("with the link of another: %v, left: %v", others, err)
		}
	}
}

// Where /usr is read only, /usr/local leads into /var; scripts lie in /etc/rc.d on
// others. Such links of root's are followed as far as only root may change what is
// behind them. Our own folders are not links.
func TestLinksOfTheSystem(t *testing.T) {
	link := func(w *world, to, name string) {
		must(t, os.RemoveAll(w.at(name)))
		must(t, os.Symlink(to, w.at(name)))
	}
	made := func(w *world, name string, mode os.FileMode) {
		must(t, os.MkdirAll(w.at(name), 0o755))
		must(t, os.Chmod(w.at(name), mode))
	}
	for name, c := range map[string]struct {
		make    func(*world)
		program string // where it is in the end
		words   string // that refuse it
	}{
		"usr/local into var": {func(w *world) { made(w, "var/usrlocal", 0o755); link(w, "../var/usrlocal", "usr/local") }, "var/usrlocal/bin", ""},
		"bin behind it, too": {func(w *world) {
			made(w, "var/usrlocal", 0o755)
			made(w, "var/programs", 0o755)
			link(w, "../var/usrlocal", "usr/local")
			link(w, "../programs", "var/usrlocal/bin")
		}, "var/programs", ""},
		"scripts in rc.d": {func(w *world) { made(w, "etc/rc.d/init.d", 0o755); link(w, "rc.d/init.d", "etc/init.d") }, "usr/local/bin", ""},
		"to nothing":      {func(w *world) { link(w, "../var/usrlocal", "usr/local") }, "", "let it lead to a directory"},
		"to a file":       {func(w *world) { link(w, "../etc/passwd", "usr/local") }, "", "let it lead to a directory"},
		"to itself":       {func(w *world) { link(w, "bin", "usr/local/bin") }, "", "too many"},
		"open to others":  {func(w *world) { made(w, "var/all", 0o777); link(w, "../var/all", "usr/local") }, "", "chmod 0755"},
		"lies where others may put it": {func(w *world) {
			made(w, "var/usrbin", 0o755)
			link(w, "../../var/usrbin", "usr/local/bin")
			must(t, os.Chmod(w.at("usr/local"), 0o777))
		}, "", "usr/local"},
		"of somebody else": {func(w *world) {
			made(w, "var/theirs", 0o755)
			must(t, os.Chown(w.at("var/theirs"), 65534, 65534))
			link(w, "../var/theirs", "usr/local")
		}, "", "uid 65534"},
		"in the place of ours": {func(w *world) { made(w, "var/x", 0o755); link(w, "../var/x", "etc/license-agent") }, "", "move it away"},
	} {
		w := &world{root: image(t)}
		c.make(w)
		before := tree(t, w.root)
		target := w.target(true)
		target.Manager = "unix-systemv"
		p, err := target.Install([]byte("one"))
		if err == nil {
			_, err = p.Look(t.Context()) // a plan says what install would
		}
		if errLook := err; err == nil {
			err = p.Apply(t.Context(), nobody)
		} else if errApply := p.Apply(t.Context(), nobody); len(p.Steps) > 0 && !errors.Is(errApply, ErrUndone) {
			t.Errorf("%s: %v, and carried out: %v", name, errLook, errApply)
		}
		if c.words != "" {
			if err == nil || !strings.Contains(err.Error(), c.words) {
				t.Errorf("%s: %v", name, err)
			}
			if diff := cmp.Diff(before, tree(t, w.root)); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
			continue
		}
		if _, errLstat := os.Lstat(w.at(c.program + "/license-agent")); err != nil || errLstat != nil {
			t.Errorf("%s: %v, %v", name, err, errLstat)
		}
		must(t, uninstall(t, target, true))
	}
}
