package ipc

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Listen makes the socket at path and listens on it. The directory must exist,
// belong to this account (or root) and be writable by nobody else. The socket
// is made under a random name and renamed when its permission is right, so that
// there is neither a moment without a socket nor one with a wrong permission,
// and no moment at which removing an old socket could remove a new one.
//
// Each accepted connection carries its caller's identity, see IdentityFrom.
// Closing the listener removes the socket if it is still ours.
func Listen(path string, opts Options) (net.Listener, error) {
	switch {
	case !filepath.IsAbs(path):
		return nil, fmt.Errorf("%w: %q: use an absolute path", ErrPath, path)
	case len(path) > MaxPath:
		return nil, fmt.Errorf("%w: %q: use a path of at most %d bytes, it has %d", ErrPath, path, MaxPath, len(path))
	case filepath.Clean(path) != path:
		return nil, fmt.Errorf("%w: %q: write it without \"..\", \".\" and \"//\"", ErrPath, path)
	}
	dir, err := openSocketDir(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	l, err := listenIn(dir, path, opts)
	if err != nil {
		dir.Close()
		return nil, err
	}
	return l, nil
}

func listenIn(dir *os.File, path string, opts Options) (net.Listener, error) {
	if err := free(dir, path, opts.Exclusive); err != nil {
		return nil, err
	}
	random := make([]byte, 4)
	rand.Read(random) // never fails since Go 1.24
	temp := "." + hex.EncodeToString(random)
	full := filepath.Join(filepath.Dir(path), temp)
	inner, err := net.ListenUnix("unix", &net.UnixAddr{Name: full, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("ipc: listen: %w", err)
	}
	inner.SetUnlinkOnClose(false) // it would remove the random name, which is gone then
	id, err := publish(dir, temp, filepath.Base(path), opts)
	if err != nil {
		inner.Close()
		unix.Unlinkat(int(dir.Fd()), temp, 0)
		return nil, fmt.Errorf("ipc: listen on %s: %w", path, err)
	}
	return &listener{
		inner: inner, addr: &net.UnixAddr{Name: path, Net: "unix"}, opts: opts,
		self: uint32(os.Geteuid()), dir: dir, name: filepath.Base(path), id: id,
	}, nil
}

// openSocketDir checks the directory by its handle.
func openSocketDir(path string) (*os.File, error) {
	refuse := func(why string, args ...any) error {
		return fmt.Errorf("%w: %s %s", ErrDirectory, path, fmt.Sprintf(why, args...))
	}
	fd, err := unix.Open(path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, refuse("cannot be opened (%v): create it, or set RuntimeDirectory= in the unit", err)
	}
	dir := os.NewFile(uintptr(fd), path)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		dir.Close()
		return nil, refuse("cannot be read: %v", err)
	}
	self := uint32(os.Geteuid())
	switch {
	case st.Mode&unix.S_IFMT == unix.S_IFLNK:
		err = refuse("is a symbolic link: name the directory itself")
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		err = refuse("is not a directory")
	case st.Uid != self && st.Uid != 0:
		err = refuse("belongs to uid %d and this process is uid %d: look what put it there, then remove it", st.Uid, self)
	case st.Mode&0o777&^uint32(RuntimeDirMode) != 0:
		err = refuse("has mode %#o: chmod %#o it", st.Mode&0o7777, RuntimeDirMode)
	}
	if err != nil {
		dir.Close()
		return nil, err
	}
	return dir, nil
}

// free decides whether the name may be taken.
func free(dir *os.File, path string, exclusive bool) error {
	var st unix.Stat_t
	err := unix.Fstatat(int(dir.Fd()), filepath.Base(path), &st, unix.AT_SYMLINK_NOFOLLOW)
	switch {
	case err == unix.ENOENT:
		return nil
	case err != nil:
		return fmt.Errorf("ipc: %s: %w", path, err)
	case st.Mode&unix.S_IFMT != unix.S_IFSOCK:
		return fmt.Errorf("%w: %s: look what it is, then move it away", ErrNotSocket, path)
	}
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err == nil {
		conn.Close()
	}
	// Only a refused connection means that nobody listens. A full queue, for
	// example, is a living agent with much to do.
	if !errors.Is(err, unix.ECONNREFUSED) {
		return fmt.Errorf("%w: %s: stop the other agent, or give this one its own --instance", ErrInUse, path)
	}
	if !exclusive {
		return fmt.Errorf("%w: %s: start the agent with its state directory, whose lock tells whether the socket is in use", ErrStale, path)
	}
	return nil
}

// inode identifies the socket file, so that only our own is removed.
type inode struct{ dev, ino uint64 }

// publish gives the socket its permission and its name.
func publish(dir *os.File, temp, name string, opts Options) (inode, error) {
	fd := int(dir.Fd())
	var st unix.Stat_t
	// The path was resolved again by bind(2). If the directory was exchanged in
	// between, the socket is not in the one that was checked.
	if err := unix.Fstatat(fd, temp, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return inode{}, fmt.Errorf("%w: it was exchanged: %w", ErrDirectory, err)
	}
	mode := opts.Mode
	if mode == 0 {
		mode = SocketMode
	}
	if err := unix.Fchmodat(fd, temp, uint32(mode.Perm()), 0); err != nil {
		return inode{}, err
	}
	if err := unix.Renameat(fd, temp, fd, name); err != nil {
		return inode{}, err
	}
	return inode{dev: uint64(st.Dev), ino: st.Ino}, nil
}

// FromFile adopts a listening socket that somebody else has opened, in practice
// systemd for a socket unit, whose name then stays in the file system while the
// agent restarts. It must be a Unix stream socket with a path that is
// listening; everything else is refused. Closing the listener does not remove
// the socket. The file is duplicated; the caller still owns and closes f.
func FromFile(f *os.File, opts Options) (net.Listener, error) {
	fd := int(f.Fd())
	kind, errKind := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	listening, errListening := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	name, errName := unix.Getsockname(fd)
	if err := errors.Join(errKind, errListening, errName); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrNotSocket, f.Name(), err)
	}
	addr, isUnix := name.(*unix.SockaddrUnix)
	if !isUnix || kind != unix.SOCK_STREAM || listening == 0 {
		return nil, fmt.Errorf("%w: %s: want a listening Unix stream socket: check ListenStream= in the socket unit", ErrNotSocket, f.Name())
	}
	if addr.Name == "" || strings.HasPrefix(addr.Name, "@") || !filepath.IsAbs(addr.Name) {
		return nil, fmt.Errorf("%w: %q is abstract or unnamed: give ListenStream= a path", ErrPath, addr.Name)
	}
	inner, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("ipc: adopt %s: %w", addr.Name, err)
	}
	u, ok := inner.(*net.UnixListener)
	if !ok {
		inner.Close()
		return nil, fmt.Errorf("%w: %s", ErrNotSocket, addr.Name)
	}
	u.SetUnlinkOnClose(false)
	return &listener{inner: u, addr: &net.UnixAddr{Name: addr.Name, Net: "unix"}, opts: opts, self: uint32(os.Geteuid())}, nil
}

type listener struct {
	inner *net.UnixListener
	addr  *net.UnixAddr
	opts  Options
	self  uint32

	dir  *os.File // nil for an adopted socket
	name string
	id   inode
	once sync.Once
}

// Accept waits for a caller that the kernel can name.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.inner.AcceptUnix()
		if err != nil {
			return nil, err
		}
		id, err := peer(c, l.self)
		if err != nil {
			c.Close()
			l.opts.refuse(err)
			continue
		}
		return &conn{UnixConn: c, id: id}, nil
	}
}

// Addr is the path under which callers find the socket.
func (l *listener) Addr() net.Addr { return l.addr }

// Close stops listening and removes the socket if the name still means it: a
// successor may have renamed its own over it already.
func (l *listener) Close() error {
	err := l.inner.Close()
	l.once.Do(func() {
		if l.dir == nil {
			return
		}
		var st unix.Stat_t
		if unix.Fstatat(int(l.dir.Fd()), l.name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil &&
			l.id == (inode{dev: uint64(st.Dev), ino: st.Ino}) {
			err = errors.Join(err, unix.Unlinkat(int(l.dir.Fd()), l.name, 0))
		}
		l.dir.Close()
	})
	return err
}

// conn is an accepted connection with its caller.
type conn struct {
	*net.UnixConn
	id Identity
}

// PeerIdentity is what IdentityFrom looks for.
func (c *conn) PeerIdentity() Identity { return c.id }
