package seats

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"licenseagent.example/activation"
)

func key() activation.Key { return activation.Key{Issuer: "acme", Product: "painter"} }

// process is the claim of one process of an account.
func process(account string, pid int) Claim {
	return Claim{Key: key(), Account: account, PID: pid, Birth: fmt.Sprint("b", pid)}
}

func user(account, name string, pid int) Claim {
	c := process(account, pid)
	c.User = name
	return c
}

func table(lines ...[]byte) (*Table, []*Held) {
	return New(Config{Now: func() int64 { return 1_800_000_000 }, Start: "run"}, lines)
}

// now is a context that does not wait.
func now(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

func take(t *testing.T, tb *Table, c Claim, total int64) *Held {
	t.Helper()
	h, _, err := tb.Take(now(t), c, total)
	if err != nil {
		t.Fatalf("%+v: %v", c, err)
	}
	return h
}

// What is one seat and what are two.
func TestCounting(t *testing.T) {
	for _, c := range []struct {
		name   string
		claims []Claim
		used   int64
	}{
		{"one process twice", []Claim{process("u", 1), process("u", 1)}, 1},
		{"two processes", []Claim{process("u", 1), process("u", 2)}, 2},
		{"a number given away again", []Claim{{Key: key(), Account: "u", PID: 1, Birth: "a"}, {Key: key(), Account: "u", PID: 1, Birth: "b"}}, 2},
		{"a process that nobody can tell", []Claim{{Key: key(), Account: "u"}, {Key: key(), Account: "u"}}, 2},
		{"one named user in two processes", []Claim{user("u", "alice", 1), user("u", "alice", 2)}, 1},
		{"two named users of one process", []Claim{user("u", "alice", 1), user("u", "bob", 1)}, 2},
		{"the same name in two accounts", []Claim{user("u", "alice", 1), user("v", "alice", 2)}, 2},
		{"a process and a named user", []Claim{process("u", 1), user("u", "alice", 1)}, 2},
	} {
		tb, _ := table()
		var held []*Held
		for _, claim := range c.claims {
			held = append(held, take(t, tb, claim, 10))
		}
		if n := tb.Count(key()); n.Used != c.used || n.Total != 10 || n.Peak != c.used {
			t.Errorf("%s: %+v, want %d used", c.name, n, c.used)
		}
		for _, h := range held {
			h.End()
			h.End() // twice is no error
		}
		if n := tb.Count(key()); n.Used != 0 || len(tb.Holders()) != 0 {
			t.Errorf("%s: %+v left", c.name, n)
		}
	}
}

func TestAllTaken(t *testing.T) {
	tb, _ := table()
	a := take(t, tb, process("u", 1), 1)
	if _, n, err := tb.Take(now(t), process("u", 2), 1); !errors.Is(err, ErrTaken) || n.Used != 1 || n.Waiting != 0 {
		t.Errorf("%+v %v", n, err)
	}
	b := take(t, tb, process("u", 1), 1) // shares
	a.End()
	if _, _, err := tb.Take(now(t), process("u", 2), 1); !errors.Is(err, ErrTaken) {
		t.Errorf("the other holder of the seat was forgotten: %v", err)
	}
	b.End()
	take(t, tb, process("u", 2), 1)
}

// turns fills one seat, lets others wait in the given order and returns the
// order in which they are served.
func turns(t *testing.T, holders, waiting []Claim, total int64) (order []string) {
	synctest.Test(t, func(t *testing.T) {
		tb, _ := table()
		var held []*Held
		for _, c := range holders {
			held = append(held, take(t, tb, c, total))
		}
		var mu sync.Mutex
		for _, c := range waiting {
			go func() {
				h, _, err := tb.Take(t.Context(), c, total)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				order = append(order, fmt.Sprint(c.Account, c.PID))
				held = append(held, h)
				mu.Unlock()
			}()
			synctest.Wait()
		}
		for i := 0; i < len(held); i++ { // held grows while it is emptied
			held[i].End()
			synctest.Wait()
		}
	})
	return order
}

func TestQueueIsFair(t *testing.T) {
	for _, c := range []struct {
		name             string
		holders, waiting []Claim
		total            int64
		want             string
	}{
		{"one account: first come, first served", []Claim{process("u", 1)}, []Claim{process("u", 2), process("u", 3), process("u", 4)}, 1, "[u2 u3 u4]"},
		{
			"who holds fewer comes first",
			[]Claim{process("u", 1), process("u", 2), process("v", 3)},
			[]Claim{process("u", 4), process("u", 5), process("v", 6), process("w", 7)},
			3, "[w7 u4 v6 u5]",
		},
	} {
		if got := fmt.Sprint(turns(t, c.holders, c.waiting, c.total)); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// Several connections of one process that wait get their shared seat together.
func TestWaitingTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tb, _ := table()
		a := take(t, tb, process("u", 1), 1)
		var got atomic.Int32
		for range 3 {
			go func() {
				if _, _, err := tb.Take(t.Context(), process("u", 2), 1); err == nil {
					got.Add(1)
				}
			}()
		}
		synctest.Wait()
		a.End()
		synctest.Wait()
		if got.Load() != 3 || tb.Count(key()).Used != 1 {
			t.Errorf("%d served, %+v", got.Load(), tb.Count(key()))
		}
	})
}

func TestWaitEndsWithTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tb, _ := table()
		short := 0
		tb.cfg.Short = func(k activation.Key, n Count) { short++ }
		take(t, tb, process("u", 1), 1)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		began := time.Now()
		if _, n, err := tb.Take(ctx, process("u", 2), 1); !errors.Is(err, ErrTaken) || n.Waiting != 0 || time.Since(began) != 30*time.Second {
			t.Errorf("%+v %v after %v", n, err, time.Since(began))
		}
		if short != 1 {
			t.Errorf("told %d times", short)
		}
	})
}

// More seats serve the queue, fewer take none away, none ends all.
func TestRevise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tb, _ := table()
		a, b := take(t, tb, process("u", 1), 2), take(t, tb, process("u", 2), 2)
		got := make(chan *Held, 1)
		go func() {
			h, _, _ := tb.Take(t.Context(), process("u", 3), 2)
			got <- h
		}()
		synctest.Wait()
		tb.Revise(map[activation.Key]int64{key(): 3})
		c := <-got
		tb.Revise(map[activation.Key]int64{key(): 1})
		if n := tb.Count(key()); n.Used != 3 || n.Total != 1 {
			t.Errorf("fewer: %+v", n)
		}
		c.End()
		if _, _, err := tb.Take(now(t), process("u", 4), 1); !errors.Is(err, ErrTaken) {
			t.Errorf("given although there are too many: %v", err)
		}
		lost := 0
		var mu sync.Mutex
		for _, h := range []*Held{a, b} {
			h.OnLost(func() { mu.Lock(); lost++; mu.Unlock() })
		}
		refused := make(chan error, 1)
		go func() {
			_, _, err := tb.Take(t.Context(), process("u", 5), 1)
			refused <- err
		}()
		synctest.Wait()
		tb.Revise(nil)
		synctest.Wait()
		if err := <-refused; !errors.Is(err, ErrNoLicense) || lost != 2 || tb.Count(key()).Used != 0 {
			t.Errorf("%v, %d lost, %+v", err, lost, tb.Count(key()))
		}
		a.End() // of what is lost already
		told := false
		a.OnLost(func() { told = true })
		if !told {
			t.Error("lost before anybody listened, and not told")
		}
	})
}

func TestBounds(t *testing.T) {
	tb, _ := table()
	for range maxHolders {
		take(t, tb, process("u", 1), 1)
	}
	if _, _, err := tb.Take(now(t), process("u", 1), 1); !errors.Is(err, ErrTooMany) {
		t.Errorf("holders of one seat: %v", err)
	}
	p := tb.pools[key()]
	for i := range maxWaiting {
		p.queue = append(p.queue, &waiter{claim: process("v", i), done: make(chan struct{})})
	}
	if _, _, err := tb.Take(now(t), process("w", 1), 1); !errors.Is(err, ErrTooMany) {
		t.Errorf("queue: %v", err)
	}
}

// journal keeps lines in memory as the store's does on disk.
type journal struct{ lines [][]byte }

func (j *journal) config() Config {
	return Config{
		Now: func() int64 { return 1_800_000_000 }, Start: fmt.Sprint("r", len(j.lines)),
		Append:  func(b []byte) error { j.lines = append(j.lines, b); return nil },
		Replace: func(l [][]byte) error { j.lines = l; return nil },
	}
}

// A new run knows the holders of the last one, counts none twice, and a process
// that asks anew gets the seat that is its own.
func TestRestore(t *testing.T) {
	var j journal
	tb, _ := New(j.config(), nil)
	a := take(t, tb, process("u", 1), 3)
	take(t, tb, user("u", "alice", 2), 3)
	take(t, tb, process("u", 3), 3)
	a.End()

	j.lines = append(j.lines, []byte("{damaged"), []byte(`{"take":{}}`), []byte(`{}`))
	again, back := New(j.config(), j.lines)
	if len(back) != 2 || !back[0].Detached || again.Count(key()).Used != 2 || again.Count(key()).Peak != 3 {
		t.Fatalf("%d back, %+v", len(back), again.Count(key()))
	}
	lost := make(chan struct{})
	for _, h := range back {
		if h.PID == 3 {
			h.OnLost(func() { close(lost) })
		}
	}
	h := take(t, again, process("u", 3), 3) // the program noticed the restart
	<-lost
	if n := again.Count(key()); n.Used != 2 {
		t.Errorf("doubled: %+v", n)
	}
	if h.Seat != back[1].Seat {
		t.Errorf("another seat: %s, was %s", h.Seat, back[1].Seat)
	}
	h.End()
	back[0].Attached()
	if list := again.Holders(); len(list) != 1 || list[0].Detached || list[0].User != "alice" {
		t.Errorf("%+v", list)
	}
	back[0].End()
	if n := again.Count(key()); n.Used != 0 {
		t.Errorf("leaked: %+v", n)
	}
	last, back := New(j.config(), j.lines)
	if len(back) != 0 || last.Count(key()).Used != 0 {
		t.Errorf("%d come back after all ended", len(back))
	}
}

// The lines are written anew before they grow without bound.
func TestLinesAreWrittenAnew(t *testing.T) {
	var j journal
	tb, _ := New(j.config(), nil)
	take(t, tb, process("u", 1), 2)
	for range maxLines {
		take(t, tb, process("u", 2), 2).End()
	}
	if len(j.lines) > maxLines+10 {
		t.Errorf("%d lines", len(j.lines))
	}
	again, back := New(j.config(), j.lines)
	if len(back) != 1 || back[0].PID != 1 || again.Count(key()).Peak != 2 {
		t.Errorf("%d back, %+v", len(back), again.Count(key()))
	}
}

// Whatever line the writing anew falls on, the holder of that line is among what is written.
func TestHolderOfTheLastLine(t *testing.T) {
	var j journal
	tb, _ := New(j.config(), nil)
	for tb.lines < maxLines-1 {
		take(t, tb, process("u", 1), 1).End()
	}
	take(t, tb, process("u", 2), 1)
	if len(j.lines) > 2 {
		t.Fatalf("%d lines: the last one was not written anew", len(j.lines))
	}
	if _, back := New(j.config(), j.lines); len(back) != 1 || back[0].PID != 2 {
		t.Errorf("%d back", len(back))
	}
}

// A disk that takes no line, or half of one, does not keep anybody from a seat,
// and the next start knows the holders as soon as there is space again.
func TestFailedAppend(t *testing.T) {
	var j journal
	full, half, failed := true, false, 0
	c := j.config()
	keep, replace := c.Append, c.Replace
	c.Append = func(b []byte) error {
		switch {
		case full:
			half = true
			j.lines = append(j.lines, b[:len(b)/2])
			return errors.New("full")
		case half:
			j.lines[len(j.lines)-1] = append(j.lines[len(j.lines)-1], b...)
			return nil
		}
		return keep(b)
	}
	c.Replace = func(l [][]byte) error {
		if full {
			return errors.New("full")
		}
		half = false
		return replace(l)
	}
	c.Failed = func(error) { failed++ }
	tb, _ := New(c, nil)
	take(t, tb, process("u", 1), 2)
	if failed == 0 {
		t.Error("not told")
	}
	if _, back := New(j.config(), j.lines); len(back) != 0 {
		t.Fatalf("control: %d back from a full disk", len(back))
	}
	full, failed = false, 0
	take(t, tb, process("u", 2), 2)
	if _, back := New(j.config(), j.lines); len(back) != 2 || failed != 0 {
		t.Errorf("%d back, told of %d failures", len(back), failed)
	}
}

// The peak is what a period used at most: what is told is taken off, what
// happens between asking and telling is not lost.
func TestPeak(t *testing.T) {
	tb, _ := table()
	a, b, c := take(t, tb, process("u", 1), 9), take(t, tb, process("u", 2), 9), take(t, tb, process("u", 3), 9)
	a.End()
	b.End()
	if n := tb.Peak(key()); n != 3 {
		t.Errorf("peak %d", n)
	}
	d := take(t, tb, process("u", 4), 9) // while the request is on its way
	d.End()
	if n := tb.Peak(key()); n != 3 {
		t.Errorf("asked again after no answer: %d", n)
	}
	e := take(t, tb, process("u", 5), 9)
	e.End()
	tb.Told(key())
	if n := tb.Peak(key()); n != 2 {
		t.Errorf("after telling: %d", n)
	}
	c.End()
	tb.Told(key())
	if n := tb.Peak(activation.Key{Product: "other"}); n != 0 {
		t.Errorf("a license nobody asked for: %d", n)
	}
}

// Under real concurrency no more seats are given than there are, none is lost.
func TestManyAtOnce(t *testing.T) {
	tb, _ := table()
	const total = 5
	var holding, most atomic.Int64
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(i), 1))
			for range 200 {
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(rng.IntN(3))*time.Millisecond)
				h, _, err := tb.Take(ctx, process(fmt.Sprint("u", i%3), i+1), total)
				cancel()
				if err != nil {
					continue
				}
				n := holding.Add(1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				holding.Add(-1)
				h.End()
			}
		})
	}
	wg.Wait()
	if most.Load() > total || most.Load() == 0 {
		t.Errorf("%d at once of %d", most.Load(), total)
	}
	if n := tb.Count(key()); n.Used != 0 || n.Waiting != 0 {
		t.Errorf("left: %+v", n)
	}
}
