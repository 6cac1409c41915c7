package agent

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"licenseagent.example/activation"
)

// halting is a store, and a way to the merchant, that a test can stop in the middle.
type halting struct {
	activation.StateStore
	stopped atomic.Pointer[chan struct{}]
}

func (h *halting) stop() (release func()) {
	c := make(chan struct{})
	h.stopped.Store(&c)
	return func() { h.stopped.Store(nil); close(c) }
}

func (h *halting) pass() {
	if c := h.stopped.Load(); c != nil {
		<-*c
	}
}

func (h *halting) Apply(c activation.Change) error { h.pass(); return h.StateStore.Apply(c) }

// deaf is a merchant's line that does not heed the end of a context.
type deaf struct {
	activation.Issuer
	*halting
}

func (d deaf) Send(context.Context, []byte, string) (activation.Answer, error) {
	d.pass()
	return activation.Answer{}, errors.New("no line")
}

// The watchdog lives on what the renewal loop does: a loop that hangs, or a
// renewal that never ends, starves it, and a machine that sleeps does not.
func TestFeed(t *testing.T) {
	const every = 30 * time.Second
	// fed runs a daemon with a feeder, and beside it what the feeder must not be: a
	// timer that always kicks. Both are counted over the ten minutes after f.
	fed := func(t *testing.T, change func(*Config, *halting), f func(r *rig, h *halting, advance func(int64)) (release func())) (kicks, timer int64) {
		synctest.Test(t, func(t *testing.T) {
			h := &halting{}
			r := start(t, func(c *Config) {
				if change != nil {
					change(c, h)
				}
			})
			r.activate()
			loop(t, r, func(advance func(int64)) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				var n, always atomic.Int64
				go r.daemon.Feed(ctx, every, func() { n.Add(1) })
				go func() {
					ticker := time.NewTicker(every)
					defer ticker.Stop()
					for {
						select {
						case <-ctx.Done():
							return
						case <-ticker.C:
							always.Add(1)
						}
					}
				}()
				advance(600)
				if n.Load() < 18 {
					t.Errorf("a healthy loop was fed for %d times in ten minutes", n.Load())
				}
				release := f(r, h, advance)
				advance(600) // long enough to be called stuck
				was, wasAlways := n.Load(), always.Load()
				advance(600)
				kicks, timer = n.Load()-was, always.Load()-wasAlways
				release()
				advance(600)
				if now := n.Load(); now < was+kicks+15 {
					t.Errorf("not fed again when it goes on: %d", now-was-kicks)
				}
				cancel()
				synctest.Wait()
			})
		})
		return kicks, timer
	}
	store := func(c *Config, h *halting) { h.StateStore, c.Activation.Store = c.Activation.Store, h }
	nothing := func(*rig, *halting, func(int64)) func() { return func() {} }

	if kicks, timer := fed(t, nil, nothing); kicks < 18 || timer < 18 {
		t.Errorf("healthy: %d kicks, %d by a timer", kicks, timer)
	}
	kicks, timer := fed(t, store, func(_ *rig, h *halting, _ func(int64)) func() { return h.stop() })
	if kicks != 0 || timer < 18 {
		t.Errorf("a loop that hangs in the store: %d kicks; the control, a timer: %d", kicks, timer)
	}
	kicks, timer = fed(t, func(c *Config, h *halting) {
		issuer := c.Activation.Issuer
		c.Activation.Issuer = func(name string) (activation.Issuer, error) {
			i, err := issuer(name)
			if h.stopped.Load() == nil {
				return i, err
			}
			return deaf{i, h}, err
		}
	}, func(r *rig, h *halting, advance func(int64)) func() {
		release := h.stop()
		advance(2 * 86400) // a renewal falls due and does not come back
		return release
	})
	if kicks != 0 || timer < 18 {
		t.Errorf("a renewal that never ends: %d kicks; the control, a timer: %d", kicks, timer)
	}
	kicks, _ = fed(t, nil, func(r *rig, _ *halting, _ func(int64)) func() {
		r.machine.Clock.Advance(8 * 3600) // the machine slept: its clocks went on, its timers did not
		return func() {}
	})
	if kicks < 18 {
		t.Errorf("after a night: %d kicks", kicks)
	}
}

// A daemon that does not run is not fed.
func TestFeedBeforeRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, nil)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go r.daemon.Feed(ctx, time.Second, func() { t.Error("fed") })
		time.Sleep(time.Minute) // polls: virtual time
	})
}
