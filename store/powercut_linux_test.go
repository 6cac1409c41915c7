package store

import (
	crand "crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"licenseagent.example/activation"
	"licenseagent.example/docs/promise"
	"licenseagent.example/platform/devicekey"
)

// cuts sums up the outcomes of power cuts.
type cuts struct{ states, bad, aside int }

// outcome is one state of the disk after a power cut.
type outcome struct {
	files  map[string][]byte
	acked  int64 // the last commit that was acknowledged
	opened bool  // the first Open had returned
}

// weigh says what is wrong with a state that was read from an outcome.
func (o outcome) weigh(st activation.State) error {
	n, torn := count(st)
	switch {
	case torn:
		return fmt.Errorf("torn at %d", n)
	case n < o.acked:
		return fmt.Errorf("acknowledged %d, found %d", o.acked, n)
	case n > o.acked+1:
		return fmt.Errorf("found %d, which was never written", n)
	}
	return nil
}

// here judges an outcome in this process, for outcomes that must be sound.
func (o outcome) here(t *testing.T, dir string) (bad error, aside bool) {
	lay(t, dir, o.files)
	s, err := Open(dir, options())
	if err != nil {
		return err, false
	}
	defer s.leave()
	st, err := s.Load()
	if err != nil {
		return err, false
	}
	return o.weigh(st), len(s.Stats().Quarantine) > 0
}

// elsewhere judges an outcome in a child with the whole guard, for outcomes
// that may hold anything.
func (o outcome) elsewhere(t *testing.T, v *server, dir string) (bad error, aside bool) {
	lay(t, dir, o.files)
	_, verdict := v.serve(t, dir)
	flag, state, ok := strings.Cut(strings.TrimPrefix(verdict, "served "), " ")
	if !ok || !strings.HasPrefix(verdict, "served ") {
		return errors.New(verdict), false
	}
	var st activation.State
	if err := json.Unmarshal([]byte(state), &st); err != nil {
		return err, false
	}
	return o.weigh(st), flag == "true"
}

// enumerate replays the events and cuts the power after each one, in target
// outcomes altogether. each judges one.
func enumerate(t *testing.T, events []event, d *disk, target int, each func(o outcome) (bad error, aside bool)) cuts {
	t.Helper()
	points := 0
	count := *newDisk()
	count.lying = d.lying
	for _, e := range events {
		if e.run != nil {
			e.run(&count)
			if count.open() {
				points++
			}
		}
	}
	if points == 0 {
		t.Fatal("the trace holds no instant at which a power cut could matter")
	}
	var c cuts
	rnd := rand.New(rand.NewPCG(7, 7))
	acked, opened := int64(0), false
	done := 0
	for _, e := range events {
		if e.run == nil {
			fmt.Sscanf(e.say, "ack %d", &acked)
			opened = opened || e.say == "opened"
			if strings.HasPrefix(e.say, "error") {
				t.Log(e.say)
			}
			continue
		}
		e.run(d)
		if !d.open() {
			continue
		}
		done++
		if d.lying && acked == 0 {
			continue // nothing was promised yet
		}
		first := 0
		if d.lying {
			first = 2 // parts; all and nothing are right or wrong for sure
		}
		for variant := first; variant < first+2 || c.states < target*done/points; variant++ {
			c.states++
			bad, aside := each(outcome{d.cut(variant, rnd), acked, opened})
			if aside {
				c.aside++
			}
			if bad != nil {
				c.bad++
				if c.bad <= 3 && !d.lying {
					t.Logf("outcome %d: %v", c.states, bad)
				}
			}
		}
	}
	return c
}

// P02: a power cut at any instant leaves a store that opens and is right.
func TestPowerCut(t *testing.T) {
	t.Parallel()
	events := traced(t, spec{Mode: "trace", Dir: newDir(t), N: int64(scale(12, 48))})
	dir := ramDir(t)
	c := enumerate(t, events, newDisk(), scale(1000, 12000), func(o outcome) (error, bool) {
		bad, aside := o.here(t, dir)
		if bad == nil && aside && o.opened {
			// Saved by the mirror; but bbolt alone promises this much.
			bad = errors.New("the database had to be put aside")
		}
		return bad, aside
	})
	if c.bad != 0 {
		t.Errorf("%+v", c)
	}
	liar := newDisk()
	liar.lying = true
	served := &server{spec: spec{Mode: "serve"}}
	control := enumerate(t, events, liar, promise.Size(200, 1500), func(o outcome) (error, bool) { return o.elsewhere(t, served, dir) })
	if control.bad*2 < control.states {
		t.Errorf("with syncs ignored only %d of %d outcomes are bad", control.bad, control.states)
	}
	promise.Reached(t, "P02", fmt.Sprintf("%d states of state.db and its companions, %d bad", c.states, c.bad),
		fmt.Sprintf("syncs ignored: %d of %d bad (%d %%)", control.bad, control.states, control.bad*100/control.states))
}

// A failed sync may leave pages that the kernel believes to be on the disk. A
// power cut at any later instant must not show it.
func TestPowerCutAfterFailedSync(t *testing.T) {
	t.Parallel()
	var sum cuts
	dir, served := ramDir(t), &server{spec: spec{Mode: "serve"}}
	syncs := []int{6, 7} // of the data and of the meta page of one commit
	if racing {
		syncs = []int{7}
	}
	if promise.Tier() != "test" {
		syncs = []int{2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}
	}
	for _, nth := range syncs {
		events := traced(t, spec{Mode: "trace", Dir: newDir(t), N: 4}, "-e", fmt.Sprintf("inject=fdatasync:error=EIO:when=%d", nth))
		c := enumerate(t, events, newDisk(), scale(100, 1000), func(o outcome) (error, bool) { return o.elsewhere(t, served, dir) })
		if c.bad != 0 {
			t.Errorf("failure of sync %d: %+v", nth, c)
		}
		sum.states, sum.bad, sum.aside = sum.states+c.states, sum.bad+c.bad, sum.aside+c.aside
	}
	t.Logf("%+v", sum)
}

// keyless says what is wrong with the device key of a state: whatever lies under
// its name is a whole key, and there is no store without one, because a new key
// would open nothing of it.
func (o outcome) keyless(t *testing.T, dir string) error {
	t.Helper()
	if _, ok := o.files[devicekey.FileName]; !ok {
		if _, ok := o.files[fileDB]; ok {
			return errors.New("a store without its key")
		}
		return nil
	}
	lay(t, dir, o.files)
	k, err := devicekey.Open(dir, crand.Reader)
	if err != nil {
		return err
	}
	return k.Close()
}

// P03: a first installation that is interrupted anywhere, from the making of the
// device key on, starts cleanly next time.
func TestFirstCreation(t *testing.T) {
	t.Parallel()
	dir, served, bare := ramDir(t), &server{spec: spec{Mode: "serve"}}, &server{spec: spec{Mode: "serve", Bare: true}}
	run := func(how spec, target int) cuts {
		how.Mode, how.Dir, how.N = "trace", newDir(t), 1
		return enumerate(t, traced(t, how), newDisk(), target, func(o outcome) (error, bool) {
			if how.Key != "" {
				if err := o.keyless(t, dir); err != nil || how.Key == keyInPlace {
					return err, false // the control is about the key alone
				}
			}
			// Whatever lies under the final name must open in plain bbolt.
			if db, ok := o.files[fileDB]; ok {
				lay(t, dir, map[string][]byte{fileDB: db})
				if _, verdict := bare.serve(t, dir); verdict != "served" {
					return errors.New(verdict), false
				}
			}
			if how.Place {
				return nil, false // the control is about the file alone
			}
			return o.elsewhere(t, served, dir)
		})
	}
	c := run(spec{Key: keyWhole}, scale(600, 3000))
	if c.bad != 0 || c.aside != 0 {
		t.Errorf("%+v", c)
	}
	control := run(spec{Place: true}, promise.Size(200, 1000))
	if control.bad == 0 {
		t.Errorf("creation under the final name was never caught: %+v", control)
	}
	key := run(spec{Key: keyInPlace}, promise.Size(200, 1000))
	if key.bad == 0 {
		t.Errorf("a key written under its final name was never caught: %+v", key)
	}
	promise.Reached(t, "P03", fmt.Sprintf("%d states of device.key, state.db and their companions, %d unopenable, torn or without their key", c.states, c.bad),
		fmt.Sprintf("store created in place: %d of %d unopenable; key written in place: %d of %d torn", control.bad, control.states, key.bad, key.states))
}
