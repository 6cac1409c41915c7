package activation

import "licenseagent.example/fingerprint"

// maxReads bounds the count of worse reads; three decide.
const maxReads = 1000

// After is the memory of worse reads after one fresh observation at effective
// time now. Only a full match clears it; a read that could not tell neither
// counts nor clears, because unreadable is neither "changed" nor "same".
func (w Worse) After(c fingerprint.Comparison, now int64) Worse {
	if c.Outcome == fingerprint.Same {
		return Worse{}
	}
	// The clock may have been put right since: no read lies in the future.
	w.First, w.Last, w.Blind = min(w.First, now), min(w.Last, now), min(w.Blind, now)
	switch {
	case c.StrongMatch || c.StrongChanged:
		w.Blind = 0
	case w.Blind == 0:
		w.Blind = now
	}
	if c.Outcome != fingerprint.Different {
		return w
	}
	if w.Reads == 0 {
		w.First = now
	}
	w.Reads, w.Last = min(w.Reads+1, maxReads), now
	return w
}
