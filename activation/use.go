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
	day := l.day(now)
	if e.used.Load() == day {
		return
	}
	e.used.Store(day)
	if told := e.plan.told.Load(); told < day && e.plan.told.CompareAndSwap(told, day) {
		e.plan.instead.Store(e.rec.NextTry)
		e.plan.at.Store(UseContact(l.uniform, now, l.dayEnd(now)))
	}
}

// planned continues the plan of an entry: until an answer it is the same; after
// one it starts anew, unless the machine was used while the request was under
// way. A start finds a day with a contact and nothing left to tell as told.
func (l *Lifecycle) planned(rec Record, was *entry) *usePlan {
	p := new(usePlan)
	switch {
	case was == nil:
		if rec.Contact > 0 && len(rec.Days) == 0 {
			p.told.Store(l.day(rec.Contact))
		}
	case was.rec.Contact == rec.Contact:
		return was.plan
	default:
		p.told.Store(was.plan.told.Load())
		if len(rec.Days) > 0 {
			p.at.Store(was.plan.at.Load())
		}
	}
	return p
}

// nextContact is when an entry is to be renewed, 0 for never. The contact of a
// day of use takes the place of the regular one, so that a machine in use makes
// one a day; it puts off neither a license that is about to need its renewal,
// nor a pause after a failure, nor a contact that was planned since.
func (e *entry) nextContact(now int64) int64 {
	next, at := e.rec.NextTry, e.plan.at.Load()
	switch {
	case next == 0 || at == 0 || e.rec.Failures > 0:
		return next
	case next == e.plan.instead.Load() && e.claims != nil && e.claims.RenewBy-now > 2*ContactEvery:
		return at
	}
	return min(next, at)
}

// dayEnd is the first instant of the next calendar day.
func (l *Lifecycle) dayEnd(now int64) int64 {
	const day = 86400
	// Midnight is where the day's number changes: at most a day and, where the
	// calendar's offset changes, an hour or two away.
	end := now - now%900 + 900
	for l.day(end) == l.day(now) && end-now < 2*day {
		end += 900
	}
	return end
}
