package activation_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"licenseagent.example/activation"
	"licenseagent.example/activation/activationtest"
	"licenseagent.example/activation/license"
	"licenseagent.example/docs/promise"
)

// outage is what the answers of an agent were worth while its merchant was away.
type outage struct {
	checks, wrong int
	early         bool  // a change was told before its time, or another one was
	late          int64 // seconds by which a change was told late
}

func (o *outage) add(p outage) {
	o.checks, o.wrong = o.checks+p.checks, o.wrong+p.wrong
	o.early, o.late = o.early || p.early, max(o.late, p.late)
}

// vanish lets the merchant of an agent vanish for 18 days and compares every
// answer with what 14 days of grace promise. alter changes the licenses before
// they are signed, wake when the agent goes on; nil: neither.
func vanish(name string, alter func(*license.Claims), wake func(activation.Due) int64) (o outage, err error) {
	const grace = 14 * days
	machine := activationtest.NewMachine(name)
	merchant := activationtest.NewMerchant("acme", machine.Clock.Wall)
	merchant.AddCode(code, activationtest.Offer{Renew: 3 * days, Grace: grace})
	merchant.Alter = alter
	cfg := machine.Config(merchant)
	told := map[activation.Phase]int64{}
	var agent *activation.Lifecycle
	cfg.OnChange = func() {
		if p := agent.Held()[0].Verdict.Phase; told[p] == 0 {
			told[p] = machine.Clock.Wall()
		}
	}
	if agent, err = activation.New(cfg); err != nil {
		return o, err
	}
	if _, err := agent.Activate(context.Background(), activation.ActivateOptions{Code: code}); err != nil {
		return o, err
	}
	if err := live(agent, machine.Clock, 5*days, nil); err != nil {
		return o, err
	}
	merchant.Before = func(*license.Request) error { return activation.ErrUnreachable }
	clear(told)
	renewBy := agent.Held()[0].Claims.RenewBy
	if wake == nil {
		wake = func(d activation.Due) int64 { return d.At }
	}
	err = liveBy(agent, machine.Clock, 18*days, wake, func() error {
		want := activation.Active
		switch now := machine.Clock.Wall(); {
		case now >= renewBy+grace:
			want = activation.Expired
		case now >= renewBy:
			want = activation.Grace
		}
		o.checks++
		if agent.Held()[0].Verdict.Phase != want {
			o.wrong++
		}
		return nil
	})
	late := []int64{told[activation.Grace] - renewBy, told[activation.Expired] - renewBy - grace}
	o.early, o.late = slices.Min(late) < 0, slices.Max(late)
	return o, err
}

// TestP24 is the promise: the merchant may vanish for the whole grace without
// one wrong refusal. The controls are the same outage with licenses whose grace
// was taken out before they were signed, and under a loop that does not go by
// the time at which an answer changes.
func TestP24(t *testing.T) {
	agents := promise.Size(2, 1000)
	var mu sync.Mutex
	var all outage
	inParallel(t, agents, func(i int) error {
		o, err := vanish(fmt.Sprint("outage ", i), nil, nil)
		mu.Lock()
		defer mu.Unlock()
		all.add(o)
		return err
	})
	if all.wrong != 0 || all.early || all.late > 1 {
		t.Errorf("%d of %d answers differ from the dates; too early: %v; a change was told %d s late", all.wrong, all.checks, all.early, all.late)
	}
	hard, err := vanish("no grace", func(c *license.Claims) { c.GraceUntil = c.RenewBy }, nil)
	if err != nil || hard.wrong == 0 {
		t.Errorf("control: without grace %+v, %v", hard, err)
	}
	lazy, err := vanish("hourly", nil, func(d activation.Due) int64 { return d.Now + hour })
	if err != nil || lazy.late <= 1 {
		t.Errorf("control: under a loop that goes by the hour %+v, %v", lazy, err)
	}
	promise.Reached(t, "P24", fmt.Sprintf("%d agents, outage over the whole grace of 14 days: %d of %d answers wrong, changes told at most %d s late", agents, all.wrong, all.checks, all.late),
		fmt.Sprintf("licenses without the grace: %d of %d answers wrong; a loop that goes by the hour: changes told %d s late", hard.wrong, hard.checks, lazy.late))
}
