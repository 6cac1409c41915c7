package activation_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"licenseagent.example/activation"
	"licenseagent.example/activation/activationtest"
	"licenseagent.example/activation/license"
	"licenseagent.example/fingerprint"
)

// live runs an agent's loop for some time: what is due is done, and the clock
// moves to when the agent wants to be woken. each is called after every step.
func live(a *activation.Lifecycle, c *activationtest.Clock, seconds int64, each func() error) error {
	return liveBy(a, c, seconds, func(d activation.Due) int64 { return d.At }, each)
}

// liveBy asks wake when to go on instead.
func liveBy(a *activation.Lifecycle, c *activationtest.Clock, seconds int64, wake func(activation.Due) int64, each func() error) error {
	for end := c.Wall() + seconds; c.Wall() < end; {
		d := a.Due()
		if d.Tick {
			if err := a.Tick(); err != nil {
				return err
			}
		}
		for _, k := range d.Contact {
			if _, err := a.Renew(context.Background(), k); err != nil && !errors.Is(err, activation.ErrUnreachable) {
				return err
			}
		}
		if each != nil {
			if err := each(); err != nil {
				return err
			}
		}
		d = a.Due()
		if d.At <= d.Now {
			return fmt.Errorf("the agent wants to be woken at %d, now is %d", d.At, d.Now)
		}
		c.Advance(min(wake(d)-d.Now, end-c.Wall()))
	}
	return nil
}

func TestRetryRhythm(t *testing.T) {
	w := newWorld(t, activationtest.Offer{})
	w.activate()
	w.merchant.Before = func(*license.Request) error {
		return fmt.Errorf("%w: %w", activation.ErrUnreachable, &activation.RefusedError{Code: "unavailable", Status: 503, RetryAfter: time.Hour})
	}
	_, err := w.agent.Renew(t.Context(), key())
	w.fails(err, activation.ErrUnreachable)
	h := w.held()
	if wait := h.NextTry - w.machine.Clock.Wall(); wait < 3600 || wait > 7200 || h.Failures != 1 || h.LastError == "" || h.Pending != license.RequestRenew {
		t.Errorf("after Retry-After of an hour: next in %d s, %+v", wait, h)
	}
	// "No" is final for this request: nothing is left outstanding, and the next
	// try is the usual one.
	w.merchant.Before = func(*license.Request) error {
		return &activation.RefusedError{Code: "device-mismatch", Message: "No.", Status: 403}
	}
	_, err = w.agent.Renew(t.Context(), key())
	var refused *activation.RefusedError
	if !errors.As(err, &refused) {
		t.Fatalf("error %v", err)
	}
	h = w.held()
	if wait := h.NextTry - w.machine.Clock.Wall(); wait < 20*hour || h.Pending != "" || h.LastError != "device-mismatch: No." || !h.Verdict.Runs {
		t.Errorf("after a refusal: next in %d s, %+v", wait, h)
	}
	w.merchant.Before = nil
	w.renew()
	if h := w.held(); h.Failures != 0 || h.LastError != "" {
		t.Errorf("after a success: %+v", h)
	}
}

// silent is the key of a chip that may not answer.
type silent struct {
	license.Signer
	is bool
}

func (s *silent) Sign(message []byte) ([]byte, error) {
	if s.is {
		return nil, fmt.Errorf("%w: nobody there", activation.ErrDevice)
	}
	return s.Signer.Sign(message)
}

// A device key that does not sign is no reason to try each minute, nor one that
// only a log knows. It takes nothing of the budget for contacts, and when the chip
// is back the renewal follows soon, however long it was away.
func TestDeviceKeyThatDoesNotSign(t *testing.T) {
	w := newWorld(t, activationtest.Offer{Renew: 3 * days, Grace: days})
	chip := &silent{Signer: w.machine.Key}
	w.machine.Key = chip
	w.start()
	w.activate()
	chip.is = true
	fails := func(wait int64) {
		t.Helper()
		_, err := w.agent.Renew(t.Context(), key())
		w.fails(err, activation.ErrDevice)
		w.start() // it is remembered over a restart
		h, now := w.held(), w.machine.Clock.Wall()
		if h.Failures != 0 || !strings.Contains(h.LastError, "nobody there") || h.Pending != "" || h.NextTry != now+wait {
			t.Fatalf("next in %d s, want %d: %+v", h.NextTry-now, wait, h)
		}
		w.machine.Clock.Advance(wait)
	}
	for range 5 {
		fails(activation.DeviceEvery)
	}
	w.machine.Clock.Advance(4 * days) // its grace ends
	fails(activation.RetryBase)
	_, err := w.agent.OfflineRequest(license.RequestRenew, activation.RequestOptions{Key: key()})
	w.fails(err, activation.ErrDevice)
	chip.is = false
	if due := w.agent.Due().Contact; !slices.Contains(due, key()) {
		w.machine.Clock.Advance(activation.RetryBase)
	}
	if due := w.agent.Due().Contact; !slices.Contains(due, key()) {
		t.Errorf("the chip is back, contacts due: %v", due)
	}
	if h := w.renew(); h.LastError != "" || !h.Verdict.Runs {
		t.Errorf("after a success: %+v", h)
	}
	// A request file that was signed tells the same.
	chip.is = true
	fails(activation.DeviceEvery)
	chip.is = false
	if _, err := w.agent.OfflineRequest(license.RequestRenew, activation.RequestOptions{Key: key()}); err != nil || w.held().LastError != "" {
		t.Errorf("%v %q", err, w.held().LastError)
	}
}

// However often somebody tries by hand, the agent's own plan keeps the budget.
func TestBudgetBoundsThePlan(t *testing.T) {
	w := newWorld(t, activationtest.Offer{})
	w.activate()
	w.merchant.Before = func(*license.Request) error {
		return fmt.Errorf("%w: %w", activation.ErrUnreachable, &activation.RefusedError{Code: "unavailable", Status: 503, RetryAfter: time.Second})
	}
	for range 12 {
		_, err := w.agent.Renew(t.Context(), key())
		w.fails(err, activation.ErrUnreachable)
	}
	// Ten at once, then one per half hour: the thirteenth is due in an hour and a half.
	if wait := w.held().NextTry - w.machine.Clock.Wall(); wait < 3*activation.BudgetEvery {
		t.Errorf("after twelve failures the next contact is planned in %d s", wait)
	}
}

// Someone who only ever starts the agent for a moment is debounced all the same.
func TestEveryStartIsARead(t *testing.T) {
	w := newWorld(t, activationtest.Offer{})
	w.activate()
	other := activationtest.Hardware("other")
	w.machine.Change(func(d *fingerprint.Device) { d.Board, d.Disk = other.Board, other.Disk })
	for i, want := range []activation.Phase{activation.Active, activation.Active, activation.WrongDevice} {
		w.start()
		if got := w.held().Verdict.Phase; got != want {
			t.Errorf("start %d: %s, want %s", i, got, want)
		}
		w.machine.Clock.Advance(12 * hour)
	}
}

// A store that lost its clock does not bring back time before the license was
// signed.
func TestNoTimeBeforeTheLicense(t *testing.T) {
	w := newWorld(t, activationtest.Offer{})
	w.machine.Clock.Advance(100 * days)
	w.activate()
	if err := w.machine.Store.Apply(activation.Change{Clock: &activation.ClockState{}}); err != nil {
		t.Fatal(err)
	}
	w.machine.Clock.Reboot(-100*days, 30)
	w.start()
	x, err := w.agent.Why(key())
	if err != nil || x.Inputs.Now < x.Held.Claims.ServerTime {
		t.Errorf("decided at %d, signed at %d, %v", x.Inputs.Now, x.Held.Claims.ServerTime, err)
	}
	w.phase(activation.Active, activation.ReasonValid)
}

// The boot tag of a proof changes with the boot, also under a running process
// (a restored snapshot).
func TestBootTag(t *testing.T) {
	w := newWorld(t, activationtest.Offer{})
	w.activate()
	tag := func() string {
		t.Helper()
		a, err := w.agent.Check("studio", "", nonce(1))
		if err != nil {
			t.Fatal(err)
		}
		p, err := license.OpenProof(w.machine.Key.Public(), a.Proof)
		if err != nil {
			t.Fatal(err)
		}
		return p.Boot
	}
	first, again := tag(), tag()
	w.machine.Clock.Reboot(60, 30)
	second := tag()
	w.start()
	if first != again || first == second || tag() != second {
		t.Errorf("tags %s, %s, %s, %s", first, again, second, tag())
	}
}

func TestRestartDoesNotContact(t *testing.T) {
	w := newWorld(t, activationtest.Offer{})
	w.activate()
	planned := w.held().NextTry
	w.start()
	if got := w.held().NextTry; got != planned {
		t.Errorf("a restart moved the contact from %d to %d", planned, got)
	}
	// Off over the planned time: spread over hours, never at boot.
	w.machine.Clock.Reboot(10*days, 30)
	w.start()
	now := w.machine.Clock.Wall()
	if wait := w.held().NextTry - now; wait < 60 || wait > activation.BootSpread {
		t.Errorf("contact %d s after the boot", wait)
	}
	if d := w.agent.Due(); len(d.Contact) != 0 {
		t.Errorf("contacts due at boot: %v", d.Contact)
	}
	// Past renew-by it is urgent.
	w.machine.Clock.Reboot(25*days, 30)
	w.start()
	if wait := w.held().NextTry - w.machine.Clock.Wall(); wait < 1 || wait > 61 {
		t.Errorf("past renew-by: contact %d s after the boot", wait)
	}
}

// A wrong date in the future must neither end the license for good nor silence
// the agent until that date.
func TestWrongDateHeals(t *testing.T) {
	for _, cured := range []string{"clock", "contact"} {
		w := newWorld(t, activationtest.Offer{})
		truth := activationtest.NewClock()
		w.merchant = activationtest.NewMerchant("acme", truth.Wall)
		w.merchant.AddCode(code, activationtest.Offer{})
		w.start()
		w.activate()
		w.machine.Clock.Reboot(70*365*days, 30)
		w.start()
		w.phase(activation.Expired, activation.ReasonGraceEnded)
		if f := w.held().Verdict.Flags; !slices.Contains(f, activation.FlagProvisionalClock) {
			t.Errorf("flags %v", f)
		}
		w.merchant.Before = func(*license.Request) error { return activation.ErrUnreachable }
		_, err := w.agent.Renew(t.Context(), key())
		w.fails(err, activation.ErrUnreachable)
		if cured == "clock" {
			w.machine.Clock.SetWall(activationtest.Start + 3600)
			w.phase(activation.Active, activation.ReasonValid)
			if d := w.agent.Due(); !slices.Contains(d.Contact, key()) {
				t.Errorf("the plan of 2096 silences the agent: %+v, next try %d", d, w.held().NextTry)
			}
			continue
		}
		w.merchant.Before = nil
		truth.Advance(3600)
		h := w.renew()
		if !h.Verdict.Runs || len(h.Verdict.Flags) != 0 {
			t.Errorf("after a signed contact: %+v", h.Verdict)
		}
		if now, _ := w.agent.Now(); now != truth.Wall() {
			t.Errorf("time is %d, want the merchant's %d", now, truth.Wall())
		}
		w.machine.Clock.Advance(5 * days)
		if now, _ := w.agent.Now(); now != truth.Wall()+5*days {
			t.Errorf("five days later time is %d", now-truth.Wall())
		}
	}
}

func TestClockSuspectUntilTicked(t *testing.T) {
	w := newWorld(t, activationtest.Offer{})
	w.activate()
	w.machine.Clock.Advance(days)
	if err := w.agent.Tick(); err != nil {
		t.Fatal(err)
	}
	w.machine.Clock.Reboot(-2*days, 3)
	w.start()
	w.phase(activation.ClockSuspect, activation.ReasonClockBehind)
	w.verify2(false)
	d := w.agent.Due()
	if d.Tick || d.At-d.Now != 7 {
		t.Fatalf("due %+v, want a tick in 7 s", d)
	}
	w.machine.Clock.Advance(7)
	if d := w.agent.Due(); !d.Tick {
		t.Fatalf("due %+v, want a tick", d)
	}
	if err := w.agent.Tick(); err != nil {
		t.Fatal(err)
	}
	w.phase(activation.Active, activation.ReasonValid)
}

func TestDaysOfUse(t *testing.T) {
	w := newWorld(t, activationtest.Offer{})
	w.activate()
	var sent []string
	w.merchant.Before = func(r *license.Request) error { sent = r.Days; return nil }
	use := func(n byte) {
		t.Helper()
		if _, err := w.agent.Check("studio", "", nonce(n)); err != nil {
			t.Fatal(err)
		}
	}
	use(1)                             // 08:00 on 1 June in UTC+8
	w.machine.Clock.Advance(15 * hour) // 23:00
	use(2)                             // the same day
	if err := w.agent.Tick(); err != nil {
		t.Fatal(err)
	}
	w.machine.Clock.Advance(2 * hour) // 01:00 on 2 June, while UTC still has the 1st
	use(3)
	if err := w.agent.Tick(); err != nil {
		t.Fatal(err)
	}
	w.start()
	w.machine.Clock.Advance(3 * days) // not used on the 3rd and 4th
	use(4)                            // not ticked yet, and sent all the same
	w.renew()
	if want := []string{"2026-06-01", "2026-06-02", "2026-06-05"}; !slices.Equal(sent, want) {
		t.Errorf("reported %v, want %v", sent, want)
	}
	w.renew()
	if len(sent) != 0 {
		t.Errorf("reported again: %v", sent)
	}
	// A day that follows the lost request is not lost with its late answer.
	w.machine.Clock.Advance(60)
	use(5)
	w.merchant.After = func(*license.Request, *activation.Answer) error { return activation.ErrUnreachable }
	_, err := w.agent.Renew(t.Context(), key())
	w.fails(err, activation.ErrUnreachable)
	w.merchant.After = nil
	w.machine.Clock.Advance(days)
	use(6)
	w.renew() // the same bytes again
	w.renew()
	if want := []string{"2026-06-06"}; !slices.Equal(sent, want) {
		t.Errorf("after a late answer: reported %v, want %v", sent, want)
	}
}

// At most 400 days are kept, the newest.
func TestDaysOfUseAreBounded(t *testing.T) {
	w := newWorld(t, activationtest.Offer{Renew: 1000 * days})
	w.activate()
	w.merchant.Before = func(*license.Request) error { return activation.ErrUnreachable }
	for i := range 450 {
		if _, err := w.agent.Check("studio", "", nonce(byte(i))); err != nil {
			t.Fatal(err)
		}
		if err := w.agent.Tick(); err != nil {
			t.Fatal(err)
		}
		w.machine.Clock.Advance(days)
	}
	s, err := w.machine.Store.Load()
	if err != nil {
		t.Fatal(err)
	}
	d := s.Records[0].Days
	if len(d) != 400 || d[0] != "2026-07-21" || !slices.IsSorted(d) {
		t.Errorf("%d days kept, first %s", len(d), d[0])
	}
}

func TestDebounceOverRealReads(t *testing.T) {
	w := newWorld(t, activationtest.Offer{})
	w.activate()
	original := w.machine.Device()
	other := activationtest.Hardware("other")
	observe := func(wait int64) activation.Verdict {
		t.Helper()
		w.machine.Clock.Advance(wait)
		if err := w.agent.Observed(); err != nil {
			t.Fatal(err)
		}
		return w.held().Verdict
	}
	// Board and disk replaced: 2 of 9 points match, a strong part still does.
	w.machine.Change(func(d *fingerprint.Device) { d.Board, d.Disk = other.Board, other.Disk })
	for i, step := range []struct {
		wait int64
		want activation.Phase
	}{{0, activation.Active}, {60, activation.Active}, {60, activation.Active}, {hour, activation.Active}, {22 * hour, activation.Active}, {hour, activation.WrongDevice}} {
		if v := observe(step.wait); v.Phase != step.want || !slices.Contains(v.Flags, activation.FlagDrift) {
			t.Fatalf("read %d: %s %v, want %s", i, v.Phase, v.Flags, step.want)
		}
		if i == 2 {
			w.start() // the count outlives the process
		}
	}
	w.machine.Change(func(d *fingerprint.Device) { *d = original })
	if v := observe(60); v.Phase != activation.Active || len(v.Flags) != 0 {
		t.Fatalf("parts put back: %+v", v)
	}
	if w.held().Worse != (activation.Worse{}) {
		t.Errorf("memory %+v", w.held().Worse)
	}
	// Everything strong replaced: at once.
	w.machine.Change(func(d *fingerprint.Device) { d.Board, d.Disk, d.MAC = other.Board, other.Disk, other.MAC })
	if v := observe(60); v.Phase != activation.WrongDevice || v.Reason != activation.ReasonOtherDevice {
		t.Fatalf("another machine: %+v", v)
	}
	// Nothing readable: a day, counted from the first such read also across a restart.
	blind := fingerprint.Device{Env: original.Env}
	for _, c := range []*fingerprint.Component{&blind.MAC, &blind.Disk, &blind.Board, &blind.CPU} {
		c.State = fingerprint.Unreadable
	}
	w.machine.Change(func(d *fingerprint.Device) { *d = original })
	observe(60)
	w.machine.Change(func(d *fingerprint.Device) { *d = blind })
	for i, step := range []struct {
		wait int64
		want activation.Phase
	}{{0, activation.Active}, {23 * hour, activation.Active}, {hour - 1, activation.Active}, {1, activation.WrongDevice}} {
		if i == 2 {
			w.start()
		}
		if v := observe(step.wait); v.Phase != step.want {
			t.Fatalf("unreadable, step %d: %+v, want %s", i, v, step.want)
		}
	}
	w.machine.Change(func(d *fingerprint.Device) { *d = original })
	if v := observe(60); v.Phase != activation.Active {
		t.Fatalf("readable again: %+v", v)
	}
}

func TestWorseAfter(t *testing.T) {
	w := activation.Worse{}
	for i, step := range []struct {
		c    fingerprint.Comparison
		at   int64
		want activation.Worse
	}{
		{different(true), 100, activation.Worse{Reads: 1, First: 100, Last: 100}},
		{indeterminate(true, true), 200, activation.Worse{Reads: 1, First: 100, Last: 100}},
		{indeterminate(false, false), 300, activation.Worse{Reads: 1, First: 100, Last: 100, Blind: 300}},
		{indeterminate(false, false), 400, activation.Worse{Reads: 1, First: 100, Last: 100, Blind: 300}},
		{different(true), 500, activation.Worse{Reads: 2, First: 100, Last: 500}},
		{different(true), 50, activation.Worse{Reads: 3, First: 50, Last: 50}}, // the clock was put right
		{same(), 600, activation.Worse{}},
	} {
		if w = w.After(step.c, step.at); w != step.want {
			t.Fatalf("step %d: %+v, want %+v", i, w, step.want)
		}
	}
	for range 2000 {
		w = w.After(different(true), 1)
	}
	if w.Reads > 1000 {
		t.Errorf("the count grows without bound: %d", w.Reads)
	}
	if b, err := json.Marshal(activation.Worse{}); err != nil || string(b) != `{"reads":0,"first":0,"last":0}` {
		t.Errorf("on disk: %s %v", b, err)
	}
}
