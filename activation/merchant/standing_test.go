package merchant

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"licenseagent.example/activation/koogallery"
	"licenseagent.example/activation/koogallery/koogallerytest"
	"licenseagent.example/activation/license"
)

// Every standing against every word of a heartbeat, with and without an end.
func TestHeartbeatDecides(t *testing.T) {
	const none, future, past = int64(0), int64(1000), int64(-1000)
	for _, c := range []struct {
		thaw, was string
		status    koogallery.Status
		end       int64
		want      string
	}{
		{ThawWithExpiry, standAlive, koogallery.Alive, none, standAlive},
		{ThawWithExpiry, standAlive, koogallery.Expired, none, standExpired},
		{ThawWithExpiry, standAlive, koogallery.Expired, past, standExpired},
		{ThawWithExpiry, standAlive, koogallery.Expired, future, standFrozen},
		{ThawWithExpiry, standAlive, koogallery.Released, none, standReleased},
		{ThawWithExpiry, standAlive, koogallery.Frozen, none, standFrozen},
		{ThawWithExpiry, standAlive, koogallery.Frozen, future, standFrozen},
		{ThawWithExpiry, standReleased, koogallery.Frozen, none, standReleased},
		{ThawWithExpiry, standAlive, "SUSPENDED", future, standAlive},
		{ThawWithExpiry, standFrozen, "SUSPENDED", future, standFrozen},
		{ThawWithExpiry, standAlive, statusNotActivated, none, standFrozen},
		{ThawWithExpiry, standExpired, statusNotActivated, none, standExpired},
		{ThawWithExpiry, standFrozen, statusNotActivated, none, standFrozen},
		{ThawWithExpiry, standReleased, statusNotActivated, none, standReleased},
		{ThawWithExpiry, standExpired, koogallery.Alive, none, standAlive},
		{ThawWithExpiry, standExpired, koogallery.Alive, future, standAlive},
		{ThawWithExpiry, standExpired, koogallery.Expired, none, standExpired},
		{ThawWithExpiry, standExpired, "SUSPENDED", none, standExpired},
		{ThawWithExpiry, standFrozen, koogallery.Alive, none, standFrozen},
		{ThawWithExpiry, standFrozen, koogallery.Alive, past, standFrozen},
		{ThawWithExpiry, standFrozen, koogallery.Alive, future, standAlive},
		{ThawWithExpiry, standFrozen, koogallery.Expired, past, standFrozen},
		{ThawWithExpiry, standFrozen, koogallery.Released, none, standReleased},
		{ThawAlways, standFrozen, koogallery.Alive, none, standAlive},
		{ThawAlways, standFrozen, koogallery.Alive, past, standAlive},
		{ThawNever, standFrozen, koogallery.Alive, future, standFrozen},
		{ThawNever, standFrozen, koogallery.Expired, past, standFrozen},
		{ThawWithExpiry, standReleased, koogallery.Alive, future, standReleased},
		{ThawAlways, standReleased, koogallery.Alive, future, standReleased},
		{ThawWithExpiry, standReleased, koogallery.Expired, none, standReleased},
		{ThawWithExpiry, standReleased, "NEW", none, standReleased},
	} {
		s, code, _ := bought(t, func(o *MarketOptions) { o.Thaw = c.thaw })
		h := koogallery.Heartbeat{Code: code, Status: c.status}
		before := s.ends()
		if c.end != none {
			h.Expires = s.clock.Now().Add(time.Duration(c.end) * time.Hour)
		}
		must0(t, s.svc.change(context.Background(), func(t *tx) error {
			g, err := t.goods(lookup(t.svc.pepper, code))
			if err != nil {
				return err
			}
			if err := t.stand(g, c.was, g.expires, "test", "test", nil); err != nil {
				return err
			}
			return t.heard(g, h)
		}))
		if got := s.standing(); got != c.want {
			t.Errorf("thaw %s: %s and a heartbeat %s with end %d h: %s, want %s", c.thaw, c.was, c.status, c.end, got, c.want)
		}
		if got := s.ends(); c.end != none && got != h.Expires.Unix() || c.end == none && got != before {
			t.Errorf("%s and a heartbeat %s with end %d h: ends %d", c.was, c.status, c.end, got)
		}
		s.bed.close()
		s.bed.open()
	}
}

// A standing that is not new tells nobody and writes nothing.
func TestStandingOnlyWhenNew(t *testing.T) {
	s, code, d := bought(t)
	id := must(s.svc.Codes(context.Background(), "", 1))(t)[0].ID
	before, news := len(s.actions(id)), s.count(`SELECT news FROM codes`)
	for range 3 {
		s.call(unfreeze(code))
		s.work()
	}
	if n := len(s.actions(id)); n != before || s.count(`SELECT news FROM codes`) != news {
		t.Errorf("%d audit rows before, %d after, news %d", before, n, s.count(`SELECT news FROM codes`))
	}
	must0(t, d.renew())
	if d.state() != "license" {
		t.Errorf("told %s", d.state())
	}
}

func TestMarketProductsSpec(t *testing.T) {
	base := CodeSpec{Product: "painter", Devices: 4, Seats: 6}
	for _, c := range []struct {
		amount         string
		bought         int64
		devices, seats int64
	}{
		{AmountSeats, 10, 4, 10},
		{AmountSeats, 0, 4, 6},
		{AmountDevices, 10, 10, 6},
		{AmountDevices, 0, 4, 6},
		{AmountSeats, -3, 4, 6},
	} {
		got := MarketProduct{Spec: base, Amount: c.amount}.spec(c.bought)
		if got.Devices != c.devices || got.Seats != c.seats || got.Policy != "balanced" {
			t.Errorf("%d of amount %s: %+v, want %d devices and %d seats", c.bought, c.amount, got, c.devices, c.seats)
		}
	}
	two := MarketOptions{Products: []MarketProduct{{ID: "A", Spec: CodeSpec{Product: "painter"}}, {ID: "B", Spec: CodeSpec{Product: "writer"}}}}
	any := MarketOptions{Products: append(two.Products, MarketProduct{Spec: CodeSpec{Product: "painter"}})}
	for _, c := range []struct {
		name   string
		o      MarketOptions
		wanted string
		id     string
		ok     bool
	}{
		{"named by the device", two, "writer", "B", true},
		{"not named", two, "", "", false},
		{"unknown", two, "sculptor", "", false},
		{"ambiguous, with a default", any, "painter", "", true},
		{"unknown, with a default", any, "sculptor", "", true},
		{"nothing sold", MarketOptions{}, "painter", "", false},
	} {
		if p, ok := c.o.guess(c.wanted); ok != c.ok || p.ID != c.id {
			t.Errorf("%s: %q %v, want %q %v", c.name, p.ID, ok, c.id, c.ok)
		}
	}
	if p, ok := any.product("Z"); !ok || p.ID != "" {
		t.Error("an unlisted product does not find the default")
	}
}

// A backup carries what was bought and shows no code; restored, nothing is
// activated twice and no day that was told is told again.
func TestMarketSurvivesARestore(t *testing.T) {
	s, code, d := bought(t)
	s.work()
	saved := s.backup()
	if text := unzip(t, saved); strings.Contains(text, code) {
		t.Error("the backup shows the code")
	}
	beats, activations, reports := len(s.market.Beats(code)), s.calls("license/activate"), len(s.market.Usage(code))
	r := s.restored(saved)
	again := &stall{bed: r, market: s.market, client: s.client}
	d.bed = r
	must0(t, d.do(license.RequestRenew, "", used(again.today())))
	must0(t, r.device(2).activate(code))
	again.work()
	if len(s.market.Beats(code)) != beats || s.calls("license/activate") != activations {
		t.Errorf("%d heartbeats and %d activations more", len(s.market.Beats(code))-beats, s.calls("license/activate")-activations)
	}
	if n := len(s.market.Usage(code)); n != reports+1 {
		t.Errorf("%d reports after the restore, want one for the new device", n-reports)
	}
}

// A frozen code may answer 92020011, for all that is documented: the freeze
// whose callback was lost is found by the heartbeat of the next day of use, a
// frozen code stays one, an unfrozen one comes back. Where the vendor has
// chosen otherwise, the code goes on and is named.
func TestNotActivatedMayBeFrozen(t *testing.T) {
	for _, c := range []struct{ setting, lost, problem string }{
		{"", standFrozen, ""},
		{NotActivatedFrozen, standFrozen, ""},
		{NotActivatedReport, standAlive, problemUnknown},
	} {
		t.Run("setting "+c.setting, func(t *testing.T) {
			s, code, d := bought(t, func(o *MarketOptions) { o.NotActivated = c.setting })
			var log bytes.Buffer
			s.svc.log = slog.New(slog.NewJSONHandler(&log, nil))
			s.market.AnswerFrozen(koogallerytest.Form{HTTP: 200, Code: "92020011"})
			day := func() {
				s.clock.Add(24 * time.Hour)
				must0(t, d.do(license.RequestRenew, "", used(s.today())))
				s.work()
			}
			must0(t, s.market.Freeze(code)) // and its callback is never delivered
			day()
			if s.standing() != c.lost || s.problems() != c.problem {
				t.Fatalf("the callback was lost: %s, open are %q, want %s and %q", s.standing(), s.problems(), c.lost, c.problem)
			}
			must0(t, s.market.Unfreeze(code))
			day()
			if s.standing() != standAlive || s.problems() != "" {
				t.Fatalf("unfrozen: %s, open are %q", s.standing(), s.problems())
			}
			must0(t, s.market.Freeze(code))
			s.deliver()
			s.work() // the confirming heartbeat
			day()
			if s.standing() != standFrozen || s.problems() != "" {
				t.Errorf("the callback came: %s, open are %q", s.standing(), s.problems())
			}
			if n := strings.Count(log.String(), "which its documents leave open"); n != 1 {
				t.Errorf("said %d times in the log, want once", n)
			}
		})
	}
}

// Whatever word a heartbeat has for a state: one that means a known state is that
// state, and one that is new stops nobody, unless the vendor wants it. It is
// named in log, metric and list until a known word comes.
func TestStatusWords(t *testing.T) {
	for _, c := range []struct{ setting, word, want string }{
		{"", "alive", standAlive},
		{"", "NORMAL", standAlive},
		{"", "normal", standAlive},
		{"", "UNFREEZE", standAlive},
		{"", "Expired", standExpired},
		{"", "released", standReleased},
		{"", "FREEZE", standFrozen},
		{"", "Frozen", standFrozen},
		{"", "IN_SERVICE", ""},
		{UnknownStatusReport, "IN_SERVICE", ""},
		{UnknownStatusFrozen, "IN_SERVICE", standFrozen},
		{UnknownStatusFrozen, "alive", standAlive},
	} {
		t.Run(c.setting+" "+c.word, func(t *testing.T) {
			s, code, d := bought(t, func(o *MarketOptions) { o.UnknownStatus = c.setting })
			var log bytes.Buffer
			s.svc.log = slog.New(slog.NewJSONHandler(&log, nil))
			id := must(s.svc.Codes(context.Background(), "", 1))(t)[0].ID
			day := func() {
				s.clock.Add(24 * time.Hour)
				must0(t, d.do(license.RequestRenew, "", used(s.today())))
				s.work()
			}
			s.market.Reword(func(state map[string]any) {
				state["status"] = c.word
				if c.want == standExpired {
					delete(state, "expire_time") // with one to come it would be frozen
				}
			})
			day()
			want := c.want
			if want == "" {
				want = standAlive
			}
			must0(t, d.renew())
			if s.standing() != want || (d.state() == "license") != (want == standAlive) {
				t.Fatalf("%s, told %s, want %s", s.standing(), d.state(), want)
			}
			p := s.trouble(problemStatus)
			if c.word != "IN_SERVICE" {
				if len(s.svc.Open()) != 0 {
					t.Errorf("open are %q", s.problems())
				}
				return
			}
			if p == nil || p.Subject != id || !strings.Contains(p.Detail, "IN_SERVICE") || s.metric("license_merchant_problem", "code", problemStatus) != 1 {
				t.Fatalf("not named: %+v", s.svc.Open())
			}
			if text := log.String(); !strings.Contains(text, p.Next.EN) || strings.Contains(text, code) {
				t.Errorf("the log says %s", text)
			}
			if n := s.count(`SELECT COUNT(*) FROM problems`); n != 1 {
				t.Errorf("%d problems in the database, want 1", n)
			}
			s.market.Reword(nil)
			day()
			if s.standing() != standAlive || s.trouble(problemStatus) != nil || s.count(`SELECT COUNT(*) FROM problems`) != 0 {
				t.Errorf("a known word came: %s, open are %q", s.standing(), s.problems())
			}
		})
	}
}

// A frozen code whose heartbeat is alive and names no end that can be read stays
// frozen by the default setting, and is named until that is over: by an end in
// whatever plausible form, or by the callback.
func TestThawNeedsAnEnd(t *testing.T) {
	for _, c := range []struct {
		name, thaw, open string
		mend             func(s *stall, code string, later time.Time)
	}{
		{"seconds", "", problemEnd, func(s *stall, _ string, later time.Time) {
			s.market.Reword(func(state map[string]any) { state["expire_time"] = later.Unix() })
		}},
		{"a date under another name", ThawWithExpiry, problemEnd, func(s *stall, _ string, later time.Time) {
			s.market.Reword(func(state map[string]any) {
				delete(state, "expire_time")
				state["expireDate"] = later.UTC().Format(time.DateOnly)
			})
		}},
		{"the callback", "", problemEnd, func(s *stall, code string, _ time.Time) { s.call(unfreeze(code)) }},
		{"a release", "", problemEnd, func(s *stall, code string, _ time.Time) {
			must0(s.t, s.market.Release(code))
			s.deliver()
		}},
		{"no end is needed", ThawAlways, "", nil},
		{"no end helps", ThawNever, "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, code, d := bought(t, func(o *MarketOptions) { o.Thaw = c.thaw })
			id := must(s.svc.Codes(context.Background(), "", 1))(t)[0].ID
			day := func() {
				s.clock.Add(24 * time.Hour)
				must0(t, d.do(license.RequestRenew, "", used(s.today())))
				s.work()
			}
			s.call(freeze(code)) // and the un-freeze is lost
			s.market.Reword(func(state map[string]any) { state["expire_time"] = "in a year" })
			day()
			if s.problems() != c.open {
				t.Fatalf("%s, open are %q, want %q", s.standing(), s.problems(), c.open)
			}
			if c.mend == nil {
				return
			}
			if p := s.trouble(problemEnd); p.Subject != id || s.standing() != standFrozen {
				t.Errorf("%s, open are %+v", s.standing(), p)
			}
			later := s.clock.Now().Add(200 * 24 * time.Hour)
			c.mend(s, code, later)
			if c.name != "a release" {
				day()
				if s.standing() != standAlive {
					t.Errorf("still %s", s.standing())
				}
			}
			if s.problems() != "" || s.count(`SELECT COUNT(*) FROM problems`) != 0 {
				t.Errorf("over, and open are %q", s.problems())
			}
			if at := s.ends(); c.name == "seconds" && at != later.Unix() {
				t.Errorf("ends %d, want %d", at, later.Unix())
			}
		})
	}
}

// A word that is new from the first heartbeat on is named too, and over when the
// code is released, after which no heartbeat comes. Of many codes some are named.
func TestNewStatusOfManyCodes(t *testing.T) {
	s := newStall(t)
	s.market.Reword(func(state map[string]any) { state["status"] = "IN_SERVICE" })
	code := s.sell("PLTEST000000000062")
	d := s.device(1)
	must0(t, d.activate(code))
	id := must(s.svc.Codes(context.Background(), "", 1))(t)[0].ID
	if p := s.trouble(problemStatus); p == nil || p.Subject != id || s.standing() != standAlive || d.state() != "license" {
		t.Fatalf("%s, told %s, open are %+v", s.standing(), d.state(), s.svc.Open())
	}
	must0(t, s.market.Release(code))
	s.deliver()
	if len(s.svc.Open()) != 0 || s.count(`SELECT COUNT(*) FROM problems`) != 0 {
		t.Errorf("released, and open are %q", s.problems())
	}
	must0(t, s.svc.change(context.Background(), func(t *tx) error {
		var errs []error
		for i := range maxDoubts + 5 {
			errs = append(errs, t.doubt(problemStatus, fmt.Sprintf("c-%d", i), "heartbeat"))
		}
		return errors.Join(append(errs, t.doubt(problemStatus, "c-1", "heartbeat again"))...)
	}))
	if n := s.count(`SELECT COUNT(*) FROM problems`); n != maxDoubts || len(s.svc.Open()) != maxDoubts {
		t.Errorf("%d problems in the database, %d open, want %d", n, len(s.svc.Open()), maxDoubts)
	}
	if n := s.count(`SELECT COUNT(*) FROM problems WHERE detail = 'heartbeat again'`); n != 1 {
		t.Error("one that is open is not brought up to date")
	}
}

// A marketplace that is behind its own activation does not freeze what was just
// bought: it is asked again.
func TestNotActivatedAMomentAgo(t *testing.T) {
	s := newStall(t)
	code := s.sell("PLTEST000000000061")
	s.svc.market.Market = &lagging{Marketplace: s.svc.market.Market, left: 2}
	d := s.device(1)
	must0(t, d.activate(code))
	s.work()
	must0(t, d.renew())
	if s.standing() != standAlive || d.state() != "license" || len(s.svc.Open()) != 0 {
		t.Errorf("%s, told %s, open are %+v", s.standing(), d.state(), s.svc.Open())
	}
	if n := len(s.market.Beats(code)); n == 0 {
		t.Error("not asked again")
	}
}

// lagging is a marketplace that answers its first heartbeats as before the activation.
type lagging struct {
	Marketplace
	left int
}

func (m *lagging) Heartbeat(ctx context.Context, code string) (koogallery.Heartbeat, error) {
	if m.left--; m.left >= 0 {
		return koogallery.Heartbeat{}, &koogallery.Error{Code: "92020011", HTTP: 200, Class: koogallery.NotActivated}
	}
	return m.Marketplace.Heartbeat(ctx, code)
}
