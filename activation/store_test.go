package activation_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"licenseagent.example/activation"
	"licenseagent.example/activation/activationtest"
	"licenseagent.example/activation/license"
)

// errDisk is what a failing disk says.
var errDisk = errors.New("input/output error")

// brittle is a store whose n-th Apply fails, before or after the change became
// visible, and which then refuses to work until it is loaded again, as a store
// on a disk does.
type brittle struct {
	activation.StateStore
	failAt  int // 1 is the next Apply, 0 never
	visible bool
	broken  bool
	loads   int
	noLoad  bool
}

func (b *brittle) Load() (activation.State, error) {
	if b.noLoad {
		return activation.State{}, errDisk
	}
	b.loads++
	b.broken = false
	return b.StateStore.Load()
}

func (b *brittle) Apply(c activation.Change) error {
	if b.broken {
		panic("the life cycle used a store that had stopped")
	}
	if b.failAt--; b.failAt == 0 {
		b.broken = true
		if b.visible {
			if err := b.StateStore.Apply(c); err != nil {
				return err
			}
		}
		return errDisk
	}
	return b.StateStore.Apply(c)
}

// TestStoreFailsAtEveryStep lets each write of a whole life fail once, in both
// ways. Whatever happens, nothing is sent that is not on disk, no fork is seen,
// and doing it again succeeds.
func TestStoreFailsAtEveryStep(t *testing.T) {
	failures := 0
	for at := 1; ; at++ {
		reached := false
		for _, visible := range []bool{false, true} {
			w := newWorld(t, activationtest.Offer{})
			b := &brittle{StateStore: w.machine.Store}
			w.machine.Store = b
			w.start()
			onDisk := ""
			w.merchant.Before = func(r *license.Request) error {
				s, err := b.StateStore.Load()
				if err != nil {
					return err
				}
				for _, rec := range s.Records {
					if rec.Pending != nil && rec.Pending.Nonce == r.Nonce {
						onDisk = r.Nonce
					}
				}
				if onDisk != r.Nonce {
					t.Errorf("step %d: a nonce was sent that is not on disk", at)
				}
				return nil
			}
			b.failAt, b.visible = at, visible
			again := func(what string, do func() error) {
				t.Helper()
				err := do()
				if errors.Is(err, activation.ErrStore) {
					failures++
					reached = true
					if !errors.Is(err, errDisk) {
						t.Errorf("step %d: %v hides the cause", at, err)
					}
					err = do()
				}
				if err != nil && !errors.Is(err, activation.ErrAlreadyActivated) {
					t.Fatalf("step %d, visible %v, %s: %v", at, visible, what, err)
				}
			}
			ctx := context.Background()
			again("activate", func() error {
				_, err := w.agent.Activate(ctx, activation.ActivateOptions{Code: code})
				return err
			})
			w.verify(1, true, "active")
			w.machine.Clock.Advance(400)
			again("tick", w.agent.Tick)
			again("renew", func() error { _, err := w.agent.Renew(ctx, key()); return err })
			again("stop", w.agent.Stop)
			w.verify(2, true, "active")
			w.start()
			again("renew", func() error { _, err := w.agent.Renew(ctx, key()); return err })
			if w.merchant.Forks != 0 {
				t.Fatalf("step %d, visible %v: %d forks", at, visible, w.merchant.Forks)
			}
		}
		if !reached {
			break
		}
	}
	if failures < 10 {
		t.Errorf("only %d failing writes were met", failures)
	}
}

// A disk that stays broken stops changes, not answers.
func TestAnswersContinueWithoutDisk(t *testing.T) {
	w := newWorld(t, activationtest.Offer{})
	b := &brittle{StateStore: w.machine.Store}
	w.machine.Store = b
	w.start()
	w.activate()
	b.failAt, b.noLoad = 1, true
	for i := range 5 {
		w.machine.Clock.Advance(300)
		w.fails(w.agent.Tick(), activation.ErrStore)
		w.verify(byte(i), true, "active")
	}
	_, err := w.agent.Renew(context.Background(), key())
	w.fails(err, activation.ErrStore)
	b.noLoad = false
	if err := w.agent.Tick(); err != nil {
		t.Fatalf("the disk works again: %v", err)
	}
	w.renew()
}

func TestNewNeedsAReadableStore(t *testing.T) {
	m := activationtest.NewMachine("unreadable")
	m.Store = &brittle{StateStore: m.Store, noLoad: true}
	if _, err := m.Agent(); !errors.Is(err, errDisk) {
		t.Errorf("error %v", err)
	}
	if _, err := activation.New(activation.Config{}); err == nil {
		t.Error("an empty Config was accepted")
	}
	cfg := activationtest.NewMachine("anchor").Config()
	cfg.Anchors = []license.Anchor{{V: 1, Issuer: "acme"}}
	if _, err := activation.New(cfg); !errors.Is(err, license.ErrAnchor) && !errors.Is(err, license.ErrLimits) {
		t.Errorf("an anchor without roots: %v", err)
	}
}

func TestMemorySharesNothing(t *testing.T) {
	m := activation.NewMemory()
	rec := activation.Record{Key: key(), License: []byte("abc"), Days: []string{"2026-06-01"}}
	keys := map[string][]byte{"acme": []byte("ks")}
	if err := m.Apply(activation.Change{Put: []activation.Record{rec}, KeySets: keys, Clock: &activation.ClockState{HighWater: 7}}); err != nil {
		t.Fatal(err)
	}
	rec.License[0], rec.Days[0], keys["acme"][0] = 'X', "X", 'X'
	s, err := m.Load()
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintf("%s %s %s %d", s.Records[0].License, s.Records[0].Days[0], s.KeySets["acme"], s.Clock.HighWater)
	if got != "abc 2026-06-01 ks 7" {
		t.Errorf("what went in changed with the caller: %s", got)
	}
	s.Records[0].License[0] = 'Y'
	if err := m.Apply(activation.Change{Put: []activation.Record{{Key: key(), Seq: 2}}}); err != nil {
		t.Fatal(err)
	}
	if s, err = m.Load(); err != nil || len(s.Records) != 1 || s.Records[0].Seq != 2 || len(s.Records[0].License) != 0 || s.Clock.HighWater != 7 {
		t.Errorf("put replaces the whole record and nothing else: %+v, %v", s, err)
	}
	if err := m.Apply(activation.Change{Delete: []activation.Key{key(), {Issuer: "none"}}}); err != nil {
		t.Fatal(err)
	}
	if s, err = m.Load(); err != nil || len(s.Records) != 0 || len(s.KeySets) != 1 {
		t.Errorf("after delete: %+v, %v", s, err)
	}
}
