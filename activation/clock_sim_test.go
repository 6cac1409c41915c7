package activation_test

import (
	"fmt"

	"licenseagent.example/activation"
)

// timeRule is what a simulation drives: the shipped one or a control.
type timeRule struct {
	name    string
	believe func(activation.ClockState, activation.Reading) (eff int64, behind bool)
	tick    func(activation.ClockState, activation.Reading) activation.ClockState
	confirm func(s activation.ClockState, r activation.Reading, serverTime, age int64) activation.ClockState
	left    func(activation.ClockState, activation.Reading) int64
	dozes   bool // its boot clock stops in suspend, as Go's own does
}

func shipped() timeRule {
	return timeRule{
		name: "shipped",
		believe: func(s activation.ClockState, r activation.Reading) (int64, bool) {
			eff, ev := s.Believe(r)
			return eff, ev.Behind
		},
		tick:    activation.ClockState.Tick,
		confirm: activation.ClockState.Confirm,
		left:    activation.ClockState.Left,
	}
}

// dozing is the shipped rule on a boot clock that stops in suspend.
func dozing() timeRule {
	r := shipped()
	r.name, r.dozes = "a boot clock that stops in suspend", true
	return r
}

// unconfirmed is the shipped rule without Confirm.
func unconfirmed() timeRule {
	r := shipped()
	r.name = "answers that do not set the time"
	r.confirm = func(s activation.ClockState, _ activation.Reading, _, _ int64) activation.ClockState { return s }
	return r
}

// wallOnly trusts the system clock.
func wallOnly() timeRule {
	r := highWaterOnly()
	r.name = "wall clock only"
	r.believe = func(_ activation.ClockState, r activation.Reading) (int64, bool) { return r.Wall, false }
	return r
}

// highWaterOnly is what most products do: never earlier than seen before.
func highWaterOnly() timeRule {
	return timeRule{
		name: "high-water mark only",
		believe: func(s activation.ClockState, r activation.Reading) (int64, bool) {
			return max(s.HighWater, r.Wall), false
		},
		tick: func(s activation.ClockState, r activation.Reading) activation.ClockState {
			return activation.ClockState{HighWater: max(s.HighWater, r.Wall), Boot: r.Boot, BootID: r.BootID}
		},
		confirm: func(s activation.ClockState, r activation.Reading, serverTime, _ int64) activation.ClockState {
			return activation.ClockState{HighWater: max(s.HighWater, serverTime), Boot: r.Boot, BootID: r.BootID}
		},
		left: func(s activation.ClockState, r activation.Reading) int64 {
			if s.BootID != r.BootID {
				return 0
			}
			return activation.TickEvery - (r.Boot - s.Boot)
		},
	}
}

// rig is a machine under simulated time. What is on disk survives power cuts;
// the agent starts with each boot and keeps its rhythm.
type rig struct {
	rule   timeRule
	disk   activation.ClockState
	real   int64 // true seconds since the start
	wall   int64
	boot   int64
	boots  int
	bootID string
	frozen bool // the wall clock stands still

	eff0   int64
	usable int64 // seconds in which positive answers were given
	gain   int64 // the most by which usable time exceeded believed time
	over   int64 // the most by which believed time exceeded true time
	mute   int64 // the longest time from an agent start to its first answer
	since  int64 // true second of the last start
	spoke  bool
}

func newRig(rule timeRule) *rig {
	g := &rig{rule: rule, wall: t0, boot: 60}
	g.start()
	g.eff0, _ = rule.believe(g.disk, g.reading())
	return g
}

func (g *rig) reading() activation.Reading {
	return activation.Reading{Wall: g.wall, Boot: g.boot, BootID: g.bootID}
}

// start is an agent start: it ticks at once.
func (g *rig) start() {
	g.disk = g.rule.tick(g.disk, g.reading())
	g.since, g.spoke = g.real, false
}

// cut is a power cut and a boot that takes uptime seconds; the wall clock shows
// wall afterwards.
func (g *rig) cut(wall, uptime int64) {
	g.boots++
	g.bootID = fmt.Sprint(g.boots)
	g.boot, g.wall = uptime, wall
	g.real += uptime
	g.start()
}

// run lets true time pass while the agent runs, in steps that end at each tick.
func (g *rig) run(seconds int64) {
	for end := g.real + seconds; g.real < end; {
		r := g.reading()
		eff, behind := g.rule.believe(g.disk, r)
		step := min(end-g.real, max(1, g.rule.left(g.disk, r)))
		if behind {
			step = min(step, 1)
		} else {
			g.usable += step
			if !g.spoke {
				g.spoke = true
				g.mute = max(g.mute, g.real-g.since)
			}
		}
		g.over = max(g.over, eff-g.eff0-g.real)
		g.pass(step)
		r = g.reading()
		eff, _ = g.rule.believe(g.disk, r)
		g.gain = max(g.gain, g.usable-(eff-g.eff0))
		if g.rule.left(g.disk, r) <= 0 {
			g.disk = g.rule.tick(g.disk, r)
		}
	}
}

// sleep is a suspend: the agent does not run, and the boot clock goes on unless
// the rule has one that does not.
func (g *rig) sleep(seconds int64) {
	awake := g.boot
	g.pass(seconds)
	if g.rule.dozes {
		g.boot = awake
	}
}

// pass moves the clocks.
func (g *rig) pass(seconds int64) {
	g.real += seconds
	g.boot += seconds
	if !g.frozen {
		g.wall += seconds
	}
}
