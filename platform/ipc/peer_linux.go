package ipc

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// peer asks the kernel who is on the other side of an accepted connection.
func peer(c *net.UnixConn, self uint32) (Identity, error) {
	var id Identity
	err := control(c, func(fd int) error {
		cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
		if err != nil {
			return err
		}
		groups, err := peerGroups(fd)
		if err != nil && !errors.Is(err, unix.ENOPROTOOPT) && !errors.Is(err, unix.ENODATA) {
			return err
		}
		id = unixIdentity(cred.Uid, cred.Gid, int(cred.Pid), groups, self)
		return nil
	})
	if err != nil {
		return Identity{}, fmt.Errorf("%w: %w", ErrNoIdentity, err)
	}
	if !id.Known() {
		return Identity{}, ErrNoIdentity
	}
	return id, nil
}

// peerGroups reads the supplementary groups that the caller had when it
// connected (SO_PEERGROUPS, Linux 4.13), so that nobody has to look a user name
// up in a directory service that may be slow, down or wrong.
func peerGroups(fd int) ([]uint32, error) {
	groups := make([]uint32, 32)
	for range 4 {
		size := uint32(len(groups) * 4)
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(&groups[0])), uintptr(unsafe.Pointer(&size)), 0)
		switch errno {
		case 0:
			return groups[:size/4], nil
		case unix.ERANGE: // size now says how much is needed; at most 65,536 groups (NGROUPS_MAX)
			if size/4 <= uint32(len(groups)) || size/4 > 1<<16 {
				return nil, errno
			}
			groups = make([]uint32, size/4)
		default:
			return nil, errno
		}
	}
	return nil, unix.ERANGE
}

// control runs f with the descriptor of the connection.
func control(c syscall.Conn, f func(fd int) error) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	err = raw.Control(func(fd uintptr) { inner = f(int(fd)) })
	return errors.Join(err, inner)
}

// Process is a handle of the process that made a connection. While it is open
// the process id cannot come to mean another process. It is for logs and
// diagnosis: the descriptor of the connection may be in other hands by now.
type Process struct {
	PID int
	fd  int
}

// ProcessOf opens the process on the other side of a connection accepted by a
// listener of this package. The handle comes from the kernel with the
// connection where it can (SO_PEERPIDFD, Linux 6.5). On older kernels the
// process id is opened and compared with what the connection says: the owner
// must be the same and the process alive, which leaves a window only for a
// process of the same user.
func ProcessOf(c net.Conn) (*Process, error) {
	own, ok := c.(*conn)
	if !ok {
		return nil, ErrNoIdentity
	}
	p := &Process{PID: own.id.PID, fd: -1}
	err := control(own.UnixConn, func(fd int) (err error) {
		p.fd, err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PEERPIDFD)
		return err
	})
	if errors.Is(err, unix.ENOPROTOOPT) || errors.Is(err, unix.EINVAL) {
		p.fd, err = openByPID(own.id)
	}
	if err != nil {
		return nil, fmt.Errorf("ipc: process %d: %w", p.PID, err)
	}
	unix.CloseOnExec(p.fd)
	return p, nil
}

// openByPID is the way of kernels before 6.5.
func openByPID(id Identity) (int, error) {
	if id.PID <= 0 {
		return -1, ErrNoIdentity
	}
	fd, err := unix.PidfdOpen(id.PID, 0)
	if err != nil {
		return -1, err
	}
	// The process may have ended and its number been given away between the
	// connection and PidfdOpen. /proc/PID is owned by the effective user.
	var st unix.Stat_t
	err = unix.Stat("/proc/"+strconv.Itoa(id.PID), &st)
	if err == nil && st.Uid != id.UID {
		err = ErrNoIdentity
	}
	if err == nil && !alive(fd) {
		err = unix.ESRCH
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// Alive reports whether the process still runs.
func (p *Process) Alive() bool { return alive(p.fd) }

// alive asks whether the handle is readable, which it becomes when the process
// ends (pidfd_open(2)). Unlike sending signal 0 this needs no permission.
func alive(fd int) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n == 0
}

// Executable is the path of the program, as far as this process may look: a
// service that is not root usually may not (ptrace(2)). The handle is checked
// after the look, so that the answer is never about another process.
func (p *Process) Executable() (string, error) {
	exe, err := os.Readlink("/proc/" + strconv.Itoa(p.PID) + "/exe")
	if err != nil {
		return "", fmt.Errorf("ipc: program of process %d: %w", p.PID, err)
	}
	if !p.Alive() {
		return "", fmt.Errorf("ipc: program of process %d: %w", p.PID, unix.ESRCH)
	}
	return exe, nil
}

// Close releases the handle.
func (p *Process) Close() error { return unix.Close(p.fd) }
