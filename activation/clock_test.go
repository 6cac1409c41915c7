package activation_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"licenseagent.example/activation"
	"licenseagent.example/docs/promise"
)

// attacks are scripts of someone who owns the clock, the power switch and a
// view of the state file, but does not patch the program.
func attacks() map[string]func(g *rig, end int64) {
	cuts := func(every int64, wall func(*rig) int64) func(*rig, int64) {
		return func(g *rig, end int64) {
			for g.real < end {
				g.run(every)
				g.cut(wall(g), 2)
			}
		}
	}
	stopped := func(*rig) int64 { return t0 }
	after := func(g *rig) int64 { return g.disk.HighWater + 1 }
	return map[string]func(*rig, int64){
		"frozen, left running": func(g *rig, end int64) { g.frozen = true; g.run(end) },
		"frozen, kill -9 every 299 s": func(g *rig, end int64) {
			for g.frozen = true; g.real < end; {
				g.run(299)
				g.start()
			}
		},
		"power cut every 299 s into a stopped clock":   cuts(299, stopped),
		"power cut every 11 s into a stopped clock":    cuts(11, stopped),
		"power cut every 5 s into a stopped clock":     cuts(5, stopped),
		"power cut every 299 s to just after the mark": cuts(299, after),
		"power cut every 40 s to just after the mark":  cuts(40, after),
		"power cut every hour to just after the mark":  cuts(3599, after),
		"reboot every hour into a stopped clock":       cuts(3600, stopped),
		"23 h windback every day": func(g *rig, end int64) {
			for g.real < end {
				g.run(23 * hour)
				g.wall -= 23 * hour
				g.run(hour)
			}
		},
		"two days ahead and back, every day": func(g *rig, end int64) {
			for g.real < end {
				g.wall += 47 * hour
				g.run(60)
				g.wall = t0
				g.run(24*hour - 60)
			}
		},
	}
}

// TestP20 is the promise: tricks with the clock gain at most ten minutes in 90
// days, and honest machines are neither stopped early nor charged too much.
func TestP20(t *testing.T) {
	end := int64(promise.Size(8, 90)) * days
	worst := int64(0)
	for name, attack := range attacks() {
		g := newRig(shipped())
		attack(g, end)
		t.Logf("%-46s believed %6.2f d, usable %6.2f d, gain %d s", name, float64(believed(g))/days, float64(g.usable)/days, g.gain)
		worst = max(worst, g.gain)
	}
	var mu sync.Mutex
	inParallel(t, promise.Size(5, 200), func(i int) error {
		g := newRig(shipped())
		randomAttack(g, end, rand.New(rand.NewPCG(uint64(i), 20)))
		mu.Lock()
		defer mu.Unlock()
		worst = max(worst, g.gain)
		return nil
	})
	if worst > 600 {
		t.Errorf("the best attack gains %d s, want at most 600", worst)
	}

	over, mute := int64(0), int64(0)
	machines := promise.Size(4, 500)
	inParallel(t, machines, func(i int) error {
		g := newRig(shipped())
		honest(g, 90*days, rand.New(rand.NewPCG(uint64(i), 21)), i%5 == 0)
		mu.Lock()
		defer mu.Unlock()
		over, mute = max(over, g.over), max(mute, g.mute)
		return nil
	})
	if over > 8*hour+300 {
		t.Errorf("an honest machine is charged %d s too much, want at most the 8 h error of its own clock and one tick", over)
	}
	if mute > activation.TickBehind {
		t.Errorf("an honest start waits %d s for its first answer, want at most %d", mute, activation.TickBehind)
	}

	controls := ""
	for _, rule := range []timeRule{wallOnly(), highWaterOnly()} {
		g := newRig(rule)
		attacks()["frozen, left running"](g, end)
		controls += fmt.Sprintf("%s: %.0f of %d days gained with a frozen clock; ", rule.name, float64(g.gain)/days, end/days)
		if g.gain < end*9/10 {
			t.Errorf("control %s: gain %d s, the attack does not bite", rule.name, g.gain)
		}
	}
	promise.Reached(t, "P20", fmt.Sprintf("%d scripts and %d random attackers x %d days: gain <= %d s; %d honest machines x 90 days: over-charge <= %d s, start delay <= %d s",
		len(attacks()), promise.Size(5, 200), end/days, worst, machines, over, mute), controls)
}

func believed(g *rig) int64 {
	eff, _ := g.rule.believe(g.disk, g.reading())
	return eff - g.eff0
}

// randomAttack does whatever the owner of a machine can do to its clocks.
func randomAttack(g *rig, end int64, rnd *rand.Rand) {
	for g.real < end {
		switch rnd.IntN(6) {
		case 0:
			g.frozen = !g.frozen
		case 1:
			g.wall = g.disk.HighWater + rnd.Int64N(1200) - 600
		case 2:
			g.start()
		default:
			g.cut(g.disk.HighWater+rnd.Int64N(700)-300, 1+rnd.Int64N(30))
		}
		g.run(1 + rnd.Int64N(1<<(1+rnd.IntN(14))))
	}
}

// honest is a machine that is switched off at night, steps its clock by NTP,
// crashes now and then and, when dual, comes up eight hours ahead because
// another system wrote local time into the hardware clock.
func honest(g *rig, end int64, rnd *rand.Rand, dual bool) {
	off := int64(0) // error of the wall clock
	for g.real < end {
		g.run(1 + rnd.Int64N(10*hour))
		switch rnd.IntN(5) {
		case 0: // NTP steps
			step := rnd.Int64N(5) - 2
			g.wall += step - off
			off = step
		case 1: // crash loop
			for range rnd.IntN(20) {
				g.cut(g.wall+30, 30)
				g.run(1 + rnd.Int64N(20))
			}
		case 2: // suspend: both clocks go on
			g.sleep(rnd.Int64N(14 * hour))
		default: // off for the night
			night := rnd.Int64N(14 * hour)
			g.real += night
			if dual {
				off = 8 * hour
				g.cut(t0+g.real+off+20, 20)
				g.run(60)
				g.wall -= off
				off = 0
				continue
			}
			g.cut(g.wall+night+20, 20)
		}
	}
}

// slept is what a rule counts for a suspend.
func slept(rule timeRule, seconds int64, frozen bool) int64 {
	g := newRig(rule)
	g.run(hour)
	before := believed(g)
	g.frozen = frozen
	g.sleep(seconds)
	return believed(g) - before
}

// healed is how many of n machines with a wrong date of the future, put right
// by their operator or not, one signed contact brings to the true time.
func healed(rule timeRule, n int) (right int) {
	for seed := range uint64(n) {
		rnd := rand.New(rand.NewPCG(seed, 22))
		jump := 3*days + rnd.Int64N(70*365*days)
		g := newRig(rule)
		g.run(1 + rnd.Int64N(30*days))
		g.cut(g.wall+jump+30, 30)
		g.run(1 + rnd.Int64N(3*days)) // perhaps long enough to be believed
		if seed%3 > 0 {
			g.wall -= jump // corrected, with or without a reboot
		}
		if seed%3 > 1 {
			g.cut(g.wall+30, 30)
		}
		g.run(60)
		asked := g.reading()
		g.run(rnd.Int64N(30))
		r := g.reading()
		g.disk = rule.confirm(g.disk, r, t0+g.real, r.Boot-asked.Boot)
		if off := believed(g) - g.real; off > -60 && off < 60 {
			right++
		}
	}
	return right
}

// TestP21 is the promise: suspend counts, and a wrong future date is healed by
// one signed contact. Each control is the same scenario under a rule that lacks
// what the promise rests on.
func TestP21(t *testing.T) {
	const month = 30 * days
	for _, frozen := range []bool{true, false} {
		if got := slept(shipped(), month, frozen); got < month-300 || got > month+300 {
			t.Errorf("a suspend of 30 days with frozen=%v adds %d s", frozen, got)
		}
	}
	n := promise.Size(100, 10_000)
	right := healed(shipped(), n)
	if right != n {
		t.Errorf("%d of %d wrong dates healed by one contact", right, n)
	}
	var controls []string
	for _, rule := range []timeRule{dozing(), wallOnly()} {
		got := slept(rule, month, true)
		controls = append(controls, fmt.Sprintf("%s: a suspend under a stopped clock adds %d s", rule.name, got))
		if got >= month-300 {
			t.Errorf("control %s: a suspend of 30 days adds %d s all the same", rule.name, got)
		}
	}
	for _, rule := range []timeRule{unconfirmed(), highWaterOnly()} {
		few := min(n, 1000)
		got := healed(rule, few)
		controls = append(controls, fmt.Sprintf("%s: %d of %d healed", rule.name, got, few))
		if got >= few/2 {
			t.Errorf("control %s: %d of %d wrong dates healed all the same", rule.name, got, few)
		}
	}
	promise.Reached(t, "P21", fmt.Sprintf("30-day suspend adds 30 d +- 300 s; %d of %d wrong dates healed by one contact", right, n), strings.Join(controls, "; "))
}

func TestFarAheadIsProvisional(t *testing.T) {
	s := activation.ClockState{}.Tick(activation.Reading{Wall: t0, Boot: 100, BootID: "a"})
	at := func(wall, boot int64) activation.Reading {
		return activation.Reading{Wall: wall, Boot: boot, BootID: "a"}
	}
	for _, tt := range []struct {
		ahead int64
		want  bool
	}{{48*hour - 1, false}, {48 * hour, false}, {48*hour + 1, true}, {70 * 365 * days, true}} {
		r := at(t0+10+tt.ahead, 110)
		eff, ev := s.Believe(r)
		if ev.Provisional != tt.want || eff != r.Wall {
			t.Errorf("%d s ahead: provisional %v, time %d, want %v and the wall clock", tt.ahead, ev.Provisional, eff-t0, tt.want)
		}
		after := s.Tick(r)
		if kept := after.HighWater == r.Wall; kept == tt.want {
			t.Errorf("%d s ahead: written %v, want only what is not provisional", tt.ahead, kept)
		}
	}
	// It is believed once it has held for a day, not a second earlier.
	const jump = 365 * days
	for _, tt := range []struct {
		held int64
		want bool
	}{{activation.Agreement - 1, false}, {activation.Agreement, true}} {
		p := s.Tick(at(t0+10+jump, 110))
		p = p.Tick(at(t0+10+jump+tt.held, 110+tt.held))
		if got := p.HighWater > t0+jump; got != tt.want {
			t.Errorf("after %d s: believed %v", tt.held, got)
		}
	}
	// And forgotten when the clock is put right before that.
	p := s.Tick(at(t0+10+jump, 110)).Tick(at(t0+3600, 3700))
	if p.Provisional != 0 || p.HighWater != t0+3600 {
		t.Errorf("put right: %+v", p)
	}
}

func TestWithholdUntilTicked(t *testing.T) {
	s := activation.ClockState{}.Tick(activation.Reading{Wall: t0, Boot: 1000, BootID: "a"})
	for _, tt := range []struct {
		name       string
		wall, boot int64
		behind     bool // before the first tick of this boot
		after      bool // after it
	}{
		{"clock went on", t0 + 60, 5, false, false},
		{"clock one second on", t0 + 1, 5, false, false},
		{"clock stopped, early", t0, 9, true, true},
		{"clock stopped, ten seconds on record", t0, 10, true, false},
		{"clock wound back", t0 - 23*hour, 300, true, false},
	} {
		r := activation.Reading{Wall: tt.wall, Boot: tt.boot, BootID: "b"}
		_, ev := s.Believe(r)
		_, then := s.Tick(r).Believe(r)
		if ev.Behind != tt.behind || then.Behind != tt.after {
			t.Errorf("%s: behind %v, after a tick %v; want %v, %v", tt.name, ev.Behind, then.Behind, tt.behind, tt.after)
		}
	}
	// Boot time that stops being written stops being worth an answer.
	r := activation.Reading{Wall: t0 - hour, Boot: 100, BootID: "b"}
	s = s.Tick(r)
	for _, boot := range []int64{100, 100 + activation.MaxUntold, 101 + activation.MaxUntold} {
		r.Boot = boot
		if _, ev := s.Believe(r); ev.Behind != (boot > 100+activation.MaxUntold) {
			t.Errorf("%d s after the last tick: behind %v", boot-100, ev.Behind)
		}
	}
}

func TestRhythm(t *testing.T) {
	s := activation.ClockState{}.Tick(activation.Reading{Wall: t0, Boot: 1000, BootID: "a"})
	for _, tt := range []struct {
		name  string
		wall  int64
		every int64
	}{
		{"honest", t0 + 300, activation.TickEvery},
		{"NTP stepped back a second", t0 + 299, activation.TickEvery},
		{"frozen", t0, activation.TickBehind},
		{"wound back", t0 - days, activation.TickBehind},
	} {
		if got := s.Tick(activation.Reading{Wall: tt.wall, Boot: 1300, BootID: "a"}).Every; got != tt.every {
			t.Errorf("%s: next tick in %d s, want %d", tt.name, got, tt.every)
		}
	}
	if got := s.Stop(activation.Reading{Wall: t0 + 9, Boot: 1009, BootID: "a"}); got.Every != 0 || got.HighWater != t0+9 {
		t.Errorf("an orderly stop: %+v", got)
	}
	// A mark of the future, boot time that runs backwards: another boot.
	eff, ev := s.Believe(activation.Reading{Wall: t0 - 5, Boot: 20, BootID: "a"})
	if eff != t0+20 || !ev.Behind {
		t.Errorf("a restored snapshot: %d %+v", eff-t0, ev)
	}
}

// TestConfirmStaysInItsInterval: what is believed after a signed answer lies
// between the server time and the server time plus the age of the question,
// and an answer of unknown age can only move it up.
func TestConfirmStaysInItsInterval(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 23))
	for range 20_000 {
		s := activation.ClockState{HighWater: t0 + rnd.Int64N(100*days), Boot: rnd.Int64N(days), BootID: "a", Ticked: true, Every: 300}
		r := activation.Reading{Wall: t0 + rnd.Int64N(200*days) - 50*days, Boot: s.Boot + rnd.Int64N(days), BootID: []string{"a", "b"}[rnd.IntN(2)]}
		st, age := t0+rnd.Int64N(100*days), rnd.Int64N(2*days)-days
		n := s.Confirm(r, st, age)
		was, _ := s.Believe(activation.Reading{Wall: 0, Boot: r.Boot, BootID: r.BootID})
		switch {
		case age < 0 && n.HighWater != max(was, st):
			t.Fatalf("unknown age: %d, want the later of %d and %d", n.HighWater, was, st)
		case age >= 0 && (n.HighWater < st || n.HighWater > st+age):
			t.Fatalf("age %d: %d is outside [%d, %d]", age, n.HighWater, st, st+age)
		}
		if n.HighWater < was && age < 0 {
			t.Fatalf("an old answer turned the clock back")
		}
		if _, ev := n.Believe(r); age >= 0 && ev.Behind {
			t.Fatalf("behind right after a signed time: %+v", n)
		}
	}
	first := activation.ClockState{}.Confirm(activation.Reading{Wall: 0, Boot: 50, BootID: "a"}, t0, 3)
	want := activation.ClockState{HighWater: t0, Boot: 50, BootID: "a", Ticked: true, Every: activation.TickBehind}
	if d := cmp.Diff(want, first); d != "" {
		t.Errorf("the first contact ever (-want +got):\n%s", d)
	}
}
