package activation

// Rhythm and limits of the time rule, in seconds.
const (
	// TickEvery is how often the time is written while nothing is suspicious.
	TickEvery = 300
	// TickBehind is how often it is written while the wall clock is behind, and
	// how much boot time must be on record before a positive answer then.
	TickBehind = 10
	// FarAhead is how far ahead of what is believed a wall clock may be before
	// it is provisional: two days cover a weekend switched off, while a BIOS
	// date of 2099 must not end a license for good.
	FarAhead = 48 * 3600
	// Agreement is how long a provisional clock must hold before it is believed.
	Agreement = 24 * 3600
	// MaxSlack is how much time power cuts may hide before ticks become as
	// frequent as behind; it keeps the whole gain below twice its value.
	MaxSlack = 300
	// MaxUntold is how old the last written tick of this boot may be while the
	// wall clock is behind: a full or read-only disk must not stop the clock.
	MaxUntold = 600
)

// Reading is one look at the clocks of the machine, in seconds.
type Reading struct {
	Wall   int64  // UTC
	Boot   int64  // since boot, suspend included (CLOCK_BOOTTIME, QueryInterruptTime): Go's own monotonic clock stops in suspend (golang/go#24595)
	BootID string // changes with each boot
}

// Believe is the effective time: the wall clock, but never earlier than the
// greatest time on record plus the boot time that has passed since. A
// high-water mark alone would count nothing against a stopped clock.
//
// Behind means that no positive answer may be given yet: the wall clock does
// not exceed the mark, and the boot time of this boot is not on record (or has
// not been for MaxUntold). Otherwise power cuts in quick succession would make
// time that never counts.
func (s ClockState) Believe(r Reading) (eff int64, ev ClockEvidence) {
	ev = ClockEvidence{Wall: r.Wall, HighWater: s.HighWater}
	if s.HighWater == 0 { // nothing on record: a first start
		return r.Wall, ev
	}
	base, wall := s.base(r), s.wall(r)
	ev.Provisional = wall > base+FarAhead
	ev.Behind = s.suspicious(r) && (!s.tickedIn(r) || r.Boot-s.Boot > MaxUntold)
	return max(wall, base), ev
}

// Tick is what to write down now, see Interval. It never writes a time that is
// only provisional, until the clock has held for Agreement.
func (s ClockState) Tick(r Reading) ClockState {
	if s.HighWater == 0 {
		return ClockState{HighWater: r.Wall, Boot: r.Boot, BootID: r.BootID, Ticked: true, Every: TickEvery, Count: s.Count}
	}
	next := s.enter(r)
	base, wall := s.base(r), s.wall(r)
	switch {
	case wall <= base+FarAhead:
		next.HighWater, next.Provisional = max(wall, base), 0
		if r.Wall <= base+FarAhead {
			next.Offset = 0 // the clock was set right
		}
	case s.Provisional == 0:
		next.HighWater, next.Provisional = base, base
	case base-s.Provisional >= Agreement:
		next.HighWater, next.Provisional = wall, 0
	default:
		next.HighWater = base
	}
	// Only boot time that is on record can be worth an answer.
	next.Ticked = s.tickedIn(r) || r.Boot >= TickBehind || !s.suspicious(r)
	next.Boot, next.BootID = r.Boot, r.BootID
	next.Every = next.Interval(r)
	return next
}

// Stop is the Tick of an orderly stop: nothing after it can be lost.
func (s ClockState) Stop(r Reading) ClockState {
	next := s.Tick(r)
	next.Every = 0
	return next
}

// Interval is how many seconds after a Tick the next one is due.
func (s ClockState) Interval(r Reading) int64 {
	if s.suspicious(r) {
		return TickBehind
	}
	return TickEvery
}

// Confirm takes the signed server time of an answer. age is how many seconds of
// boot time have passed since the question was made, negative when that is not
// known (another boot). The server signed between question and answer, so the
// true time lies in [serverTime, serverTime+age]: what is believed is moved
// into that interval, down as well as up. With unknown age it can only move up:
// an old answer file, kept for later, must not turn the clock back.
func (s ClockState) Confirm(r Reading, serverTime, age int64) ClockState {
	next := s
	base := serverTime
	if s.HighWater != 0 {
		base = max(s.base(r), serverTime)
	}
	next.Boot, next.BootID, next.Ticked = r.Boot, r.BootID, true
	next.Provisional, next.Slack = 0, 0
	if age < 0 {
		next.Slack = s.enter(r).Slack
		next.Provisional = s.Provisional
		next.HighWater = base
		next.Ticked = s.tickedIn(r) || r.Boot >= TickBehind || !s.suspicious(r)
		next.Every = next.Interval(r)
		return next
	}
	next.HighWater = min(base, serverTime+age)
	next.Offset = 0
	if ahead := r.Wall - (serverTime + age); ahead > FarAhead {
		next.Offset = ahead // the wall clock is wrong by this much: count from here
	} else if r.Wall > next.HighWater && r.Wall <= serverTime+age {
		next.HighWater = r.Wall
	}
	next.Every = next.Interval(r)
	return next
}

// base is the time on record plus the boot time since. In another boot at least
// the whole uptime has passed since the record was written.
func (s ClockState) base(r Reading) int64 {
	if !s.sameBoot(r) {
		return s.HighWater + max(r.Boot, 0)
	}
	return s.HighWater + r.Boot - s.Boot
}

// wall is the wall clock, put right by the error a signed answer showed as long
// as it is still wrong by about as much.
func (s ClockState) wall(r Reading) int64 {
	if s.Offset != 0 && r.Wall > s.base(r)+FarAhead {
		return r.Wall - s.Offset
	}
	return r.Wall
}

// sameBoot says whether boot time continues that of the record. Boot time that
// ran backwards under the same id is a restored machine, and counts as another boot.
func (s ClockState) sameBoot(r Reading) bool { return s.BootID == r.BootID && r.Boot >= s.Boot }

// tickedIn says whether boot time of this boot is on record.
func (s ClockState) tickedIn(r Reading) bool { return s.Ticked && s.sameBoot(r) }

// suspicious says whether the wall clock cannot carry the time by itself: at
// the start of a boot it has not passed the mark, later it is well behind it
// (a step of NTP by a second is not), or power cuts have used up MaxSlack.
func (s ClockState) suspicious(r Reading) bool {
	if s.HighWater == 0 {
		return false
	}
	allowed := int64(0)
	if s.tickedIn(r) {
		allowed = 60
	}
	return s.wall(r)+allowed <= s.HighWater || s.enter(r).Slack > MaxSlack
}

// enter books what may have been lost between the last tick of another boot and
// its end: at most the interval promised then, less what the wall clock shows
// to have passed by the time this boot began. Someone who cuts the power just
// before each tick and sets the clock to just after the mark gets this much
// once, not each time.
func (s ClockState) enter(r Reading) ClockState {
	if s.sameBoot(r) || s.Every <= TickBehind {
		return s
	}
	gap := s.wall(r) - max(r.Boot, 0) - s.HighWater
	if lost := s.Every - max(gap, 0); lost > 0 {
		s.Slack += lost
	}
	return s
}
