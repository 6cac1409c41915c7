// Package seats counts the concurrent uses of each license on this machine. It
// is a table in memory with a queue: who holds a seat, who waits, whose turn it
// is. It knows neither sockets nor processes; whoever holds a Held for a caller
// ends it when the caller is gone. What must outlive the agent goes through
// Config.Append as lines of text. It is not stable API.
package seats

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"

	"licenseagent.example/activation"
)

var (
	// ErrTaken is returned by Take when every seat is taken and the time in the
	// queue is over.
	ErrTaken = errors.New("seats: all are taken")
	// ErrNoLicense is returned by Take when the license stopped running while
	// the caller waited.
	ErrNoLicense = errors.New("seats: the license does not run")
	// ErrTooMany is returned by Take when one seat has too many holders, or the
	// queue is full.
	ErrTooMany = errors.New("seats: too many connections")
)

const (
	// maxHolders bounds the connections that share one seat.
	maxHolders = 64
	// maxWaiting bounds the queue of one license.
	maxWaiting = 1024
)

// Claim is who asks for a seat of which license.
type Claim struct {
	Key     activation.Key `json:"key"`
	Account string         `json:"account"`        // who the kernel says is asking
	User    string         `json:"user,omitempty"` // the named user; "": the process is counted
	PID     int            `json:"pid,omitempty"`
	Birth   string         `json:"birth,omitempty"` // tells the process from others of the same number; "": unknown
}

// counted names what a seat is counted for. Two claims with the same name share
// a seat. Named users of two accounts are two: nobody may crowd another
// account's seat. A process that the kernel does not tell apart is counted for
// each connection: id.
func (c Claim) counted(id string) string {
	switch {
	case c.User != "":
		return "user " + c.Account + " " + c.User
	case c.Birth != "":
		return "process " + strconv.Itoa(c.PID) + " " + c.Birth
	default:
		return "holder " + id
	}
}

// Holder is one connection that holds a seat.
type Holder struct {
	Claim
	ID       string `json:"id"`
	Seat     string `json:"seat"` // holders with the same Seat share it
	Since    int64  `json:"since"`
	Detached bool   `json:"-"` // known from an earlier run of the agent, not yet by a connection
}

// Count is the state of the seats of one license.
type Count struct {
	Total, Used, Waiting, Peak int64
}

// Config is everything a Table needs. Now must be set.
type Config struct {
	Now func() int64 // UTC seconds, for Holder.Since
	// Start makes the ids of two runs different.
	Start string
	// Append and Replace keep lines for the next start; nil: nothing outlives
	// the agent. Failed is told what could not be kept; the seat is granted all
	// the same.
	Append  func(line []byte) error
	Replace func(lines [][]byte) error
	Failed  func(error)
	// Short is called, without locks held, when somebody found all seats taken.
	Short func(activation.Key, Count)
}

// Table is the seats of one instance. All methods are safe for concurrent use.
type Table struct {
	cfg Config

	mu     sync.Mutex
	pools  map[activation.Key]*pool
	ids    uint64
	lines  int  // appended since the last Replace
	behind bool // something could not be kept: Replace has to
}

// pool is the seats of one license.
type pool struct {
	total, peak, later int64
	seats              map[string]*seat // by what they are counted for
	queue              []*waiter        // in order of arrival
}

type seat struct {
	id      string
	account string
	holders map[*Held]struct{}
}

type waiter struct {
	claim Claim
	done  chan struct{} // closed when held or err is set
	held  *Held
	err   error
}

// Held is a seat in somebody's hand.
type Held struct {
	Holder
	table  *Table
	ended  bool   // guarded by table.mu
	onLost func() // guarded by table.mu
}

// New makes a table. lines are what Append and Replace kept in the last run of
// the same boot; their holders are returned detached, each to be held again by
// whoever can tell that it lives, or ended.
func New(cfg Config, lines [][]byte) (*Table, []*Held) {
	t := &Table{cfg: cfg, pools: map[activation.Key]*pool{}}
	back := t.restore(lines)
	return t, back
}

// Take gives a seat of a license with total seats. When all are taken it waits
// in the queue until ctx ends: accounts that hold fewer seats come first, and
// among them who came first. Errors: ErrTaken, ErrNoLicense, ErrTooMany.
func (t *Table) Take(ctx context.Context, c Claim, total int64) (*Held, Count, error) {
	t.mu.Lock()
	p := t.pool(c.Key)
	p.total = total
	if s := p.seats[c.counted("")]; s != nil {
		h, err := t.join(p, s, c)
		n := p.count()
		t.mu.Unlock()
		return h, n, err
	}
	w := &waiter{claim: c, done: make(chan struct{})}
	p.queue = append(p.queue, w)
	t.serve(p)
	if w.held != nil {
		n := p.count()
		t.mu.Unlock()
		return w.held, n, nil
	}
	if len(p.queue) > maxWaiting {
		p.leave(w)
		t.mu.Unlock()
		return nil, Count{}, ErrTooMany
	}
	n := p.count()
	t.mu.Unlock()
	if t.cfg.Short != nil {
		t.cfg.Short(c.Key, n)
	}
	select {
	case <-w.done:
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-w.done: // the turn may have come at the same moment
		return w.held, p.count(), w.err
	default:
		p.leave(w)
		return nil, p.count(), ErrTaken
	}
}

// join adds a holder to a seat that is taken already. What an earlier run of
// the agent knew of the same process is this caller: it goes. mu is held.
func (t *Table) join(p *pool, s *seat, c Claim) (*Held, error) {
	for h := range s.holders {
		if h.Detached && h.PID == c.PID && h.Birth == c.Birth {
			t.drop(s, h)
		}
	}
	if len(s.holders) >= maxHolders {
		return nil, ErrTooMany
	}
	return t.hold(p, s, c), nil
}

// hold makes a holder of a seat of p; mu is held.
func (t *Table) hold(p *pool, s *seat, c Claim) *Held {
	t.ids++
	h := &Held{Holder: Holder{Claim: c, ID: t.cfg.Start + "-" + strconv.FormatUint(t.ids, 10), Since: t.cfg.Now()}, table: t}
	if s.id == "" {
		s.id = h.ID
	}
	h.Seat = s.id
	s.holders[h] = struct{}{}
	p.seats[c.counted(h.ID)] = s // before it is kept, because that may write all anew
	t.keep(entry{Take: &h.Holder})
	return h
}

// serve gives free seats to those who wait; mu is held.
func (t *Table) serve(p *pool) {
	for int64(len(p.seats)) < p.total && len(p.queue) > 0 {
		w := p.next()
		p.leave(w)
		s := &seat{account: w.claim.Account, holders: map[*Held]struct{}{}}
		w.held = t.hold(p, s, w.claim)
		name := w.claim.counted(w.held.ID)
		close(w.done)
		if used := int64(len(p.seats)); used > p.peak {
			p.peak = used
			t.keep(entry{Peak: &peak{Key: w.claim.Key, N: used}})
		}
		p.later = max(p.later, int64(len(p.seats)))
		// Others of the same process or user share the seat at once.
		for _, other := range slices.Clone(p.queue) {
			if other.claim.counted("") == name {
				p.leave(other)
				other.held, other.err = t.join(p, s, other.claim)
				close(other.done)
			}
		}
	}
}

// next is whose turn it is.
func (p *pool) next() *waiter {
	if len(p.queue) == 1 {
		return p.queue[0]
	}
	holds := map[string]int{}
	for _, s := range p.seats {
		holds[s.account]++
	}
	best := p.queue[0]
	for _, w := range p.queue[1:] {
		if holds[w.claim.Account] < holds[best.claim.Account] {
			best = w
		}
	}
	return best
}

func (p *pool) leave(w *waiter) {
	if i := slices.Index(p.queue, w); i >= 0 {
		p.queue = slices.Delete(p.queue, i, i+1)
	}
}

func (p *pool) count() Count {
	return Count{Total: p.total, Used: int64(len(p.seats)), Waiting: int64(len(p.queue)), Peak: p.peak}
}

func (t *Table) pool(k activation.Key) *pool {
	p := t.pools[k]
	if p == nil {
		p = &pool{seats: map[string]*seat{}}
		t.pools[k] = p
	}
	return p
}

// OnLost sets what is called, in a goroutine of its own, when the table itself
// ends the holder because the license does not run any more or because the same
// process asked anew. It is called at once when that has happened already.
func (h *Held) OnLost(f func()) {
	h.table.mu.Lock()
	h.onLost = f
	ended := h.ended
	h.table.mu.Unlock()
	if ended {
		f()
	}
}

// End gives the holder's share back. Ending twice is no error.
func (h *Held) End() {
	t := h.table
	t.mu.Lock()
	defer t.mu.Unlock()
	if h.ended {
		return
	}
	h.onLost = nil
	p, name := t.pools[h.Key], h.counted(h.ID)
	s := p.seats[name]
	t.drop(s, h)
	if len(s.holders) == 0 {
		delete(p.seats, name)
	}
	t.serve(p)
}

// drop ends one holder; mu is held.
func (t *Table) drop(s *seat, h *Held) {
	delete(s.holders, h)
	h.ended = true
	t.keep(entry{End: h.ID})
	if h.onLost != nil {
		go h.onLost()
	}
}

// Revise tells how many seats each license has now; one that is not named has
// none: its holders lose their seats and those who wait are sent away. Fewer
// seats than holders take no seat away, but none is given until enough are back.
func (t *Table) Revise(totals map[activation.Key]int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k, p := range t.pools {
		p.total = totals[k]
		if p.total > 0 {
			t.serve(p)
			continue
		}
		for name, s := range p.seats {
			for h := range s.holders {
				t.drop(s, h)
			}
			delete(p.seats, name)
		}
		for _, w := range p.queue {
			w.err = ErrNoLicense
			close(w.done)
		}
		p.queue = nil
	}
}

// Counts is the state of each license of which a seat was ever asked for.
func (t *Table) Counts() map[activation.Key]Count {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make(map[activation.Key]Count, len(t.pools))
	for k, p := range t.pools {
		out[k] = p.count()
	}
	return out
}

// Count is the state of one license.
func (t *Table) Count(k activation.Key) Count {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.pools[k]; p != nil {
		return p.count()
	}
	return Count{}
}

// Holders lists who holds seats, the oldest first.
func (t *Table) Holders() []Holder {
	t.mu.Lock()
	var out []Holder
	for _, p := range t.pools {
		for _, s := range p.seats {
			for h := range s.holders {
				out = append(out, h.Holder)
			}
		}
	}
	t.mu.Unlock()
	slices.SortFunc(out, func(a, b Holder) int {
		if a.Since != b.Since {
			return int(a.Since - b.Since)
		}
		return compareIDs(a.ID, b.ID)
	})
	return out
}

// compareIDs orders ids of one run by their number.
func compareIDs(a, b string) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	if a < b {
		return -1
	}
	return 1
}

// Peak is the most seats of a license that were used at once since the last
// Told. A request that carries it calls Peak when it is made and Told when it
// was answered; what is used in between counts for the next one.
func (t *Table) Peak(k activation.Key) int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.pools[k]
	if p == nil {
		return 0
	}
	p.later = int64(len(p.seats))
	return p.peak
}

// Told says that the merchant has heard of the peak.
func (t *Table) Told(k activation.Key) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.pools[k]; p != nil && p.peak != p.later {
		p.peak = p.later
		t.keep(entry{Peak: &peak{Key: k, N: p.peak}})
	}
}

// String is for logs; it leaves the named user out.
func (h Holder) String() string {
	return fmt.Sprintf("%s/%s %s pid %d", h.Key.Issuer, h.Key.Product, h.Account, h.PID)
}
