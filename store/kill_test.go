package store

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"licenseagent.example/docs/promise"
)

// killed sums up a run of kill -9 cycles.
type killed struct {
	cycles, commits, lost, torn, errors, aside int
	took                                       []time.Duration // reopening, guard included
}

// killLoop starts a writing agent, kills it at a random moment, starts it
// again, and compares what it finds with what it had acknowledged.
func killLoop(t *testing.T, cycles int, seed uint64, early bool) killed {
	var k killed
	rnd := rand.New(rand.NewPCG(seed, 1))
	c := spec{Mode: "loop", Dir: newDir(t), Early: early}
	acked := int64(0)
	for range cycles {
		p := start(t, c)
		first, ok := p.line()
		var found, micros, aside int64
		var torn bool
		if _, err := fmt.Sscanf(first, "open %d %t %d %d", &found, &torn, &micros, &aside); !ok || err != nil {
			k.errors++
			t.Errorf("the agent did not start: %q %v", first, err)
			p.end()
			return k
		}
		k.cycles++
		if found < acked {
			k.lost++
		}
		if torn {
			k.torn++
		}
		k.aside = int(aside)
		k.took = append(k.took, time.Duration(micros)*time.Microsecond)
		acked = found
		timer := time.AfterFunc(time.Duration(rnd.IntN(20_000))*time.Microsecond, func() { p.cmd.Process.Kill() })
		for {
			line, ok := p.line()
			if !ok {
				break // a line that was cut off was not said
			}
			if strings.HasPrefix(line, "error") {
				k.errors++
				t.Error(line)
			}
			if n, err := fmt.Sscanf(line, "ack %d", &acked); n == 1 && err == nil {
				k.commits++
			}
		}
		timer.Stop()
		p.end()
	}
	return k
}

// P01: killing the agent at any instant loses nothing it acknowledged.
func TestKill(t *testing.T) {
	t.Parallel()
	workers := 2
	cycles := scale(16, 5000)
	var sum killed
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range workers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			k := killLoop(t, cycles, uint64(i), false)
			mu.Lock()
			defer mu.Unlock()
			sum.cycles, sum.commits = sum.cycles+k.cycles, sum.commits+k.commits
			sum.lost, sum.torn, sum.errors = sum.lost+k.lost, sum.torn+k.torn, sum.errors+k.errors
			sum.aside, sum.took = sum.aside+k.aside, append(sum.took, k.took...)
		}()
	}
	wg.Wait()
	if sum.lost+sum.torn+sum.errors+sum.aside != 0 || sum.commits == 0 {
		t.Errorf("%+v", sum)
	}
	control := killLoop(t, promise.Size(12, 300), 99, true)
	if control.lost == 0 {
		t.Errorf("the control lost nothing: %+v", control)
	}
	slices.Sort(sum.took)
	in := func(percent int) int64 { return sum.took[(len(sum.took)-1)*percent/100].Milliseconds() }
	promise.Reached(t, "P01",
		fmt.Sprintf("%d kill -9 cycles, %d commits, %d lost, %d torn, reopening within %d ms (half), %d ms (99 %%), %d ms (all)", sum.cycles, sum.commits, sum.lost, sum.torn, in(50), in(99), in(100)),
		fmt.Sprintf("acknowledged before the commit: %d of %d cycles lost something", control.lost, control.cycles))
}
