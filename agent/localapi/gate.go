package localapi

import (
	"context"
	"sync"
	"time"
)

// gate shares the agent's work between users. At most `slots` requests run at
// the same time. While there is a free slot nobody is held up, whatever the
// rate: a job of 500 processes that start together is normal use. When there
// is none, waiting requests are served one user after the other; users who
// asked more than rate per second (bucket of burst) come after those who did
// not. One user can therefore slow down only himself.
type gate struct {
	now   func() time.Time
	slots int
	rate  float64
	burst float64

	mu      sync.Mutex
	running int
	waiting int
	users   map[string]*share
	ring    []*share // users with waiting requests, next first
}

// share is one user's account.
type share struct {
	user   string
	tokens float64
	at     time.Time
	queue  []*ticket
}

// ticket is one waiting request.
type ticket struct {
	go_  chan struct{}
	gone bool // the request gave up; guarded by gate.mu
}

// maxShares bounds the accounts that are kept; full buckets are dropped first.
const maxShares = 1024

func newGate(now func() time.Time, l Limits) *gate {
	return &gate{now: now, slots: l.Running, rate: l.Rate, burst: l.Burst, users: map[string]*share{}}
}

// enter waits for a turn. It returns false when ctx ended first; otherwise the
// caller must call leave.
func (g *gate) enter(ctx context.Context, user string) bool {
	g.mu.Lock()
	s := g.account(user)
	s.tokens--
	if g.running < g.slots && g.waiting == 0 {
		g.running++
		g.mu.Unlock()
		return true
	}
	t := &ticket{go_: make(chan struct{})}
	if len(s.queue) == 0 {
		g.ring = append(g.ring, s)
	}
	s.queue = append(s.queue, t)
	g.waiting++
	g.mu.Unlock()

	select {
	case <-t.go_:
		return true
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-t.go_: // the turn came at the same moment: give it to the next one
		g.next()
	default:
		t.gone = true
	}
	return false
}

// leave ends a turn.
func (g *gate) leave() {
	g.mu.Lock()
	g.next()
	g.mu.Unlock()
}

// next hands the slot of a finished request to a waiting one; mu is held.
func (g *gate) next() {
	for g.waiting > 0 {
		s := g.pick()
		t := s.queue[0]
		s.queue = s.queue[1:]
		g.waiting--
		if len(s.queue) > 0 {
			g.ring = append(g.ring, s)
		}
		if !t.gone {
			close(t.go_)
			return
		}
	}
	g.running--
}

// pick takes the first user in the ring who keeps within his rate, or else the first.
func (g *gate) pick() *share {
	at := 0
	for i, s := range g.ring {
		if s.tokens >= 0 {
			at = i
			break
		}
	}
	s := g.ring[at]
	g.ring = append(g.ring[:at], g.ring[at+1:]...)
	return s
}

// account returns the user's share with its bucket refilled; mu is held. The
// bucket never goes below one second's worth of debt, so that a user who
// stops is welcome again soon.
func (g *gate) account(user string) *share {
	now := g.now()
	s := g.users[user]
	if s == nil {
		if len(g.users) >= maxShares {
			g.drop(now)
		}
		s = &share{user: user, tokens: g.burst, at: now}
		g.users[user] = s
		return s
	}
	s.tokens = min(g.burst, max(s.tokens, -g.rate)+g.rate*max(0, now.Sub(s.at).Seconds()))
	s.at = now
	return s
}

// drop forgets the accounts of users who wait for nothing and whose bucket is full by now.
func (g *gate) drop(now time.Time) {
	for user, s := range g.users {
		if len(s.queue) == 0 && s.tokens+g.rate*now.Sub(s.at).Seconds() >= g.burst {
			delete(g.users, user)
		}
	}
}
