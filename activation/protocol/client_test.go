package protocol

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"licenseagent.example/activation"
)

// The client is the port of the life cycle.
var _ activation.Issuer = (*Client)(nil)

func addLoopback(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)} }

// reply is one scripted answer of a test server.
type reply struct {
	status int
	kind   string
	body   string
	header map[string]string
}

func refusedWith(c Code, header ...string) reply {
	r := reply{
		status: Lookup(c).Status, kind: ContentError, header: map[string]string{},
		body: fmt.Sprintf(`{"error":{"code":%q,"message":"theirs","hint":"theirs","request_id":"1"}}`, c),
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.header[header[i]] = header[i+1]
	}
	return r
}

func accepted() reply {
	return reply{status: 200, kind: ContentAnswer, body: `{"license":{"a":1},"keyset":{}}`}
}

// scripted is a merchant service that answers from a list; the last answer repeats.
type scripted struct {
	client *Client
	mu     sync.Mutex
	seen   []*http.Request
	bodies []string
	waits  []time.Duration
}

func script(t *testing.T, change func(*Config), replies ...reply) *scripted {
	t.Helper()
	s := &scripted{}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		s.seen, s.bodies = append(s.seen, r), append(s.bodies, string(body))
		a := replies[min(len(s.seen), len(replies))-1]
		for k, v := range a.header {
			w.Header().Set(k, v)
		}
		w.Header().Set("Content-Type", a.kind)
		w.WriteHeader(a.status)
		if _, err := io.WriteString(w, a.body); err != nil {
			t.Error(err)
		}
	}))
	ca := newAuthority(t)
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{ca.issue(t, addLoopback)}}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	cfg := Config{
		Base: srv.URL + "/shop/", Roots: ca.pem(), Proxy: "direct", Agent: "license-agent/1.2.3", Now: time.Now,
		Rand:  func() float64 { return 0.5 },
		Sleep: func(_ context.Context, d time.Duration) error { s.waits = append(s.waits, d); return nil },
	}
	if change != nil {
		change(&cfg)
	}
	s.client = must(NewClient(cfg))(t)
	return s
}

// A code outlives the connection and is kept from those who record today what
// they may read one day; a renewal holds nothing of that kind (docs/adr/0015).
func TestKeyExchange(t *testing.T) {
	ca := newAuthority(t)
	var offered []tls.CurveID
	good := secure(t, &tls.Config{GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		offered = h.SupportedCurves
		return nil, nil
	}, Certificates: []tls.Certificate{ca.issue(t)}}, goodReply)
	right := animal{hosts: map[string]*cage{goodHost + ":443": good}, watch: good}
	must(right.client(t, ca.pem()).Send(context.Background(), sealed(t), "k"))(t)
	if !slices.Contains(offered, tls.X25519MLKEM768) {
		t.Errorf("an activation offers %v", offered)
	}
	must(right.client(t, ca.pem()).Send(context.Background(), renewal(t), "k"))(t)
	if diff := cmp.Diff(RenewalCurves(), offered); diff != "" {
		t.Errorf("a renewal offers (-want +got):\n%s", diff)
	}
}

func TestRequestOnTheWire(t *testing.T) {
	s := script(t, func(c *Config) { c.Language = "zh-CN" }, accepted())
	request := sealed(t)
	a := must(s.client.Send(context.Background(), request, "key-1"))(t)
	if diff := cmp.Diff(Answer{License: []byte(`{"a":1}`), KeySet: []byte(`{}`)}, a); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
	r := s.seen[0]
	if r.Method != "POST" || r.URL.Path != "/shop/v1/activations" || s.bodies[0] != string(request) || r.Proto != "HTTP/1.1" {
		t.Errorf("%s %s %s with %d bytes", r.Method, r.URL.Path, r.Proto, len(s.bodies[0]))
	}
	for name, want := range map[string]string{
		"User-Agent": "license-agent/1.2.3", "Content-Type": ContentEnvelope, HeaderIdempotency: "key-1",
		"Accept-Encoding": "identity", "Accept-Language": "zh-CN", "Accept": ContentAnswer + ", " + ContentError,
	} {
		if got := r.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if r.TLS.Version < tls.VersionTLS12 || r.TLS.DidResume {
		t.Errorf("TLS %x, resumed %v", r.TLS.Version, r.TLS.DidResume)
	}
}

func TestKeySet(t *testing.T) {
	s := script(t, nil, reply{status: 200, kind: ContentEnvelope, body: "{\"x\":1}\n"})
	if got := must(s.client.KeySet(context.Background()))(t); string(got) != `{"x":1}` {
		t.Errorf("key set %q", got)
	}
	if r := s.seen[0]; r.Method != "GET" || r.URL.Path != "/shop/v1/keyset" || r.Header.Get(HeaderIdempotency) != "" {
		t.Errorf("%s %s", r.Method, r.URL.Path)
	}
	s = script(t, nil, accepted())
	if _, err := s.client.KeySet(context.Background()); !errors.Is(err, activation.ErrAnswer) {
		t.Errorf("an answer in place of a key set: %v", err)
	}
}

func TestRetries(t *testing.T) {
	later := func(status int) reply { return reply{status: status, kind: "text/plain", body: "later"} }
	for _, k := range []struct {
		name    string
		replies []reply
		waits   []time.Duration // with a jitter of one half
		sent    int
		want    error
	}{
		{"at once", []reply{accepted()}, nil, 1, nil},
		{"after one 503", []reply{later(503), accepted()}, []time.Duration{500 * time.Millisecond}, 2, nil},
		{"after 500 and 502", []reply{later(500), later(502), accepted()}, []time.Duration{500 * time.Millisecond, time.Second}, 3, nil},
		{"three at most", []reply{later(503)}, []time.Duration{500 * time.Millisecond, time.Second}, 3, activation.ErrUnreachable},
		{"408", []reply{later(408), accepted()}, []time.Duration{500 * time.Millisecond}, 2, nil},
		{"425", []reply{later(425), accepted()}, []time.Duration{500 * time.Millisecond}, 2, nil},
		{"429 with Retry-After", []reply{refusedWith(CodeRateLimited, "Retry-After", "4"), accepted()}, []time.Duration{6 * time.Second}, 2, nil},
		{"Retry-After then none", []reply{refusedWith(CodeUnavailable, "Retry-After", "4"), later(503), accepted()}, []time.Duration{6 * time.Second, time.Second}, 3, nil},
		{"Retry-After beyond the call", []reply{refusedWith(CodeUnavailable, "Retry-After", "3600"), accepted()}, nil, 1, activation.ErrUnreachable},
		{"400", []reply{refusedWith(CodeBadRequest), accepted()}, nil, 1, &activation.RefusedError{}},
		{"403", []reply{refusedWith(CodeUnknownCode), accepted()}, nil, 1, &activation.RefusedError{}},
		{"409", []reply{refusedWith(CodeUsedUp), accepted()}, nil, 1, &activation.RefusedError{}},
		{"nonsense", []reply{{status: 200, kind: ContentAnswer, body: "x"}, accepted()}, nil, 1, activation.ErrAnswer},
		{"a 404 of something else", []reply{{status: 404, kind: "text/html", body: "x"}, accepted()}, nil, 1, activation.ErrAnswer},
	} {
		t.Run(k.name, func(t *testing.T) {
			s := script(t, nil, k.replies...)
			request := sealed(t)
			_, err := s.client.Send(context.Background(), request, "k")
			var refused *activation.RefusedError
			switch {
			case k.want == nil && err != nil, k.want != nil && err == nil:
				t.Errorf("error %v, want %v", err, k.want)
			case errors.As(k.want, &refused) && (!errors.As(err, &refused) || errors.Is(err, activation.ErrUnreachable)):
				t.Errorf("error %v is not final", err)
			case k.want != nil && !errors.As(k.want, &refused) && !errors.Is(err, k.want):
				t.Errorf("error %v, want %v", err, k.want)
			}
			if diff := cmp.Diff(k.waits, s.waits); diff != "" || len(s.seen) != k.sent {
				t.Errorf("sent %d times, want %d; waits (-want +got):\n%s", len(s.seen), k.sent, diff)
			}
			for i, b := range s.bodies {
				if b != string(request) || s.seen[i].Header.Get(HeaderIdempotency) != "k" {
					t.Errorf("attempt %d is another request", i)
				}
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	for _, spec := range Specs() {
		for lang, want := range map[string]string{"": spec.Message.EN, "zh-CN": spec.Message.ZH} {
			s := script(t, func(c *Config) { c.Language = lang }, refusedWith(spec.Code, "Retry-After", "7200"))
			_, err := s.client.Send(context.Background(), sealed(t), "k")
			var got *activation.RefusedError
			if !errors.As(err, &got) {
				t.Fatalf("%s: %v", spec.Code, err)
			}
			if errors.Is(err, activation.ErrUnreachable) != spec.Retry {
				t.Errorf("%s: temporary is %v", spec.Code, !spec.Retry)
			}
			if spec.Code == CodeUnknown {
				want = "theirs"
			}
			if got.Code != string(spec.Code) || got.Status != spec.Status || got.Message != want || got.Hint == "" || got.RetryAfter != 2*time.Hour {
				t.Errorf("%s: %+v", spec.Code, got)
			}
		}
	}
}

// TestForeignTexts: a code of a newer service brings its own text to the
// terminal, but no escape sequence and no flood.
func TestForeignTexts(t *testing.T) {
	body := `{"error":{"code":"new\u001b[2J","message":"A\u001b]0;x\u0007\u202eB` + strings.Repeat("m", 5000) + `","hint":"C\u0000D","request_id":""}}`
	s := script(t, nil, reply{status: 403, kind: ContentError + "; charset=utf-8", body: body})
	_, err := s.client.Send(context.Background(), sealed(t), "k")
	var got *activation.RefusedError
	if !errors.As(err, &got) {
		t.Fatal(err)
	}
	want := activation.RefusedError{Code: "new[2J", Message: "A]0;xB" + strings.Repeat("m", 294), Hint: "CD", Status: 403}
	if diff := cmp.Diff(want, *got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestRetryAfterForms(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	c := &Client{cfg: Config{Now: func() time.Time { return now }}}
	for value, want := range map[string]time.Duration{
		"": 0, "0": 0, "5": 5 * time.Second, "-5": 0, "x": 0, "1e9": 0, "99999999999": 0,
		"2000000000": maxRetryAfter, "Sun, 01 Mar 2026 12:00:30 GMT": 30 * time.Second,
		"Sun, 01 Mar 2026 11:00:00 GMT": 0, "Mon, 01 Mar 2060 12:00:00 GMT": maxRetryAfter,
	} {
		if got := c.retryAfter(http.Header{"Retry-After": {value}}); got != want {
			t.Errorf("%q: %v, want %v", value, got, want)
		}
	}
}

func TestCancelledCall(t *testing.T) {
	s := script(t, nil, accepted())
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.client.Send(ctx, sealed(t), "k"); !errors.Is(err, activation.ErrUnreachable) || !errors.Is(err, context.Canceled) || len(s.seen) != 0 {
		t.Errorf("%v, sent %d times", err, len(s.seen))
	}
	ctx, cancel = context.WithCancel(context.Background())
	s = script(t, func(c *Config) {
		c.Sleep = func(ctx context.Context, _ time.Duration) error { cancel(); return context.Cause(ctx) }
	}, reply{status: 503})
	if _, err := s.client.Send(ctx, sealed(t), "k"); !errors.Is(err, activation.ErrUnreachable) || len(s.seen) != 1 {
		t.Errorf("%v, sent %d times", err, len(s.seen))
	}
}

func TestSleep(t *testing.T) {
	must0(t, sleep(context.Background(), time.Nanosecond))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := sleep(ctx, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("sleep: %v", err)
	}
}

func TestBadConfigurations(t *testing.T) {
	good := Config{Base: "https://m.test", Now: time.Now, Rand: func() float64 { return 0 }}
	must(NewClient(good))(t)
	for name, change := range map[string]func(*Config){
		"no clock":        func(c *Config) { c.Now = nil },
		"no rand":         func(c *Config) { c.Rand = nil },
		"http":            func(c *Config) { c.Base = "http://m.test" },
		"no host":         func(c *Config) { c.Base = "https://" },
		"no URL":          func(c *Config) { c.Base = "::" },
		"password":        func(c *Config) { c.Base = "https://user:CANARY@m.test" },
		"query":           func(c *Config) { c.Base = "https://m.test/?x=1" },
		"fragment":        func(c *Config) { c.Base = "https://m.test/#x" },
		"roots":           func(c *Config) { c.Roots = "not PEM" },
		"proxy scheme":    func(c *Config) { c.Proxy = "ftp://p" },
		"proxy with junk": func(c *Config) { c.Proxy = "http://user:CANARY@[::1" },
	} {
		cfg := good
		change(&cfg)
		if _, err := NewClient(cfg); err == nil || strings.Contains(err.Error(), "CANARY") {
			t.Errorf("%s: %v", name, err)
		}
	}
	c := must(NewClient(good))(t)
	for _, key := range []string{"", "with space", "ü", strings.Repeat("k", MaxIdempotencyKey+1), "line\nbreak"} {
		if _, err := c.Send(context.Background(), sealed(t), key); err == nil || errors.Is(err, activation.ErrUnreachable) {
			t.Errorf("key %q: %v", key, err)
		}
	}
	if _, err := c.Send(context.Background(), []byte("{}"), "k"); err == nil || errors.Is(err, activation.ErrUnreachable) {
		t.Errorf("unsealed request: %v", err)
	}
}

// TestProxy goes through a proxy that the configuration names, and checks that
// the tunnel it asks for carries nothing but TLS.
func TestProxy(t *testing.T) {
	ca := newAuthority(t)
	target := secure(t, &tls.Config{Certificates: []tls.Certificate{ca.issue(t)}}, goodReply)
	var mu sync.Mutex
	var asked []string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked = append(asked, r.Method+" "+r.Host+" "+r.Header.Get(HeaderIdempotency))
		mu.Unlock()
		up := must(net.Dial("tcp", target.addr))(t)
		defer up.Close()
		down, _, err := w.(http.Hijacker).Hijack()
		must0(t, err)
		defer down.Close()
		must(io.WriteString(down, "HTTP/1.1 200 OK\r\n\r\n"))(t)
		done := make(chan struct{}, 2)
		for _, pair := range [][2]io.ReadWriter{{up, down}, {down, up}} {
			go func() {
				_, _ = io.Copy(pair[0], pair[1]) // ends with either side
				done <- struct{}{}
			}()
		}
		<-done
	}))
	defer proxy.Close()
	c := must(NewClient(Config{Base: "https://" + goodHost, Roots: ca.pem(), Proxy: proxy.URL, Now: time.Now, Rand: func() float64 { return 0 }}))(t)
	must(c.Send(context.Background(), sealed(t), "CANARY"))(t)
	if diff := cmp.Diff([]string{"CONNECT " + goodHost + ":443 "}, asked); diff != "" {
		t.Errorf("asked of the proxy (-want +got):\n%s", diff)
	}
}
