package activation

import (
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
	var seen []fingerprint.Seen
	if e.claims != nil {
		seen = see(e.claims, *v.device)
	}
	return l.explain(v, e, r, l.inputs(v, e, r), seen), nil
}

func (l *Lifecycle) explain(v *view, e *entry, r Reading, in Inputs, seen []fingerprint.Seen) Explanation {
	x, held := Explain(in, seen), l.held(v, e, r)
	held.Verdict, held.Comparison, held.Contested = x.Held.Verdict, in.Comparison, in.Contested
	x.Held = held
	return x
}

// Explain says what Decide makes of the inputs, now and once the same hardware
// was read often enough, and shows each part then and now. seen is the
// observation that the comparison in the inputs was made from. The agent's why
// and simulate and the merchant's support view are this function.
func Explain(in Inputs, seen []fingerprint.Seen) Explanation {
	x := Explanation{Inputs: in, Held: Held{
		Claims: in.License, Verdict: Decide(in), Comparison: in.Comparison,
		Contact: in.Contact, Contested: in.Contested, Worse: in.Worse,
	}}
	in.Worse = settled(in)
	x.Settled = Decide(in)
	if in.License == nil {
		return x
	}
	e := enrolled(in.License)
	for _, p := range in.Comparison.Parts {
		w := PartView{PartResult: p}
		for _, h := range e.Hashes(p.Kind) {
			w.Then = append(w.Then, h[:min(len(h), hashDigits)])
		}
		for _, s := range seen {
			if s.Kind == p.Kind {
				w.observe(s)
			}
		}
		x.Parts = append(x.Parts, w)
	}
	return x
}

// observe adds what is there now.
func (w *PartView) observe(s fingerprint.Seen) {
	w.State, w.Reason = s.State, s.Reason
	for _, v := range s.Values {
		if v.Masked != "" { // a merchant has no values, masked or not
			w.Now = append(w.Now, v.Masked)
		}
		if len(v.Hashes) > 0 {
			w.Digits = append(w.Digits, v.Hashes[0][:min(len(v.Hashes[0]), hashDigits)])
		}
	}
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
