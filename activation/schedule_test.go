package activation_test

import (
	"container/heap"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"licenseagent.example/activation"
	"licenseagent.example/docs/promise"
)

func fixed(v float64) func() float64 { return func() float64 { return v } }

const almostOne = 1 - 1.0/(1<<53)

func TestBackoff(t *testing.T) {
	for _, tt := range []struct {
		failures int
		after    time.Duration
		least    int64 // with the smallest random number
		most     int64 // with the greatest
	}{
		{1, 0, 1, 59},
		{2, 0, 1, 119},
		{3, 0, 1, 239},
		{8, 0, 1, 7679},
		{9, 0, 1, 14399},
		{10, 0, 1, 14399},
		{1 << 30, 0, 1, 14399},
		{0, 0, 1, 59},
		{1, time.Second, 1, 2},
		{1, 500 * time.Millisecond, 1, 2},
		{30, time.Hour, 3600, 7200},
		{1, 24 * time.Hour, 86400, 172800},
	} {
		least, most := activation.Backoff(fixed(0), tt.failures, tt.after), activation.Backoff(fixed(almostOne), tt.failures, tt.after)
		if least != tt.least || most != tt.most {
			t.Errorf("%d failures, Retry-After %v: %d to %d s, want %d to %d", tt.failures, tt.after, least, most, tt.least, tt.most)
		}
	}
}

func TestContacts(t *testing.T) {
	for _, tt := range []struct {
		name        string
		got         func(func() float64) int64
		least, most int64
	}{
		{"next", func(r func() float64) int64 { return activation.NextContact(r, t0, days) }, 77760, 95040},
		{"first", func(r func() float64) int64 { return activation.FirstContact(r, t0, days) }, 1, 86399},
		{"after a boot", func(r func() float64) int64 { return activation.BootContact(r, t0, t0+1) }, 60, 14399},
		{"after a boot past renew-by", func(r func() float64) int64 { return activation.BootContact(r, t0, t0) }, 1, 60},
		{"after a boot, no license yet", func(r func() float64) int64 { return activation.BootContact(r, t0, 0) }, 60, 14399},
	} {
		least, most := tt.got(fixed(0))-t0, tt.got(fixed(almostOne))-t0
		if least != tt.least || most != tt.most {
			t.Errorf("%s: %d to %d s, want %d to %d", tt.name, least, most, tt.least, tt.most)
		}
	}
}

func TestBudget(t *testing.T) {
	var b activation.Budget
	now := t0
	for i := range 9 {
		var free int64
		if b, free = b.Take(now); free != now {
			t.Fatalf("contact %d must wait until +%d s", i+1, free-now)
		}
	}
	for i := range int64(5) { // the tenth and later: one per half hour
		var free int64
		if b, free = b.Take(now); free != now+1800 {
			t.Fatalf("contact %d: next at +%d s, want +1800", 10+i, free-now)
		}
		now = free
	}
	now += 100 * days
	for i := range 9 {
		var free int64
		if b, free = b.Take(now); free != now {
			t.Fatalf("a full bucket again, contact %d: +%d s", i+1, free-now)
		}
	}
	if _, free := b.Take(now - 10*days); free != now-10*days+1800 {
		t.Errorf("a clock put right: next at %d s", free-now)
	}
}

// agentSim is one agent of the load simulation, driven by the shipped functions.
type agentSim struct {
	id       int
	at       int64
	failures int
	budget   activation.Budget
}

type queue []*agentSim

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].at < q[j].at }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)        { *q = append(*q, x.(*agentSim)) }
func (q *queue) Pop() any {
	old := *q
	last := old[len(old)-1]
	*q = old[:len(old)-1]
	return last
}

// load simulates n agents over three days with an outage and returns contacts
// per second for each second, and the attempts of each agent in the outage.
func load(n int, outage, until int64, splay bool, seed uint64) (perSecond []int, attempts, firstHour []int) {
	rnd := rand.New(rand.NewPCG(seed, 25))
	random := rnd.Float64
	const begin = 36 * hour
	perSecond = make([]int, until)
	var q queue
	attempts, firstHour = make([]int, n), make([]int, n)
	for i := range n {
		a := &agentSim{id: i, at: activation.FirstContact(random, 0, days)}
		if !splay { // the control: everybody at boot, at nine, plus or minus a quarter of an hour
			a.at = 9*hour - 900 + rnd.Int64N(1800)
		}
		q = append(q, a)
	}
	heap.Init(&q)
	for q.Len() > 0 && q[0].at < until {
		a := q[0]
		now := a.at
		perSecond[now]++
		if now >= begin && now < begin+outage {
			attempts[a.id]++
			if now < begin+hour {
				firstHour[a.id]++
			}
			a.failures++
			var free int64
			a.budget, free = a.budget.Take(now)
			a.at = max(now+activation.Backoff(random, a.failures, 0), free)
		} else {
			a.failures = 0
			a.at = activation.NextContact(random, now, activation.ContactEvery)
			if !splay {
				a.at = now - now%days + days + 9*hour - 900 + rnd.Int64N(1800)
			}
		}
		heap.Fix(&q, 0)
	}
	return perSecond, attempts, firstHour
}

// peak is the greatest rate in any window of [from, to), in contacts per second
// and for a million agents.
func peak(perSecond []int, from, to, window int64, n int) float64 {
	most := 0
	for at := from; at+window <= to; at += window {
		sum := 0
		for _, c := range perSecond[at : at+window] {
			sum += c
		}
		most = max(most, sum)
	}
	return float64(most) * 1e6 / float64(n) / float64(window)
}

func percentile(list []int, p float64) int {
	s := slices.Clone(list)
	slices.Sort(s)
	return s[min(len(s)-1, int(p*float64(len(s))))]
}

// chance is how many contacts the fullest second of [from, to) has when the
// contacts fall independently of each other, at the mean rate of the minute
// around: half of all runs have more than likely, one in a thousand has
// more than most.
func chance(perSecond []int, from, to int64) (likely, most int) {
	const block = 60
	var means []float64
	for at := from; at+block <= to; at += block {
		sum := 0
		for _, c := range perSecond[at : at+block] {
			sum += c
		}
		means = append(means, float64(sum)/block)
	}
	// more is how many seconds have more than k, on average (Poisson).
	more := func(k int) (seconds float64) {
		for _, mean := range means {
			if mean == 0 {
				continue
			}
			log, _ := math.Lgamma(float64(k + 2))
			term := math.Exp(float64(k+1)*math.Log(mean) - mean - log)
			for i := k + 2; term > 1e-15; i++ {
				seconds += block * term
				term *= mean / float64(i)
			}
		}
		return seconds
	}
	k := int(slices.Max(means))
	for ; more(k) > math.Ln2; k++ { // then exp(-more), that no second has more, is a half
	}
	for likely, most = k, k; more(most) > 0.001; most++ {
	}
	return likely, most
}

// Independent contacts are within what chance explains; a schedule that rounds
// to five seconds is not.
func TestChance(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 25))
	even, rounded := make([]int, 24*hour), make([]int, 24*hour)
	for range 12 * 24 * hour {
		at := rnd.Int64N(24 * hour)
		even[at]++
		rounded[at-at%5]++
	}
	likely, most := chance(even, 0, 24*hour)
	if got := slices.Max(even); got < likely-4 || got > most {
		t.Errorf("12 a second on average: %d in the fullest, likely %d, at most %d", got, likely, most)
	}
	if _, most := chance(rounded, 0, 24*hour); slices.Max(rounded) <= most {
		t.Error("control: contacts at every fifth second look like chance")
	}
}

// TestP25 is the promise: the agent is a polite client. Rates are held over
// windows. In single seconds no schedule of agents that do not know of each
// other can hold 25/s: a million of them make 12 contacts in an average second
// and, by chance alone, more than 30 in the fullest of a day. What is held there
// is that the schedule adds nothing to chance. A test with fewer agents needs
// longer windows for the same reason.
func TestP25(t *testing.T) {
	n, window := promise.Size(20_000, 1_000_000), int64(promise.Size(600, 10))
	eight, _, _ := load(n, 8*hour, 60*hour, true, 1)
	steady := peak(eight, 0, 36*hour, window, n)
	during, after := peak(eight, 36*hour, 44*hour, window, n), peak(eight, 44*hour, 60*hour, window, n)
	_, attempts, firstHour := load(promise.Size(10_000, 1_000_000), 24*hour, 61*hour, true, 2)
	many, early := percentile(attempts, 0.999), percentile(firstHour, 0.999)

	if steady > 25 || max(during, after) > 160 {
		t.Errorf("per million agents: steady peak %.0f/s, outage %.0f/s and %.0f/s after; want at most 25 and 160", steady, during, after)
	}
	if many > 26 || early > 11 {
		t.Errorf("an outage of a day: %d attempts per agent, %d in the first hour (99.9 %%); want at most 26 and 11", many, early)
	}
	for range 10_000 {
		s := 1 + rand.Int64N(86400)
		if got := activation.Backoff(rand.Float64, 1+rand.IntN(40), time.Duration(s)*time.Second); got < s || got > 2*s {
			t.Fatalf("Retry-After %d s: waits %d s", s, got)
		}
	}
	control, _, _ := load(n, 8*hour, 60*hour, false, 1)
	herd := peak(control, 24*hour, 36*hour, window, n)
	if herd < 400 || herd < 4*steady {
		t.Errorf("control: without splay the peak is %.0f/s", herd)
	}
	seconds := ""
	if promise.Tier() != "test" {
		var reached, alone []string
		for _, part := range [][2]int64{{0, 36 * hour}, {36 * hour, 44 * hour}, {44 * hour, 60 * hour}} {
			most := slices.Max(eight[part[0]:part[1]])
			likely, bound := chance(eight, part[0], part[1])
			if most > bound {
				t.Errorf("hours %d to %d: %d contacts in one second, chance alone explains %d", part[0]/hour, part[1]/hour, most, bound)
			}
			reached, alone = append(reached, fmt.Sprint(most)), append(alone, fmt.Sprint(likely))
		}
		seconds = fmt.Sprintf(" (in single seconds %s, where chance alone at these means gives %s)", strings.Join(reached, ", "), strings.Join(alone, ", "))
	}
	promise.Reached(t, "P25", fmt.Sprintf("%d agents, per million and over windows of %d s: steady peak %.0f/s, 8 h outage %.0f/s, after it %.0f/s%s; day-long outage: %d attempts per agent, %d in the first hour (99.9 %%)", n, window, steady, during, after, seconds, many, early),
		fmt.Sprintf("without splay %.0f/s", herd))
}
