package localapi

import (
	"net"
	"net/http"
	"sync"
	"sync/atomic"
)

// connState is what http.Server.ConnState told us about a connection.
type connState struct {
	idle   atomic.Bool // kept open, nothing under way
	asked  atomic.Bool // a request has reached ServeHTTP
	closed bool        // guarded by limiter.mu
	serial uint64      // order of acceptance
}

// limiter is the listener that counts connections per user. For a connection
// over the limit it gives up the oldest one of the same user on which nothing
// happens, because a job of many processes with one kept connection each is
// normal use. When all are in use the new one waits for a place, unread, see
// queue.go; where too many wait it is answered with one sentence and closed.
type limiter struct {
	net.Listener
	identify func(net.Conn) (Caller, error)
	limits   Limits
	refused  func(code string)

	once      sync.Once
	closeErr  error
	receiving sync.Once
	arrived   chan arrival  // from the socket
	wake      chan struct{} // for Accept: ready or waiting has changed
	gone      chan struct{} // nobody calls Accept any more
	end       error         // why nothing comes from the socket any more; Accept's own

	mu      sync.Mutex
	users   map[string]map[*accepted]struct{}
	queues  map[string][]*accepted // those who wait, per user, in order of arrival
	ready   []*accepted            // those who have waited and go to Accept
	total   int
	waiting int
	serial  uint64
}

func newLimiter(ln net.Listener, s *Server) *limiter {
	return &limiter{
		Listener: ln, identify: s.cfg.Identify, limits: s.limits, refused: s.rejected.add,
		arrived: make(chan arrival), wake: make(chan struct{}, 1), gone: make(chan struct{}),
		users: map[string]map[*accepted]struct{}{}, queues: map[string][]*accepted{},
	}
}

// free says whether c can have a place, and whose it would be instead if all
// are taken; mu is held.
func (l *limiter) free(c Caller) (instead *accepted, ok bool) {
	mine := l.users[c.User]
	room := l.limits.Total
	if !c.Admin {
		room -= l.limits.Reserve
	}
	if len(mine) < l.limits.PerUser && l.total < room {
		return nil, true
	}
	instead = oldestIdle(mine)
	return instead, instead != nil
}

// enter gives a a place if there is one; mu is held.
func (l *limiter) enter(a *accepted) bool {
	instead, ok := l.free(a.caller)
	if !ok {
		return false
	}
	if instead != nil {
		l.forget(instead)
		instead.Conn.Close() //nolint:errcheck // the connection is given up; there is nobody to tell
	}
	if l.users[a.caller.User] == nil {
		l.users[a.caller.User] = map[*accepted]struct{}{}
	}
	l.users[a.caller.User][a] = struct{}{}
	l.total++
	return true
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
	a.owner.next()
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
	a, ok := c.(*accepted)
	if !ok {
		return
	}
	a.state.idle.Store(s == http.StateIdle)
	if s == http.StateIdle {
		a.owner.mu.Lock()
		a.owner.next()
		a.owner.mu.Unlock()
	}
}
