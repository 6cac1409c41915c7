package activation

import (
	"encoding/base64"
	"slices"

	"licenseagent.example/activation/license"
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
	in := l.inputs(v, e, r)
	// The clock goes on being written while nothing is asked of the merchant.
	in.Clock.Behind = s.Behind
	in.Contested = in.Contested || s.Contested
	d := s.device(*v.device, e.claims)
	in.Comparison = compare(e.claims, d)
	if in.Comparison.Outcome != e.cmp.Outcome {
		in.Worse = Worse{}.After(in.Comparison, in.Now)
	}
	x := l.explain(v, e, r, in, d)
	x.Assumed = &s
	return x, nil
}

// device is the hardware of the scenario.
func (s Scenario) device(d fingerprint.Device, c *license.Claims) fingerprint.Device {
	parts := settledParts(d)
	part := func(k fingerprint.Kind) *fingerprint.Component {
		i := slices.IndexFunc(parts[:], func(c fingerprint.Component) bool { return c.Kind == k })
		return &parts[max(i, 0)]
	}
	replaced := s.Replaced
	if s.Clone {
		replaced = append([]fingerprint.Kind{fingerprint.MAC, fingerprint.Disk, fingerprint.Board}, replaced...)
	}
	for _, k := range replaced {
		*part(k) = fingerprint.Component{Kind: k, State: fingerprint.OK, Values: []fingerprint.Value{{Text: other(k), Source: "simulated"}}}
	}
	for _, l := range s.Drop {
		lose(part(l.Kind), l.Count, c)
	}
	for _, k := range s.Unreadable {
		*part(k) = fingerprint.Component{Kind: k, State: fingerprint.Unreadable, Reason: "simulated"}
	}
	out := d
	out.MAC, out.Disk, out.Board, out.CPU = parts[0], parts[1], parts[2], parts[3]
	return out
}

// lose takes n values out of a part, all for 0. Those that are enrolled go
// first: any enrolled value that stays makes a set match, so that the answer
// for the loss of other ones would be no answer to "what is the worst".
func lose(part *fingerprint.Component, n int, c *license.Claims) {
	if n == 0 || n >= len(part.Values) {
		*part = fingerprint.Component{Kind: part.Kind, State: fingerprint.Absent, Reason: "simulated"}
		return
	}
	var enrolled, others []fingerprint.Value
	for _, v := range part.Values {
		if isEnrolled(c, part.Kind, v) {
			enrolled = append(enrolled, v)
		} else {
			others = append(others, v)
		}
	}
	part.Values = append(enrolled, others...)[n:]
}

// isEnrolled says whether a license was issued for this value, in any spelling.
func isEnrolled(c *license.Claims, k fingerprint.Kind, v fingerprint.Value) bool {
	salt, err := base64.StdEncoding.DecodeString(c.Device.Salt)
	if err != nil { // verified claims hold a valid salt; shown ones may not
		return false
	}
	for _, p := range c.Device.Parts {
		for _, text := range append([]string{v.Text}, v.Alt...) {
			if p.Kind == k && slices.Contains(p.Hashes, fingerprint.Hash(salt, k, text)) {
				return true
			}
		}
	}
	return false
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
