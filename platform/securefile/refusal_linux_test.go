package securefile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"licenseagent.example/docs/promise"
)

// openDir is a directory in the temporary directory that every user may pass.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sf")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755))
	return dir
}

// refusal is one way in which a state directory can be wrong.
type refusal struct {
	name string
	// spoil changes base/state, which is right and holds the file f, or what
	// lies around it, and returns the path to open.
	spoil func(t *testing.T, base, state string) string
	want  error
	says  string // the message must contain it: what was found, or the next step
}

func chmod(path string, mode fs.FileMode) func(*testing.T, string, string) string {
	return func(t *testing.T, base, state string) string {
		must(t, os.Chmod(filepath.Join(state, path), mode))
		return state
	}
}

func chown(path string, uid int) func(*testing.T, string, string) string {
	return func(t *testing.T, base, state string) string {
		must(t, os.Chown(filepath.Join(state, path), uid, uid))
		return state
	}
}

func replace(make func(path string) error) func(*testing.T, string, string) string {
	return func(t *testing.T, base, state string) string {
		must(t, os.Remove(state+"/f"))
		must(t, make(state+"/f"))
		return state
	}
}

func refusals() []refusal {
	return []refusal{
		{"directory readable by the group", chmod("", 0o750), ErrMode, "mode 0750"},
		{"directory readable by all", chmod("", 0o755), ErrMode, "chmod 0700"},
		{"directory writable by the group", chmod("", 0o770), ErrMode, "mode 0770"},
		{"directory writable by all", chmod("", 0o777), ErrMode, "mode 0777"},
		{"directory sticky and writable by all", chmod("", 0o777|fs.ModeSticky), ErrMode, "mode 0777"},
		{"directory only passable by others", chmod("", 0o711), ErrMode, "mode 0711"},
		{"directory of another user", chown("", nobody), ErrOwner, "uid 65534"},
		{"directory of a service, which has its user's name", func(t *testing.T, base, state string) string {
			must(t, os.Rename(state, base+"/nobody"))
			must(t, os.Chown(base+"/nobody", nobody, nobody))
			return base + "/nobody"
		}, ErrService, "this process is uid 0); leave it to the service, which runs as nobody"},
		{"directory is a link", func(t *testing.T, base, state string) string {
			must(t, os.Symlink(state, base+"/link"))
			return base + "/link"
		}, ErrSymlink, "name the directory itself"},
		{"directory is a dangling link", func(t *testing.T, base, state string) string {
			must(t, os.Symlink("none", base+"/link"))
			return base + "/link"
		}, ErrSymlink, "link"},
		{"directory is a file", func(t *testing.T, base, state string) string { return state + "/f" }, ErrNotDirectory, "f"},
		{"parent is a file", func(t *testing.T, base, state string) string { return state + "/f/state" }, ErrNotDirectory, "/f "},
		{"parent writable by the group", func(t *testing.T, base, state string) string {
			must(t, os.Chmod(base, 0o775))
			return state
		}, ErrParent, "chmod go-w"},
		{"parent writable by all", func(t *testing.T, base, state string) string {
			must(t, os.Chmod(base, 0o777))
			return state
		}, ErrParent, "mode 0777"},
		{"parent of another user", func(t *testing.T, base, state string) string {
			must(t, os.Chown(base, nobody, nobody))
			return state
		}, ErrParent, "uid 65534"},
		{"link above made by another user", func(t *testing.T, base, state string) string {
			must(t, os.Symlink(base, base+"/way"))
			must(t, os.Lchown(base+"/way", nobody, nobody))
			return base + "/way/state"
		}, ErrSymlink, "made by uid 65534"},
		{"links in a circle", func(t *testing.T, base, state string) string {
			must(t, os.Symlink("b", base+"/a"))
			must(t, os.Symlink("a", base+"/b"))
			return base + "/a/state"
		}, unix.ELOOP, ""},
		{"file readable by the group", chmod("f", 0o640), ErrMode, "mode 0640"},
		{"file readable by all", chmod("f", 0o604), ErrMode, "mode 0604"},
		{"file writable by all", chmod("f", 0o602), ErrMode, "mode 0602"},
		{"file executable", chmod("f", 0o700), ErrMode, "mode 0700"},
		{"file of another user", chown("f", nobody), ErrOwner, "uid 65534"},
		{"file is a link to a good file", func(t *testing.T, base, state string) string {
			must(t, os.Rename(state+"/f", state+"/g"))
			must(t, os.Symlink("g", state+"/f"))
			return state
		}, ErrSymlink, "replace the link"},
		{"file is a link to the outside", replace(func(p string) error { return os.Symlink("/etc/passwd", p) }), ErrSymlink, "replace the link"},
		{"file is a dangling link", replace(func(p string) error { return os.Symlink("/none", p) }), ErrSymlink, ""},
		{"file has a second name", func(t *testing.T, base, state string) string {
			must(t, os.Link(state+"/f", base+"/kept"))
			return state
		}, ErrHardLink, "2 names"},
		{"file is a pipe", replace(func(p string) error { return unix.Mkfifo(p, 0o600) }), ErrNotRegular, "remove it"},
		{"file is a directory", replace(func(p string) error { return os.Mkdir(p, 0o700) }), ErrNotRegular, "d"},
		{"file is a socket", replace(func(p string) error {
			fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			return unix.Bind(fd, &unix.SockaddrUnix{Name: p})
		}), ErrNotRegular, ""},
		{"file is a device", replace(func(p string) error { return unix.Mknod(p, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 5))) }), ErrNotRegular, ""},
		{"file larger than the bound", replace(func(p string) error { return os.WriteFile(p, make([]byte, 101), 0o600) }), ErrTooLarge, ""},
	}
}

// TestRefusals is promise P08's list: each wrong permission, owner or kind is
// refused with its own reason and a next step, and nothing is changed.
func TestRefusals(t *testing.T) {
	secondUser(t)
	ran, refused, readable := 0, 0, 0
	for _, r := range refusals() {
		ran++
		t.Run(r.name, func(t *testing.T) {
			base := openDir(t)
			state := filepath.Join(base, "state")
			d, err := Make(state)
			must(t, err)
			must(t, d.WriteFile("f", []byte("secret"), PrivateFile))
			d.Close()
			if err := readIn(state); err != nil {
				t.Fatalf("before: %v", err)
			}
			path := r.spoil(t, base, state)
			before := listing(t, base)
			err = readIn(path)
			if !errors.Is(err, r.want) {
				t.Errorf("got %v, want %v", err, r.want)
			} else {
				refused++
			}
			if fi, err := os.Stat(path + "/f"); err == nil && fi.Mode().IsRegular() {
				if _, err := os.ReadFile(path + "/f"); err == nil {
					readable++ // what a program without the checks would use
				}
			}
			var e *Error
			if !errors.As(err, &e) || !strings.HasPrefix(e.Path, base) || !strings.Contains(err.Error(), r.says) {
				t.Errorf("message %q does not name path and %q", err, r.says)
			}
			if after := listing(t, base); after != before {
				t.Errorf("the refusal changed something:\n%s\n%s", before, after)
			}
		})
	}
	if ran < 20 {
		t.Errorf("only %d cases", ran)
	}
	if readable < 10 {
		t.Errorf("control: only %d cases can be read without the checks", readable)
	}
	promise.Reached(t, "P08", fmt.Sprintf("%d wrong owners, modes, links, kinds and sizes, %d refused with the reason", ran, refused),
		fmt.Sprintf("plain os.ReadFile: %d of them read", readable))
}

func readIn(path string) error {
	d, err := Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	_, err = d.ReadFile("f", 100)
	return err
}

func listing(t *testing.T, dir string) string {
	t.Helper()
	var out strings.Builder
	must(t, filepath.Walk(dir, func(path string, fi fs.FileInfo, err error) error {
		if err == nil {
			fmt.Fprintln(&out, path, fi.Mode(), fi.Size(), ownerOf(fi))
		}
		return err
	}))
	return out.String()
}

// /tmp is sticky: a state below it is safe from renaming, and a link that
// somebody else puts there leads nowhere.
func TestStickyParentIsAccepted(t *testing.T) {
	secondUser(t)
	base := openDir(t)
	must(t, os.Chmod(base, 0o777|fs.ModeSticky))
	d, err := Make(base + "/state")
	must(t, err)
	d.Close()
	must(t, os.Symlink("state", base+"/planted"))
	must(t, os.Lchown(base+"/planted", nobody, nobody))
	if _, err := Open(base + "/planted/sub"); !errors.Is(err, ErrSymlink) {
		t.Errorf("planted link: %v", err)
	}
}

// Links above the directory that root or we made are followed, relative ones
// too, as /var/run -> ../run on some distributions.
func TestTrustedLinksAboveAreFollowed(t *testing.T) {
	base := openDir(t)
	must(t, os.Mkdir(base+"/run", 0o755))
	must(t, os.Mkdir(base+"/var", 0o755))
	must(t, os.Symlink("../run", base+"/var/run"))
	must(t, os.Symlink(base+"/var/.", base+"/v"))
	d, err := Make(base + "/v/run/state")
	must(t, err)
	defer d.Close()
	must(t, d.WriteFile("f", nil, PrivateFile))
	if _, err := os.Stat(base + "/run/state/f"); err != nil {
		t.Error(err)
	}
}

func TestPublicDirectory(t *testing.T) {
	secondUser(t)
	base := openDir(t)
	dir := base + "/etc"
	d, err := MakePublic(dir)
	must(t, err)
	d.Close()
	must(t, os.WriteFile(dir+"/agent.toml", []byte("x"), 0o644))
	read := func() error { _, err := ReadPublic(dir+"/agent.toml", 10); return err }
	must(t, read())
	for _, test := range []struct {
		name string
		path string
		mode fs.FileMode
		want error
	}{
		{"file for the owner only", dir + "/agent.toml", 0o600, nil},
		{"file for the group", dir + "/agent.toml", 0o640, nil},
		{"file writable by the group", dir + "/agent.toml", 0o664, ErrMode},
		{"file writable by all", dir + "/agent.toml", 0o646, ErrMode},
		{"directory for the group", dir, 0o750, nil},
		{"directory writable by the group", dir, 0o775, ErrMode},
		{"directory writable by all, sticky", dir, 0o777 | fs.ModeSticky, ErrMode},
	} {
		fi, err := os.Stat(test.path)
		must(t, err)
		must(t, os.Chmod(test.path, test.mode))
		if err := read(); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
		must(t, os.Chmod(test.path, fi.Mode().Perm()))
	}
	must(t, os.Chown(dir+"/agent.toml", nobody, nobody))
	if err := read(); !errors.Is(err, ErrOwner) {
		t.Errorf("a user's configuration: %v", err)
	}
}

// Root's configuration may be read by the service account.
func TestServiceReadsRootsConfiguration(t *testing.T) {
	for _, path := range []string{"/etc/passwd", "/etc/group"} {
		if _, err := ReadPublic(path, 1<<20); err != nil {
			t.Errorf("%s as uid %d: %v", path, os.Geteuid(), err)
		}
	}
}

func TestPermissionsUnderAnyUmask(t *testing.T) {
	base := openDir(t)
	if out, err := helper(t, "umask", base, os.Geteuid()).Output(); err != nil || string(out) != "<nil>" {
		t.Fatalf("%q, %v", out, err)
	}
	for name, want := range map[string]fs.FileMode{
		"etc": fs.ModeDir | PublicDir, "etc/public": PublicFile, "state": fs.ModeDir | PrivateDir, "state/private": PrivateFile,
	} {
		if fi, err := os.Lstat(filepath.Join(base, name)); err != nil || fi.Mode() != want {
			t.Errorf("%s: %v, %v, want %v", name, fi.Mode(), err, want)
		}
	}
}

// Writing over a planted link replaces the link and never what it points to
// (CVE-2021-41057).
func TestWriteDoesNotFollowLinks(t *testing.T) {
	base := openDir(t)
	d, err := Make(base + "/state")
	must(t, err)
	defer d.Close()
	victim := base + "/victim"
	must(t, os.WriteFile(victim, []byte("precious"), 0o644))
	must(t, os.Symlink(victim, base+"/state/f"))
	must(t, os.Symlink(victim, base+"/state/key"))
	must(t, d.WriteFile("f", []byte("ours"), PrivateFile))
	if err := d.Create("key", []byte("ours"), PrivateFile); !errors.Is(err, ErrExists) {
		t.Errorf("Create over a link: %v", err)
	}
	if got, err := os.ReadFile(victim); err != nil || string(got) != "precious" {
		t.Errorf("the victim is %q, %v", got, err)
	}
	if got, err := d.ReadFile("f", 10); err != nil || string(got) != "ours" {
		t.Errorf("f is %q, %v", got, err)
	}
	must(t, os.Remove(base+"/state/key"))
	must(t, os.Symlink(victim, base+"/state/"+LockName))
	if _, err := d.Lock(); !errors.Is(err, ErrSymlink) {
		t.Errorf("Lock through a link: %v", err)
	}
	must(t, os.Remove(base+"/state/"+LockName))
	must(t, unix.Mkfifo(base+"/state/"+LockName, 0o600))
	if _, err := d.Lock(); !errors.Is(err, ErrNotRegular) {
		t.Errorf("Lock on a pipe: %v", err)
	}
	must(t, os.Remove(base+"/state/"+LockName))
	must(t, os.WriteFile(base+"/state/"+LockName, nil, 0o666))
	must(t, os.Chmod(base+"/state/"+LockName, 0o666))
	if _, err := d.Lock(); !errors.Is(err, ErrMode) {
		t.Errorf("Lock on a file that all may write: %v", err)
	}
}
