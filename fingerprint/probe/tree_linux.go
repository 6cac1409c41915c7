package probe

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// errNotPlain is returned for a directory or another thing that is no file.
var errNotPlain = errors.New("not a plain file")

// tree reads files of the live system or of a recorded one. It uses system
// calls directly: os.Open registers each descriptor with the poller, which for
// sysfs costs as much as the read itself. A tree is for one goroutine.
type tree struct {
	root *os.File // open recorded root, nil for the live system
	err  error    // why the recorded root cannot be used
	walk bool     // resolve links of the recorded root here (see openInRoot)
	buf  [4096]byte
}

// openTree opens the recorded root, if there is one.
func openTree(root string) *tree {
	t := &tree{}
	if root != "" {
		t.root, t.err = os.OpenFile(root, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	}
	return t
}

// close releases the recorded root.
func (t *tree) close() {
	if t.root != nil {
		t.root.Close()
	}
}

// recorded says that this is not the live system.
func (t *tree) recorded() bool { return t.root != nil || t.err != nil }

// open opens name, a path without leading slash, below the root. Links of a
// recorded machine are resolved inside its tree: an absolute one must not lead
// to this machine's files. O_NONBLOCK keeps a FIFO from blocking the open.
func (t *tree) open(name string, flags int) (fd int, err error) {
	flags |= unix.O_CLOEXEC
	for {
		switch {
		case t.err != nil:
			return -1, t.err
		case t.root == nil:
			fd, err = unix.Open("/"+name, flags, 0)
		default:
			fd, err = t.openInRoot(name, flags)
		}
		if err == nil {
			return fd, nil
		}
		if err != unix.EINTR && err != unix.EAGAIN { // EAGAIN: openat2 raced with a rename
			return -1, &fs.PathError{Op: "open", Path: name, Err: err}
		}
	}
}

// openInRoot opens name below the recorded root. Kernels before 5.6 (RHEL 8)
// have no openat2, and a sandbox may refuse it; then links are resolved here.
func (t *tree) openInRoot(name string, flags int) (int, error) {
	root := int(t.root.Fd())
	if !t.walk {
		fd, err := unix.Openat2(root, name, &unix.OpenHow{Flags: uint64(flags), Resolve: unix.RESOLVE_IN_ROOT})
		if err != unix.ENOSYS && err != unix.EPERM {
			return fd, err
		}
		t.walk = true
	}
	plain, err := plainPath(root, name, flags&unix.O_NOFOLLOW == 0)
	if err != nil {
		return -1, err
	}
	return unix.Openat(root, plain, flags|unix.O_NOFOLLOW, 0)
}

// plainPath replaces the links in name, the last one only if last is set, as if
// root were the root directory: ".." stops there, absolute targets begin there.
func plainPath(root int, name string, last bool) (string, error) {
	rest := strings.Split(name, "/")
	done, links := ".", 0
	var buf [4096]byte
	for len(rest) > 0 {
		part := rest[0]
		rest = rest[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			done = path.Dir(done)
			continue
		}
		next := path.Join(done, part)
		n, err := unix.Readlinkat(root, next, buf[:])
		switch {
		case err == unix.EINVAL, err == nil && len(rest) == 0 && !last: // no link, or one that is wanted as such
			done = next
			continue
		case err != nil:
			return "", err
		}
		if links++; links > 40 {
			return "", unix.ELOOP
		}
		target := string(buf[:n])
		if strings.HasPrefix(target, "/") {
			done = "."
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return done, nil
}

// read returns the content of a small file, at most one page, which is all
// that sysfs gives. The bytes are valid until the next call.
func (t *tree) read(name string) ([]byte, error) { return t.readInto(name, t.buf[:]) }

// readAll is read for the files that may be longer; what exceeds maxFile is cut.
func (t *tree) readAll(name string) ([]byte, error) {
	fd, err := t.openPlain(name)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	out := make([]byte, 0, 8<<10)
	for len(out) < maxFile {
		if len(out) == cap(out) {
			out = append(out, 0)[:len(out)]
		}
		n, err := readRetry(fd, out[len(out):min(cap(out), maxFile)])
		if err != nil {
			return nil, &fs.PathError{Op: "read", Path: name, Err: err}
		}
		if n == 0 {
			break
		}
		out = out[:len(out)+n]
	}
	return out, nil
}

// readInto fills buf once; sysfs gives an attribute in one read.
func (t *tree) readInto(name string, buf []byte) ([]byte, error) {
	fd, err := t.openPlain(name)
	if err != nil {
		return nil, err
	}
	n, err := readRetry(fd, buf)
	if n == 0 && err == nil && !plain(fd) { // an empty pipe would pass for "there is none"
		err = errNotPlain
	}
	unix.Close(fd)
	if err != nil {
		return nil, &fs.PathError{Op: "read", Path: name, Err: err}
	}
	return buf[:n], nil
}

// openPlain opens for reading; in a recorded tree the mark of a file that its
// recorder could not read counts as "permission denied".
func (t *tree) openPlain(name string) (int, error) {
	fd, err := t.open(name, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil && t.root != nil && absent(err) {
		if mark, e := t.open(name+".unreadable", unix.O_PATH); e == nil {
			unix.Close(mark)
			err = &fs.PathError{Op: "open", Path: name, Err: unix.EACCES}
		}
	}
	return fd, err
}

// plain says whether an open file is a regular one, as those of sysfs are.
func plain(fd int) bool {
	var st unix.Stat_t
	return unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFREG
}

// readRetry reads once, again after a signal.
func readRetry(fd int, buf []byte) (int, error) {
	for {
		n, err := unix.Read(fd, buf)
		switch err {
		case nil:
			return n, nil
		case unix.EINTR:
		case unix.EISDIR:
			return 0, errNotPlain
		default:
			return 0, err
		}
	}
}

// text reads a small file as one value. Empty and absent are both "".
func (t *tree) text(name string) string {
	b, err := t.read(name)
	if err != nil {
		return ""
	}
	return clean(b)
}

// candidate reads a small file as a value for a part.
func (t *tree) candidate(name, source string) candidate {
	b, err := t.read(name)
	return candidate{text: clean(b), source: source, err: err}
}

// exists says whether name is there, without following a last link.
func (t *tree) exists(name string) bool {
	if t.root == nil && t.err == nil {
		return unix.Faccessat(unix.AT_FDCWD, "/"+name, unix.F_OK, unix.AT_SYMLINK_NOFOLLOW) == nil
	}
	fd, err := t.open(name, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return false
	}
	unix.Close(fd)
	return true
}

// link returns the target of a symbolic link as it is written.
func (t *tree) link(name string) (string, error) {
	if t.err != nil {
		return "", t.err
	}
	var n int
	var err error
	if t.root == nil {
		n, err = unix.Readlink("/"+name, t.buf[:])
	} else {
		fd, e := t.open(name, unix.O_PATH|unix.O_NOFOLLOW)
		if e != nil {
			return "", e
		}
		n, err = unix.Readlinkat(fd, "", t.buf[:])
		unix.Close(fd)
	}
	if err != nil {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: err}
	}
	return string(t.buf[:n]), nil
}

// resolve returns the path, below the root, to which a link in directory dir leads.
func (t *tree) resolve(dir, name string) (string, error) {
	target, err := t.link(dir + "/" + name)
	if err != nil {
		return "", err
	}
	if strings.HasPrefix(target, "/") {
		return strings.TrimPrefix(path.Clean(target), "/"), nil
	}
	return path.Join(dir, target), nil
}

// list returns the names in a directory, at most 4096, in no order.
func (t *tree) list(name string) ([]string, error) {
	fd, err := t.open(name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	var names []string
	for len(names) < 4096 {
		n, err := unix.ReadDirent(fd, t.buf[:])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, &fs.PathError{Op: "readdir", Path: name, Err: err}
		}
		if n <= 0 {
			break
		}
		_, _, names = unix.ParseDirent(t.buf[:n], -1, names)
	}
	return names, nil
}
