package securefile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// readFlags keep an open from blocking for ever should the file turn into a
// pipe after it was looked at.
const readFlags = os.O_RDONLY | unix.O_NONBLOCK

// maxLinks bounds the symbolic links followed above a directory, as the kernel
// does (path_resolution(7)).
const maxLinks = 40

// inspectDir walks from the root to path, judging each component by its own
// handle, and returns the identity of the last one.
func inspectDir(path string, public bool) (fs.FileInfo, error) {
	f, err := walk(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, &Error{Path: path, Err: err}
	}
	owner, mode := ownerOf(fi), fi.Mode().Perm()
	euid := uint32(os.Geteuid())
	if owner != euid && !(public && owner == 0) {
		refusal := &Error{
			Path: path, Err: ErrOwner, Found: fmt.Sprintf("uid %d, this process is uid %d", owner, euid),
			Next: fmt.Sprintf("if the directory is the agent's: chown -R %d %s", euid, path),
		}
		if u, err := user.LookupId(strconv.FormatUint(uint64(owner), 10)); err == nil && u.Username == filepath.Base(path) {
			refusal.Err, refusal.Next = ErrService, "leave it to the service, which runs as "+u.Username
		}
		return nil, refusal
	}
	allowed := PrivateDir
	if public {
		allowed = PublicDir
	}
	if mode&^allowed != 0 {
		return nil, &Error{
			Path: path, Err: ErrMode, Found: fmt.Sprintf("mode %#o, allowed %#o", mode, allowed),
			Next: fmt.Sprintf("look for files that are not the agent's, then: chmod %#o %s", allowed, path),
		}
	}
	return fi, nil
}

// walk opens path one component at a time. Every directory passed must belong
// to root or to this account and must not be writable by others, unless it is
// sticky like /tmp, where others cannot rename what is not theirs. A link above
// the last component is followed only when root or this account made it.
func walk(path string) (last *os.File, err error) {
	dir, err := openPath(unix.AT_FDCWD, "/", "/")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			dir.Close()
		}
	}()
	here, todo, links := "/", split(path), 0
	for len(todo) > 0 {
		if err := trusted(path, here, dir); err != nil {
			return nil, err
		}
		name := filepath.Join(here, todo[0])
		next, err := openPath(int(dir.Fd()), todo[0], name)
		if err != nil {
			return nil, err
		}
		todo = todo[1:]
		fi, err := next.Stat()
		if err == nil && fi.Mode()&fs.ModeSymlink != 0 {
			var target string
			target, err = followed(next, fi, name, len(todo) == 0, &links)
			todo = append(split(target), todo...)
			next.Close()
			if err == nil && filepath.IsAbs(target) {
				if next, err = openPath(unix.AT_FDCWD, "/", "/"); err == nil {
					dir.Close()
					dir, here = next, "/"
				}
			}
			if err != nil {
				return nil, err
			}
			continue
		}
		if err == nil && !fi.IsDir() {
			err = &Error{Path: name, Err: ErrNotDirectory, Found: fi.Mode().String(), Next: "remove it or choose another directory"}
		}
		if err != nil {
			next.Close()
			return nil, err
		}
		dir.Close()
		dir, here = next, name
	}
	return dir, nil
}

// followed decides whether the link at here may be followed and reads it
// through its handle.
func followed(link *os.File, fi fs.FileInfo, here string, last bool, links *int) (string, error) {
	if last {
		return "", &Error{Path: here, Err: ErrSymlink, Next: "name the directory itself"}
	}
	if owner := ownerOf(fi); owner != 0 && owner != uint32(os.Geteuid()) {
		return "", &Error{Path: here, Err: ErrSymlink, Found: fmt.Sprintf("made by uid %d", owner), Next: "name the directory itself"}
	}
	if *links++; *links > maxLinks {
		return "", &Error{Path: here, Err: unix.ELOOP}
	}
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(link.Fd()), "", buf) // empty path: the handle itself, readlink(2)
	if err != nil {
		return "", &Error{Path: here, Err: err}
	}
	return string(buf[:n]), nil
}

func openPath(at int, name, here string) (*os.File, error) {
	fd, err := unix.Openat(at, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &Error{Path: here, Err: err}
	}
	return os.NewFile(uintptr(fd), here), nil
}

// trusted judges a directory above the one that is wanted.
func trusted(path, here string, dir *os.File) error {
	fi, err := dir.Stat()
	if err != nil {
		return &Error{Path: here, Err: err}
	}
	if owner := ownerOf(fi); owner != 0 && owner != uint32(os.Geteuid()) {
		return &Error{
			Path: path, Err: ErrParent, Found: fmt.Sprintf("%s belongs to uid %d", here, owner),
			Next: "use a place that only root or this account may change",
		}
	}
	if fi.Mode().Perm()&0o022 != 0 && fi.Mode()&fs.ModeSticky == 0 {
		return &Error{
			Path: path, Err: ErrParent, Found: fmt.Sprintf("%s has mode %#o", here, fi.Mode().Perm()),
			Next: "chmod go-w " + here,
		}
	}
	return nil
}

func split(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
}

// inspectFile judges an opened file.
func inspectFile(full string, _ *os.File, fi fs.FileInfo, public bool) error {
	if err := regular(full, fi); err != nil {
		return err
	}
	owner, euid := ownerOf(fi), uint32(os.Geteuid())
	if owner != euid && !(public && owner == 0) {
		return &Error{
			Path: full, Err: ErrOwner, Found: fmt.Sprintf("uid %d, this process is uid %d", owner, euid),
			Next: fmt.Sprintf("if the content is the agent's: chown %d %s", euid, full),
		}
	}
	allowed := PrivateFile
	if public {
		allowed = PublicFile
	}
	if mode := fi.Mode().Perm(); mode&^allowed != 0 {
		return &Error{
			Path: full, Err: ErrMode, Found: fmt.Sprintf("mode %#o, allowed %#o", mode, allowed),
			Next: fmt.Sprintf("if the content is the agent's: chmod %#o %s", PrivateFile, full),
		}
	}
	if st, ok := fi.Sys().(*syscall.Stat_t); ok && !public && st.Nlink > 1 {
		return &Error{Path: full, Err: ErrHardLink, Found: fmt.Sprintf("%d names", st.Nlink), Next: "copy it, remove it, and put the copy in its place"}
	}
	return nil
}

func ownerOf(fi fs.FileInfo) uint32 {
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		return st.Uid
	}
	return ^uint32(0) // nobody: uid_t -1 is never a user
}

func mkdir(path string, public bool) error {
	if public {
		if err := os.Mkdir(path, PublicDir); err != nil {
			return err
		}
		// The umask of a service is often 0077 and would close the directory.
		return os.Chmod(path, PublicDir)
	}
	return os.Mkdir(path, PrivateDir)
}

// create opens a file for writing and makes it if need be, or insists on making
// it when exclusive.
func (d *Dir) create(name string, perm fs.FileMode, exclusive bool) (*os.File, error) {
	flags := os.O_RDWR | os.O_CREATE | unix.O_NONBLOCK
	if exclusive {
		flags |= os.O_EXCL
	}
	return d.root.OpenFile(name, flags, perm)
}

// widen gives a file the permission asked for despite the umask.
func widen(f *os.File, perm fs.FileMode) error {
	if perm == PrivateFile {
		return nil
	}
	return f.Chmod(perm)
}

// renameNew renames without replacing (renameat2(2), RENAME_NOREPLACE). A file
// system that does not know the flag gets link and unlink, which also never
// replaces.
func (d *Dir) renameNew(from, to string) error {
	h, err := d.root.Open(".")
	if err != nil {
		return err
	}
	defer h.Close()
	fd := int(h.Fd())
	err = unix.Renameat2(fd, from, fd, to, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		if err = unix.Linkat(fd, from, fd, to, 0); err == nil {
			err = unix.Unlinkat(fd, from, 0)
		}
	}
	return err
}

// Sync flushes the directory itself, which holds the names (fsync(2)).
func (d *Dir) Sync() error {
	h, err := d.root.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(h.Sync(), h.Close())
}

// lockFile takes an exclusive flock(2) or gives ErrLocked. flock, not fcntl:
// an fcntl lock vanishes when the process closes any other handle of the file.
func lockFile(f *os.File) error {
	for {
		switch err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err {
		case unix.EINTR:
		case unix.EWOULDBLOCK:
			return ErrLocked
		default:
			return err
		}
	}
}

// openRetry and retry exist for Windows, where a virus scanner may hold a file.
func openRetry(open func() (*os.File, error)) (*os.File, error) { return open() }

func retry(op func() error) error { return op() }

// ReadOnly says whether path lies, or would lie if it existed, on a file system
// that is mounted read only. It can be asked by who may not write there anyway.
func ReadOnly(path string) bool {
	for {
		var s unix.Statfs_t
		err := unix.Statfs(path, &s)
		if err == nil {
			return s.Flags&unix.ST_RDONLY != 0
		}
		if err != unix.ENOENT || path == filepath.Dir(path) {
			return false
		}
		path = filepath.Dir(path)
	}
}
