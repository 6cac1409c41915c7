package localapi

import (
	"context"
	"net"
	"time"

	"licenseagent.example/platform/ipc"
)

// FromKernel is the Config.Identify of the product: the identity that package
// ipc got from the kernel when the connection was made. adminGroups are the
// group ids whose members may change things, beside root and the agent's own
// user.
func FromKernel(adminGroups []uint32) func(net.Conn) (Caller, error) {
	return func(c net.Conn) (Caller, error) {
		id, ok := ipc.IdentityFrom(c)
		if !ok {
			return Caller{}, ipc.ErrNoIdentity
		}
		return Caller{User: id.Subject(), Admin: id.Admin(adminGroups), PID: id.PID}, nil
	}
}

// Caller is who is on the other side of a connection, as the kernel says.
type Caller struct {
	// User is one short text per account, "uid:1000" or a Windows SID. Two
	// callers with the same text share their limits. Empty means that there is
	// no identity: the connection is refused.
	User string
	// Admin says that this user may change things: root or SYSTEM, the user
	// the agent runs as, or a member of its administrators group.
	Admin bool
	// PID is for the log only: a descriptor can be handed on and a process
	// can replace itself, so nothing is decided by it. 0 when unknown.
	PID int
}

// callerKey is the context key of a connection's *accepted.
type callerKey struct{}

// accepted is a connection that passed the limiter.
type accepted struct {
	net.Conn
	caller   Caller
	owner    *limiter
	state    connState
	patience *time.Timer // ends the wait for a place; nil for who has not waited
}

// withConn is http.Server.ConnContext: it hands the identity to the requests.
func withConn(ctx context.Context, c net.Conn) context.Context {
	if a, ok := c.(*accepted); ok {
		return context.WithValue(ctx, callerKey{}, a)
	}
	return ctx
}

// callerOf returns the identity of the connection that a request came on; ok
// is false when there is none, and then the request must be refused.
func callerOf(ctx context.Context) (Caller, bool) {
	a, ok := ctx.Value(callerKey{}).(*accepted)
	if !ok || a.caller.User == "" {
		return Caller{}, false
	}
	return a.caller, true
}
