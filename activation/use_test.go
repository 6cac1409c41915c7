package activation_test

import (
	"container/heap"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"licenseagent.example/activation"
	"licenseagent.example/activation/activationtest"
	"licenseagent.example/activation/license"
	"licenseagent.example/docs/promise"
)

// china is the calendar whose days are counted.
func china() *time.Location { return time.FixedZone("UTC+8", 8*3600) }

func dayOf(at int64) string { return time.Unix(at, 0).In(china()).Format(time.DateOnly) }

// until moves the clock to an hour of the present or next day in China.
func (w *world) until(hour int) {
	now := time.Unix(w.machine.Clock.Wall(), 0).In(china())
	at := time.Date(now.Year(), now.Month(), now.Day(), hour, 0, 0, 0, china())
	if !at.After(now) {
		at = at.AddDate(0, 0, 1)
	}
	w.machine.Clock.Advance(at.Unix() - now.Unix())
}

func (w *world) check() {
	w.Helper()
	if _, err := w.agent.Check("studio", "", nonce(1)); err != nil {
		w.Fatal(err)
	}
}

// told records the days that each contact carries, and when it came.
type told struct {
	at   int64
	days []string
}

func (w *world) listen() *[]told {
	list := new([]told)
	w.merchant.Before = func(r *license.Request) error {
		*list = append(*list, told{w.machine.Clock.Wall(), r.Days})
		return nil
	}
	return list
}

func TestUseContactSpread(t *testing.T) {
	for _, tt := range []struct {
		left, least, most int64
	}{
		{24 * hour, 1, 24*hour - 1800},
		{15 * hour, 1, 15*hour - 1800},
		{hour, 1, 1800},
		{1800, 1, 60},
		{1, 1, 60},
	} {
		least, most := activation.UseContact(fixed(0), t0, t0+tt.left)-t0, activation.UseContact(fixed(almostOne), t0, t0+tt.left)-t0
		if least != tt.least || most != tt.most {
			t.Errorf("%d s left of the day: %d to %d s, want %d to %d", tt.left, least, most, tt.least, tt.most)
		}
	}
}

// The first check of a day is told on that day, once, however often programs ask.
func TestFirstUseOfADayIsToldThatDay(t *testing.T) {
	w := newWorld(t, activationtest.Offer{Renew: 30 * days, Grace: 30 * days})
	w.activate()
	contacts := w.listen()
	used := 0
	for d := range 20 {
		w.until(9)
		if d%5 != 4 { // nobody works on the fifth day
			w.check()
			used++
		}
		left := int64(14*hour + 1799) // before midnight
		if err := live(w.agent, w.machine.Clock, left, func() error {
			if d%5 != 4 {
				w.check()
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	byDay := map[string]int{}
	for _, c := range *contacts {
		for _, d := range c.days {
			// A check after the contact tells the day once more, with the next one.
			if byDay[d]++; byDay[d] == 1 && d != dayOf(c.at) {
				t.Errorf("the use of %s was told on %s", d, dayOf(c.at))
			}
		}
	}
	if len(byDay) != used {
		t.Errorf("%d days told, %d were used", len(byDay), used)
	}
	perDay := map[string]int{}
	for _, c := range *contacts {
		perDay[dayOf(c.at)]++
	}
	for d, n := range perDay {
		if n > 2 {
			t.Errorf("%d contacts on %s", n, d)
		}
	}
	if n := len(*contacts); n > used+8 {
		t.Errorf("%d contacts for %d days of use in 20", n, used)
	}
}

// Without use the rhythm is the regular one.
func TestNoUseNoExtraContact(t *testing.T) {
	w := newWorld(t, activationtest.Offer{Renew: 30 * days, Grace: 30 * days})
	w.activate()
	contacts := w.listen()
	if err := live(w.agent, w.machine.Clock, 20*days, nil); err != nil {
		t.Fatal(err)
	}
	if n := len(*contacts); n < 17 || n > 23 {
		t.Errorf("%d contacts in 20 days without use", n)
	}
}

// The contact of a day of use respects a pause after a failure, a renew-by that
// comes close, and a license that needs no contact any more.
func TestUseContactPutsNothingOff(t *testing.T) {
	w := newWorld(t, activationtest.Offer{Renew: 30 * days, Grace: 30 * days})
	w.activate()
	w.merchant.Before = func(*license.Request) error { return activation.ErrUnreachable }
	if _, err := w.agent.Renew(t.Context(), key()); err == nil {
		t.Fatal("the merchant answered")
	}
	planned := w.held().NextTry
	w.until(9)
	w.check()
	if got := w.held().NextTry; got != planned {
		t.Errorf("in a pause: next contact moved from %d to %d", planned, got)
	}
	w.merchant.Before = nil
	w.renew()
	if _, err := w.agent.Release(t.Context(), key()); err != nil {
		t.Fatal(err)
	}
	w.until(9)
	w.check()
	if d := w.agent.Due(); w.held().NextTry != 0 || len(d.Contact) != 0 {
		t.Errorf("a released license plans %d, due %+v", w.held().NextTry, d)
	}

	soon := newWorld(t, activationtest.Offer{Renew: days, Grace: 30 * days})
	soon.activate()
	soon.until(9)
	before := soon.held().NextTry
	soon.check()
	if got := soon.held().NextTry; got > before {
		t.Errorf("a license that must be renewed within a day was put off from %d to %d", before, got)
	}
}

// A restart on a day that was told does not tell it again; one with a day that
// was not told does.
func TestUseContactAfterARestart(t *testing.T) {
	w := newWorld(t, activationtest.Offer{Renew: 30 * days, Grace: 30 * days})
	w.activate()
	contacts := w.listen()
	w.until(9)
	w.check()
	if err := w.agent.Tick(); err != nil {
		t.Fatal(err)
	}
	w.renew()
	w.start()
	w.check()
	if err := live(w.agent, w.machine.Clock, 10*hour, nil); err != nil {
		t.Fatal(err)
	}
	if n := len(*contacts); n != 1 {
		t.Errorf("%d contacts after a restart on a day that was told", n)
	}
	w.until(9)
	w.check()
	if err := w.agent.Tick(); err != nil { // the day is on disk, and the agent dies
		t.Fatal(err)
	}
	w.start()
	w.check()
	today := dayOf(w.machine.Clock.Wall())
	if err := live(w.agent, w.machine.Clock, 14*hour, nil); err != nil {
		t.Fatal(err)
	}
	last := (*contacts)[len(*contacts)-1]
	if !slices.Contains(last.days, today) || dayOf(last.at) != today {
		t.Errorf("after a crash the day %s was told on %s as %q", today, dayOf(last.at), last.days)
	}
}

// The days of use are those of the calendar that the merchant names, from its
// next answer on; without a name they are those of China.
func TestCalendarOfTheMerchant(t *testing.T) {
	w := newWorld(t, activationtest.Offer{Renew: 30 * days, Grace: 30 * days})
	w.activate()
	contacts := w.listen()
	for _, calendar := range []string{"-03:00", "", "+05:45", "-16:00", activation.DefaultCalendar} {
		w.merchant.After = func(_ *license.Request, a *activation.Answer) error { a.Calendar = calendar; return nil }
		w.renew() // the answer names it
		w.start() // and it is remembered
		offset, err := activation.Calendar(calendar)
		if err != nil {
			t.Fatal(err)
		}
		zone := time.FixedZone(calendar, int(offset))
		for _, hour := range []int{1, 12, 23} {
			told := time.Unix(w.machine.Clock.Wall(), 0).In(zone).Format(time.DateOnly) // with the contact that was just made
			w.until(hour)
			w.check()
			now := time.Unix(w.machine.Clock.Wall(), 0)
			midnight := now.In(zone)
			midnight = time.Date(midnight.Year(), midnight.Month(), midnight.Day()+1, 0, 0, 0, 0, zone)
			if next := w.held().NextTry; told != now.In(zone).Format(time.DateOnly) && (next <= now.Unix() || next >= midnight.Unix()) {
				t.Errorf("calendar %q: a check at %d is told at %d, its day ends at %d", calendar, now.Unix(), next, midnight.Unix())
			}
			w.renew()
			if got, want := (*contacts)[len(*contacts)-1].days, now.In(zone).Format(time.DateOnly); len(got) != 1 || got[0] != want {
				t.Errorf("calendar %q: use at %d is told as %q, want %s", calendar, now.Unix(), got, want)
			}
		}
	}
	for _, bad := range []string{"8", "+8:00", "CST", "+08:00 ", "+08:61"} {
		w.merchant.After = func(_ *license.Request, a *activation.Answer) error { a.Calendar = bad; return nil }
		if _, err := w.agent.Renew(t.Context(), key()); !errors.Is(err, activation.ErrAnswer) {
			t.Errorf("calendar %q is taken: %v", bad, err)
		}
	}
}

// useSim is an agent of an office in the load simulation: used every day from
// about nine.
type useSim struct {
	at       int64
	opens    int64 // the second of the day of its first check
	check    int64 // the next first check of a day
	untold   int64 // the first check that was not told yet, 0: none
	regular  int64
	renewBy  int64
	failures int
	plan     activation.Plan
	budget   activation.Budget
}

type useQueue []*useSim

func (q useQueue) Len() int           { return len(q) }
func (q useQueue) Less(i, j int) bool { return q[i].at < q[j].at }
func (q useQueue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *useQueue) Push(x any)        { *q = append(*q, x.(*useSim)) }
func (q *useQueue) Pop() any {
	old := *q
	last := old[len(old)-1]
	*q = old[:len(old)-1]
	return last
}

// useLoad simulates four days of n machines that are all used from nine, with
// an outage of eight hours from noon of the third day, on the shipped scheduler.
// It returns contacts per second and how many days of use were told on a later
// day outside the outage. The control makes its contact at the first check.
func useLoad(n int, splay bool) (perSecond []int, late int) {
	rnd := rand.New(rand.NewPCG(7, 26))
	const until, begin, end = 4 * days, 2*days + 12*hour, 2*days + 20*hour
	perSecond = make([]int, until)
	var q useQueue
	for range n {
		a := &useSim{opens: 9*hour - 900 + rnd.Int64N(1800), regular: activation.FirstContact(rnd.Float64, 0, days), renewBy: 30 * days, plan: activation.NewPlan()}
		a.check = a.opens
		a.at = min(a.check, a.regular)
		q = append(q, a)
	}
	heap.Init(&q)
	for q.Len() > 0 && q[0].at < until {
		a := q[0]
		now := a.at
		switch {
		case now == a.check:
			a.check += days
			if a.untold == 0 {
				a.untold = now
			}
			a.plan.Check(rnd.Float64, now, a.regular)
			if !splay && a.failures == 0 {
				a.regular = now + 1
			}
		case now >= begin && now < end:
			perSecond[now]++
			a.failures++
			var free int64
			a.budget, free = a.budget.Take(now)
			a.regular = max(activation.Retry(rnd.Float64, now, a.renewBy, a.failures), free)
		default:
			perSecond[now]++
			if a.untold > 0 && a.untold/days != now/days && a.untold/days != begin/days {
				late++
			}
			a.untold, a.failures, a.renewBy = 0, 0, now+30*days
			a.regular = activation.NextContact(rnd.Float64, now, activation.ContactEvery)
			a.plan = a.plan.Answered()
		}
		next := a.regular
		if splay {
			next = a.plan.Next(now, a.regular, a.renewBy, a.failures)
		}
		a.at = min(max(next, now+1), a.check)
		heap.Fix(&q, 0)
	}
	return perSecond, late
}

// rates are the steady peak, the peak of the outage and the peak after it, per
// million agents and second, over windows.
func rates(perSecond []int, window int64, n int) [3]float64 {
	return [3]float64{
		max(peak(perSecond, days, 2*days+12*hour, window, n), peak(perSecond, 3*days+9*hour, 4*days, window, n)),
		peak(perSecond, 2*days+12*hour, 2*days+20*hour, window, n),
		peak(perSecond, 2*days+20*hour, 3*days, window, n),
	}
}

// A day of a million machines that are all used from nine, with an outage of
// eight hours: within the peaks of the agent that nobody uses, and every day of
// use is told while it lasts. A million agents are held to them in each minute;
// fewer in longer windows, and with four standard deviations of what chance adds
// to the count of such a window.
func TestDayOfUsePeaks(t *testing.T) {
	n, window, deviations := promise.Size(20_000, 1_000_000), int64(promise.Size(900, 60)), float64(promise.Size(4, 0))
	perSecond, late := useLoad(n, true)
	want, got := [3]float64{22, 154, 132}, rates(perSecond, window, n)
	chance := func(rate float64, window int64) float64 { return math.Sqrt(rate * 1e6 / float64(n) / float64(window)) }
	for i, what := range []string{"steady", "during the outage", "after it"} {
		if got[i] > want[i]+deviations*chance(want[i], window) {
			t.Errorf("%s %.1f/s per million agents over windows of %d s, want %.0f and %.0f standard deviations of chance, %.1f", what, got[i], window, want[i], deviations, chance(want[i], window))
		}
	}
	if late > 0 {
		t.Errorf("%d days of use were told on a later day", late)
	}
	few := min(n, 50_000) // enough to see a herd
	control, _ := useLoad(few, false)
	herd := peak(control, days, 2*days, 900, few)
	if herd < 400 {
		t.Errorf("control: without splay the peak is %.0f/s", herd)
	}
	short := ""
	if deviations == 0 {
		const ten = 10
		got := rates(perSecond, ten, n)
		most := func(i int) float64 { return want[i] + 4*chance(want[i], ten) }
		short = fmt.Sprintf(" (over windows of 10 s %.0f, %.0f and %.0f, where chance at 22, 154 and 132 makes up to %.0f, %.0f and %.0f)", got[0], got[1], got[2], most(0), most(1), most(2))
		for i := range got {
			if got[i] > most(i) {
				t.Errorf("%.1f/s over windows of 10 s, chance makes up to %.1f", got[i], most(i))
			}
		}
	}
	promise.Reached(t, "P25", fmt.Sprintf("%d machines all used from nine, outage of 8 h from noon: steady peak %.1f/s, %.1f/s during, %.1f/s after (per 10^6, windows of %d s)%s; every day told that day", n, got[0], got[1], got[2], window, short),
		fmt.Sprintf("contact at the first check: %.0f/s", herd))
}
