package merchant

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"licenseagent.example/activation/koogallery"
	"licenseagent.example/activation/koogallery/koogallerytest"
	"licenseagent.example/activation/license"
)

const callbackKey = "11111111-2222-3333-4444-555555555555"

// stall is a bed with a simulated KooGallery beside it. The client signs and
// reads as in production; only the wire is in memory.
type stall struct {
	*bed
	market   *koogallerytest.Marketplace
	client   *koogallery.Client
	machines int // made by run, so that each has hardware of its own
}

func newStall(t testing.TB, change ...func(*MarketOptions)) *stall {
	t.Helper()
	s := &stall{}
	clock := newFakeClock()
	keys := koogallery.Credentials{AccessKey: "AKTEST", SecretKey: "sk-test"}
	s.market = koogallerytest.New(keys, clock.Now, koogallery.PrimaryHost)
	s.client = &koogallery.Client{Keys: keys, Host: koogallery.PrimaryHost, HTTP: &http.Client{Transport: s.market.Transport()}, Now: clock.Now}
	s.bed = newBedWith(t, func(o *Options) {
		o.Clock, o.Notices = clock.Now, 10
		o.Market = MarketOptions{
			Market: s.client, CallbackKey: callbackKey,
			Products: []MarketProduct{
				{ID: "OFFI1", Spec: CodeSpec{Product: "painter", Edition: "pro", Features: []string{"export"}, Limits: map[string]int64{}, Devices: 3}},
				{ID: "OFFI2", Amount: AmountDevices, Spec: CodeSpec{Product: "painter", Limits: map[string]int64{}}},
			},
		}
		for _, c := range change {
			c(&o.Market)
		}
	})
	s.bed.clock = clock
	return s
}

// sell puts a code on the market that the buyer has received.
func (s *stall) sell(code string, change ...func(*koogallerytest.Code)) string {
	c := koogallerytest.Code{Code: code, Product: "OFFI1", Order: "CS1", Amount: 3, Validity: 365 * 24 * time.Hour, Stage: koogallerytest.Received}
	for _, f := range change {
		f(&c)
	}
	s.market.Sell(c)
	return code
}

// seller is this service as the marketplace reaches it, over its HTTP handler.
func (s *stall) seller(_ context.Context, query url.Values, body []byte) (string, error) {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, CallbackPath+"?"+query.Encode(), strings.NewReader(string(body)))
	s.svc.Handler().ServeHTTP(w, r)
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" {
		return "", errors.New("no answer")
	}
	var a CallbackAnswer
	err := json.Unmarshal(w.Body.Bytes(), &a)
	return a.Code, err
}

// deliver makes the callbacks that are due.
func (s *stall) deliver() int {
	return s.market.Deliver(context.Background(), callbackKey, s.seller)
}

// call makes one callback with a nonce of its own.
func (s *stall) call(members map[string]string) CallbackAnswer {
	s.t.Helper()
	body := must(json.Marshal(members))(s.t)
	a, _ := s.svc.Callback(context.Background(), koogallery.SignCallback(callbackKey, nonce(), s.clock.Now(), body), body)
	return a
}

// work does everything that is due now and in the next hour.
func (s *stall) work() {
	s.t.Helper()
	for range 8 {
		for must(s.svc.WorkDue(context.Background()))(s.t) > 0 {
		}
		s.clock.Add(10 * time.Minute)
	}
}

// used is a change of a request: the days on which a program asked.
func used(days ...string) func(*license.Request) {
	return func(r *license.Request) { r.Days = days }
}

func (s *stall) today() string { return s.clock.Now().In(s.svc.market.Calendar).Format(time.DateOnly) }

func (s *stall) trouble(code string) *Problem {
	for _, p := range s.svc.Open() {
		if p.Code == code {
			return &p
		}
	}
	return nil
}

// silent is a marketplace whose heartbeats name no end, as far as the documents go.
type silent struct{ Marketplace }

func (m silent) Heartbeat(ctx context.Context, code string) (koogallery.Heartbeat, error) {
	h, err := m.Marketplace.Heartbeat(ctx, code)
	h.Expires = time.Time{}
	return h, err
}
