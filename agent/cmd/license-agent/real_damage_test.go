//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"licenseagent.example/activation/license"
	"licenseagent.example/docs/promise"
	"licenseagent.example/store/storetest"
)

// page is what damages work on; a mirror is smaller, and some need two.
const page = 4096

// ruined is what a series of damaged starts has found.
type ruined struct {
	starts, licensed int
	dead             int // ended by themselves instead of answering
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
	leftPlain          // the control: the damaged file is a plain one, and there is no other
)

// damaged is an agent with some history, killed, whose state is to be damaged.
type damaged struct {
	t           *testing.T
	c           command
	v           *vendor
	base        string
	code, order string
	issued      map[string]bool // every license that it ever held, as JSON
	rnd         *rand.Rand
	left        int
	u           ruined
}

// newDamaged lets an agent live for a while.
func newDamaged(t *testing.T, c command, v *vendor, seed uint64, left int) *damaged {
	t.Helper()
	d := &damaged{t: t, c: c, v: v, rnd: rand.New(rand.NewPCG(seed, 4)), left: left, issued: map[string]bool{}}
	d.code, d.order = v.code()
	d.base = filepath.Join(quickDir(t), "base")
	v.furnish(d.base)
	r := d.start(d.base)
	r.await()
	check0(t, r.activate(d.code))
	d.issued[d.text(r.holds(v))] = true
	for range 4 { // some history: a free list, and mirrors of several generations
		check0(t, r.renew())
		d.issued[d.text(r.holds(v))] = true
	}
	r.kill() // no mark of a clean stop
	return d
}

func (d *damaged) text(c *license.Claims) string {
	d.t.Helper()
	return string(value(json.Marshal(c))(d.t))
}

func plainFile(dir string) string { return filepath.Join(dir, "plain.json") }

func (d *damaged) start(dir string) *running {
	d.t.Helper()
	c := d.c
	if d.left == leftPlain {
		c.env = append(slices.Clone(c.env), plainEnv+"="+string(value(json.Marshal(plain{Keys: d.v.keys, File: plainFile(dir)}))(d.t)))
	}
	return c.start(d.t, dir)
}

// try damages a copy of the state, starts the agent on it and asks it.
func (d *damaged) try(h storetest.Damage) {
	t := d.t
	t.Helper()
	dir := filepath.Join(quickDir(t), "agent")
	check0(t, os.MkdirAll(dir, 0o755))
	copyTree(t, d.base, dir)
	defer func() { check0(t, os.RemoveAll(dir)) }()
	state := filepath.Join(dir, "license-agent", "state")
	if d.left == leftPlain {
		spoil(t, plainFile(dir), 2*page, h.Do, d.rnd)
	} else {
		spoil(t, filepath.Join(state, "state.db"), page, h.Do, d.rnd)
	}
	switch d.left {
	case leftPublic:
		spoil(t, filepath.Join(state, "state.mirror"), page, storetest.Noise, d.rnd)
	case leftNothing:
		check0(t, os.Remove(filepath.Join(state, "state.mirror")))
		check0(t, os.RemoveAll(filepath.Join(dir, "license-agent", "run", publicDir)))
	}
	r := d.start(dir)
	defer r.kill()
	d.u.starts++
	took, ok := <-r.ready
	if !ok {
		d.u.dead++
		if d.left != leftPlain {
			t.Errorf("%s: the agent did not start:\n%s", h.Kind, r.log)
		}
		return
	}
	held := r.holds(d.v) // fails the test when a status cannot be had or does not verify
	d.u.slowest = max(d.u.slowest, time.Since(r.began))
	if took > 5*time.Second {
		d.u.late++
	}
	d.judge(h.Kind, r, held)
}

func (d *damaged) judge(kind string, r *running, held *license.Claims) {
	t, u := d.t, &d.u
	t.Helper()
	switch {
	case held == nil:
		u.refused++
		if d.left < leftNothing {
			t.Logf("%s: no license although copies were left\n%s", kind, r.log)
		}
	case !d.issued[d.text(held)]:
		u.altered++
		if d.left != leftPlain {
			t.Errorf("%s: holds %+v, which was never issued", kind, held)
		}
	default:
		u.licensed++
		return
	}
	if d.left != leftNothing {
		return
	}
	// The same code on the same device is the same seat.
	if err := r.activate(d.code); err != nil {
		t.Errorf("%s: activating again: %v", kind, err)
		return
	}
	if l, ok := r.only(); ok && l.Verdict.Runs {
		u.healed++
	}
}

// spoil damages a file, which is made at least so many bytes long before.
func spoil(t *testing.T, file string, least int, do func([]byte, *rand.Rand) []byte, rnd *rand.Rand) {
	t.Helper()
	b := value(os.ReadFile(file))(t)
	if len(b) < least {
		b = append(b, make([]byte, least-len(b))...)
	}
	check0(t, os.WriteFile(file, do(b, rnd), 0o600))
}

// damageLoop starts the agent on state files damaged in each way.
func damageLoop(t *testing.T, c command, v *vendor, each int, seed uint64, left int) ruined {
	t.Helper()
	d := newDamaged(t, c, v, seed, left)
	for _, h := range storetest.Damages() {
		for range each {
			d.try(h)
		}
	}
	return d.u
}

// plainLoop is the control: the same starts on a plain file, and then changed
// bits until an altered license is answered.
func plainLoop(t *testing.T, v *vendor, each int) (starts, bits ruined) {
	t.Helper()
	d := newDamaged(t, command{weak: "plain"}, v, 4, leftPlain)
	for _, h := range storetest.Damages() {
		for range each {
			d.try(h)
		}
	}
	starts = d.u
	i := slices.IndexFunc(storetest.Damages(), func(h storetest.Damage) bool { return h.Kind == "bit" })
	d.u = ruined{}
	for d.u.altered == 0 && d.u.starts < 400 {
		d.try(storetest.Damages()[i])
	}
	if starts.dead == 0 || d.u.altered == 0 {
		t.Errorf("control: on a plain file %+v, with changed bits %+v: nothing died, or no altered license was answered", starts, d.u)
	}
	return starts, d.u
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
		if u.dead+u.late+u.altered != 0 {
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
	bare, bits := plainLoop(t, v, promise.Size(1, 10))
	starts := withMirror.starts + withPublic.starts + alone.starts
	promise.Reached(t, "P04", fmt.Sprintf("license-agent run: %d starts on state files damaged in 9 ways, all answer, license there in %d of %d from the mirror and %d of %d from the public copies, slowest first answer %v",
		starts, withMirror.licensed, withMirror.starts, withPublic.licensed, withPublic.starts, max(withMirror.slowest, withPublic.slowest, alone.slowest).Round(time.Millisecond)),
		fmt.Sprintf("the state in a plain file instead: %d of %d starts die; with neither mirror nor public copies %d of %d starts have no license left (all healed by activating again)", bare.dead, bare.starts, alone.refused, alone.starts))
	promise.Reached(t, "P05", fmt.Sprintf("license-agent run: %d starts on damaged state files, 0 altered licenses answered", starts),
		fmt.Sprintf("the state in a plain file, no seal, and a signature that is made on loading: an altered license is answered at start %d with a changed bit", bits.starts))
}
