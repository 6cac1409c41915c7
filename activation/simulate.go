package activation

import (
	"fmt"

	"licenseagent.example/fingerprint"
)

// Scenario is a "what if". Its zero value is the present; everything in it
// happens at once.
type Scenario struct {
	Offline    int64              // seconds from now without any contact
	ClockShift int64              // seconds by which the wall clock is changed
	Behind     bool               // the clock is behind and no tick is on disk
	Contested  bool               // a fork was seen
	Clone      bool               // the state was copied to another machine: every strong part is another one
	DropMACs   int                // that many network cards are gone
	DropDisks  int                // that many disks are gone
	Changed    []fingerprint.Kind // parts whose values are other ones
	Dropped    []fingerprint.Kind // parts that are gone
	Unreadable []fingerprint.Kind // parts that cannot be read
}

// Simulate explains what one license would say in a scenario. It works on
// copies, calls the same rules as everything else and changes nothing. Error:
// ErrNotActivated, also when there is no license to compare with.
func (l *Lifecycle) Simulate(key Key, s Scenario) (Explanation, error) {
	v := l.snap.Load()
	e := v.exact(key)
	if e == nil || e.claims == nil {
		return Explanation{}, ErrNotActivated
	}
	r := l.cfg.Clock()
	r.Wall += s.Offline + s.ClockShift
	r.Boot += s.Offline
	in := l.inputs(v, e, r)
	// The clock goes on being written while nothing is asked of the merchant.
	in.Clock.Behind = s.Behind
	in.Contested = in.Contested || s.Contested
	d := s.device(*v.device)
	in.Comparison = compare(e.claims, d)
	if in.Comparison.Outcome != e.cmp.Outcome {
		in.Worse = Worse{}.After(in.Comparison, in.Now)
	}
	x := l.explain(v, e, r, in, d)
	x.Assumed = s.words()
	return x, nil
}

// device is the hardware of the scenario.
func (s Scenario) device(d fingerprint.Device) fingerprint.Device {
	parts := settledParts(d)
	out := d
	out.MAC, out.Disk, out.Board, out.CPU = parts[0], parts[1], parts[2], parts[3]
	lose := func(c *fingerprint.Component, n int) {
		if n <= 0 || c.State != fingerprint.OK {
			return
		}
		c.Values = c.Values[min(n, len(c.Values)):]
		if len(c.Values) == 0 {
			*c = fingerprint.Component{Kind: c.Kind, State: fingerprint.Absent, Reason: "simulated"}
		}
	}
	lose(&out.MAC, s.DropMACs)
	lose(&out.Disk, s.DropDisks)
	part := func(k fingerprint.Kind) *fingerprint.Component {
		switch k {
		case fingerprint.MAC:
			return &out.MAC
		case fingerprint.Disk:
			return &out.Disk
		case fingerprint.Board:
			return &out.Board
		}
		return &out.CPU
	}
	changed := s.Changed
	if s.Clone {
		changed = []fingerprint.Kind{fingerprint.MAC, fingerprint.Disk, fingerprint.Board}
	}
	for _, k := range changed {
		*part(k) = fingerprint.Component{Kind: k, State: fingerprint.OK, Values: []fingerprint.Value{{Text: other(k), Source: "simulated"}}}
	}
	for _, k := range s.Dropped {
		*part(k) = fingerprint.Component{Kind: k, State: fingerprint.Absent, Reason: "simulated"}
	}
	for _, k := range s.Unreadable {
		*part(k) = fingerprint.Component{Kind: k, State: fingerprint.Unreadable, Reason: "simulated"}
	}
	return out
}

// other is a value that no machine has.
func other(k fingerprint.Kind) string {
	switch k {
	case fingerprint.MAC:
		return "00:1B:63:5A:3C:E7"
	case fingerprint.CPU:
		return "1D3A5C7E9B2F4068"
	}
	return "SIMULATED-7Q4W-" + string(k)
}

// words lists the assumptions for people.
func (s Scenario) words() []string {
	var w []string
	say := func(yes bool, format string, args ...any) {
		if yes {
			w = append(w, fmt.Sprintf(format, args...))
		}
	}
	say(s.Offline != 0, "no contact for %d seconds", s.Offline)
	say(s.ClockShift != 0, "the wall clock is changed by %d seconds", s.ClockShift)
	say(s.Behind, "the clock is behind and no tick is on disk")
	say(s.Contested, "a second copy of this license was seen")
	say(s.Clone, "the state was copied to another machine")
	say(s.DropMACs > 0, "%d network cards are gone", s.DropMACs)
	say(s.DropDisks > 0, "%d disks are gone", s.DropDisks)
	for _, k := range s.Changed {
		say(true, "%s is another one", k)
	}
	for _, k := range s.Dropped {
		say(true, "%s is gone", k)
	}
	for _, k := range s.Unreadable {
		say(true, "%s cannot be read", k)
	}
	return w
}
