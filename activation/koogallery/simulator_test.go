package koogallery_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"licenseagent.example/activation/koogallery"
	"licenseagent.example/activation/koogallery/koogallerytest"
)

// raw sends a request that a careful client would not, signed rightly.
func (b *bench) raw(t *testing.T, method, path, contentType, body string, change ...func(*http.Request)) (int, string) {
	t.Helper()
	path, query, _ := strings.Cut(path, "?")
	u := &url.URL{Scheme: "https", Host: koogallery.PrimaryHost, Path: "/api/mkp-openapi-public/global/" + path, RawQuery: query}
	sig, err := koogallery.Sign(b.Keys, koogallery.Request{Method: method, URL: u, Headers: map[string]string{"Content-Type": contentType}, Body: []byte(body), Date: b.now})
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequest(method, u.String(), bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("X-Sdk-Date", b.now.UTC().Format(koogallery.DateFormat))
	r.Header.Set("Authorization", sig.Authorization)
	for _, c := range change {
		c(r)
	}
	resp, err := b.HTTP.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// The simulator is as strict as the documents: what they forbid, it refuses.
func TestSimulatorIsStrict(t *testing.T) {
	b := start(t)
	const js = "application/json"
	const activate, usage = "v1/license/activate", "v2/license/software-usage-info"
	const form = "multipart/form-data; boundary=b"
	file := func(name string) string {
		sum := sha256.Sum256([]byte("license"))
		return "--b\r\nContent-Disposition: form-data; name=\"isvUpdateFileReq\"\r\n\r\n" +
			`{"type":"FILE","file_name":"` + name + `","sha256":"` + hex.EncodeToString(sum[:]) + `"}` +
			"\r\n--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\nlicense\r\n--b--\r\n"
	}
	long := strings.Repeat("C", 65)
	b.market.AddOrder("CS1", json.RawMessage(`{}`))
	b.market.Sell(koogallerytest.Code{Code: "PLNEW", Order: "CS1", Stage: koogallerytest.Received, Validity: time.Hour})
	many := strings.Repeat(`"x",`, 100) + `"x"`
	for _, c := range []struct {
		name, method, path, kind, body string
		status                         int
		want                           string
	}{
		{"GET", "GET", activate, js, "", 405, "95000002"},
		{"form", "POST", activate, "application/x-www-form-urlencoded", "a=b", 415, "95000003"},
		{"no JSON", "POST", activate, js, "license", 400, "95000004"},
		{"no code", "POST", activate, js, `{}`, 400, "95000001"},
		{"long code", "POST", activate, js, `{"license":"` + strings.Repeat("x", 65) + `"}`, 400, "95000001"},
		{"time with dashes", "POST", activate, js, `{"license":"x","real_effect_time":"2026-01-02"}`, 400, "95000001"},
		{"an unknown member", "POST", activate, js, `{"license":"x","seat":1}`, 400, "95000004"},
		{"no such code", "POST", activate, js, `{"license":"x"}`, 200, "92020005"},
		{"empty batch", "POST", "v2/license/activate", js, `{"license_list":[]}`, 400, "95000001"},
		{"batch of 101", "POST", "v2/license/activate", js, `{"license_list":[` + many + `]}`, 400, "95000001"},
		{"batch with a bad one", "POST", "v2/license/activate", js, `{"license_list":["x"]}`, 200, "92020020"},
		{"heartbeat without code", "POST", "v1/license/heartbeat", js, `{}`, 400, "95000001"},
		{"heartbeat with a long account", "POST", "v1/license/heartbeat", js, `{"license":"x","heartbeatInfo":{"thirdPartyAccount":"` + strings.Repeat("a", 257) + `"}}`, 400, "95000001"},
		{"usage with both", "POST", usage, js, `{"usage_info":[{"license":"x","software_usage_Info":[{"id":"a","active_num":1}]}]}`, 400, "95000001"},
		{"usage with neither", "POST", usage, js, `{"usage_info":[{"license":"x","software_usage_Info":[{}]}]}`, 400, "95000001"},
		{"usage of ten digits", "POST", usage, js, `{"usage_info":[{"license":"x","software_usage_Info":[{"active_num":1000000000}]}]}`, 400, "95000001"},
		{"usage of nobody", "POST", usage, js, `{"usage_info":[]}`, 400, "95000001"},
		{"no such interface", "POST", "v9/license/activate", js, `{}`, 404, "APIGW.0101"},
		{"order without its id", "GET", "v1/order/query", js, "", 400, "MKT.0199"},
		{"order with a long id", "GET", "v1/order/query?orderId=" + long, js, "", 400, "MKT.0199"},
		{"order with a long line", "GET", "v1/order/query?orderId=CS1&orderLineId=" + long, js, "", 400, "MKT.0199"},
		{"effect before the order", "POST", activate, js, `{"license":"PLNEW","real_effect_time":"20260102030404"}`, 200, "92020002"},
		{"effect of a batch before the order", "POST", "v2/license/activate", js, `{"license_list":["PLNEW"],"real_effect_time":"20260102030404"}`, 200, "92020002"},
		{"effect at the order", "POST", activate, js, `{"license":"PLNEW","real_effect_time":"20260102030405"}`, 200, "92020000"},
		{"file without a name", "POST", "v1/market-event/e/file", form, file(""), 400, "CBC.0101"},
		{"file with a long name", "POST", "v1/market-event/e/file", form, file(strings.Repeat("n", 1025)), 400, "CBC.0101"},
		{"file with a name", "POST", "v1/market-event/e/file", form, file(strings.Repeat("n", 1024)), 200, "CBC.0000"},
		{"upload as JSON", "POST", "v1/market-event/e/file", js, `{}`, 400, "CBC.0101"},
	} {
		status, body := b.raw(t, c.method, c.path, c.kind, c.body)
		if status != c.status || !strings.Contains(body, `"`+c.want+`"`) {
			t.Errorf("%s: HTTP %d %s, want %d and %s", c.name, status, body, c.status, c.want)
		}
	}
	good := `{"license":"x"}`
	for name, change := range map[string]func(*http.Request){
		"another host": func(r *http.Request) { r.Host = "mkt.example.com" },
		"no date":      func(r *http.Request) { r.Header.Del("X-Sdk-Date") },
		"another date": func(r *http.Request) {
			r.Header.Set("X-Sdk-Date", b.now.Add(time.Minute).Format(koogallery.DateFormat))
		},
		"no authorization": func(r *http.Request) { r.Header.Del("Authorization") },
		"another body":     func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(`{"license":"y"}`)) },
		"another header":   func(r *http.Request) { r.Header.Set("Content-Type", js+"; charset=utf-8") },
	} {
		status, body := b.raw(t, "POST", activate, js, good, change)
		if status < 400 || !strings.Contains(body, "APIGW.") {
			t.Errorf("%s: HTTP %d %s, want the gateway's refusal", name, status, body)
		}
	}
	if status, body := b.raw(t, "POST", activate, js, good); status != 200 || !strings.Contains(body, "92020005") {
		t.Errorf("control: %d %s", status, body)
	}
}

// A code's life: every step from where it may be taken, and from nowhere else.
func TestSimulatorStages(t *testing.T) {
	ctx := context.Background()
	steps := map[string]func(b *bench) error{
		"receive":  func(b *bench) error { return b.market.Receive("PL1") },
		"activate": func(b *bench) error { _, err := b.Activate(ctx, "PL1", time.Time{}); return err },
		"renew":    func(b *bench) error { return b.market.Renew("PL1", b.now.Add(48*time.Hour)) },
		"unrenew":  func(b *bench) error { return b.market.Unrenew("PL1", b.now.Add(24*time.Hour)) },
		"freeze":   func(b *bench) error { return b.market.Freeze("PL1") },
		"unfreeze": func(b *bench) error { return b.market.Unfreeze("PL1") },
		"release":  func(b *bench) error { return b.market.Release("PL1") },
	}
	allowed := map[koogallerytest.Stage]string{
		koogallerytest.Bought:   "receive",
		koogallerytest.Received: "activate release",
		koogallerytest.Active:   "renew unrenew freeze release",
		koogallerytest.Expired:  "renew freeze release",
		koogallerytest.Frozen:   "renew unfreeze release",
		koogallerytest.Released: "",
	}
	for stage, may := range allowed {
		for name, step := range steps {
			b := start(t)
			b.market.Sell(koogallerytest.Code{Code: "PL1", Order: "CS1", Stage: stage, Validity: time.Hour, Active: b.now, Expires: b.now.Add(time.Hour)})
			if stage == koogallerytest.Expired {
				b.at(2 * time.Hour)
			}
			err := step(b)
			want := strings.Contains(" "+may+" ", " "+name+" ")
			if (err == nil) != want {
				t.Errorf("%s when %s: %v", name, stage, err)
			}
			if c, _ := b.market.Get("PL1"); err != nil && c.Stage != stage {
				t.Errorf("%s when %s was refused and left it %s", name, stage, c.Stage)
			}
			if err != nil && name != "activate" && !errors.Is(err, koogallerytest.ErrStage) {
				t.Errorf("%s when %s: %v", name, stage, err)
			}
		}
	}
}

// 60 tries, one every two minutes, each signed anew; then the seller must ask.
func TestSimulatorRetries(t *testing.T) {
	b, ctx := start(t), context.Background()
	b.market.Sell(koogallerytest.Code{Code: "PL1", Stage: koogallerytest.Active, Expires: b.now.Add(1000 * time.Hour)})
	if err := b.market.Freeze("PL1"); err != nil {
		t.Fatal(err)
	}
	tries, nonces := 0, map[string]bool{}
	answer := ""
	seller := func(_ context.Context, q url.Values, body []byte) (string, error) {
		tries++
		nonces[q.Get("nonce")] = true
		if _, err := koogallery.VerifyCallback("key", q, body, b.now); err != nil {
			t.Fatalf("try %d: %v", tries, err)
		}
		if answer == "" {
			return "", errors.New("nobody there")
		}
		return answer, nil
	}
	for range 60 * 4 {
		b.market.Deliver(ctx, "key", seller)
		b.at(30 * time.Second)
	}
	if tries != 60 || len(nonces) != 60 {
		t.Errorf("%d tries with %d nonces in two hours, want 60 of each", tries, len(nonces))
	}
	b.at(24 * time.Hour)
	b.market.Deliver(ctx, "key", seller)
	if tries != 60 {
		t.Errorf("tried again after giving up")
	}
	b.market.Redrive()
	answer = "000005"
	b.market.Deliver(ctx, "key", seller)
	answer = "000000"
	b.at(koogallerytest.TryPeriod)
	if b.market.Deliver(ctx, "key", seller) != 1 || tries != 62 {
		t.Errorf("%d tries after it was driven again", tries)
	}
	b.at(koogallerytest.TryPeriod)
	b.market.Deliver(ctx, "key", seller)
	if owed := b.market.Owed(); tries != 62 || len(owed) != 1 || !owed[0].Done {
		t.Errorf("called again after a success: %+v", owed)
	}
}

// The simulator survives a restart of the program around it, and works without a network.
func TestSimulatorStateAndTransport(t *testing.T) {
	b, ctx := start(t), context.Background()
	b.market.Sell(koogallerytest.Code{Code: "PL1", Stage: koogallerytest.Received, Validity: time.Hour, Amount: 2})
	b.HTTP = &http.Client{Transport: b.market.Transport()}
	if _, err := b.Activate(ctx, "PL1", time.Time{}); err != nil {
		t.Fatal(err)
	}
	if err := b.market.Freeze("PL1"); err != nil {
		t.Fatal(err)
	}
	text, err := b.market.Save()
	if err != nil {
		t.Fatal(err)
	}
	next := koogallerytest.New(b.Keys, b.Now, koogallery.PrimaryHost)
	if err := next.Load(text); err != nil {
		t.Fatal(err)
	}
	c, ok := next.Get("PL1")
	if !ok || c.Stage != koogallerytest.Frozen || c.Amount != 2 || len(next.Owed()) != 1 || len(next.Codes()) != 1 {
		t.Errorf("after a restart: %+v, %d owed", c, len(next.Owed()))
	}
	if err := next.Load([]byte("{")); err == nil {
		t.Error("half a state was loaded")
	}
	b.market.Away(true)
	if _, err := b.Heartbeat(ctx, "PL1"); !errors.Is(err, koogallery.ErrUnavailable) {
		t.Errorf("away: %v", err)
	}
}
