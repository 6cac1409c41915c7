package activation

import "sync/atomic"

// usePlan is the contact that the first check of a calendar day asks for, so
// that the merchant, and the marketplace behind it, learn about a day of use
// while it lasts. It lives in memory: the day itself is on disk with the next
// tick, and is told with the next contact whatever happens.
type usePlan struct {
	told    atomic.Int64 // newest calendar day whose first check has planned a contact
	at      atomic.Int64 // when that contact is due, 0: none is
	instead atomic.Int64 // the regular contact in whose place it comes
}

// mark remembers the day of a check without a write to disk; Tick writes it.
func (l *Lifecycle) mark(e *entry, now int64) {
	day := dayOf(now, e.rec.calendar())
	if e.used.Load() == day {
		return
	}
	e.used.Store(day)
	e.plan.mark(l.uniform, now, day, dayEnd(now, e.rec.calendar()), e.rec.NextTry)
}

// mark plans the contact of a calendar day at its first check, in place of the
// regular one at next.
func (p *usePlan) mark(rand func() float64, now, day, dayEnd, next int64) {
	if told := p.told.Load(); told < day && p.told.CompareAndSwap(told, day) {
		p.instead.Store(next)
		p.at.Store(UseContact(rand, now, dayEnd))
	}
}

// planned continues the plan of an entry: until an answer it is the same; after
// one it starts anew, unless the machine was used while the request was under
// way. A start finds a day with a contact and nothing left to tell as told, and
// the days of another calendar have nothing to do with those before.
func (l *Lifecycle) planned(rec Record, was *entry) *usePlan {
	switch {
	case was == nil:
		p := new(usePlan)
		if rec.Contact > 0 && len(rec.Days) == 0 {
			p.told.Store(dayOf(rec.Contact, rec.calendar()))
		}
		return p
	case was.rec.Contact == rec.Contact:
		return was.plan
	case was.rec.calendar() != rec.calendar():
		return new(usePlan)
	}
	return was.plan.answered(len(rec.Days) > 0)
}

// answered is the plan after an answer; untold: there are days of use that the
// request did not carry.
func (p *usePlan) answered(untold bool) *usePlan {
	next := new(usePlan)
	next.told.Store(p.told.Load())
	if untold {
		next.at.Store(p.at.Load())
	}
	return next
}

// nextContact is when an entry is to be renewed, 0 for never.
func (e *entry) nextContact(now int64) int64 {
	renewBy := int64(0)
	if e.claims != nil {
		renewBy = e.claims.RenewBy
	}
	return e.plan.next(now, e.rec.NextTry, renewBy, e.rec.Failures)
}

// next is the contact that comes first: the planned one or the regular one. The
// contact of a day of use takes the place of the regular one, so that a machine
// in use makes one a day; it puts off neither a license that is about to need its
// renewal, nor a pause after a failure, nor a contact that was planned since.
func (p *usePlan) next(now, regular, renewBy int64, failures int) int64 {
	at := p.at.Load()
	switch {
	case regular == 0 || at == 0 || failures > 0:
		return regular
	case regular == p.instead.Load() && renewBy-now > 2*ContactEvery:
		return at
	}
	return min(regular, at)
}
