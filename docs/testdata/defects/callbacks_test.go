package merchant

import (
	"testing"
	"time"
)

// A callback that says by itself how things are makes nobody ask the marketplace,
// where each question counts as a day of use.
func TestNoUseNoCall(t *testing.T) {
	s, code, _ := bought(t)
	s.work()
	beats := len(s.market.Beats(code))
	s.clock.Add(24 * time.Hour)
	must0(t, s.market.Freeze(code))
	s.deliver()
	s.work()
	if n := len(s.market.Beats(code)) - beats; n != 0 {
		t.Errorf("asked %d times about a day without use", n)
	}
}
