package ipc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Dial connects to the agent's socket after checking that it is the agent's:
// no directory on the way can be changed by a third party, the socket and its
// directory belong to an account that may serve here, and the kernel names such
// an account as the listener. systemd listens as root for an activated socket.
//
// Errors: ErrNotRunning, ErrForeignOwner, ErrNotSocket, ErrPath, the context's.
func Dial(ctx context.Context, path string, opts DialOptions) (net.Conn, error) {
	if !filepath.IsAbs(path) || len(path) > MaxPath {
		return nil, fmt.Errorf("%w: %q", ErrPath, path)
	}
	owners, err := inspectSocket(path, opts.ExpectOwner)
	if err != nil {
		return nil, err
	}
	c, err := connect(ctx, path, rest)
	if err != nil {
		if errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w: %w", ErrNotRunning, err)
		}
		return nil, err
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		c.Close()
		return nil, ErrPath
	}
	if err := checkServer(u, path, owners); err != nil {
		u.Close()
		return nil, err
	}
	return u, nil
}

// fullPause is how long Dial rests while the queue of callers is full.
const fullPause = 5 * time.Millisecond

// connect waits for a place in the queue of callers, for which the kernel does
// not: it says EAGAIN at once (unix(7)). pause is false when ctx has ended.
func connect(ctx context.Context, path string, pause func(context.Context) bool) (net.Conn, error) {
	var d net.Dialer
	for {
		c, err := d.DialContext(ctx, "unix", path)
		if !errors.Is(err, unix.EAGAIN) {
			return c, err
		}
		if !pause(ctx) {
			return nil, fmt.Errorf("%w: %w", ctx.Err(), err)
		}
	}
}

func rest(ctx context.Context) bool {
	t := time.NewTimer(fullPause)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// checkServer asks the kernel who called listen(2) on the other side. This also
// closes the gap between looking at the path and connecting to it.
func checkServer(c *net.UnixConn, path string, owners []uint32) error {
	cred, err := serverOf(c)
	if err != nil {
		return err
	}
	if cred.Uid == noID || !slices.Contains(owners, cred.Uid) {
		return fmt.Errorf("%w: the process behind %s runs as uid %d", ErrForeignOwner, path, cred.Uid)
	}
	return nil
}

// ListenerPID is the process that listens on the other side of a connection that
// Dial made, as the kernel names it; ErrNoIdentity when it does not.
func ListenerPID(c net.Conn) (int, error) {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return 0, ErrNoIdentity
	}
	cred, err := serverOf(u)
	if err != nil {
		return 0, err
	}
	return int(cred.Pid), nil
}

// serverOf is who called listen(2) on the other side (SO_PEERCRED in unix(7)).
func serverOf(c *net.UnixConn) (cred *unix.Ucred, err error) {
	err = control(c, func(fd int) (err error) {
		cred, err = unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoIdentity, err)
	}
	return cred, nil
}

// inspectSocket walks to the socket component by component, by handle, and
// returns the user ids that may listen there.
func inspectSocket(path string, expect []uint32) ([]uint32, error) {
	w := walker{self: uint32(os.Geteuid()), expect: expect, rootOnly: true}
	defer w.close()
	if err := w.enter("/"); err != nil {
		return nil, err
	}
	dir, name := filepath.Split(filepath.Clean(path))
	if err := w.walk(dir); err != nil {
		return nil, err
	}
	// w stands in the socket's directory; its owner is not yet judged.
	owners := append([]uint32{0}, expect...)
	if len(expect) == 0 {
		owners = append(owners, w.self)
		if w.rootOnly {
			// Only root could make this directory, so its owner is root's choice:
			// the service account under RuntimeDirectory=.
			owners = append(owners, w.st.Uid)
		}
	}
	if !slices.Contains(owners, w.st.Uid) {
		return nil, fmt.Errorf("%w: %s belongs to uid %d", ErrForeignOwner, dir, w.st.Uid)
	}
	if w.st.Mode&0o022 != 0 {
		return nil, fmt.Errorf("%w: %s has mode %#o, so anybody could have put the socket there", ErrForeignOwner, dir, w.st.Mode&0o7777)
	}
	var st unix.Stat_t
	if err := unix.Fstatat(w.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return nil, missing(path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return nil, fmt.Errorf("%w: %s", ErrNotSocket, path)
	}
	if !slices.Contains(owners, st.Uid) {
		return nil, fmt.Errorf("%w: %s belongs to uid %d", ErrForeignOwner, path, st.Uid)
	}
	return owners, nil
}

func missing(path string, err error) error {
	if err == unix.ENOENT || err == unix.ENOTDIR {
		return fmt.Errorf("%w: %s does not exist", ErrNotRunning, path)
	}
	return fmt.Errorf("ipc: %s: %w", path, err)
}

// walker stands in one directory and knows whether a third party could have
// changed the way to it.
type walker struct {
	self     uint32
	expect   []uint32
	fd       int // 0 before the first step
	here     string
	st       unix.Stat_t
	rootOnly bool // every directory passed so far can be changed by root only
	links    int
}

func (w *walker) close() {
	if w.fd > 0 {
		unix.Close(w.fd)
	}
}

// enter goes to a directory without looking at the way.
func (w *walker) enter(path string) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return missing(path, err)
	}
	return w.stand(fd, path)
}

func (w *walker) stand(fd int, here string) error {
	w.close()
	w.fd, w.here = fd, here
	return unix.Fstat(fd, &w.st)
}

// walk goes through the directories of path, judging each one it leaves.
func (w *walker) walk(path string) error {
	for _, name := range strings.FieldsFunc(path, func(r rune) bool { return r == '/' }) {
		if err := w.judge(); err != nil {
			return err
		}
		here := filepath.Join(w.here, name)
		fd, err := unix.Openat(w.fd, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return missing(here, err)
		}
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			unix.Close(fd)
			return missing(here, err)
		}
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFDIR:
			if err := w.stand(fd, here); err != nil {
				return err
			}
		case unix.S_IFLNK:
			err := w.follow(fd, st.Uid, here)
			unix.Close(fd)
			if err != nil {
				return err
			}
		default:
			unix.Close(fd)
			return missing(here, unix.ENOTDIR)
		}
	}
	return nil
}

// judge decides about a directory that is not the last one: root's, our own or
// an expected account's,
// and not to be changed by others unless it is sticky like /tmp, in which case
// root is no longer the only one who could have made what lies in it.
func (w *walker) judge() error {
	if w.st.Uid != 0 {
		w.rootOnly = false
		if w.st.Uid != w.self && !slices.Contains(w.expect, w.st.Uid) {
			return fmt.Errorf("%w: %s belongs to uid %d, who could put anything below it", ErrForeignOwner, w.here, w.st.Uid)
		}
	}
	if w.st.Mode&0o022 != 0 {
		w.rootOnly = false
		if w.st.Mode&unix.S_ISVTX == 0 {
			return fmt.Errorf("%w: %s has mode %#o, so anybody could put anything below it", ErrForeignOwner, w.here, w.st.Mode&0o7777)
		}
	}
	return nil
}

// follow goes where a link points, if root or this account made the link.
func (w *walker) follow(fd int, owner uint32, here string) error {
	if owner != 0 && owner != w.self {
		return fmt.Errorf("%w: the link %s was made by uid %d", ErrForeignOwner, here, owner)
	}
	if w.links++; w.links > 40 { // as many as the kernel follows
		return fmt.Errorf("ipc: %s: %w", here, unix.ELOOP)
	}
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(fd, "", buf)
	if err != nil {
		return missing(here, err)
	}
	target := string(buf[:n])
	if filepath.IsAbs(target) {
		if err := w.enter("/"); err != nil {
			return err
		}
	}
	return w.walk(target)
}
