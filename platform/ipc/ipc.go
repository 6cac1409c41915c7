// Package ipc is the local endpoint of the agent: a Unix socket on Linux, a
// named pipe on Windows.
//
// Two questions must be answered before a byte is exchanged. The agent asks
// who is calling; the answer comes from the kernel as typed values at the
// moment the connection is made, never from anything the caller sends or from
// a name it chose (CVE-2019-7304: a service parsed the peer's socket path and a
// caller named itself "uid=0"). The program asks whether it is talking to the
// real agent; the answer comes from who owns the socket or pipe and from the
// kernel's record of who listens. Where the kernel gives no answer, the
// connection is refused.
//
// There is no TCP in this package, so that no browser and no network can reach
// the agent (TS-2022-004, CVE-2020-14519), and no abstract socket, which has no
// permissions (CVE-2020-15257).
//
// It is not part of the stable API.
package ipc

import (
	"errors"
	"io/fs"
	"net"
)

// What the agent's endpoint allows. ATTACK_SURFACE.md lists these values and a
// test holds the two together.
const (
	// SocketMode lets every local user connect: asking "am I licensed?" needs no
	// rights. Who may change anything is decided by Identity.
	SocketMode fs.FileMode = 0o666
	// RuntimeDirMode is the most a socket's directory may allow. Whoever can
	// write there could put a socket of their own in our place.
	RuntimeDirMode fs.FileMode = 0o755
	// MaxPath is the longest usable socket path: sockaddr_un has 108 bytes with
	// the final zero (unix(7)).
	MaxPath = 107
	// maxDescriptors is what Descriptors says where there is no limit.
	maxDescriptors = 1 << 16
)

var (
	// ErrDirectory is returned by Listen when the socket's directory is missing,
	// a symbolic link, not ours, or writable by others.
	ErrDirectory = errors.New("ipc: the directory of the socket is not safe")
	// ErrInUse is returned by Listen when somebody answers under that name.
	ErrInUse = errors.New("ipc: another process is listening there")
	// ErrStale is returned by Listen when a socket is left over from a process
	// that ended, and Options.Exclusive does not say that it may be replaced.
	ErrStale = errors.New("ipc: a socket is left over")
	// ErrNotSocket is returned when the name is taken by something that is not a
	// socket. It is never removed.
	ErrNotSocket = errors.New("ipc: not a socket")
	// ErrPath is returned for a name that is relative, too long or abstract.
	ErrPath = errors.New("ipc: not a usable socket path")
	// ErrNotRunning is returned by Dial when nobody listens there.
	ErrNotRunning = errors.New("ipc: the agent is not running")
	// ErrForeignOwner is returned by Dial when the socket, its directory or the
	// process behind it belongs to an account that has no business there. What
	// answers may not be the agent.
	ErrForeignOwner = errors.New("ipc: the endpoint belongs to another account")
	// ErrNoIdentity is returned, and reported to Options.Refused, when the kernel
	// does not say who is on the other side.
	ErrNoIdentity = errors.New("ipc: no identity from the kernel")
	// ErrNoProcess is returned by FindProcess when the process has ended.
	ErrNoProcess = errors.New("ipc: no such process")
	// ErrUnsupported is returned on systems for which nobody has decided how a
	// caller is identified.
	ErrUnsupported = errors.New("ipc: not available on this operating system")
)

// Options of Listen and FromFile.
type Options struct {
	// Mode is the permission of the socket; 0 means SocketMode. Unused on
	// Windows.
	Mode fs.FileMode
	// Exclusive says that the caller holds the lock of the instance, so that a
	// socket nobody listens on is a leftover and may be replaced. Without that
	// knowledge, removing and listening would race with another agent's start.
	Exclusive bool
	// Refused is called for each connection that was closed because the kernel
	// gave no identity, with the reason. May be nil. It must not block.
	Refused func(error)
	// ServiceSID is the account that may serve the pipe besides SYSTEM, as
	// S-1-5-80-... (see ServiceSID). Empty means the account of this process.
	// Windows only.
	ServiceSID string
}

// DialOptions of Dial.
type DialOptions struct {
	// ExpectOwner lists the user ids that may own the socket and listen on it,
	// besides root. Empty means: the owner of the socket's directory, provided
	// that only root could have put it there, or this process's own user.
	ExpectOwner []uint32
	// ExpectSID lists the accounts that may own the pipe besides SYSTEM and
	// Administrators. Empty means the service account that belongs to the pipe's
	// name, and this process's own account. Windows only.
	ExpectSID []string
}

// IdentityFrom returns who is on the other side of a connection accepted by a
// listener of this package, as recorded by the kernel when the connection was
// made. Wrappers with a method NetConn() net.Conn, such as tls.Conn, are looked
// through. false means unknown, and must be treated as a refusal.
func IdentityFrom(conn net.Conn) (Identity, bool) {
	for conn != nil {
		switch c := conn.(type) {
		case interface{ PeerIdentity() Identity }:
			id := c.PeerIdentity()
			return id, id.Known()
		case interface{ NetConn() net.Conn }:
			conn = c.NetConn()
		default:
			return Identity{}, false
		}
	}
	return Identity{}, false
}

// refuse reports a refused connection if somebody listens.
func (o Options) refuse(err error) {
	if o.Refused != nil {
		o.Refused(err)
	}
}
