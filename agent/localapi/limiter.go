package localapi

import (
	"net"
	"net/http"
	"sync"
	"sync/atomic"

	"licenseagent.example/agent/api"
)

// connState is what http.Server.ConnState told us about a connection.
type connState struct {
	idle   atomic.Bool // kept open, nothing under way
	asked  atomic.Bool // a request has reached ServeHTTP
	closed bool        // guarded by limiter.mu
	serial uint64      // order of acceptance
}

// limiter is the listener that counts connections per user. It answers a
// connection over the limit with one sentence and closes it; before that it
// gives up the oldest connection of the same user on which nothing happens,
// because a job of many processes with one kept connection each is normal use.
type limiter struct {
	net.Listener
	identify func(net.Conn) (Caller, error)
	limits   Limits
	refused  func(code string)

	once     sync.Once
	closeErr error

	mu     sync.Mutex
	users  map[string]map[*accepted]struct{}
	total  int
	serial uint64
}

// Accept returns the next connection that has an identity and a place.
func (l *limiter) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		caller, err := l.identify(c)
		if err != nil || caller.User == "" {
			l.turnAway(c, api.CodeNoIdentity)
			continue
		}
		if a := l.admit(c, caller); a != nil {
			return a, nil
		}
		l.turnAway(c, api.CodeBusy)
	}
}

// admit gives c a place, or returns nil.
func (l *limiter) admit(c net.Conn, caller Caller) *accepted {
	l.mu.Lock()
	defer l.mu.Unlock()
	mine := l.users[caller.User]
	room := l.limits.Total
	if !caller.Admin {
		room -= l.limits.Reserve
	}
	if len(mine) >= l.limits.PerUser || l.total >= room {
		oldest := oldestIdle(mine)
		if oldest == nil {
			return nil
		}
		l.forget(oldest)
		oldest.Conn.Close() //nolint:errcheck // the connection is given up; there is nobody to tell
	}
	l.serial++
	a := &accepted{Conn: c, caller: caller, owner: l}
	a.state.serial = l.serial
	if l.users[caller.User] == nil {
		l.users[caller.User] = map[*accepted]struct{}{}
	}
	l.users[caller.User][a] = struct{}{}
	l.total++
	return a
}

func oldestIdle(of map[*accepted]struct{}) *accepted {
	var oldest *accepted
	for a := range of {
		if a.state.idle.Load() && (oldest == nil || a.state.serial < oldest.state.serial) {
			oldest = a
		}
	}
	return oldest
}

// forget takes a off the books; the caller holds mu.
func (l *limiter) forget(a *accepted) {
	if a.state.closed {
		return
	}
	a.state.closed = true
	l.total--
	mine := l.users[a.caller.User]
	delete(mine, a)
	if len(mine) == 0 {
		delete(l.users, a.caller.User)
	}
}

// leave gives the place back and leaves the connection open: somebody else
// counts it from now on.
func (a *accepted) leave() {
	a.owner.mu.Lock()
	a.owner.forget(a)
	a.owner.mu.Unlock()
}

// Close closes the connection and gives its place back, once.
func (a *accepted) Close() error {
	a.leave()
	return a.Conn.Close()
}

// CloseWrite lets net/http end its half of the conversation after an error, so
// that the peer reads the answer and not a reset.
func (a *accepted) CloseWrite() error {
	if half, ok := a.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// turnAway answers without reading. The text fits into any socket buffer, so
// the write cannot block on a peer that does not read.
func (l *limiter) turnAway(c net.Conn, code string) {
	l.refused(code)
	c.Write(cannedReply(code)) //nolint:errcheck // best effort: the connection is closed either way
	c.Close()                  //nolint:errcheck // nothing can be done about it
}

// open returns the number of connections and of users that hold them.
func (l *limiter) open() (connections, users int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total, len(l.users)
}

// noteState is http.Server.ConnState.
func noteState(c net.Conn, s http.ConnState) {
	if a, ok := c.(*accepted); ok {
		a.state.idle.Store(s == http.StateIdle)
	}
}
