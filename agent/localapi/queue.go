package localapi

import (
	"errors"
	"net"
	"slices"
	"time"

	"licenseagent.example/agent/api"
)

// A job of 500 processes that ask at the same moment, and the programs whose
// connections have piled up at the socket while the agent was started anew, are
// normal use by one user with few places. Connections over his share wait here
// for one, accepted and unread: each costs a descriptor and a timer, and their
// number is bounded per user and in all. Before, they were told "busy": 22 of
// 472 checks in an upgrade on a machine under load, 466 of 500 at once.

// arrival is what the socket gave.
type arrival struct {
	conn net.Conn
	err  error
}

// receive hands what the socket gives to Accept, which also waits for places,
// until the socket is closed.
func (l *limiter) receive() {
	for {
		c, err := l.Listener.Accept()
		select {
		case l.arrived <- arrival{c, err}:
		case <-l.gone:
			if err == nil {
				l.turnAway(c, api.CodeBusy)
			}
		}
		if errors.Is(err, net.ErrClosed) {
			return
		}
	}
}

// Accept returns the next connection that has an identity and a place. Once
// the socket is closed it goes on with those who wait, and then tells so.
func (l *limiter) Accept() (net.Conn, error) {
	l.receiving.Do(func() { go l.receive() })
	for {
		a, more := l.take()
		if a != nil {
			return a, nil
		}
		if l.end != nil && !more {
			return nil, l.end
		}
		select {
		case <-l.wake:
		case v := <-l.arrived:
			switch {
			case errors.Is(v.err, net.ErrClosed):
				l.end = v.err
			case v.err != nil: // too many files, say: net/http waits a little and asks again
				return nil, v.err
			default:
				if a := l.admit(v.conn); a != nil {
					return a, nil
				}
			}
		}
	}
}

// admit returns c with a place, or nil when it has to wait or was turned away.
func (l *limiter) admit(c net.Conn) *accepted {
	caller, err := l.identify(c)
	if err != nil || caller.User == "" {
		l.turnAway(c, api.CodeNoIdentity)
		return nil
	}
	l.mu.Lock()
	l.serial++
	a := &accepted{Conn: c, caller: caller, owner: l}
	a.state.serial = l.serial
	entered := len(l.queues[caller.User]) == 0 && l.enter(a)
	busy := !entered && !l.queue(a)
	l.mu.Unlock()
	if busy {
		l.turnAway(c, api.CodeBusy)
	}
	if !entered {
		return nil
	}
	return a
}

// queue lets a wait for a place, or says that too many do; mu is held. The
// time is that of a whole request: who waits longer is told "busy" by then.
func (l *limiter) queue(a *accepted) bool {
	line := l.queues[a.caller.User]
	if l.waiting >= l.limits.Queue || len(line) >= l.limits.QueuePerUser {
		return false
	}
	l.queues[a.caller.User] = append(line, a)
	l.waiting++
	a.patience = time.AfterFunc(l.limits.Request, func() {
		l.mu.Lock()
		late := l.dequeue(a)
		l.mu.Unlock()
		if late {
			l.turnAway(a.Conn, api.CodeBusy)
		}
	})
	return true
}

// dequeue takes a out of its queue; false when it is in none any more. mu is held.
func (l *limiter) dequeue(a *accepted) bool {
	line := l.queues[a.caller.User]
	at := slices.Index(line, a)
	if at < 0 {
		return false
	}
	a.patience.Stop()
	l.waiting--
	if line = slices.Delete(line, at, at+1); len(line) > 0 {
		l.queues[a.caller.User] = line
	} else {
		delete(l.queues, a.caller.User)
	}
	select {
	case l.wake <- struct{}{}:
	default: // it will look
	}
	return true
}

// next gives the places that are free to those who wait, first to the user who
// has the fewest: whoever queues hundreds of connections comes after a user
// who has one. mu is held.
func (l *limiter) next() {
	for l.waiting > 0 {
		var first *accepted
		for user, line := range l.queues {
			if _, ok := l.free(line[0].caller); !ok {
				continue
			}
			if a := line[0]; first == nil || len(l.users[user]) < len(l.users[first.caller.User]) ||
				len(l.users[user]) == len(l.users[first.caller.User]) && a.state.serial < first.state.serial {
				first = a
			}
		}
		if first == nil || !l.enter(first) {
			return
		}
		l.ready = append(l.ready, first)
		l.dequeue(first)
	}
}

// take returns the first who has a place after having waited, or says whether somebody still waits.
func (l *limiter) take() (a *accepted, more bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.ready) > 0 {
		a, l.ready = l.ready[0], l.ready[1:]
	}
	return a, l.waiting > 0
}

// dismiss ends the waiting of all.
func (l *limiter) dismiss() {
	var all []*accepted
	l.mu.Lock()
	for _, line := range l.queues {
		all = append(all, line...)
	}
	for _, a := range all {
		l.dequeue(a)
	}
	l.mu.Unlock()
	for _, a := range all {
		l.turnAway(a.Conn, api.CodeBusy)
	}
}

// abandon is called when nobody calls Accept any more.
func (l *limiter) abandon() {
	close(l.gone)
	l.dismiss()
	for a, _ := l.take(); a != nil; a, _ = l.take() {
		a.Close() //nolint:errcheck // it is given up; there is nobody to tell
	}
}
