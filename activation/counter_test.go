package activation_test

import (
	"errors"
	"fmt"
	"testing"

	"licenseagent.example/activation"
	"licenseagent.example/activation/activationtest"
	"licenseagent.example/activation/license"
	"licenseagent.example/docs/promise"
)

// chip is a counter outside the files, as a TPM keeps it.
type chip struct {
	n      int64
	broken bool // neither reads nor counts
	stuck  bool // reads, does not count
	mute   bool // counts, and its answer is lost
}

func (c *chip) counter() activation.Counter {
	return activation.Counter{
		Read: func() (int64, error) {
			if c.broken {
				return 0, errDisk
			}
			return c.n, nil
		},
		Bump: func() (int64, error) {
			if c.broken || c.stuck {
				return 0, errDisk
			}
			c.n++
			if c.mute {
				return 0, errDisk
			}
			return c.n, nil
		},
	}
}

// witnessed starts the agent with a counter.
func (w *world) witnessed(c *chip) {
	w.Helper()
	cfg := w.machine.Config(w.merchant)
	if c != nil {
		cfg.Counter = c.counter()
	}
	a, err := activation.New(cfg)
	if err != nil {
		w.Fatal(err)
	}
	w.agent = a
}

func (w *world) saved() activation.State {
	w.Helper()
	s, err := w.machine.Store.Load()
	if err != nil {
		w.Fatal(err)
	}
	return s
}

// putBack replaces the files by an older copy.
func (w *world) putBack(s activation.State) {
	w.Helper()
	old := activation.NewMemory()
	if err := old.Apply(activation.Change{Put: s.Records, KeySets: s.KeySets, Clock: &s.Clock}); err != nil {
		w.Fatal(err)
	}
	w.machine.Store = old
}

// offline is far away from any network.
func (w *world) offline(yes bool) {
	w.merchant.Before = nil
	if yes {
		w.merchant.Before = func(*license.Request) error { return activation.ErrUnreachable }
	}
}

// An older copy of the state is seen at the next start without any contact, also
// when the license was given back meanwhile. The control is the same machine
// without a counter: it runs through its whole grace.
func TestOldFilesAreSeenOffline(t *testing.T) {
	for _, released := range []bool{false, true} {
		for _, guarded := range []bool{true, false} {
			t.Run(fmt.Sprintf("released %v, counter %v", released, guarded), func(t *testing.T) {
				c := &chip{n: 41}
				if !guarded {
					c = nil
				}
				w := newWorld(t, activationtest.Offer{Renew: 3 * days, Grace: 14 * days})
				w.witnessed(c)
				w.activate()
				copied := w.saved()
				w.machine.Clock.Advance(days)
				if released {
					if _, err := w.agent.Release(t.Context(), key()); err != nil {
						t.Fatal(err)
					}
				} else {
					w.renew()
				}
				w.offline(true)
				w.putBack(copied)
				w.machine.Clock.Reboot(60, 10)
				w.witnessed(c)
				w.phase(activation.Active, activation.ReasonValid)
				if got := w.held().Contested; got != guarded {
					t.Fatalf("contested %v", got)
				}
				if guarded && w.held().Verdict.Next != activation.NextRebind {
					t.Errorf("next step %s", w.held().Verdict.Next)
				}
				// A second start does not forget it, nor does the same copy once more.
				w.witnessed(c)
				w.putBack(copied)
				w.witnessed(c)
				w.machine.Clock.Advance(2*days + 3600) // past renew-by
				if guarded {
					w.phase(activation.Expired, activation.ReasonContestedEnded)
				} else {
					w.phase(activation.Grace, activation.ReasonRenewalOverdue)
				}
			})
		}
	}
}

// The way back is one step: a contact finds the fork of the chain, the code settles it.
func TestPutBackIsSettledByOneStep(t *testing.T) {
	c := &chip{}
	w := newWorld(t, activationtest.Offer{Renew: 3 * days, Grace: 14 * days})
	w.witnessed(c)
	w.activate()
	copied := w.saved()
	w.renew()
	w.putBack(copied)
	w.witnessed(c)
	if _, err := w.agent.Rebind(t.Context(), key(), code); err != nil {
		t.Fatal(err)
	}
	w.phase(activation.Active, activation.ReasonValid)
	if w.held().Contested {
		t.Error("still contested after a rebind")
	}
	w.witnessed(c)
	if w.held().Contested {
		t.Error("contested again after the next start")
	}
}

// Whatever happens to an honest machine, it is never called a copy: crashes
// between writing and counting, a chip that does not count for a while, one whose
// answer is lost, one that cannot be read at a start, a disk that fails.
func TestHonestMachineIsNeverCalledPutBack(t *testing.T) {
	c := &chip{n: 7}
	w := newWorld(t, activationtest.Offer{Renew: 3 * days, Grace: 14 * days})
	disk := &brittle{StateStore: w.machine.Store}
	w.machine.Store = disk
	w.witnessed(c)
	w.activate()
	n := promise.Size(300, 3000)
	step := int64(300 * days / n) // the merchant's key set lives 390 days
	for i := range n {
		switch i % 7 {
		case 1:
			c.stuck = true // a crash before counting is the same to the files
		case 2, 6:
			c.stuck = false
		case 3:
			c.broken = true
		case 4:
			c.broken = false
		case 5:
			disk.failAt, disk.visible = i%3+1, i%2 == 0
		}
		c.mute = i%5 == 2
		w.machine.Clock.Advance(step)
		if _, err := w.agent.Renew(t.Context(), key()); err != nil && !errors.Is(err, activation.ErrStore) {
			t.Fatal(i, err)
		}
		disk.failAt = 0
		if i%2 == 0 || i%5 == 0 {
			if i%3 == 0 {
				w.machine.Clock.Reboot(60, 10)
			}
			w.witnessed(c)
		}
		if w.held().Contested {
			t.Fatalf("step %d: an honest machine is called a copy", i)
		}
		if held := w.saved().Clock.Count; held != 0 && held != c.n && held != c.n+1 {
			t.Fatalf("step %d: the state is at %d, the chip at %d", i, held, c.n)
		}
	}
	if c.n < 50 {
		t.Fatalf("the chip has counted to %d only", c.n)
	}
}

// A disk that is full at the start hides nothing, and a counter that was removed
// and made again (it starts above) shows too.
func TestPutBackOnAFullDisk(t *testing.T) {
	c := &chip{n: 3}
	w := newWorld(t, activationtest.Offer{Renew: 3 * days, Grace: 14 * days})
	w.witnessed(c)
	w.activate()
	c.n += 5
	disk := &brittle{StateStore: w.machine.Store, failAt: 1}
	w.machine.Store = disk
	w.witnessed(c)
	if !w.held().Contested {
		t.Error("a full disk hides what the counter shows")
	}
}

// A first start on a full disk writes no count; the license that follows is the
// machine's own.
func TestFirstStartOnAFullDisk(t *testing.T) {
	c := &chip{n: 3}
	w := newWorld(t, activationtest.Offer{Renew: 3 * days, Grace: 14 * days})
	w.machine.Store = &brittle{StateStore: activation.NewMemory(), failAt: 1}
	w.witnessed(c)
	w.activate()
	w.witnessed(c)
	if w.held().Contested || c.n != 4 {
		t.Errorf("contested %v, the chip is at %d", w.held().Contested, c.n)
	}
}
