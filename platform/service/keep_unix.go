//go:build !windows

package service

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// keptPrefix tells what a Keeper gave to the manager from the sockets of the unit.
const keptPrefix = "kept-"

// keepTimeout bounds how long a manager that is busy can hold up the agent.
const keepTimeout = 200 // milliseconds

// Keeper gives descriptors to the service manager, which holds them while the
// agent is started anew, whatever way it ended (FDSTORE= in sd_notify(3); the
// unit needs FileDescriptorStoreMax=). A nil Keeper keeps nothing and is no
// error: that is every system without systemd.
type Keeper struct{ conn *net.UnixConn }

// NewKeeper returns nil where no manager listens.
func NewKeeper() *Keeper {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil
	}
	return &Keeper{conn: c}
}

// Keep hands over duplicates of descriptors under a name of letters, digits and
// hyphens; Handed returns them after the next start. The manager drops each by
// itself when its other end hangs up.
func (k *Keeper) Keep(name string, files ...syscall.Conn) error {
	if k == nil {
		return nil
	}
	if strings.ContainsFunc(name, func(r rune) bool {
		return r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}) {
		return fmt.Errorf("service: keep: bad name %q", name)
	}
	// The descriptors must stay open until they are sent, so that each is sent
	// from within the call that holds it.
	var send func(fds []int, rest []syscall.Conn) error
	send = func(fds []int, rest []syscall.Conn) error {
		if len(rest) == 0 {
			return k.tell("FDSTORE=1\nFDNAME="+keptPrefix+name, unix.UnixRights(fds...))
		}
		raw, err := rest[0].SyscallConn()
		if err != nil {
			return err
		}
		var inner error
		err = raw.Control(func(fd uintptr) { inner = send(append(fds, int(fd)), rest[1:]) })
		return errors.Join(err, inner)
	}
	return send(nil, files)
}

// Forget makes the manager drop what it keeps under a name.
func (k *Keeper) Forget(name string) error {
	if k == nil {
		return nil
	}
	return k.tell("FDSTOREREMOVE=1\nFDNAME="+keptPrefix+name, nil)
}

func (k *Keeper) tell(text string, rights []byte) error {
	raw, err := k.conn.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	err = raw.Control(func(socket uintptr) {
		send := func() error { return unix.Sendmsg(int(socket), []byte(text), rights, nil, unix.MSG_DONTWAIT) }
		if inner = send(); !errors.Is(inner, unix.EAGAIN) {
			return
		}
		// The manager's queue is full, which is ten messages on older kernels.
		if _, err := unix.Poll([]unix.PollFd{{Fd: int32(socket), Events: unix.POLLOUT}}, keepTimeout); err == nil {
			inner = send()
		}
	})
	if err = errors.Join(err, inner); err != nil {
		return fmt.Errorf("service: the manager keeps nothing: %w", err)
	}
	return nil
}

// Close ends the conversation; the manager goes on keeping.
func (k *Keeper) Close() error {
	if k == nil {
		return nil
	}
	return k.conn.Close()
}
