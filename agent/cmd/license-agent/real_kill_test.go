//go:build linux

package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"licenseagent.example/activation/protocol"
	"licenseagent.example/docs/promise"
)

// killed is what a loop of kills has found.
type killed struct {
	kills, acks int
	lost, empty int // restarts with an older position, or with no license at all
	apart       int // installations that do not fit the merchant in the end
	forks       int
	starts      int
	slowest     time.Duration // start after a kill, from exec to "answers"
	total       time.Duration
}

func (k killed) mean() time.Duration {
	return (k.total / time.Duration(max(k.starts, 1))).Round(time.Millisecond)
}

// moments of a kill. The first two are instants that the merchant knows:
// nothing of the request was executed, and all of it was but nobody heard.
const (
	killBeforeExecution = iota
	killBeforeReply
	killAfterReply
	killAtRandom
	killDuringStart
	moments
)

// killLoop kills an agent again and again while it activates, renews and writes
// the time, and holds what it has afterwards against what it had acknowledged.
func killLoop(t *testing.T, c command, rounds int, seed uint64, only int) killed {
	t.Helper()
	v := newVendor(t, nil)
	rnd := rand.New(rand.NewPCG(seed, 1))
	k := killed{}
	const each = 12 // kills per installation
	for rounds > 0 {
		dir := filepath.Join(quickDir(t), "agent")
		v.furnish(dir)
		k.installation(t, c, v, dir, rnd, min(rounds, each), only)
		rounds -= each
		check0(t, os.RemoveAll(dir))
	}
	k.forks = v.forks()
	return k
}

// installation kills one agent n times, from before its activation on.
func (k *killed) installation(t *testing.T, c command, v *vendor, dir string, rnd *rand.Rand, n, only int) {
	t.Helper()
	code, order := v.code()
	id, acked := "", int64(0) // what was acknowledged: license and position
	usual := 50 * time.Millisecond
	for i := range n {
		moment := only
		if only == moments {
			moment = rnd.IntN(moments)
		} else if id == "" {
			moment = killAfterReply // an activation first
		}
		r := c.start(t, dir)
		if moment == killDuringStart {
			time.AfterFunc(time.Duration(rnd.Int64N(int64(60*time.Millisecond))), r.kill)
			for range r.ready {
			}
			r.kill()
			k.kills++
			continue
		}
		took := r.await()
		if i > 0 {
			k.slowest, k.total, k.starts = max(k.slowest, took), k.total+took, k.starts+1
		}
		k.compare(t, r, v, id, acked)
		do := r.renew
		if id == "" {
			do = func() error { return r.activate(code) }
		}
		began := time.Now()
		err := k.killAt(r, v, do, moment, time.Duration(rnd.Int64N(int64(2*usual))))
		if err == nil {
			usual = time.Since(began)
			k.acks++
			seat := v.newest(order)
			id, acked = seat.License, seat.Seq
		}
		k.kills++
	}
	r := c.start(t, dir)
	r.await()
	k.compare(t, r, v, id, acked)
	// The chain must still fit: whatever was outstanding is finished first.
	do := r.renew
	if _, ok := r.only(); !ok {
		do = func() error { return r.activate(code) }
	}
	err := do()
	if h, seat := r.holds(v), v.newest(order); err != nil || h == nil || h.ID != seat.License || h.Seq != seat.Seq {
		k.apart++
		t.Logf("the agent does not fit the merchant (position %d, contested %v): %v\n%s", seat.Seq, seat.Contested > 0, err, r.log)
	}
	r.kill()
}

// compare holds a restarted agent against what it had acknowledged.
func (k *killed) compare(t *testing.T, r *running, v *vendor, id string, acked int64) {
	t.Helper()
	if id == "" {
		return
	}
	h := r.holds(v)
	switch {
	case h == nil:
		k.empty++
	case h.ID != id || h.Seq < acked:
		k.lost++
	}
}

// killAt does something and kills the agent at a moment of it. The error is
// nil when the agent had acknowledged before it died.
func (k *killed) killAt(r *running, v *vendor, do func() error, moment int, after time.Duration) error {
	dead := make(chan struct{})
	var once sync.Once
	die := func(path string) bool {
		if path != protocol.PathKeySet {
			once.Do(func() { r.kill(); close(dead) })
		}
		return false
	}
	switch moment {
	case killBeforeExecution:
		v.hooks(die, nil)
	case killBeforeReply:
		v.hooks(nil, die)
	case killAtRandom:
		time.AfterFunc(after, func() { once.Do(func() { r.kill(); close(dead) }) })
	}
	r.client() // made before anybody else looks at it
	err := do()
	if moment != killAtRandom {
		once.Do(func() { r.kill(); close(dead) })
	}
	<-dead
	v.hooks(nil, nil)
	return err
}

// P01 on the shipped binary: kill -9 at any instant of start, activation and
// renewal. What was acknowledged is there after the restart, and the merchant
// never takes the restarted agent for a copy.
func proveKill(t *testing.T, bin string) {
	c := command{bin: bin}
	k := killLoop(t, c, promise.Size(24, 5000, 10_000), 1, moments)
	if k.lost+k.empty+k.apart+k.forks != 0 {
		t.Errorf("%d kills: %d positions lost, %d licenses gone, %d apart from the merchant, %d forks", k.kills, k.lost, k.empty, k.apart, k.forks)
	}
	if k.acks == 0 {
		t.Error("nothing was ever acknowledged: the kills hide the test")
	}
	// Controls: an agent that acknowledges first and writes later, and one that
	// asks first and writes later.
	soon := killLoop(t, command{weak: "early"}, promise.Size(5, 24, 24), 2, killAfterReply)
	if soon.lost+soon.empty == 0 {
		t.Errorf("control: nothing was lost by acknowledging before the commit: %+v", soon)
	}
	ask := killLoop(t, command{weak: "forgetful"}, promise.Size(4, 24, 24), 3, killBeforeReply)
	if ask.forks == 0 {
		t.Error("control: without the request on disk before it is sent, no restart looked like a copy")
	}
	promise.Reached(t, "P01", fmt.Sprintf("license-agent run: %d kills -9 during start, activation and renewal, %d acknowledged, 0 lost; start after a kill %v on average, %v at most",
		k.kills, k.acks, k.mean(), k.slowest.Round(time.Millisecond)),
		fmt.Sprintf("acknowledging before the commit loses %d of %d", soon.lost+soon.empty, soon.acks))
	promise.Reached(t, "P17", fmt.Sprintf("license-agent run: %d kills -9, also between the merchant's commit and its reply: %d false forks", k.kills, k.forks),
		fmt.Sprintf("without the request on disk before it is sent: %d seats contested", ask.forks))
}
