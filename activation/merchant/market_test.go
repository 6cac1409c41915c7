package merchant

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"licenseagent.example/activation/koogallery"
	"licenseagent.example/activation/koogallery/koogallerytest"
	"licenseagent.example/activation/license"
	"licenseagent.example/activation/protocol"
)

func (s *stall) calls(path string) (n int) {
	for _, c := range s.market.Calls() {
		if strings.HasSuffix(c.Path, path) {
			n++
		}
	}
	return n
}

// The whole life of a bought code: activation there and here, use, renewal,
// freeze, unfreeze, release.
func TestMarketLife(t *testing.T) {
	s := newStall(t)
	code := s.sell("PLTEST000000000001")
	d := s.device(1)
	must0(t, d.activate(code))
	if d.claims.Seats != 3 || d.claims.Product != "painter" || d.claims.Edition != "pro" {
		t.Errorf("claims %+v: want 3 seats of painter pro", d.claims)
	}
	ends := must(s.svc.Codes(context.Background(), "", 10))(t)[0]
	bought, _ := s.market.Get(code)
	if ends.Expires != bought.Expires.Unix() || d.claims.Expires != bought.Expires.Unix() {
		t.Errorf("ends %d, license ends %d, the marketplace says %d", ends.Expires, d.claims.Expires, bought.Expires.Unix())
	}
	if s.calls("license/activate") != 1 || len(s.market.Beats(code)) != 1 {
		t.Errorf("%d activations and %d heartbeats, want one of each", s.calls("license/activate"), len(s.market.Beats(code)))
	}

	s.clock.Add(24 * time.Hour)
	must0(t, d.do(license.RequestRenew, "", used(s.today())))
	s.work()
	if n := len(s.market.Beats(code)); n != 2 {
		t.Errorf("%d heartbeats after a second day of use, want 2", n)
	}
	if u := s.market.Usage(code); !slices.Contains(u, d.claims.Device.ID) || len(u) != 2 {
		t.Errorf("usage %q, want the device on two days", u)
	}

	later := s.clock.Now().Add(800 * 24 * time.Hour)
	must0(t, s.market.Renew(code, later))
	s.deliver()
	must0(t, d.renew())
	if d.claims.Expires != later.Unix() {
		t.Errorf("renewed until %d, want %d", d.claims.Expires, later.Unix())
	}
	must0(t, s.market.Freeze(code))
	s.deliver()
	must0(t, d.renew())
	if d.state() != license.NoticeSuspended || d.notice.Reason != "frozen-by-marketplace" {
		t.Errorf("after FREEZE: %s %v", d.state(), d.notice)
	}
	s.work() // the confirming heartbeat says EXPIRED: it stays frozen
	wantCode(t, "activation of a frozen code", s.device(2).activate(code), protocol.CodeFrozen)
	must0(t, s.market.Unfreeze(code))
	s.deliver()
	must0(t, d.renew())
	if d.state() != license.NoticeActive || d.claims == nil {
		t.Errorf("after UNFREEZE: %s, license %v", d.state(), d.claims)
	}
	must0(t, s.market.Release(code))
	s.deliver()
	must0(t, d.renew())
	if d.state() != license.NoticeReleased || d.notice.Reason != "released-by-marketplace" {
		t.Errorf("after release: %s %v", d.state(), d.notice)
	}
	wantCode(t, "activation of a released code", s.device(3).activate(code), protocol.CodeRevoked)
	for _, c := range s.market.Owed() {
		if !c.Done {
			t.Errorf("callback not taken: %s %s", c.Body, c.Result)
		}
	}
	if text := fmt.Sprint(s.actions("")); strings.Contains(text, code) {
		t.Error("the code stands in the audit trail")
	}
}

// Whoever tries it how often at once: one activation at the marketplace.
func TestMarketActivatesOnce(t *testing.T) {
	s := newStall(t)
	code := s.sell("PLTEST000000000002")
	other := s.service(s.db)
	defer other.Close()
	var wg sync.WaitGroup
	var mu sync.Mutex
	results := map[string]int{}
	for i := range 24 {
		d := s.device(i % 6)
		svc := []*Service{s.svc, other}[i%2]
		wg.Go(func() {
			_, err := svc.Process(context.Background(), d.request(license.RequestActivate, code), "", "")
			mu.Lock()
			defer mu.Unlock()
			results[string(codeOf(t, err))]++
		})
	}
	wg.Wait()
	if s.calls("license/activate") != 1 {
		t.Errorf("%d activations at the marketplace, want 1", s.calls("license/activate"))
	}
	// 3 devices by the product, 24 device keys: the rest is used up.
	if results[""] != 3 || results[string(protocol.CodeUsedUp)] != 21 {
		t.Errorf("results %v, want 3 activated and 21 used up", results)
	}
}

// An activation that was interrupted after the marketplace had executed it.
func TestMarketActivationInterrupted(t *testing.T) {
	s := newStall(t, func(o *MarketOptions) { o.Products = o.Products[:1] })
	code := s.sell("PLTEST000000000003")
	must(s.client.Activate(context.Background(), code, time.Time{}))(t) // by the run that crashed
	d := s.device(1)
	must0(t, d.activate(code))
	if got := s.calls("license/activate"); got != 2 {
		t.Errorf("%d activations, want the second one to be answered 92020003", got)
	}
	if len(s.market.Beats(code)) != 1 {
		t.Error("already active was not confirmed by a heartbeat")
	}
	// The quantity was in the answer that was lost.
	if x := s.trouble(problemAmount); x == nil || d.claims.Seats != 1 {
		t.Errorf("%d seats, and the lost quantity is not named: %+v", d.claims.Seats, x)
	}
}

func TestMarketRefusals(t *testing.T) {
	s := newStall(t)
	wantCode(t, "no such code", s.device(1).activate("PLNOSUCHCODE"), protocol.CodeUnknownCode)
	if n := s.count(`SELECT COUNT(*) FROM goods`); n != 0 {
		t.Errorf("a guess left %d rows", n)
	}
	bought := s.sell("PLTEST000000000004", func(c *koogallerytest.Code) { c.Stage = koogallerytest.Bought })
	wantCode(t, "not received", s.device(1).activate(bought), protocol.CodeNotReceived)
	must0(t, s.market.Receive(bought))
	must0(t, s.device(1).activate(bought))

	s.market.SellElsewhere("PLFOREIGN000000001")
	wantCode(t, "another seller's", s.device(2).activate("PLFOREIGN000000001"), protocol.CodeUnavailable)
	if x := s.trouble(problemForeign); x == nil || x.Next.EN == "" || strings.Contains(x.Detail, "PLFOREIGN") {
		t.Errorf("another seller's code is not named: %+v", x)
	}
	odd := s.sell("PLTEST000000000005", func(c *koogallerytest.Code) { c.Product = "OFFI9" })
	wantCode(t, "unknown product", s.device(3).activate(odd), protocol.CodeUnavailable)
	if x := s.trouble(problemProduct); x == nil || x.Subject != "OFFI9" {
		t.Errorf("an unknown product is not named: %+v", x)
	}
	// Once somebody has configured it, the next attempt succeeds, without a
	// second activation at the marketplace.
	before := s.calls("license/activate")
	s.svc.market.Products = append(s.svc.market.Products, MarketProduct{Spec: CodeSpec{Product: "painter", Limits: map[string]int64{}}})
	must0(t, s.device(3).activate(odd))
	if n := s.calls("license/activate"); n != before {
		t.Errorf("%d more activations at the marketplace", n-before)
	}
	if s.trouble(problemProduct) != nil {
		t.Error("the product is configured and still called unknown")
	}
}

func (b *bed) count(query string, args ...any) (n int64) {
	b.t.Helper()
	must0(b.t, b.db.read.QueryRow(query, args...).Scan(&n))
	return n
}

// An activation that names the quantity and no product keeps its quantity,
// although the heartbeat after it names neither.
func TestMarketAmountWithoutProduct(t *testing.T) {
	s := newStall(t, func(o *MarketOptions) { o.Products = o.Products[:1]; o.Products[0].ID = "" })
	code := s.sell("PLTEST000000000008", func(c *koogallerytest.Code) { c.Product, c.Amount = "", 5 })
	d := s.device(1)
	must0(t, d.activate(code))
	if d.claims.Seats != 5 || s.trouble(problemAmount) != nil {
		t.Errorf("%d seats of 5, problems %q", d.claims.Seats, s.problems())
	}
}

// Quantity as machines instead of seats.
func TestMarketAmountAsDevices(t *testing.T) {
	s := newStall(t)
	code := s.sell("PLTEST000000000006", func(c *koogallerytest.Code) { c.Product, c.Amount = "OFFI2", 2 })
	d := s.device(1)
	must0(t, d.activate(code))
	must0(t, s.device(2).activate(code))
	wantCode(t, "third machine of two", s.device(3).activate(code), protocol.CodeUsedUp)
	if d.claims.Seats != 1 {
		t.Errorf("%d seats, want 1", d.claims.Seats)
	}
}

// While KooGallery is away: existing licenses renew, new codes wait, the days
// of use are told when it is back, once each.
func TestMarketAway(t *testing.T) {
	s := newStall(t)
	code := s.sell("PLTEST000000000007")
	d := s.device(1)
	must0(t, d.activate(code))
	s.market.Away(true)
	for range 5 {
		s.clock.Add(24 * time.Hour)
		must0(t, d.do(license.RequestRenew, "", used(s.today())))
		if d.state() != "license" {
			t.Fatalf("told %s while the marketplace was away", d.state())
		}
		must(s.svc.WorkDue(context.Background()))(t)
	}
	s.clock.Add(time.Hour)
	must(s.svc.WorkDue(context.Background()))(t)
	if x := s.trouble(problemAway); x == nil {
		t.Errorf("the outage is not named: %+v", x)
	}
	wantCode(t, "a new code", s.device(2).activate(s.sell("PLTEST000000000008")), protocol.CodeUnavailable)
	s.market.Away(false)
	s.work()
	if n := len(s.market.Beats(code)); n != 6 {
		t.Errorf("%d heartbeats for 6 days of use", n)
	}
	if n := len(s.market.Usage(code)); n != 6 {
		t.Errorf("%d reports for 6 days of use", n)
	}
	if s.trouble(problemAway) != nil {
		t.Error("the marketplace is back and still called away")
	}
}

// Once per code and day, whatever many devices report, twice or late.
func TestMarketAskedOncePerCodeAndDay(t *testing.T) {
	s := newStall(t)
	code := s.sell("PLTEST000000000009")
	var list []*device
	for i := range 3 {
		list = append(list, s.device(i))
		must0(t, list[i].activate(code))
	}
	s.work()
	s.clock.Add(24 * time.Hour)
	today := s.today()
	before := len(s.market.Beats(code))
	for range 2 {
		for _, d := range list {
			must0(t, d.do(license.RequestRenew, "", used(today)))
		}
		s.work()
	}
	if n := len(s.market.Beats(code)) - before; n != 1 {
		t.Errorf("%d heartbeats for one day of use, want 1", n)
	}
	if n := len(s.market.Usage(code)); n != 6 {
		t.Errorf("%d reports for 3 devices on 2 days, want 6", n)
	}
	// Days that cannot be: not yet there, long over.
	ahead := s.clock.Now().Add(80 * time.Hour).Format(time.DateOnly)
	must0(t, list[0].do(license.RequestRenew, "", used("2020-01-01", ahead)))
	s.work()
	if n := len(s.market.Beats(code)) - before; n != 1 {
		t.Errorf("%d heartbeats after impossible days, want still 1", n)
	}
	uses := must(s.svc.Uses(context.Background(), list[0].claims.ID, 10))(t)
	if len(uses) != 0 {
		t.Error("uses are listed by code id, not by license")
	}
	id := must(s.svc.Codes(context.Background(), "", 1))(t)[0].ID
	if uses = must(s.svc.Uses(context.Background(), id, 10))(t); len(uses) != 6 || uses[0].Reported == 0 {
		t.Errorf("uses %+v, want 6, reported", uses)
	}
}

// Callbacks do not make the marketplace be asked more often: no use, no call.
// What overtook another callback is asked about, and that counts as the day's.
func TestMarketAskedOncePerCodeAndDayWithCallbacks(t *testing.T) {
	s, code, d := bought(t)
	s.work()
	beats, ends := len(s.market.Beats(code)), s.clock.Now().Add(900*24*time.Hour)
	asked := func(what string, want int) {
		t.Helper()
		s.deliver()
		s.work()
		n := len(s.market.Beats(code))
		if n-beats != want {
			t.Errorf("%s: asked %d times, want %d", what, n-beats, want)
		}
		beats = n
	}
	use := func() { t.Helper(); must0(t, d.do(license.RequestRenew, "", used(s.today()))) }
	morning := func(days int) {
		now := s.clock.Now().In(s.svc.market.Calendar)
		s.clock.set(time.Date(now.Year(), now.Month(), now.Day()+days, 9, 0, 0, 0, now.Location()))
	}
	tomorrow := func() { morning(1) }

	tomorrow()
	must0(t, s.market.Renew(code, ends))
	asked("a renewal, no use", 0)
	tomorrow()
	must0(t, s.market.Freeze(code))
	asked("a freeze, no use", 0)
	tomorrow()
	must0(t, s.market.Unfreeze(code))
	asked("its unfreeze, no use", 0)
	tomorrow()
	use()
	must0(t, s.market.Renew(code, ends.Add(time.Hour)))
	asked("use and a renewal", 1)

	// Repeated after the unfreeze, as far as anybody can tell: asked, without
	// use, and the use of that day asks no more, before or after.
	morning(8)
	s.call(freeze(code))
	s.call(unfreeze(code))
	s.call(freeze(code))
	asked("a freeze after its unfreeze, no use", 1)
	if s.standing() != standAlive {
		t.Errorf("%s, the marketplace says alive", s.standing())
	}
	use()
	asked("use on a day on which a callback was confirmed", 0)
	tomorrow()
	use()
	s.call(freeze(code))
	asked("use and a doubtful callback before the day's heartbeat", 1)
	tomorrow()
	use()
	asked("use", 1)
}

// Devices are told whose days count, and what they report by it is booked by it.
func TestMarketCalendar(t *testing.T) {
	s, code, d := bought(t, func(o *MarketOptions) { o.Calendar = time.FixedZone("-03:00", -3*3600) })
	s.work()
	s.clock.set(time.Date(2027, 2, 2, 1, 30, 0, 0, time.UTC)) // the 1st there, the 2nd in China
	a := must(s.svc.Process(context.Background(), d.request(license.RequestRenew, ""), "", ""))(t)
	d.take(a)
	if a.Calendar != "-03:00" {
		t.Errorf("told the calendar %q", a.Calendar)
	}
	beats := len(s.market.Beats(code))
	for _, day := range []string{"2027-02-01", "2027-02-01", "2027-01-31"} {
		must0(t, d.do(license.RequestRenew, "", used(day)))
	}
	s.work()
	id := must(s.svc.Codes(context.Background(), "", 1))(t)[0].ID
	if uses := must(s.svc.Uses(context.Background(), id, 10))(t); len(uses) != 3 || uses[0].Day != "2027-02-01" || len(s.market.Beats(code)) != beats+2 {
		t.Errorf("%+v, asked %d times for two days", uses, len(s.market.Beats(code))-beats)
	}
}

// Which callbacks say by themselves how things are now.
func TestPlainCallbacks(t *testing.T) {
	for history, want := range map[string]bool{
		"F": true, "U": true, "FU": true, "R": true, "RRR": true, "RFRU": true, "FUR": true, "UFR": true,
		"FF": false, "UF": false, "FUF": false, "FUU": false, "FRF": false, "FUFU": false, // repeated or overtaken
		"N": false, "RN": false, "NR": false, "RNR": false, "L": false, // taken back or shortened: the order matters
	} {
		if got := plain(history, history[len(history)-1:]); got != want {
			t.Errorf("after %s: %t", history, got)
		}
	}
}

// A callback that arrives while the marketplace is just being asked: the answer
// may be that of before.
func TestCallbackWhileAsking(t *testing.T) {
	s, code, d := bought(t)
	s.work()
	s.clock.Add(24 * time.Hour)
	must0(t, d.do(license.RequestRenew, "", used(s.today())))
	s.clock.Add(spreadUse * time.Second)
	s.svc.market.Market = meanwhile{s.svc.market.Market, func() {
		must0(t, s.market.Freeze(code))
		s.deliver()
	}}
	must(s.svc.WorkDue(context.Background()))(t)
	if s.standing() != standAlive {
		t.Fatalf("%s: the answer that was under way came before the callback", s.standing())
	}
	s.svc.market.Market = s.client
	s.work()
	if s.standing() != standFrozen {
		t.Errorf("%s after the confirmation, want frozen", s.standing())
	}
}

// meanwhile is a marketplace where something happens between the answer to a
// heartbeat and its arrival.
type meanwhile struct {
	Marketplace
	happen func()
}

func (m meanwhile) Heartbeat(ctx context.Context, code string) (koogallery.Heartbeat, error) {
	h, err := m.Marketplace.Heartbeat(ctx, code)
	m.happen()
	return h, err
}

// The estimate of the activation never wins: not against a heartbeat with an
// end, and it is no end by itself.
func TestMarketEstimateDecidesNothing(t *testing.T) {
	s := newStall(t)
	code := s.sell("PLTEST000000000010")
	s.market.Fail("92020000-not-a-code") // the activation fails once
	wantCode(t, "first attempt", s.device(1).activate(code), protocol.CodeUnavailable)
	s.svc.market.Market = silent{s.svc.market.Market}
	d := s.device(1)
	must0(t, d.activate(code))
	if d.claims.Expires != license.NoEnd {
		t.Errorf("the estimate became the end: %d", d.claims.Expires)
	}
	if d.claims.GraceUntil > s.clock.Now().Unix()+30*day {
		t.Error("a license without a confirmed end is not bound by renew-by")
	}
}
