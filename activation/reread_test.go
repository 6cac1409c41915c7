package activation_test

import (
	"errors"
	"slices"
	"sync"
	"testing"

	"licenseagent.example/activation"
	"licenseagent.example/activation/activationtest"
	"licenseagent.example/activation/license"
	"licenseagent.example/fingerprint"
)

// missing is what the proof of a check says.
func (w *world) missing() []fingerprint.Kind {
	w.Helper()
	a, err := w.agent.Check("studio", "", nonce(1))
	if err != nil {
		w.Fatal(err)
	}
	p, err := license.OpenProof(w.machine.Key.Public(), a.Proof)
	if err != nil {
		w.Fatal(err)
	}
	return p.Missing
}

// rebuild replaces board and disk: a strong part is left, so that the agent waits.
func rebuild(d *fingerprint.Device) {
	other := activationtest.Hardware("other")
	d.Board, d.Disk = other.Board, other.Disk
}

// counted is a store that counts what is written.
type counted struct {
	activation.StateStore
	writes int
}

func (c *counted) Apply(ch activation.Change) error {
	c.writes++
	return c.StateStore.Apply(ch)
}

// A program that reads another machine makes the agent read its own; the proof then
// names what is missing, and only what is news is written.
func TestReread(t *testing.T) {
	w := newWorld(t, activationtest.Offer{})
	store := &counted{StateStore: w.machine.Store}
	w.machine.Store = store
	w.start()
	w.activate()
	reread := func(writes int, want ...fingerprint.Kind) {
		t.Helper()
		before := store.writes
		if err := w.agent.Reread(); err != nil {
			t.Fatal(err)
		}
		if got := w.missing(); !slices.Equal(got, want) || store.writes-before != writes {
			t.Errorf("missing %v after %d writes, want %v after %d", got, store.writes-before, want, writes)
		}
	}
	reread(0)
	original := w.machine.Device()
	w.machine.Change(rebuild)
	if got := w.missing(); len(got) != 0 {
		t.Errorf("missing %v before anybody read", got)
	}
	reread(1, fingerprint.Board, fingerprint.Disk)
	if h := w.held(); h.Worse.Reads != 1 || !h.Verdict.Runs {
		t.Errorf("the read is not booked: %+v %+v", h.Worse, h.Verdict)
	}
	for range 3 {
		reread(0, fingerprint.Board, fingerprint.Disk)
	}
	w.machine.Change(func(d *fingerprint.Device) {
		*d = original
		d.Disk = fingerprint.Component{Kind: fingerprint.Disk, State: fingerprint.Unreadable}
	})
	reread(1, fingerprint.Disk) // same outcome as at first, another part
	w.machine.Change(func(d *fingerprint.Device) { *d = original })
	reread(0)
}

// What was read is told even when it cannot be written down.
func TestRereadWithoutAStore(t *testing.T) {
	w := newWorld(t, activationtest.Offer{})
	store := &brittle{StateStore: w.machine.Store}
	w.machine.Store = store
	w.start()
	w.activate()
	store.failAt, store.noLoad = 1, true
	if err := w.agent.Tick(); !errors.Is(err, activation.ErrStore) {
		t.Fatal(err)
	}
	w.machine.Change(rebuild)
	if err := w.agent.Reread(); !errors.Is(err, activation.ErrStore) {
		t.Errorf("reread: %v", err)
	}
	if got := w.missing(); !slices.Equal(got, []fingerprint.Kind{fingerprint.Board, fingerprint.Disk}) {
		t.Errorf("missing %v", got)
	}
}

// However many ask at once, each gets a read that began after it asked.
func TestRereadTogether(t *testing.T) {
	w := newWorld(t, activationtest.Offer{})
	w.activate()
	w.machine.Change(rebuild)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := w.agent.Reread(); err != nil {
				t.Error(err)
			}
			a, err := w.agent.Check("studio", "", nonce(1))
			if err != nil {
				t.Error(err)
				return
			}
			if p, err := license.OpenProof(w.machine.Key.Public(), a.Proof); err != nil || len(p.Missing) != 2 {
				t.Errorf("%+v %v", p, err)
			}
		})
	}
	wg.Wait()
}
