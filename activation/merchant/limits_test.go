package merchant

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"licenseagent.example/activation/license"
	"licenseagent.example/activation/protocol"
)

func TestAddress(t *testing.T) {
	for _, c := range []struct{ remote, want string }{
		{"192.0.2.1:1234", "192.0.2.1"},
		{"[::ffff:192.0.2.1]:1234", "192.0.2.1"},
		{"[2001:db8:1:2:3:4:5:6]:443", "2001:db8:1:2::/64"},
		{"[fe80::1%eth0]:443", "fe80::/64"},
		{"pipe", "pipe"},
	} {
		if got := address(c.remote); got != c.want {
			t.Errorf("address(%q) = %q, want %q", c.remote, got, c.want)
		}
	}
}

// The limit is that of the service, not of an instance: what one has counted the
// others know, and nobody's address is in the database.
func TestGuesses(t *testing.T) {
	b := newBed(t)
	ctx := context.Background()
	o := b.second()
	wait := func(s *Service, addr string) int64 { t.Helper(); return must(s.guessWait(ctx, addr))(t) }
	for i := range guessBurst {
		svc := []*Service{b.svc, o.svc}[i%2]
		if w := wait(svc, "192.0.2.1"); w != 0 {
			t.Fatalf("guess %d must wait %d s", i, w)
		}
		must0(t, svc.guessedWrong(ctx, "192.0.2.1"))
	}
	for _, svc := range []*Service{b.svc, o.svc} {
		if w := wait(svc, "192.0.2.1"); w != guessInterval {
			t.Errorf("after the burst: wait %d s, want %d", w, guessInterval)
		}
		if w := wait(svc, "192.0.2.2"); w != 0 {
			t.Error("another address has to wait")
		}
	}
	b.clock.Add((guessInterval - 1) * time.Second)
	if w := wait(o.svc, "192.0.2.1"); w != 1 {
		t.Errorf("one second early: wait %d s", w)
	}
	b.clock.Add(time.Second)
	if w := wait(o.svc, "192.0.2.1"); w != 0 {
		t.Errorf("after the interval: wait %d s", w)
	}
	// One more per interval, and no more than the burst however long it was quiet.
	must0(t, b.svc.guessedWrong(ctx, "192.0.2.1"))
	if w := wait(b.svc, "192.0.2.1"); w != guessInterval {
		t.Errorf("after one more: wait %d s", w)
	}
	b.clock.Add(48 * time.Hour)
	for range guessBurst {
		must0(t, b.svc.guessedWrong(ctx, "192.0.2.1"))
	}
	if w := wait(b.svc, "192.0.2.1"); w != guessInterval {
		t.Errorf("after two quiet days and a burst: wait %d s", w)
	}
	// A clock that goes back does not reward.
	b.clock.Add(-time.Second)
	if w := wait(b.svc, "192.0.2.1"); w != guessInterval+1 {
		t.Errorf("a second back: wait %d s", w)
	}
	var kept string
	must0(t, b.db.read.QueryRow(`SELECT MIN(address) FROM guesses`).Scan(&kept))
	if strings.Contains(kept, "192") && strings.Contains(kept, ".") {
		t.Errorf("an address is kept: %s", kept)
	}
	// Forgiven, and forgotten by the housekeeping.
	b.clock.Add(time.Hour)
	b.svc.housekeep(ctx)
	var left int
	must0(t, b.db.read.QueryRow(`SELECT COUNT(*) FROM guesses`).Scan(&left))
	if left != 0 {
		t.Errorf("%d addresses are kept for ever", left)
	}
}

// problem is the error reply to one HTTP request.
func problem(t *testing.T, c *http.Client, method, url, contentType string, body io.Reader, header ...string) (int, protocol.ProblemBody, http.Header) {
	t.Helper()
	req := must(http.NewRequest(method, url, body))(t)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp := must(c.Do(req))(t)
	defer resp.Body.Close()
	var p protocol.Problem
	if err := json.Unmarshal(must(io.ReadAll(resp.Body))(t), &p); err != nil && resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: status %d without the error form: %v", method, url, resp.StatusCode, err)
	}
	return resp.StatusCode, p.Error, resp.Header
}

func TestHTTPRefusals(t *testing.T) {
	b := newBed(t)
	srv, _ := b.serve()
	c := newTLSClient(srv)
	env, ok := protocol.ContentEnvelope, b.device(1).request(license.RequestActivate, "X")
	for _, k := range []struct {
		name, method, path, kind string
		body                     io.Reader
		want                     protocol.Code
	}{
		{"unknown path", "GET", "/admin", "", nil, protocol.CodeNotFound},
		{"GET for POST", "GET", protocol.PathRenewals, "", nil, protocol.CodeMethod},
		{"POST for GET", "POST", protocol.PathKeySet, env, bytes.NewReader(ok), protocol.CodeMethod},
		{"no content type", "POST", protocol.PathRenewals, "", bytes.NewReader(ok), protocol.CodeMediaType},
		{"form", "POST", protocol.PathRenewals, "application/x-www-form-urlencoded", bytes.NewReader(ok), protocol.CodeMediaType},
		{"empty", "POST", protocol.PathRenewals, env, strings.NewReader(""), protocol.CodeBadRequest},
		{"other kind", "POST", protocol.PathRenewals, env, bytes.NewReader(ok), protocol.CodeBadRequest},
		{"too large", "POST", protocol.PathRenewals, env, bytes.NewReader(make([]byte, protocol.MaxRequest+1)), protocol.CodeTooLarge},
		{"too large without saying so", "POST", protocol.PathRenewals, env, io.MultiReader(bytes.NewReader(make([]byte, protocol.MaxRequest+1))), protocol.CodeTooLarge},
	} {
		status, p, _ := problem(t, c, k.method, srv.URL+k.path, k.kind, k.body)
		if p.Code != k.want || status != protocol.Lookup(k.want).Status || p.Message == "" || p.Hint == "" || len(p.RequestID) != 16 {
			t.Errorf("%s: status %d, %+v; want %s", k.name, status, p, k.want)
		}
	}
	_, p, _ := problem(t, c, "GET", srv.URL+"/x", "", nil, "Accept-Language", "zh-CN,zh;q=0.9")
	if p.Message != protocol.Lookup(protocol.CodeNotFound).Message.ZH {
		t.Errorf("Chinese message: %q", p.Message)
	}
	_, p, _ = problem(t, c, "POST", srv.URL+protocol.PathActivations, env, bytes.NewReader(ok), protocol.HeaderIdempotency, strings.Repeat("k", protocol.MaxIdempotencyKey+1))
	if p.Code != protocol.CodeBadRequest {
		t.Errorf("long idempotency key: %+v", p)
	}
	for path, want := range map[string]int{protocol.PathHealth: 200, protocol.PathReady: 200} {
		if status, _, _ := problem(t, c, "GET", srv.URL+path, "", nil); status != want {
			t.Errorf("%s: status %d", path, status)
		}
	}
}

// TestHeaderLimit sends an endless header by hand: the server must stop reading.
func TestHeaderLimit(t *testing.T) {
	b := newBed(t)
	srv, _ := b.serve()
	conn := must(tls.Dial("tcp", srv.Listener.Addr().String(), &tls.Config{InsecureSkipVerify: true}))(t)
	defer conn.Close()
	go func() {
		w := bufio.NewWriter(conn)
		_, err := fmt.Fprintf(w, "GET /healthz HTTP/1.1\r\nHost: x\r\n")
		for i := 0; err == nil; i++ { // ends when the server closes
			_, err = fmt.Fprintf(w, "X-%d: %s\r\n", i, strings.Repeat("a", 1000))
		}
	}()
	resp := must(http.ReadResponse(bufio.NewReader(conn), nil))(t)
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("status %d", resp.StatusCode)
	}
}

func TestWrongCodesAreThrottled(t *testing.T) {
	b := newBed(t)
	srv, _ := b.serve()
	c := newTLSClient(srv)
	code, _ := b.code(func(s *CodeSpec) { s.Devices = 2 })
	d := b.device(1)
	must0(t, d.activate(code))
	try := func(code string) (int, protocol.ProblemBody, http.Header) {
		return problem(t, c, "POST", srv.URL+protocol.PathActivations, protocol.ContentEnvelope, bytes.NewReader(b.device(7).request(license.RequestActivate, code)))
	}
	for i := range guessBurst {
		if _, p, _ := try("00000-00000-00000-00000-00000"); p.Code != protocol.CodeUnknownCode {
			t.Fatalf("guess %d: %+v", i, p)
		}
	}
	// Now even the right code has to wait: the answer must not tell which it is.
	status, p, h := try(code)
	if status != http.StatusTooManyRequests || p.Code != protocol.CodeRateLimited || h.Get("Retry-After") != "30" {
		t.Errorf("status %d, %+v, Retry-After %q", status, p, h.Get("Retry-After"))
	}
	// Renewals from the same address go on.
	d.take(decode(t, must(post(c, srv.URL+protocol.PathRenewals, d.request(license.RequestRenew, ""), protocol.ContentEnvelope))(t)))
	b.clock.Add(guessInterval * time.Second)
	if status, p, _ := try(code); status != http.StatusOK {
		t.Errorf("after the wait: status %d, %+v", status, p)
	}
	metrics := scrape(t, b)
	for _, want := range []string{`license_merchant_throttled_total 1`, `license_merchant_requests_total{kind="activate",result="unknown-code"} 10`, `license_merchant_requests_total{kind="renew",result="ok"} 1`} {
		if !strings.Contains(metrics, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
}

func decode(t *testing.T, body []byte) protocol.Answer {
	t.Helper()
	return must(protocol.DecodeAnswer(body))(t)
}

func scrape(t *testing.T, b *bed) string {
	t.Helper()
	srv := tlsServer(t, &http.Server{Handler: b.svc.Metrics()})
	resp := must(newTLSClient(srv).Get(srv.URL))(t)
	defer resp.Body.Close()
	return string(must(io.ReadAll(resp.Body))(t))
}

// TestLogsHoldNoSecrets looks for canaries in the log at its most talkative.
func TestLogsHoldNoSecrets(t *testing.T) {
	b := newBed(t)
	var log logBuffer
	b.svc.log = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	srv, client := b.serve()
	code, _ := b.code()
	d := b.device(1)
	for _, send := range []string{code, "00000-00000-00000-00000-00000", "CANARY-CODE"} {
		a, err := client.Send(context.Background(), d.request(license.RequestActivate, send), "CANARY-KEY-"+nonce())
		if err == nil {
			d.take(a)
		}
	}
	if _, err := post(newTLSClient(srv), srv.URL+"/nothing/CANARY-PATH?code=CANARY-QUERY", []byte("x"), "text/CANARY-TYPE"); err == nil {
		t.Error("want an error")
	}
	text := log.String()
	if !strings.Contains(text, protocol.PathActivations) || !strings.Contains(text, "unknown-code") {
		t.Fatalf("the log does not even tell what happened:\n%s", text)
	}
	for _, secret := range append(strings.Split(d.print, "|"), code, "CANARY", "00000-00000") {
		if strings.Contains(text, secret) {
			t.Errorf("the log holds %q:\n%s", secret, text)
		}
	}
}

// TestPanicIsOneRequest: a defect in one request must not end the service, nor
// fail those that share its transaction.
func TestPanicIsOneRequest(t *testing.T) {
	b := newBed(t)
	ctx := context.Background()
	boom := &job{ctx: ctx, run: func(*tx) error { panic("defect") }, done: make(chan struct{})}
	sick := &job{ctx: ctx, run: func(t *tx) error { _, err := t.exec(`INSERT INTO nowhere VALUES (1)`); return err }, done: make(chan struct{})}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	late := &job{ctx: gone, run: func(*tx) error { return errors.New("ran for nobody") }, done: make(chan struct{})}
	well := &job{ctx: ctx, run: func(t *tx) error { return t.audit("test", "well", "x", nil) }, done: make(chan struct{})}
	b.svc.commit([]*job{well, boom, sick, late})
	if boom.err == nil || !strings.Contains(boom.err.Error(), "defect") || sick.err == nil || !errors.Is(late.err, context.Canceled) {
		t.Errorf("errors: %v, %v, %v", boom.err, sick.err, late.err)
	}
	if well.err != nil {
		t.Errorf("the neighbour failed: %v", well.err)
	}
	if got := b.actions("x"); len(got) != 1 {
		t.Errorf("the neighbour was written %d times", len(got))
	}
}

func TestClosedServiceRefuses(t *testing.T) {
	b := newBed(t)
	code, _ := b.code()
	d := b.device(1)
	request := d.request(license.RequestActivate, code)
	b.svc.Close()
	_, err := b.svc.Process(context.Background(), request, "", "")
	wantCode(t, "after Close", err, protocol.CodeUnavailable)
	b.svc.Close() // twice is once
}
