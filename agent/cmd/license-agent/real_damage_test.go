//go:build linux

package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"licenseagent.example/activation/license"
	"licenseagent.example/docs/promise"
	"licenseagent.example/store/storetest"
)

// ruined is what a series of damaged starts has found.
type ruined struct {
	starts, licensed int
	late             int // slower than 5 s
	altered, refused int
	healed           int // re-activated at the merchant where nothing was left
	slowest          time.Duration
}

// what is left beside the damaged file.
const (
	leftMirror  = iota // the mirror and the public copies
	leftPublic         // the public copies only: the mirror is damaged too
	leftNothing        // neither: the merchant has to help
	lefts
)

// damageLoop starts the agent on damaged state files and asks it.
func damageLoop(t *testing.T, c command, v *vendor, each int, seed uint64, left int) ruined {
	t.Helper()
	rnd := rand.New(rand.NewPCG(seed, 4))
	code, order := v.code()
	base := filepath.Join(quickDir(t), "base")
	v.furnish(base)
	r := c.start(t, base)
	r.await()
	check0(t, r.activate(code))
	for range 4 { // some history: a free list, and mirrors of several generations
		check0(t, r.renew())
	}
	r.kill() // no mark of a clean stop
	seq := v.newest(order).Seq
	var u ruined
	for _, h := range storetest.Damages() {
		for range each {
			dir := filepath.Join(quickDir(t), "agent")
			check0(t, os.MkdirAll(dir, 0o755))
			copyTree(t, base, dir)
			state := filepath.Join(dir, "license-agent", "state")
			spoil(t, filepath.Join(state, "state.db"), h.Do, rnd)
			if left == leftPublic {
				spoil(t, filepath.Join(state, "state.mirror"), storetest.Noise, rnd)
			}
			if left == leftNothing {
				check0(t, os.Remove(filepath.Join(state, "state.mirror")))
				check0(t, os.RemoveAll(filepath.Join(dir, "license-agent", "run", publicDir)))
			}
			r := c.start(t, dir)
			took := r.await()
			u.starts++
			held := r.holds(v) // fails the test when a status cannot be had or does not verify
			u.slowest = max(u.slowest, time.Since(r.began))
			if took > 5*time.Second {
				u.late++
			}
			u.judge(t, h.Kind, r, v, held, order, seq, code, left)
			r.kill()
			check0(t, os.RemoveAll(dir))
		}
	}
	return u
}

func (u *ruined) judge(t *testing.T, kind string, r *running, v *vendor, held *license.Claims, order string, seq int64, code string, left int) {
	t.Helper()
	switch {
	case held == nil:
		u.refused++
		if left != leftNothing {
			t.Logf("%s: no license although copies were left\n%s", kind, r.log)
		}
	case held.ID != v.newest(order).License || held.Seq > seq:
		u.altered++
		t.Errorf("%s: holds %s at %d, want %s at %d", kind, held.ID, held.Seq, v.newest(order).License, seq)
	default:
		u.licensed++
		return
	}
	if left != leftNothing {
		return
	}
	// The same code on the same device is the same seat.
	if err := r.activate(code); err != nil {
		t.Errorf("%s: activating again: %v", kind, err)
		return
	}
	if l, ok := r.only(); ok && l.Verdict.Runs {
		u.healed++
	}
}

func spoil(t *testing.T, file string, do func([]byte, *rand.Rand) []byte, rnd *rand.Rand) {
	t.Helper()
	b := value(os.ReadFile(file))(t)
	if len(b) < 4096 { // a mirror is smaller than a page
		b = append(b, make([]byte, 4096-len(b))...)
	}
	check0(t, os.WriteFile(file, do(b, rnd), 0o600))
}

// P04 and P05 on the shipped binary: whatever happened to the state file, every
// start answers, and what it answers is what the vendor signed.
func proveDamage(t *testing.T, bin string) {
	c := command{bin: bin}
	v := newVendor(t, nil)
	each := promise.Size(1, 1000, 1000)
	withMirror := damageLoop(t, c, v, each, 1, leftMirror)
	withPublic := damageLoop(t, c, v, max(1, each/10), 2, leftPublic)
	alone := damageLoop(t, c, v, max(1, each/10), 3, leftNothing)
	for name, u := range map[string]ruined{"mirror": withMirror, "public copies": withPublic, "nothing": alone} {
		if u.late+u.altered != 0 {
			t.Errorf("%s left: %+v", name, u)
		}
	}
	if withMirror.licensed != withMirror.starts || withPublic.licensed != withPublic.starts {
		t.Errorf("a license is gone: with mirror %+v, with public copies %+v", withMirror, withPublic)
	}
	if alone.refused == 0 {
		t.Errorf("control: with neither mirror nor public copies every license survived: %+v", alone)
	}
	if alone.healed != alone.refused {
		t.Errorf("the merchant healed %d of %d", alone.healed, alone.refused)
	}
	starts := withMirror.starts + withPublic.starts + alone.starts
	control := fmt.Sprintf("with neither mirror nor public copies %d of %d starts have no license left (all healed by activating again)", alone.refused, alone.starts)
	promise.Reached(t, "P04", fmt.Sprintf("license-agent run: %d starts on state files damaged in 9 ways, all answer, license there in %d of %d from the mirror and %d of %d from the public copies, slowest first answer %v",
		starts, withMirror.licensed, withMirror.starts, withPublic.licensed, withPublic.starts, max(withMirror.slowest, withPublic.slowest, alone.slowest).Round(time.Millisecond)), control)
	promise.Reached(t, "P05", fmt.Sprintf("license-agent run: %d starts on damaged state files, 0 altered licenses answered", starts), control)
}
