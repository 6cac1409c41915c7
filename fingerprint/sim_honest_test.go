package fingerprint

import (
	"math/rand/v2"
	"os"
	"sync"
	"testing"
)

// simSeed reproduces every figure of docs/fingerprint-corpus.md.
const simSeed = 20260701

// full says whether the long forms run (FULL=1, used by make prove).
func full() bool { return os.Getenv("FULL") != "" }

const yearsPerLife = 10

// simulate plays machine-years in shards, each with a generator of its own, on
// two goroutines: the result depends on the seed only.
func simulate(w world, pop population, years int) tallies {
	const perShard = 100 * yearsPerLife
	shards := make(chan int)
	var total tallies
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 2 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for s := range shards {
				r := rand.New(rand.NewPCG(w.seed, uint64(s)))
				var part tallies
				for range perShard / yearsPerLife {
					part.add(live(w, pop, r, yearsPerLife))
				}
				mu.Lock()
				total.add(part)
				mu.Unlock()
			}
		}()
	}
	for s := range years / perShard {
		shards <- s
	}
	close(shards)
	wg.Wait()
	return total
}

func honestYears() int {
	if full() {
		return 1_000_000
	}
	return 5_000
}

// TestHonestMachinesKeepTheirLicense: one part a year, docks daily, a bad read
// per 200 boots, kernel updates, migration. At most 1 in 10,000 machine-years
// may be refused although no board was replaced.
func TestHonestMachinesKeepTheirLicense(t *testing.T) {
	pop := readPopulation(t)
	got := simulate(defaultWorld(Presets()[PresetBalanced]), pop, honestYears())
	t.Logf("%+v", got)
	if got.years != honestYears() || got.changes != got.years || got.badReads < got.years/2 || got.drifted < got.years/50 || got.board == 0 {
		t.Fatalf("the simulation did not happen: %+v", got)
	}
	limit := got.years / 10_000
	if !full() {
		limit = 3 // too few years for the rate itself; each control is beyond 10
	}
	if got.wrong > limit {
		t.Errorf("%d of %d machine-years wrongly refused", got.wrong, got.years)
	}
}

// TestHonestControls: with one defence off each, the limit is missed. A control
// that passes would mean that the simulation cannot see the harm.
func TestHonestControls(t *testing.T) {
	pop, balanced := readPopulation(t), Presets()[PresetBalanced]
	for name, change := range map[string]func(*world){
		"whole strings compared": func(w *world) { w.stringEqual = true },
		"unreadable is absent":   func(w *world) { w.unreadIsGone, w.debounce, w.oneLook = true, false, true },
		"no roll-forward":        func(w *world) { w.rollForward = false },
	} {
		w := defaultWorld(balanced)
		change(&w)
		got := simulate(w, pop, 2000)
		t.Logf("%s: %d of %d machine-years wrongly refused", name, got.wrong, got.years)
		if got.wrong*1_000 <= got.years {
			t.Errorf("%s: hardly worse than with the defence (%d of %d)", name, got.wrong, got.years)
		}
	}
}

// TestAskingFirst: virtual machines whose only value was made anew are not
// refused, because the contact comes before the first answer. With the answer
// first they are.
func TestAskingFirst(t *testing.T) {
	pop, years := readPopulation(t), 2_000
	first := defaultWorld(Presets()[PresetBalanced])
	first.virtualOnly = true
	control := first
	control.noAsking = true
	asked, answered := simulate(first, pop, years), simulate(control, pop, years)
	t.Logf("of %d machine-years wrongly refused: %d, with the answer first %d", years, asked.wrong, answered.wrong)
	if asked.wrong > 1 {
		t.Errorf("%d wrongly refused", asked.wrong)
	}
	if answered.wrong < 5 {
		t.Errorf("the answer first: %d wrongly refused, so that the simulation does not see such machines", answered.wrong)
	}
}
