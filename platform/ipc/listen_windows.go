package ipc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/Microsoft/go-winio"
	"golang.org/x/sys/windows"
)

// pipePrefix is where all pipes of this machine live. A name with a server part
// other than "." would be a pipe of another machine.
const pipePrefix = `\\.\pipe\`

// bufferSize of the pipe in each direction; one answer fits.
const bufferSize = 16 << 10

// Listen creates the named pipe and listens on it. It is the first instance of
// that name or nothing: if a stranger already serves the name, Listen refuses
// (ErrInUse) and does not join in. Remote clients are rejected by the pipe
// itself. Options.Mode and Options.Exclusive have no meaning here: a pipe ends
// with its process and leaves nothing behind.
func Listen(path string, opts Options) (net.Listener, error) {
	if err := plainPipe(path); err != nil {
		return nil, err
	}
	self, err := ownToken()
	if err != nil {
		return nil, err
	}
	sid := opts.ServiceSID
	if sid == "" {
		sid = self.sid
	}
	inner, err := winio.ListenPipe(path, &winio.PipeConfig{
		SecurityDescriptor: pipeDescriptor(self, sid),
		InputBufferSize:    bufferSize, OutputBufferSize: bufferSize,
	})
	if errors.Is(err, windows.ERROR_ACCESS_DENIED) || errors.Is(err, windows.ERROR_ALREADY_EXISTS) || errors.Is(err, windows.ERROR_PIPE_BUSY) {
		return nil, fmt.Errorf("%w: %s (%w): stop the other agent, or find out which program has taken the name", ErrInUse, path, err)
	}
	if err != nil {
		return nil, fmt.Errorf("ipc: listen on %s: %w", path, err)
	}
	return &listener{Listener: inner, opts: opts, self: self}, nil
}

// FromFile is for service managers that hand over sockets; Windows has none.
func FromFile(*os.File, Options) (net.Listener, error) { return nil, ErrUnsupported }

func plainPipe(path string) error {
	name, ok := strings.CutPrefix(path, pipePrefix)
	if !ok || name == "" || len(path) > 256 || strings.ContainsAny(name, `\/`) {
		return fmt.Errorf("%w: %q: use %sNAME", ErrPath, path, pipePrefix)
	}
	return nil
}

type listener struct {
	net.Listener
	opts Options
	self token
}

// Accept waits for a caller that the kernel can name.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		id, err := peer(c, l.self)
		if err != nil {
			c.Close()
			l.opts.refuse(err)
			continue
		}
		return &conn{Conn: c, id: id}, nil
	}
}

// conn is an accepted connection with its caller.
type conn struct {
	net.Conn
	id Identity
}

// PeerIdentity is what IdentityFrom looks for.
func (c *conn) PeerIdentity() Identity { return c.id }

// Dial connects to the agent's pipe. It asks for the rights of PipeClientAccess
// only, lets the server identify but not impersonate this process, and then
// checks who owns the pipe: SYSTEM, Administrators, the agent's account, or
// this process's own account.
//
// Errors: ErrNotRunning, ErrForeignOwner, ErrPath, the context's.
func Dial(ctx context.Context, path string, opts DialOptions) (net.Conn, error) {
	if err := plainPipe(path); err != nil {
		return nil, err
	}
	c, err := winio.DialPipeAccessImpLevel(ctx, path, PipeClientAccess, winio.PipeImpLevelIdentification)
	if errors.Is(err, windows.ERROR_FILE_NOT_FOUND) {
		return nil, fmt.Errorf("%w: %w", ErrNotRunning, err)
	}
	if err != nil {
		return nil, err
	}
	if err := checkOwner(c, path, opts.ExpectSID); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// checkOwner reads the owner through the connection's own handle, so that the
// pipe that was judged is the pipe that is used. Because no user may create
// instances of the agent's pipe, the owner of the pipe is the server.
func checkOwner(c net.Conn, path string, expect []string) error {
	h, err := handle(c)
	if err != nil {
		return err
	}
	sd, err := windows.GetSecurityInfo(h, windows.SE_KERNEL_OBJECT, windows.OWNER_SECURITY_INFORMATION)
	if err != nil {
		return fmt.Errorf("%w: owner of %s: %w", ErrNoIdentity, path, err)
	}
	owner, _, err := sd.Owner()
	if err != nil {
		return fmt.Errorf("%w: owner of %s: %w", ErrNoIdentity, path, err)
	}
	self, err := ownToken()
	if err != nil {
		return err
	}
	if !ownerAllowed(owner.String(), strings.TrimPrefix(path, pipePrefix), self.sid, expect) {
		return fmt.Errorf("%w: %s belongs to %s", ErrForeignOwner, path, owner)
	}
	return nil
}
