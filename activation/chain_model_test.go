package activation_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"licenseagent.example/activation"
	"licenseagent.example/activation/activationtest"
	"licenseagent.example/activation/license"
	"licenseagent.example/docs/promise"
)

// forgetful is the control without write-ahead: it does not keep what was asked.
type forgetful struct{ activation.StateStore }

func (f forgetful) Apply(c activation.Change) error {
	c.Put = slices.Clone(c.Put)
	for i := range c.Put {
		c.Put[i].Pending = nil
	}
	return f.StateStore.Apply(c)
}

// newPair is a merchant and an activated machine.
func newPair(name string) (*activationtest.Merchant, *activationtest.Machine, *activation.Lifecycle, error) {
	machine := activationtest.NewMachine(name)
	merchant := activationtest.NewMerchant("acme", machine.Clock.Wall)
	merchant.AddCode(code, activationtest.Offer{})
	agent, err := machine.Agent(merchant)
	if err != nil {
		return nil, nil, nil, err
	}
	_, err = agent.Activate(context.Background(), activation.ActivateOptions{Code: code})
	return merchant, machine, agent, err
}

// faulty makes an honest agent try to renew n times while requests and replies
// are lost, writes fail and the process dies at any step. It returns how many
// forks the merchant saw, and how many renewals came through.
func faulty(seed uint64, n int, wrap func(activation.StateStore) activation.StateStore) (forks, done int, err error) {
	rnd := rand.New(rand.NewPCG(seed, 17))
	merchant, machine, _, err := newPair(fmt.Sprint("faulty ", seed))
	if err != nil {
		return 0, 0, err
	}
	memory := machine.Store
	disk := &brittle{StateStore: wrap(memory)}
	machine.Store = disk
	merchant.Before = func(*license.Request) error {
		if rnd.IntN(5) == 0 {
			return fmt.Errorf("%w: request lost", activation.ErrUnreachable)
		}
		return nil
	}
	merchant.After = func(*license.Request, *activation.Answer) error {
		if rnd.IntN(5) == 0 {
			return fmt.Errorf("%w: reply lost", activation.ErrUnreachable)
		}
		return nil
	}
	agent, err := machine.Agent(merchant)
	if err != nil {
		return 0, 0, err
	}
	for range n {
		machine.Clock.Advance(rnd.Int64N(days))
		disk.failAt, disk.visible = 0, rnd.IntN(2) == 0
		if rnd.IntN(4) == 0 {
			disk.failAt = 1 + rnd.IntN(3) // the process dies at this write
		}
		_, err := agent.Renew(context.Background(), key())
		died := errors.Is(err, activation.ErrStore)
		disk.failAt = 0
		switch {
		case err == nil:
			done++
		case !died && !errors.Is(err, activation.ErrUnreachable):
			return merchant.Forks, done, err
		}
		if died || rnd.IntN(5) == 0 {
			if agent, err = machine.Agent(merchant); err != nil {
				return merchant.Forks, done, err
			}
		}
	}
	return merchant.Forks, done, nil
}

// inParallel runs f for 0..n-1 on all processors.
func inParallel(t *testing.T, n int, f func(i int) error) {
	t.Helper()
	var wg sync.WaitGroup
	next := make(chan int)
	for range 4 {
		wg.Go(func() {
			for i := range next {
				if err := f(i); err != nil {
					t.Errorf("run %d: %v", i, err)
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
}

// TestP17 is the promise: two copies of one activation are seen by their third
// further heartbeat, and honest agents never are, whatever gets lost.
func TestP17(t *testing.T) {
	keep := func(s activation.StateStore) activation.StateStore { return s }
	drop := func(s activation.StateStore) activation.StateStore { return forgetful{s} }
	const each = 100
	runs := promise.Size(10, 5000, 20_000)
	var mu sync.Mutex
	attempts, forks, came, falseForks := 0, 0, 0, 0
	inParallel(t, runs, func(i int) error {
		f, d, err := faulty(uint64(i), each, keep)
		mu.Lock()
		defer mu.Unlock()
		attempts, forks, came = attempts+each, forks+f, came+d
		return err
	})
	if forks != 0 {
		t.Errorf("%d false forks in %d honest attempts", forks, attempts)
	}
	if came < attempts/4 {
		t.Errorf("only %d of %d attempts came through: the faults hide the test", came, attempts)
	}
	inParallel(t, promise.Size(4, 40), func(i int) error {
		f, _, err := faulty(uint64(i), each, drop)
		mu.Lock()
		defer mu.Unlock()
		falseForks += f
		return err
	})
	if falseForks == 0 {
		t.Error("control: no false fork without write-ahead")
	}

	clones := promise.Size(40, 20_000, 1000)
	caught, latest := 0, 0
	inParallel(t, clones, func(i int) error {
		n, err := clone(i, false, 6)
		mu.Lock()
		defer mu.Unlock()
		if n > 0 {
			caught, latest = caught+1, max(latest, n)
		}
		return err
	})
	if caught != clones || latest > 3 {
		t.Errorf("%d of %d clones caught, the last after %d heartbeats of a copy; want all within 3", caught, clones, latest)
	}
	unseen := 0
	inParallel(t, promise.Size(4, 50), func(i int) error {
		n, err := clone(2*i, true, promise.Size(10, 200))
		mu.Lock()
		defer mu.Unlock()
		if n == 0 {
			unseen++
		}
		return err
	})
	if unseen != promise.Size(4, 50) {
		t.Errorf("control: accepting one behind hides only %d of %d clones", unseen, promise.Size(4, 50))
	}
	promise.Reached(t, "P17", fmt.Sprintf("%d of %d clones caught, the last by heartbeat %d of a copy; %d false forks in %d honest attempts (20%% of requests and 20%% of replies lost, deaths at every write)", caught, clones, latest, forks, attempts),
		fmt.Sprintf("without write-ahead: %d false forks in %d attempts; accepting one-behind: %d of %d clones seen", falseForks, promise.Size(4, 40)*each, promise.Size(4, 50)-unseen, promise.Size(4, 50)))
}

// clone copies an activated machine and lets both copies renew in turns, the
// worst case. It returns how many heartbeats the copy that was caught had made
// since, 0 if neither was within most. Every other copy is taken while a
// request is outstanding, so that both even hold the same nonce.
func clone(i int, acceptOneBehind bool, most int) (int, error) {
	ctx := context.Background()
	merchant, machine, a, err := newPair(fmt.Sprint("original ", i))
	if err != nil {
		return 0, err
	}
	merchant.AcceptOneBehind = acceptOneBehind
	for range i % 4 {
		if _, err := a.Renew(ctx, key()); err != nil {
			return 0, err
		}
	}
	if i%2 == 1 {
		merchant.After = func(*license.Request, *activation.Answer) error { return activation.ErrUnreachable }
		if _, err := a.Renew(ctx, key()); !errors.Is(err, activation.ErrUnreachable) {
			return 0, fmt.Errorf("the reply was not lost: %w", err)
		}
		merchant.After = nil
	}
	copied, err := machine.Copy(fmt.Sprint("copy ", i))
	if err != nil {
		return 0, err
	}
	b, err := copied.Agent(merchant)
	if err != nil {
		return 0, err
	}
	for beat := 1; beat <= most; beat++ {
		for _, agent := range []*activation.Lifecycle{a, b} {
			h, err := agent.Renew(ctx, key())
			if err != nil {
				return 0, err
			}
			if merchant.Forks > 0 {
				if !h.Contested || !h.Verdict.Runs {
					return 0, fmt.Errorf("a fork must flag and not stop: %+v", h.Verdict)
				}
				return beat, nil
			}
		}
	}
	return 0, nil
}

// TestP18 is the promise: a restored old store is flagged at first contact, and
// an honest one is back after one self-service step.
func TestP18(t *testing.T) {
	n := promise.Size(40, 20_000)
	var mu sync.Mutex
	flagged, rebound, unflagged := 0, 0, 0
	inParallel(t, n, func(i int) error {
		ctx := context.Background()
		merchant, machine, agent, err := newPair(fmt.Sprint("restored ", i))
		if err != nil {
			return err
		}
		old, err := machine.Store.Load()
		if err != nil {
			return err
		}
		for range 1 + i%10 {
			machine.Clock.Advance(days)
			if _, err := agent.Renew(ctx, key()); err != nil {
				return err
			}
		}
		machine.Store = activation.NewMemory()
		if err := machine.Store.Apply(activation.Change{Put: old.Records, KeySets: old.KeySets, Clock: &old.Clock}); err != nil {
			return err
		}
		if agent, err = machine.Agent(merchant); err != nil {
			return err
		}
		h, err := agent.Renew(ctx, key())
		if err != nil {
			return err
		}
		r, err := agent.Rebind(ctx, key(), code)
		if err != nil {
			return err
		}
		after, err := agent.Renew(ctx, key())
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		if merchant.Forks == 1 && h.Contested && h.Verdict.Runs {
			flagged++
		}
		if !r.Contested && r.Verdict.Runs && !after.Contested && merchant.Forks == 1 {
			rebound++
		}
		return nil
	})
	if flagged != n || rebound != n {
		t.Errorf("%d of %d restores flagged at first contact, %d back after one re-bind", flagged, n, rebound)
	}
	controls := promise.Size(4, 100)
	inParallel(t, controls, func(i int) error {
		merchant, machine, agent, err := newPair(fmt.Sprint("control ", i))
		if err != nil {
			return err
		}
		merchant.AcceptOneBehind = true
		old, err := machine.Store.Load()
		if err != nil {
			return err
		}
		if _, err := agent.Renew(context.Background(), key()); err != nil {
			return err
		}
		machine.Store = activation.NewMemory()
		if err := machine.Store.Apply(activation.Change{Put: old.Records, KeySets: old.KeySets, Clock: &old.Clock}); err != nil {
			return err
		}
		if agent, err = machine.Agent(merchant); err != nil {
			return err
		}
		if _, err = agent.Renew(context.Background(), key()); err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		if merchant.Forks == 0 {
			unflagged++
		}
		return nil
	})
	if unflagged != controls {
		t.Errorf("control: accepting one-behind misses %d of %d restores", unflagged, controls)
	}
	promise.Reached(t, "P18", fmt.Sprintf("%d of %d restored stores flagged at first contact, %d back after one re-bind", flagged, n, rebound),
		fmt.Sprintf("accepting one-behind misses %d of %d restores that are one heartbeat old", unflagged, controls))
}

// TestP15 is the promise: replies cannot be replayed, reordered or moved to
// another device.
func TestP15(t *testing.T) {
	const fleet = 5
	rnd := rand.New(rand.NewPCG(1, 15))
	clock := activationtest.NewClock()
	merchant := activationtest.NewMerchant("acme", clock.Wall)
	merchant.AddCode(code, activationtest.Offer{Devices: fleet})
	var agents []*activation.Lifecycle
	var stores []activation.StateStore
	var replies []activation.Answer // of all devices, oldest first
	merchant.After = func(_ *license.Request, a *activation.Answer) error {
		replies = append(replies, *a)
		return nil
	}
	for i := range fleet {
		m := activationtest.NewMachine(fmt.Sprint("fleet ", i))
		m.Clock = clock
		a, err := m.Agent(merchant)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.Activate(t.Context(), activation.ActivateOptions{Code: code}); err != nil {
			t.Fatal(err)
		}
		agents, stores = append(agents, a), append(stores, m.Store)
	}
	for round := range 8 {
		if round == 4 {
			merchant.RotateKeys(false)
		}
		if round == 6 {
			merchant.SetState(code, license.NoticeSuspended)
		}
		clock.Advance(days)
		for _, a := range agents {
			if _, err := a.Renew(t.Context(), key()); err != nil {
				t.Fatal(err)
			}
		}
	}
	// Every agent now waits for an answer that nobody has.
	for _, a := range agents {
		if _, err := a.OfflineRequest(license.RequestRenew, activation.RequestOptions{Key: key()}); err != nil {
			t.Fatal(err)
		}
	}
	before := loadAll(t, stores)
	accepted, genuine, tries := 0, 0, promise.Size(400, 10_000)
	for range tries {
		mixed := replies[rnd.IntN(len(replies))]
		switch rnd.IntN(4) {
		case 0:
			mixed.Notice = replies[rnd.IntN(len(replies))].Notice
		case 1:
			mixed.KeySet = replies[rnd.IntN(len(replies))].KeySet
		case 2:
			mixed.License = replies[rnd.IntN(len(replies))].License
		}
		if mixed.License == nil && mixed.Notice == nil {
			mixed.Notice = replies[len(replies)-1].Notice // a key set alone is no reply
		}
		if _, err := agents[rnd.IntN(fleet)].Import(activationtest.Encode(mixed)); err == nil {
			accepted++
		}
		if ks, err := license.OpenKeySet(merchant.Anchor(), nil, mixed.KeySet); err == nil && mixed.License != nil {
			if _, err := ks.OpenLicense(mixed.License); err == nil {
				genuine++ // a verifier of signatures alone takes it
			}
		}
	}
	if accepted != 0 || !slices.EqualFunc(before, loadAll(t, stores), equalState) {
		t.Errorf("%d of %d mixed-up replies accepted, or the state changed", accepted, tries)
	}
	if genuine == 0 {
		t.Error("control: no mixed-up reply carries a valid signature")
	}
	promise.Reached(t, "P15", fmt.Sprintf("%d of %d mixed-up replies accepted, state unchanged", accepted, tries),
		fmt.Sprintf("checking signatures alone accepts %d of them", genuine))
}

func loadAll(t *testing.T, stores []activation.StateStore) []activation.State {
	t.Helper()
	var all []activation.State
	for _, s := range stores {
		st, err := s.Load()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, st)
	}
	return all
}
