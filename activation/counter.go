package activation

// A state in files can be put back from an older copy: a backup, a snapshot, or
// somebody who released the license and wants it back. On line the device chain
// shows that at the first contact. A counter outside the files shows it at the
// next start, without a contact.
//
// The state remembers which value of the counter it belongs to. Each answer of
// the merchant writes the state with the next value and then counts, in this
// order: a crash between the two leaves a state that is one ahead, which nothing
// but such a crash can make, and the next start counts. A state that is behind
// was put back.
//
// What follows is what the chain makes of it: the license is contested. It goes
// on until renew-by, without grace, and the next answer or a rebind settles it.
// A restored backup is usually honest.

// Counter is a counter that only grows and that no file operation sets back.
type Counter struct {
	// Read returns the present value, Bump adds one and returns the new value.
	// Both are nil where there is no counter. They are called rarely (at a start,
	// after an answer) and may take half a second.
	Read, Bump func() (int64, error)
}

// witness compares state and counter at a start, books in c what follows and
// returns the records of a state that was put back. The caller holds the lock. A
// counter that cannot be read proves nothing now; the next start asks again.
func (l *Lifecycle) witness(c *Change) (putBack []Record) {
	if l.cfg.Counter.Read == nil {
		return nil
	}
	n, err := l.cfg.Counter.Read()
	if err != nil {
		return nil
	}
	l.count = n
	v := l.snap.Load()
	was := v.clock.Count
	if was == n+1 { // a crash came between writing and counting
		l.catchUp(was)
		return nil
	}
	c.Clock.Count = n
	if was == n {
		return nil
	}
	for _, e := range v.entries {
		if len(e.rec.License) == 0 {
			continue
		}
		rec := e.rec
		for _, changed := range c.Put {
			if changed.Key == rec.Key {
				rec = changed
			}
		}
		rec.Contested = true
		c.put(rec)
		putBack = append(putBack, rec)
	}
	return putBack
}

// nextCount is the value that the state of an answer is written with. Where
// counting has failed so far it stays, so that the state is never ahead by more
// than the one step that a start can explain.
func (l *Lifecycle) nextCount(held int64) int64 {
	if l.cfg.Counter.Bump == nil || l.count == 0 {
		return held
	}
	if held == 0 { // the start could not write it down
		held = l.count
	}
	if l.catchUp(held); l.count != held {
		return held
	}
	return held + 1
}

// catchUp counts until the counter is where the state is, which is at most one
// step. An error leaves it for the next answer.
func (l *Lifecycle) catchUp(held int64) {
	if l.cfg.Counter.Bump == nil || l.count == 0 || held != l.count+1 {
		return
	}
	n, err := l.cfg.Counter.Read() // an earlier Bump may have counted, and its answer was lost
	if err != nil {
		return
	}
	if l.count = n; held != n+1 {
		return
	}
	if n, err = l.cfg.Counter.Bump(); err == nil {
		l.count = n
	}
}
