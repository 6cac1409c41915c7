package koogallery_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"licenseagent.example/activation/koogallery"
	"licenseagent.example/activation/koogallery/koogallerytest"
)

type bench struct {
	*koogallery.Client
	market  *koogallerytest.Marketplace
	server  *httptest.Server
	now     time.Time
	mu      sync.Mutex
	unknown []string
	down    map[string]bool // hosts whose domain is unavailable
}

// start puts the marketplace behind real TLS; both host names lead to it, as
// name resolution would.
func start(t *testing.T) *bench {
	t.Helper()
	keys := koogallery.Credentials{AccessKey: "AKTEST", SecretKey: "sk-test"}
	b := &bench{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), down: map[string]bool{}}
	clock := func() time.Time { b.mu.Lock(); defer b.mu.Unlock(); return b.now }
	b.market = koogallerytest.New(keys, clock, koogallery.PrimaryHost, koogallery.FallbackHost)
	b.server = httptest.NewTLSServer(b.market)
	t.Cleanup(b.server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(b.server.Certificate())
	c := koogallery.NewHTTPClient(roots, koogallery.RequestTimeout)
	tr := c.Transport.(*http.Transport)
	tr.TLSClientConfig.ServerName = "example.com" // the name in the test certificate
	tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		host, _, _ := net.SplitHostPort(addr)
		if b.down[host] {
			return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: host}}
		}
		return new(net.Dialer).DialContext(ctx, network, b.server.Listener.Addr().String())
	}
	b.Client = &koogallery.Client{
		Keys: keys, Host: koogallery.PrimaryHost, Fallback: koogallery.FallbackHost, HTTP: c, Now: clock,
		Unknown: func(about, member string) { b.unknown = append(b.unknown, about+" "+member) },
	}
	return b
}

func (b *bench) at(d time.Duration) { b.mu.Lock(); b.now = b.now.Add(d); b.mu.Unlock() }

func TestLifeOfACode(t *testing.T) {
	b, ctx := start(t), context.Background()
	const code = "PLTEST0001"
	b.market.Sell(koogallerytest.Code{Code: code, Product: "OFFI1", Order: "CS1", Amount: 3, Validity: 365 * 24 * time.Hour})

	want := func(err error, class koogallery.Class) {
		t.Helper()
		if got := koogallery.ClassOf(err); got != class {
			t.Fatalf("class %s, want %s (%v)", got, class, err)
		}
	}
	_, err := b.Activate(ctx, code, time.Time{})
	want(err, koogallery.NotReceived)
	_, err = b.Heartbeat(ctx, code)
	want(err, koogallery.NotActivated)
	b.market.Set(code, koogallerytest.Received)
	info, err := b.Activate(ctx, code, b.now)
	want(err, koogallery.Success)
	if info.Status != koogallery.Alive || info.Amount != 3 || info.Product != "OFFI1" || info.Order != "CS1" || info.Expires.Year() != 2027 {
		t.Errorf("info %+v", info)
	}
	_, err = b.Activate(ctx, code, time.Time{})
	want(err, koogallery.AlreadyActive)
	h, err := b.Heartbeat(ctx, code)
	want(err, koogallery.Success)
	if h.Status != koogallery.Alive || !h.Activated.Equal(b.now) || h.Expires.Year() != 2027 {
		t.Errorf("heartbeat %+v", h)
	}
	want(b.ReportUsage(ctx, []koogallery.Usage{{Code: code, ID: "dev-1"}, {Code: code, Active: 12}}), koogallery.Success)
	if got := strings.Join(b.market.Usage(code), " "); got != "dev-1 active_num=12" {
		t.Errorf("usage %q", got)
	}
	b.at(366 * 24 * time.Hour)
	if h, err = b.Heartbeat(ctx, code); err != nil || h.Status != koogallery.Expired {
		t.Errorf("after a year: %+v %v", h, err)
	}
	b.market.Extend(code, b.now.Add(time.Hour))
	if h, err = b.Heartbeat(ctx, code); err != nil || h.Status != koogallery.Alive {
		t.Errorf("after renewal: %+v %v", h, err)
	}
	b.market.Set(code, koogallerytest.Released)
	if h, err = b.Heartbeat(ctx, code); err != nil || h.Status != koogallery.Released {
		t.Errorf("after release: %+v %v", h, err)
	}
	_, err = b.Heartbeat(ctx, "PLNOBODY")
	want(err, koogallery.UnknownCode)
}

func TestBatch(t *testing.T) {
	b, ctx := start(t), context.Background()
	var codes []string
	for i := range 100 {
		c := fmt.Sprintf("PL%04d", i)
		codes = append(codes, c)
		b.market.Sell(koogallerytest.Code{Code: c, Stage: koogallerytest.Received, Validity: time.Hour})
	}
	if err := b.ActivateBatch(ctx, append([]string{"PLBAD"}, codes[1:]...), time.Time{}); koogallery.ClassOf(err) != koogallery.BadCodeInSet {
		t.Errorf("one bad code: %v", err)
	}
	if c, _ := b.market.Get("PL0001"); c.Stage != koogallerytest.Received {
		t.Errorf("a bad batch activated %+v", c)
	}
	if err := b.ActivateBatch(ctx, codes, b.now); err != nil {
		t.Error(err)
	}
	for _, bad := range [][]string{nil, append(codes, "PLMORE"), {strings.Repeat("x", 65)}, {""}} {
		if err := b.ActivateBatch(ctx, bad, time.Time{}); !errors.Is(err, koogallery.ErrArgument) {
			t.Errorf("%d codes: %v", len(bad), err)
		}
	}
}

func TestFallbackOnlyWhenTheDomainIsUnavailable(t *testing.T) {
	b, ctx := start(t), context.Background()
	b.market.Sell(koogallerytest.Code{Code: "PL1", Stage: koogallerytest.Received, Validity: time.Hour})
	b.down[koogallery.PrimaryHost] = true
	if _, err := b.Activate(ctx, "PL1", time.Time{}); err != nil {
		t.Fatalf("the other host was not asked: %v", err)
	}
	b.down[koogallery.FallbackHost] = true
	b.HTTP.CloseIdleConnections()
	if _, err := b.Heartbeat(ctx, "PL1"); !errors.Is(err, koogallery.ErrUnavailable) {
		t.Errorf("both down: %v", err)
	}
	b.down = map[string]bool{}
	before := len(b.market.Calls())
	b.market.Fail("92020001")
	if _, err := b.Heartbeat(ctx, "PL1"); koogallery.ClassOf(err) != koogallery.Ambiguous {
		t.Errorf("internal error: %v", err)
	}
	if n := len(b.market.Calls()) - before; n != 1 {
		t.Errorf("an error code moved the request to another host: %d calls", n)
	}
}

func TestWrongKeyAndWrongClock(t *testing.T) {
	b, ctx := start(t), context.Background()
	good := b.Keys
	b.Keys.SecretKey = "wrong-secret-value"
	_, err := b.Heartbeat(ctx, "PL1")
	if koogallery.ClassOf(err) != koogallery.Unauthorized || strings.Contains(err.Error(), "wrong-secret-value") {
		t.Errorf("wrong key: %v", err)
	}
	b.Keys = good
	real := b.Now
	for _, off := range []time.Duration{16 * time.Minute, -16 * time.Minute} {
		b.Now = func() time.Time { return real().Add(off) }
		_, err = b.Heartbeat(ctx, "PL1")
		if koogallery.ClassOf(err) != koogallery.ClockSkew || !strings.Contains(err.Error(), "16m") {
			t.Errorf("clock %s off: %v", off, err)
		}
	}
	b.Now = func() time.Time { return real().Add(14 * time.Minute) }
	if _, err = b.Heartbeat(ctx, "PL1"); koogallery.ClassOf(err) != koogallery.UnknownCode {
		t.Errorf("14 minutes off: %v", err)
	}
}

func TestForgedMarketplaceIsRefused(t *testing.T) {
	b, ctx := start(t), context.Background()
	b.HTTP = koogallery.NewHTTPClient(x509.NewCertPool(), time.Second)
	b.HTTP.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, b.server.Listener.Addr().String())
	}
	before := len(b.market.Calls())
	if _, err := b.Heartbeat(ctx, "PL1"); !errors.Is(err, koogallery.ErrCertificate) {
		t.Errorf("unknown root: %v", err)
	}
	// Control: without the check the same request reaches the forged server.
	b.HTTP.Transport.(*http.Transport).TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	if _, err := b.Heartbeat(ctx, "PL1"); koogallery.ClassOf(err) != koogallery.UnknownCode || len(b.market.Calls()) != before+1 {
		t.Errorf("control: %v, %d calls", err, len(b.market.Calls())-before)
	}
}

func TestOrderAndUpload(t *testing.T) {
	b, ctx := start(t), context.Background()
	b.market.AddOrder("CS1", json.RawMessage(`{"orderId":"CS1","orderType":"NEW"}`))
	if got, err := b.Order(ctx, "CS1", "CS1-000001"); err != nil || !strings.Contains(string(got), `"NEW"`) {
		t.Errorf("order %s %v", got, err)
	}
	if _, err := b.Order(ctx, "CS2", ""); koogallery.ClassOf(err) != koogallery.Refused {
		t.Errorf("unknown order: %v", err)
	}
	if err := b.UploadString(ctx, "ev-1", "LICENSE TEXT"); err != nil || string(b.market.Upload("ev-1")) != "LICENSE TEXT" {
		t.Errorf("string: %v", err)
	}
	file := []byte(strings.Repeat("license file\n", 1000))
	if err := b.UploadFile(ctx, "ev-2", "my.lic", file); err != nil || string(b.market.Upload("ev-2")) != string(file) {
		t.Errorf("file: %v", err)
	}
	b.UnsignedUploads = true
	if err := b.UploadFile(ctx, "ev-4", "my.lic", file); err != nil || string(b.market.Upload("ev-4")) != string(file) {
		t.Errorf("file outside the signature: %v", err)
	}
	if _, err := b.Order(ctx, "CS1", ""); err != nil {
		t.Errorf("JSON beside it: %v", err)
	}
	if err := b.UploadString(ctx, "ev-3", strings.Repeat("x", 1025)); !errors.Is(err, koogallery.ErrArgument) {
		t.Errorf("long string: %v", err)
	}
}

func TestUsageLimits(t *testing.T) {
	b, ctx := start(t), context.Background()
	for name, u := range map[string][]koogallery.Usage{
		"none":      nil,
		"both":      {{Code: "PL1", ID: "a", Active: 1}},
		"neither":   {{Code: "PL1"}},
		"long mark": {{Code: "PL1", ID: strings.Repeat("a", 257)}},
		"too many":  {{Code: "PL1", Active: 1_000_000_000}},
	} {
		if err := b.ReportUsage(ctx, u); !errors.Is(err, koogallery.ErrArgument) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := len(b.market.Calls()); n != 0 {
		t.Errorf("%d calls were sent", n)
	}
}

// What the documents leave open is tolerated in every plausible form.
func TestLenientAnswers(t *testing.T) {
	for body, want := range map[string]string{
		`{"error_code":"92020000","data":{"status":"ALIVE"}}`:                                     "ALIVE 0",
		`{"error_code":"92020000","data":{"status":"FREEZE","expireTime":"2027-01-02 03:04:05"}}`: "FREEZE 1798859045",
		`{"error_code":"92020000","data":{"status":"ALIVE","end_time":1798859045000,"x":{}}}`:     "ALIVE 1798859045",
		`{"error_code":"92020000","data":{"status":"ALIVE","expire_time":"20270102030405123"}}`:   "ALIVE 1798859045",
		`{"error_code":"92020000","data":{}}`:                                                     "error",
		`{"error_code":"92020000","data":{"license_code":"OTHER","status":"ALIVE"}}`:              "error",
		`{"error_code":"92029999","error_msg":"new"}`:                                             "error",
		`<html>busy</html>`: "error",
		`{}`:                "error",
	} {
		srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) }))
		c := koogallery.Client{Host: srv.Listener.Addr().String(), HTTP: srv.Client(), Now: time.Now}
		h, err := c.Heartbeat(context.Background(), "PL1")
		got := "error"
		if err == nil {
			unix := int64(0)
			if !h.Expires.IsZero() {
				unix = h.Expires.Unix()
			}
			got = fmt.Sprintf("%s %d", h.Status, unix)
		}
		if got != want {
			t.Errorf("%s: %s (%v), want %s", body, got, err, want)
		}
		srv.Close()
	}
}
