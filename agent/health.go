package agent

import (
	"context"
	"sync/atomic"
	"time"
)

// health is what the loop and the renewals that it starts leave for a watchdog.
type health struct {
	turns atomic.Int64 // steps of the loop
	stuck atomic.Int64 // renewals that should have ended long ago
}

// stalled is how long the loop may be without a step: three times as long as it
// ever sleeps. A renewal is stuck after three times the time that it is given:
// it does not heed its context.
const (
	stalled      = 3 * longestSleep * time.Second
	renewalStuck = 3 * contactTimeout
)

// Feed calls kick once in every while the renewal loop turns and none of its
// renewals is stuck, until ctx ends. It is what a service manager's watchdog
// lives on: a timer of its own would hide exactly what the watchdog is for. All
// durations are those of timers, which stand still while the machine sleeps: no
// machine is called stuck because it slept.
func (d *Daemon) Feed(ctx context.Context, every time.Duration, kick func()) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	var seen int64
	var idle time.Duration
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if turns := d.health.turns.Load(); turns != seen {
			seen, idle = turns, 0
		} else {
			idle += every
		}
		if seen > 0 && idle <= stalled && d.health.stuck.Load() == 0 {
			kick()
		}
	}
}

// timed marks a renewal as stuck while it lasts too long; the function returned
// ends that.
func (h *health) timed() (end func()) {
	overdue := time.AfterFunc(renewalStuck, func() { h.stuck.Add(1) })
	return func() {
		if !overdue.Stop() {
			h.stuck.Add(-1)
		}
	}
}
