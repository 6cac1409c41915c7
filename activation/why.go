package activation

import (
	"encoding/base64"

	"licenseagent.example/fingerprint"
)

// hashDigits is how much of an enrolled hash is shown: enough to tell two
// apart, nothing to search for.
const hashDigits = 8

// PartView is one part then and now, fit for people without special rights.
type PartView struct {
	fingerprint.PartResult
	State  fingerprint.State // of the present observation
	Reason string            // why the state is not OK
	Then   []string          // the first digits of each enrolled hash; the value never entered the license
	Now    []string          // present values, masked
	Digits []string          // of each present value, to compare with Then: equal digits are equal values (other spellings may match besides)
}

// Explanation is everything a verdict was decided from.
type Explanation struct {
	Held   Held
	Inputs Inputs // what Decide was given
	Parts  []PartView
	// Settled is the verdict once the same hardware was read three times over a
	// day, with everything else as it is. It differs from Held.Verdict while a
	// worse verdict is held back.
	Settled Verdict
	Assumed *Scenario // what a simulation assumed, nil for Why
}

// Why explains the verdict of one license. Error: ErrNotActivated.
func (l *Lifecycle) Why(key Key) (Explanation, error) {
	v := l.snap.Load()
	e := v.exact(key)
	if e == nil {
		return Explanation{}, ErrNotActivated
	}
	r := l.cfg.Clock()
	return l.explain(v, e, r, l.inputs(v, e, r), *v.device), nil
}

func (l *Lifecycle) explain(v *view, e *entry, r Reading, in Inputs, d fingerprint.Device) Explanation {
	x := Explanation{Held: l.held(v, e, r), Inputs: in}
	x.Held.Verdict, x.Held.Comparison, x.Held.Contested = Decide(in), in.Comparison, in.Contested
	in.Worse = settled(in)
	x.Settled = Decide(in)
	if e.claims == nil {
		return x
	}
	then := map[fingerprint.Kind][]string{}
	for _, p := range e.claims.Device.Parts {
		for _, h := range p.Hashes {
			then[p.Kind] = append(then[p.Kind], h[:min(len(h), hashDigits)])
		}
	}
	salt, err := base64.StdEncoding.DecodeString(e.claims.Device.Salt)
	now := map[fingerprint.Kind]fingerprint.Component{}
	for _, c := range settledParts(d) {
		now[c.Kind] = c
	}
	for _, p := range in.Comparison.Parts {
		c := now[p.Kind]
		w := PartView{PartResult: p, State: c.State, Reason: c.Reason, Then: then[p.Kind]}
		for _, val := range c.Values {
			w.Now = append(w.Now, fingerprint.Mask(val.Text))
			if err == nil { // shown claims that were not verified may have no salt
				w.Digits = append(w.Digits, fingerprint.Hash(salt, p.Kind, val.Text)[:hashDigits])
			}
		}
		x.Parts = append(x.Parts, w)
	}
	return x
}

// settled is the memory of worse reads after the present one was seen often and
// long enough.
func settled(in Inputs) Worse {
	w := in.Worse.After(in.Comparison, in.Now)
	if w.Reads > 0 {
		w = Worse{Reads: DebounceReads, First: in.Now - DebounceSpan, Last: in.Now, Blind: w.Blind}
	}
	if w.Blind > 0 {
		w.Blind = in.Now - BlindSpan
	}
	return w
}
