package merchant

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"licenseagent.example/activation/koogallery"
	"licenseagent.example/activation/protocol"
)

// broken is a transport that fails in one way.
type broken struct{ err error }

func (b broken) RoundTrip(*http.Request) (*http.Response, error) { return nil, b.err }

// Whatever is wrong between this service and the marketplace is named in words,
// in the log and as a metric, with the next step, and is over when it is right
// again. A new buyer is told to wait; an existing license goes on.
func TestMarketProblemsAreNamed(t *testing.T) {
	for _, c := range []struct {
		name, code string
		break_     func(s *stall)
		mend       func(s *stall)
	}{
		{
			"wrong access key", problemKey,
			func(s *stall) { s.client.Keys.SecretKey = "wrong" }, func(s *stall) { s.client.Keys.SecretKey = "sk-test" },
		},
		{
			"skewed clock", problemClock,
			func(s *stall) { s.client.Now = func() time.Time { return s.clock.Now().Add(16 * time.Minute) } },
			func(s *stall) { s.client.Now = s.clock.Now },
		},
		{
			"forged marketplace", problemCert,
			func(s *stall) { s.client.HTTP = &http.Client{Transport: broken{x509.UnknownAuthorityError{}}} },
			func(s *stall) { s.client.HTTP = &http.Client{Transport: s.market.Transport()} },
		},
		{
			"no network", problemAway,
			func(s *stall) { s.client.HTTP = &http.Client{Transport: broken{errors.New("no route to host")}} },
			func(s *stall) { s.client.HTTP = &http.Client{Transport: s.market.Transport()} },
		},
		{
			"rate limit", problemThrottled,
			func(s *stall) { s.market.Fail("APIGW.0308", "APIGW.0308", "APIGW.0308") }, func(*stall) {},
		},
		{
			"wrong host", problemAnswer,
			func(s *stall) { s.client.HTTP = &http.Client{Transport: proxyPage{}} },
			func(s *stall) { s.client.HTTP = &http.Client{Transport: s.market.Transport()} },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			var log bytes.Buffer
			s, code, d := bought(t)
			s.svc.log = slog.New(slog.NewJSONHandler(&log, nil))
			c.break_(s)
			wantCode(t, "a new buyer", s.device(2).activate(s.sell("PLTEST000000000099")), protocol.CodeUnavailable)
			must0(t, d.renew())
			if d.state() != "license" {
				t.Errorf("an existing license was told %s", d.state())
			}
			p := s.trouble(c.code)
			if p == nil {
				t.Fatalf("not named; open are %+v", s.svc.Open())
			}
			for _, text := range []string{p.Message.EN, p.Message.ZH, p.Next.EN, p.Next.ZH} {
				if text == "" {
					t.Errorf("without words: %+v", p)
				}
			}
			if got := s.metric("license_merchant_problem", "code", c.code); got != 1 {
				t.Errorf("metric %v, want 1", got)
			}
			if !strings.Contains(log.String(), `"problem":"`+c.code+`"`) || !strings.Contains(log.String(), p.Next.EN) {
				t.Errorf("the log does not say it: %s", log.String())
			}
			for _, secret := range []string{code, "PLTEST000000000099", "sk-test", callbackKey} {
				if strings.Contains(log.String()+fmt.Sprint(s.svc.Open()), secret) {
					t.Errorf("a secret is in the log or the problem")
				}
			}
			c.mend(s)
			s.clock.Add(2 * time.Hour)
			s.work()
			must0(t, s.device(2).activate("PLTEST000000000099"))
			if s.trouble(c.code) != nil || s.metric("license_merchant_problem", "code", c.code) != 0 {
				t.Error("right again and still open")
			}
		})
	}
}

// proxyPage is what a captive portal answers.
type proxyPage struct{}

func (proxyPage) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: 200, Request: r, Header: http.Header{"Content-Type": {"text/html"}},
		Body: http.NoBody,
	}, nil
}

// metric reads one value of the registry.
func (b *bed) metric(name, label, value string) float64 {
	b.t.Helper()
	for _, f := range must(b.svc.metrics.registry.Gather())(b.t) {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == label && l.GetValue() == value {
					return m.GetGauge().GetValue() + m.GetCounter().GetValue()
				}
			}
		}
	}
	return -1
}

// Callbacks that arrive badly signed or at the wrong time are named too.
func TestCallbackProblemsAreNamed(t *testing.T) {
	s, code, _ := bought(t)
	body := must(json.Marshal(freeze(code)))(t)
	s.svc.Callback(context.Background(), koogallery.SignCallback("another key", nonce(), s.clock.Now(), body), body)
	s.svc.Callback(context.Background(), koogallery.SignCallback(callbackKey, nonce(), s.clock.Now().Add(-5*time.Minute), body), body)
	for _, code := range []string{problemCallbackKey, problemCallbackAge} {
		if p := s.trouble(code); p == nil {
			t.Errorf("%s is not named", code)
		}
	}
	s.call(freeze(code))
	for _, code := range []string{problemCallbackKey, problemCallbackAge} {
		if p := s.trouble(code); p != nil {
			t.Errorf("%s is open after a good call", code)
		}
	}
}

// What one instance meets, all name, and any of them can see that it is over.
func TestMarketProblemsAreShared(t *testing.T) {
	s, _, _ := bought(t)
	other := s.service(s.db)
	defer other.Close()
	ctx := context.Background()
	is := func(svc *Service) bool {
		for _, p := range svc.Open() {
			if p.Code == problemAway {
				return true
			}
		}
		return false
	}
	both := func() { must0(t, s.svc.shareProblems(ctx)); must0(t, other.shareProblems(ctx)) }
	s.svc.report(problemAway, "x")
	both()
	if !is(other) {
		t.Fatal("the other instance does not know")
	}
	other.solved(problemAway)
	must0(t, other.shareProblems(ctx))
	if is(other) {
		t.Error("solved and open again")
	}
	s.svc.solved(problemAway)
	both()
	if is(s.svc) || is(other) || s.count(`SELECT COUNT(*) FROM problems`) != 0 {
		t.Error("over, and still open somewhere")
	}
	// A restart continues, and what is local is not shared.
	s.svc.report(problemAway, "x")
	s.svc.report(problemCertificateDay, "y")
	both()
	if n := s.count(`SELECT COUNT(*) FROM problems`); n != 1 {
		t.Errorf("%d problems in the database, want the shared one", n)
	}
	s.bed.close()
	s.bed.open()
	must0(t, s.svc.shareProblems(ctx))
	if !is(s.svc) {
		t.Error("forgotten by a restart")
	}
}

// A callback while the database is away: answered as an internal error, which
// the marketplace repeats, and done when it is back.
func TestCallbackWhileTheDatabaseIsAway(t *testing.T) {
	s, code, _ := bought(t)
	must0(t, s.market.Freeze(code))
	good := s.db.write
	away := must(openDatabase(t.TempDir(), ""))(t)
	must0(t, away.Close())
	s.db.write = away.write
	if n := s.deliver(); n != 0 {
		t.Fatalf("%d calls taken without a database", n)
	}
	if owed := s.market.Owed(); owed[0].Result != resultInternal {
		t.Errorf("answered %q", owed[0].Result)
	}
	s.db.write = good
	if s.standing() != standAlive {
		t.Error("half of a call was done")
	}
	s.clock.Add(2 * time.Minute)
	if n := s.deliver(); n != 1 || s.standing() != standFrozen {
		t.Errorf("%d calls taken when it was back, %s", n, s.standing())
	}
}

// The configuration is refused in words before anything runs.
func TestMarketOptionsRefused(t *testing.T) {
	s := newStall(t)
	for name, change := range map[string]func(*MarketOptions){
		"amount": func(o *MarketOptions) { o.Products[0].Amount = "people" },
		"thaw":   func(o *MarketOptions) { o.Thaw = "maybe" },
		"frozen": func(o *MarketOptions) { o.NotActivated = "maybe" },
		"status": func(o *MarketOptions) { o.UnknownStatus = "maybe" },
		"twice":  func(o *MarketOptions) { o.Products = append(o.Products, o.Products[0]) },
		"policy": func(o *MarketOptions) { o.Products[0].Spec.Policy = "vague" },
		"name":   func(o *MarketOptions) { o.Products[0].Spec.Product = "Not A Name" },
	} {
		o := s.svc.opts
		o.Market.Products = append([]MarketProduct{}, o.Market.Products...)
		change(&o.Market)
		if svc, err := New(context.Background(), o); !errors.Is(err, ErrInput) {
			t.Errorf("%s: %v", name, err)
			if err == nil {
				svc.Close()
			}
		}
	}
}

// A service without a marketplace knows no code of one, asks nobody and takes
// no calls.
func TestNoMarketplace(t *testing.T) {
	b := newBed(t)
	wantCode(t, "a code of a marketplace", b.device(1).activate("PLTEST000000000001"), protocol.CodeUnknownCode)
	if n := must(b.svc.WorkDue(context.Background()))(t); n != 0 {
		t.Errorf("%d jobs", n)
	}
	var none NoMarketplace
	ctx := context.Background()
	_, e1 := none.Activate(ctx, "x", time.Time{})
	_, e2 := none.Heartbeat(ctx, "x")
	_, e3 := none.Order(ctx, "x", "")
	for i, err := range []error{e1, e2, e3, none.ReportUsage(ctx, nil), none.UploadString(ctx, "e", "x")} {
		if koogallery.ClassOf(err) != koogallery.UnknownCode {
			t.Errorf("call %d: %v", i, err)
		}
	}
}
