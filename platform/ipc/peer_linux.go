package ipc

import (
	"errors"
	"fmt"
	"net"
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
