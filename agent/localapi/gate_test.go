package localapi

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func small(slots int) Limits {
	l := Default()
	l.Running = slots
	return l
}

// With free slots nobody is held up, whatever the rate: a job of 500 processes
// that start at once is normal use.
func TestGateLetsABurstThroughWhileNobodyWaits(t *testing.T) {
	at := time.Unix(1_800_000_000, 0)
	g := newGate(func() time.Time { return at }, small(4))
	for range 10_000 {
		if !g.enter(t.Context(), "uid:1000") {
			t.Fatal("refused although nobody else waits")
		}
		g.leave()
	}
	if g.running != 0 || g.waiting != 0 {
		t.Errorf("running %d, waiting %d", g.running, g.waiting)
	}
}

// order fills the only slot, queues one request per name in turn and returns
// the order in which they get their turns.
func order(t *testing.T, g *gate, names []string) []string {
	t.Helper()
	var got []string
	synctest.Test(t, func(t *testing.T) {
		if !g.enter(t.Context(), "holder") {
			t.Fatal("the slot is not free")
		}
		var mu sync.Mutex
		for _, name := range names {
			go func() {
				if g.enter(t.Context(), name) {
					mu.Lock()
					got = append(got, name)
					mu.Unlock()
					g.leave()
				}
			}()
			synctest.Wait() // it stands in the queue
		}
		g.leave()
		synctest.Wait()
	})
	return got
}

// Users are served in turn, not requests in order of arrival.
func TestGateServesUsersInTurn(t *testing.T) {
	at := time.Unix(1_800_000_000, 0)
	g := newGate(func() time.Time { return at }, small(1))
	got := order(t, g, []string{"a", "a", "a", "a", "b", "c", "b"})
	want := []string{"a", "b", "c", "a", "b", "a", "a"}
	for i := range want {
		if i >= len(got) || got[i] != want[i] {
			t.Fatalf("order %v, want %v", got, want)
		}
	}
}

// A user over the rate comes after the others as long as any of them waits.
func TestGatePutsTheGreedyLast(t *testing.T) {
	at := time.Unix(1_800_000_000, 0)
	g := newGate(func() time.Time { return at }, small(1))
	for range 200 {
		if !g.enter(t.Context(), "greedy") {
			t.Fatal("refused although nobody waits")
		}
		g.leave()
	}
	got := order(t, g, []string{"greedy", "greedy", "b", "b", "c"})
	want := []string{"b", "c", "b", "greedy", "greedy"}
	for i := range want {
		if i >= len(got) || got[i] != want[i] {
			t.Fatalf("order %v, want %v", got, want)
		}
	}
	at = at.Add(4 * time.Second) // debt is at most one second's worth: four seconds later there is credit
	got = order(t, g, []string{"greedy", "b"})
	if len(got) != 2 || got[0] != "greedy" {
		t.Errorf("after a pause the order is %v", got)
	}
}

// A request that gives up leaves no hole and no lost slot.
func TestGateForgetsWhoGaveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(time.Now, small(1))
		if !g.enter(t.Context(), "holder") {
			t.Fatal("the slot is not free")
		}
		ctx, cancel := context.WithCancel(t.Context())
		refused := make(chan bool)
		go func() { refused <- !g.enter(ctx, "a") }()
		served := make(chan bool)
		synctest.Wait()
		go func() { served <- g.enter(t.Context(), "b") }()
		synctest.Wait()
		cancel()
		if !<-refused {
			t.Error("entered after giving up")
		}
		g.leave()
		if !<-served {
			t.Error("b was forgotten")
		}
		g.leave()
		if g.running != 0 || g.waiting != 0 || len(g.ring) != 0 {
			t.Errorf("left over: running %d, waiting %d, ring %d", g.running, g.waiting, len(g.ring))
		}
	})
}

// Under real concurrency the number of running requests never exceeds the slots.
func TestGateBoundsWhatRuns(t *testing.T) {
	g := newGate(time.Now, small(3))
	var running, most atomic.Int64
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			user := string(rune('a' + i%5))
			for j := range 200 {
				ctx, cancel := context.WithCancel(context.Background())
				if j%7 == 0 {
					cancel() // some give up at once
				}
				if g.enter(ctx, user) {
					n := running.Add(1)
					for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
					}
					running.Add(-1)
					g.leave()
				}
				cancel()
			}
		})
	}
	wg.Wait()
	if most.Load() > 3 {
		t.Errorf("%d at the same time", most.Load())
	}
	if g.running != 0 || g.waiting != 0 {
		t.Errorf("left over: running %d, waiting %d", g.running, g.waiting)
	}
}

func TestGateForgetsOldUsers(t *testing.T) {
	at := time.Unix(1_800_000_000, 0)
	g := newGate(func() time.Time { return at }, small(1))
	for i := range 3 * maxShares {
		at = at.Add(time.Second)
		g.enter(t.Context(), "uid:"+string(rune(i+32)))
		g.leave()
	}
	if len(g.users) > maxShares {
		t.Errorf("%d accounts are kept", len(g.users))
	}
}
