package localapi

import (
	"context"
	"time"
)

// drainFor bounds how long callers that connect and say nothing can hold up the
// end of the agent: as long as one after the other asks, the next ones have
// that time as well, in all no longer than headers may take.
const drainFor = 300 * time.Millisecond

// drainStep is how often it is looked whether all have asked.
const drainStep = time.Millisecond

// drain stops accepting and waits until the first request of each accepted
// connection has arrived. Without it http.Server.Shutdown hangs up on them
// without an answer: net/http gives up a connection whose request it has read
// after the shutdown began (conn.serve asks shuttingDown), and no client may
// repeat a request on a connection that was never used. Seen as one lost check
// in some upgrades under load. Connections that wait in the queue of a socket
// that the service manager holds are the next process's.
func (s *Server) drain(ctx context.Context) {
	s.closing.Store(true)
	l := s.limiter.Load()
	if l == nil {
		return
	}
	l.Close()         //nolint:errcheck // Shutdown reports it again
	defer l.dismiss() // who has no place by now gets none
	ctx, cancel := context.WithTimeout(ctx, s.limits.Header)
	defer cancel()
	tick := time.NewTicker(drainStep)
	defer tick.Stop()
	patience := time.NewTimer(s.patience)
	defer patience.Stop()
	least := l.silent()
	for least > 0 {
		select {
		case <-ctx.Done():
			return
		case <-patience.C:
			return
		case <-tick.C:
		}
		if n := l.silent(); n < least {
			least = n
			patience.Reset(s.patience)
		}
	}
}

// asked notes that a request of the connection has reached the handler.
func asked(ctx context.Context) {
	if a, ok := ctx.Value(callerKey{}).(*accepted); ok {
		a.state.asked.Store(true)
	}
}

// silent counts the connections on which no request has arrived yet, with those
// that wait for a place.
func (l *limiter) silent() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.waiting
	for _, mine := range l.users {
		for a := range mine {
			if !a.state.asked.Load() {
				n++
			}
		}
	}
	return n
}

// Close closes the listener once: drain does it before net/http.
func (l *limiter) Close() error {
	l.once.Do(func() { l.closeErr = l.Listener.Close() })
	return l.closeErr
}
