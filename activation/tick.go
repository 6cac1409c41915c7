package activation

import (
	"slices"

	"licenseagent.example/fingerprint"
)

// Due is what has to be done next. All instants are effective time.
type Due struct {
	Now     int64
	At      int64 // when to ask again at the latest
	Tick    bool  // call Tick now
	Contact []Key // call Renew for these now
}

// farNext is further ahead than any contact is ever planned (a day and a tenth,
// or twice the longest Retry-After). A plan beyond it was made while the clock
// was wrong and must not silence the agent until then.
const farNext = 3 * 86400

// Due says what is to be done now and when to ask again. The caller's loop is:
// Due, do it, sleep until At or until something wakes it (a suspend, a request).
// Verdicts that time alone has changed are told through OnChange here.
func (l *Lifecycle) Due() Due {
	l.changed()
	v := l.snap.Load()
	r := l.cfg.Clock()
	now, _ := v.clock.Believe(r)
	left := v.clock.left(r)
	d := Due{Now: now, At: now + max(left, 1), Tick: left <= 0}
	for _, e := range v.entries {
		if t := e.nextContact(now); t > 0 {
			if t <= now || t > now+farNext {
				d.Contact = append(d.Contact, e.rec.Key)
			} else {
				d.At = min(d.At, t)
			}
		}
		if t := Decide(l.inputs(v, e, r)).Until; t > now {
			d.At = min(d.At, t)
		}
	}
	return d
}

// left is how many seconds of boot time remain until the next tick.
func (s ClockState) left(r Reading) int64 {
	if !s.sameBoot(r) || s.HighWater == 0 {
		return 0
	}
	if !s.tickedIn(r) {
		return TickBehind - r.Boot
	}
	return min(s.Every, s.Interval(r)) - (r.Boot - s.Boot)
}

// ticked is the change of a tick: the clock, and the days with a check that are
// not written down yet.
func (l *Lifecycle) ticked() Change {
	v := l.snap.Load()
	clock := v.clock.Tick(l.cfg.Clock())
	c := Change{Clock: &clock}
	for _, e := range v.entries {
		d := e.used.Load()
		if d == 0 || slices.Contains(e.rec.Days, dayText(d)) {
			continue
		}
		rec := e.rec
		rec.Days = l.usedDays(v, rec)
		c.put(rec)
	}
	return c
}

// Tick writes the time and the days of use, and reports verdicts that time has
// changed. Errors wrap ErrStore; what is held goes on answering.
func (l *Lifecycle) Tick() error {
	defer l.changed()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.ready(); err != nil {
		return err
	}
	return l.apply(l.ticked())
}

// Stop is the last Tick of an orderly stop. Errors wrap ErrStore.
func (l *Lifecycle) Stop() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.ready(); err != nil {
		return err
	}
	c := l.ticked()
	clock := l.snap.Load().clock.Stop(l.cfg.Clock())
	c.Clock = &clock
	return l.apply(c)
}

// Observed reads the hardware and books one debounce step for each license.
// Call it daily and when hardware may have changed. Errors wrap ErrStore.
func (l *Lifecycle) Observed() error {
	defer l.changed()
	l.observed.Lock()
	defer l.observed.Unlock()
	return l.book(l.look())
}

// Reread reads the hardware for a program that reads another machine than the
// license's, while the newest observation here may be hours old: the proof it asks
// for next must not be older than its own reading. Programs that ask at the same
// moment share one read, and a read that finds what is known is not written down,
// so that nobody makes the agent write by asking. Errors wrap ErrStore.
func (l *Lifecycle) Reread() error {
	before := l.looks.Load()
	defer l.changed()
	l.observed.Lock()
	defer l.observed.Unlock()
	if l.looks.Load() != before {
		return nil // it began after this was called
	}
	device := l.look()
	if !slices.ContainsFunc(l.snap.Load().entries, func(e *entry) bool {
		return e.claims != nil && !slices.Equal(compare(e.claims, device).Parts, e.cmp.Parts)
	}) {
		return nil
	}
	return l.book(device)
}

// look reads the hardware, with the lock observed held.
func (l *Lifecycle) look() fingerprint.Device {
	l.looks.Add(1)
	device := l.cfg.Observe()
	if l.surprising(device) {
		device = l.cfg.Observe()
	}
	return device
}

// book publishes an observation, also when nothing can be stored, and writes down
// one debounce step for each license.
func (l *Lifecycle) book(device fingerprint.Device) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.publish(l.snap.Load().state(), &device)
	if err := l.ready(); err != nil {
		return err
	}
	v := l.snap.Load()
	now, _ := v.clock.Believe(l.cfg.Clock())
	var c Change
	for _, e := range v.entries {
		rec := e.rec
		if e.read(&rec, now); rec.Worse != e.rec.Worse {
			c.put(rec)
		}
	}
	if len(c.Put) == 0 {
		return nil
	}
	t := l.ticked()
	c.Clock = t.Clock
	return l.apply(c)
}

// surprising says whether an observation would stop a license at once that did
// not stand so before. Nothing waits for a third read then, so it is worth a
// second one: most bad reads do not repeat.
func (l *Lifecycle) surprising(d fingerprint.Device) bool {
	return slices.ContainsFunc(l.snap.Load().entries, func(e *entry) bool {
		return e.claims != nil && !stopsAtOnce(e.cmp) && stopsAtOnce(compare(e.claims, d))
	})
}

// stopsAtOnce is the case of deviceRule that has no debounce.
func stopsAtOnce(c fingerprint.Comparison) bool { return !c.StrongMatch && c.StrongChanged }

// read books the newest read of the hardware: one step of the debounce, and the
// contact that is due at once when a virtual machine has lost the one made-up
// value that it was held by, because the merchant takes the new one over there.
// It says whether that is the case. Only the first such read does that, or one
// of an agent that was stopped before it could ask: a restart must not trigger a
// contact, and a license that has ended has none.
func (e *entry) read(rec *Record, now int64) (ask bool) {
	if e.claims == nil {
		return false
	}
	first := rec.Worse.Reads == 0 || rec.NextTry <= now && rec.Failures == 0
	rec.Worse = rec.Worse.After(e.cmp, now)
	if !first || rec.NextTry == 0 || !enrolled(e.claims).Remade(e.cmp) {
		return false
	}
	rec.NextTry = min(rec.NextTry, now)
	return true
}
