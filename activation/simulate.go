package activation

import (
	"slices"

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
	Replaced   []fingerprint.Kind // parts whose values are all other ones
	Drop       []Loss             // values that are gone
	Unreadable []fingerprint.Kind // parts that cannot be read
}

// Loss is a number of values of one part that are gone.
type Loss struct {
	Kind  fingerprint.Kind
	Count int // 0: all of them
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
	in, seen := s.apply(l.inputs(v, e, r), see(e.claims, *v.device))
	x := l.explain(v, e, r, in, seen)
	x.Assumed = &s
	return x, nil
}

// Seen is the hardware of the scenario, made from the present one.
func (s Scenario) Seen(e fingerprint.Enrolled, now []fingerprint.Seen) []fingerprint.Seen {
	parts := slices.Clone(now)
	part := func(k fingerprint.Kind) *fingerprint.Seen {
		i := slices.IndexFunc(parts, func(p fingerprint.Seen) bool { return p.Kind == k })
		if i < 0 {
			parts = append(parts, fingerprint.Seen{})
			i = len(parts) - 1
		}
		return &parts[i]
	}
	replaced := s.Replaced
	if s.Clone {
		replaced = append([]fingerprint.Kind{fingerprint.MAC, fingerprint.Disk, fingerprint.Board}, replaced...)
	}
	for _, k := range replaced {
		text := other(k)
		*part(k) = fingerprint.Seen{Kind: k, State: fingerprint.OK, Values: []fingerprint.SeenValue{
			{Masked: fingerprint.Mask(text), Hashes: []string{fingerprint.Hash(e.Salt, k, text)}},
		}}
	}
	for _, l := range s.Drop {
		p := part(l.Kind)
		*p = lose(*p, l, e.Hashes(l.Kind))
	}
	for _, k := range s.Unreadable {
		*part(k) = fingerprint.Seen{Kind: k, State: fingerprint.Unreadable, Reason: "simulated"}
	}
	return parts
}

// lose takes values out of a part. Those that are enrolled go first: any
// enrolled value that stays makes a set match, so that the answer for the loss
// of other ones would be no answer to "what is the worst".
func lose(part fingerprint.Seen, l Loss, enrolled []string) fingerprint.Seen {
	if l.Count == 0 || l.Count >= len(part.Values) {
		return fingerprint.Seen{Kind: l.Kind, State: fingerprint.Absent, Reason: "simulated"}
	}
	var known, others []fingerprint.SeenValue
	for _, v := range part.Values {
		if v.Enrolled(enrolled) {
			known = append(known, v)
		} else {
			others = append(others, v)
		}
	}
	part.Values = append(known, others...)[l.Count:]
	return part
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
