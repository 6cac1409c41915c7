package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"licenseagent.example/docs/promise"
	"licenseagent.example/platform/securefile"
)

// secondOwner is the control: bbolt locks the file and not the name, so as soon
// as a file is put aside two agents work on two files.
func secondOwner(t *testing.T) int {
	dir := filled(t, 1, options())
	o := options()
	o.seams.noLock, o.seams.lockWait = true, time.Millisecond
	first := mustOpen(t, dir, o)
	if err := os.Rename(filepath.Join(dir, fileDB), filepath.Join(dir, fileBad+"x")); err != nil {
		t.Fatal(err)
	}
	second, err := Open(dir, o)
	if err != nil {
		return 1
	}
	defer second.leave()
	if first.Apply(counted(7)) != nil || second.Apply(counted(8)) != nil {
		return 1
	}
	return 2
}

// badPermission is one state that somebody else prepared or could have written.
type badPermission struct {
	name  string
	spoil func(dir string) error
	why   error
}

func badPermissions() []badPermission {
	link := func(file string) func(string) error {
		return func(dir string) error {
			target := filepath.Join(filepath.Dir(dir), "victim-"+file)
			if err := os.Rename(filepath.Join(dir, file), target); err != nil {
				return err
			}
			return os.Symlink(target, filepath.Join(dir, file))
		}
	}
	hard := func(file string) func(string) error {
		return func(dir string) error {
			return os.Link(filepath.Join(dir, file), filepath.Join(filepath.Dir(dir), "second"))
		}
	}
	mode := func(file string, m os.FileMode) func(string) error {
		return func(dir string) error { return os.Chmod(filepath.Join(dir, file), m) }
	}
	owner := func(file string) func(string) error {
		return func(dir string) error { return os.Chown(filepath.Join(dir, file), 65534, 65534) }
	}
	replace := func(file string, with func(path string) error) func(string) error {
		return func(dir string) error {
			path := filepath.Join(dir, file)
			if err := os.Remove(path); err != nil {
				return err
			}
			return with(path)
		}
	}
	fifo := func(path string) error { return syscall.Mkfifo(path, 0o600) }
	folder := func(path string) error { return os.Mkdir(path, 0o700) }
	device := func(path string) error { return syscall.Mknod(path, syscall.S_IFCHR|0o600, 1<<8|5) } // as /dev/zero
	return []badPermission{
		{"directory 0777", mode(".", 0o777), securefile.ErrMode},
		{"directory 0770", mode(".", 0o770), securefile.ErrMode},
		{"directory 0755", mode(".", 0o755), securefile.ErrMode},
		{"directory 0701", mode(".", 0o701), securefile.ErrMode},
		{"directory of another", owner("."), securefile.ErrOwner},
		{"directory is a link", func(dir string) error {
			if err := os.Rename(dir, dir+"-real"); err != nil {
				return err
			}
			return os.Symlink(dir+"-real", dir)
		}, securefile.ErrSymlink},
		{"directory is a file", func(dir string) error {
			if err := os.RemoveAll(dir); err != nil {
				return err
			}
			return os.WriteFile(dir, nil, 0o600)
		}, securefile.ErrNotDirectory},
		{"parent of another", func(dir string) error { return os.Chown(filepath.Dir(dir), 65534, 65534) }, securefile.ErrParent},
		{"parent writable", func(dir string) error { return os.Chmod(filepath.Dir(dir), 0o777) }, securefile.ErrParent},
		{"database is a link", link(fileDB), securefile.ErrSymlink},
		{"database 0666", mode(fileDB, 0o666), securefile.ErrMode},
		{"database 0660", mode(fileDB, 0o660), securefile.ErrMode},
		{"database of another", owner(fileDB), securefile.ErrOwner},
		{"database has a second name", hard(fileDB), securefile.ErrHardLink},
		{"database is a pipe", replace(fileDB, fifo), securefile.ErrNotRegular},
		{"database is a directory", replace(fileDB, folder), securefile.ErrNotRegular},
		{"database is a device", replace(fileDB, device), securefile.ErrNotRegular},
		{"mirror is a link", link(fileMirror), securefile.ErrSymlink},
		{"mirror of another", owner(fileMirror), securefile.ErrOwner},
		{"mirror 0622", mode(fileMirror, 0o622), securefile.ErrMode},
		{"mark is a link", link(fileClean), securefile.ErrSymlink},
		{"mark is a pipe", replace(fileClean, fifo), securefile.ErrNotRegular},
		{"lock is a link", link(securefile.LockName), nil},
		{"lock of another", owner(securefile.LockName), securefile.ErrOwner},
		{"lock is a pipe", replace(securefile.LockName, fifo), securefile.ErrNotRegular},
	}
}

// P08, second half: what somebody else could have written is refused, with the
// reason, and nothing is changed.
func TestBadPermissions(t *testing.T) {
	needRoot(t, "give files to another user")
	if n := len(badPermissions()); n < 20 {
		t.Fatalf("only %d cases", n)
	}
	refused, bare := 0, 0
	for _, c := range badPermissions() {
		t.Run(c.name, func(t *testing.T) {
			parent := filepath.Join(t.TempDir(), "parent")
			if err := os.Mkdir(parent, 0o700); err != nil {
				t.Fatal(err)
			}
			dir := filepath.Join(parent, "state")
			s := mustOpen(t, dir, options())
			mustApply(t, s, counted(1))
			mustClose(t, s)
			if err := c.spoil(dir); err != nil {
				t.Fatal(err)
			}
			before := listing(t, parent)
			s, err := Open(dir, options())
			if err == nil {
				s.Close()
				t.Fatal("accepted")
			}
			if c.why != nil && (!errors.Is(err, ErrUnsafe) || !errors.Is(err, c.why)) {
				t.Errorf("%v, want %v", err, c.why)
			}
			if after := listing(t, parent); after != before {
				t.Errorf("the refusal changed something:\n%s\n%s", before, after)
			}
			refused++
			// The control: what bbolt alone says. It would hang on a pipe.
			path := filepath.Join(dir, fileDB)
			if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
				if db, err := openDB(path, true); err == nil {
					bare++
					db.Close()
				}
			}
		})
	}
	if bare < 10 {
		t.Errorf("control: bare bbolt accepts only %d", bare)
	}
	promise.Reached(t, "P08", fmt.Sprintf("%d bad owners, modes, links and kinds, %d refused with the reason", len(badPermissions()), refused),
		fmt.Sprintf("bare bbolt opens %d of them", bare))
}

// listing describes everything below a directory, contents of small files included.
func listing(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%s %v %d", path, info.Mode(), info.Sys().(*syscall.Stat_t).Uid)
		if info.Mode().IsRegular() && filepath.Base(path) != securefile.LockName {
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " %x", content)
		}
		b.WriteString("\n")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}
