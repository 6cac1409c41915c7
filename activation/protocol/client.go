package protocol

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"licenseagent.example/activation"
	"licenseagent.example/activation/license"
)

// Config says how a Client reaches one merchant service. Base, Now and Rand
// are required; the zero value of everything else is a sensible default.
type Config struct {
	// Base is the URL of the service, https only; see license.Anchor.Merchant.
	Base string
	// Roots is PEM; when set only these certificates are trusted
	// (license.Anchor.TLSRoots), else those of the system.
	Roots string
	// Proxy is "" for HTTPS_PROXY and NO_PROXY of the environment, "direct"
	// for none, else the URL of a proxy.
	Proxy string
	// Connect bounds dialing and the TLS handshake, each. Default 10 s.
	Connect time.Duration
	// Attempt bounds one attempt from dialing to the last byte. Default 20 s.
	Attempt time.Duration
	// Overall bounds a call with all its attempts and pauses: as many of
	// Attempts are made as fit into it. Default 30 s.
	Overall time.Duration
	// Agent is the User-Agent, such as "license-agent/1.2.3".
	Agent string
	// Language of messages and hints: "en" (default) or "zh-CN".
	Language string
	// Now is the wall clock, for certificates and Retry-After.
	Now func() time.Time
	// Rand gives a number in [0, 1) for the jitter of the pauses.
	Rand func() float64
	// Sleep waits; nil waits on the real timer.
	Sleep func(ctx context.Context, d time.Duration) error
	// Dial replaces the dialer in tests; nil is a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Client is the merchant service as an agent sees it, over HTTPS. It is the
// activation.Issuer of a running agent and safe for concurrent use. Nothing it
// returns is verified beyond its form: package license does that.
type Client struct {
	cfg  Config
	base *url.URL
	http *http.Client
	// daily is http for renewals; see RenewalCurves.
	daily *http.Client
	// patient is http for questions that the service holds open.
	patient *http.Client
	// most is MaxAnswer; the controls of the tests take more.
	most int64
}

// RenewalCurves is how a renewal agrees on a key, in TLS 1.2 and 1.3: without
// the post-quantum part of Go's own choice, by which everything else goes. A
// renewal holds no secret that outlives the connection, a quarter more of them
// fit on one machine, and a first message in one segment passes middleboxes that
// drop two. See docs/adr/0015.
func RenewalCurves() []tls.CurveID {
	return []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384}
}

// Attempts is how often one call is sent at most (Google SRE book, "Handling
// Overload": three attempts per request).
const Attempts = 3

// NewClient checks the configuration. It returns an error in words for a base
// URL that is not plain https, for roots that hold no certificate and for an
// unusable proxy.
func NewClient(cfg Config) (*Client, error) {
	if cfg.Now == nil || cfg.Rand == nil {
		return nil, errors.New("protocol: Config needs Now and Rand")
	}
	base, err := url.Parse(cfg.Base)
	if err != nil || base.Scheme != "https" || base.Hostname() == "" {
		return nil, errors.New("protocol: the merchant URL must be https://host[:port][/path]")
	}
	if base.User != nil || base.RawQuery != "" || base.Fragment != "" {
		return nil, errors.New("protocol: the merchant URL must not carry a user, a query or a fragment")
	}
	base.Path = strings.TrimRight(base.Path, "/")
	for _, d := range []struct {
		value *time.Duration
		use   time.Duration
	}{{&cfg.Connect, 10 * time.Second}, {&cfg.Attempt, 20 * time.Second}, {&cfg.Overall, 30 * time.Second}} {
		if *d.value <= 0 {
			*d.value = d.use
		}
	}
	if cfg.Sleep == nil {
		cfg.Sleep = sleep
	}
	if cfg.Agent == "" {
		cfg.Agent = "license-agent"
	}
	proxy, err := proxyFunc(cfg.Proxy)
	if err != nil {
		return nil, err
	}
	tlsConfig, err := tlsConfig(cfg.Roots, cfg.Now)
	if err != nil {
		return nil, err
	}
	dial := cfg.Dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: cfg.Connect}).DialContext
	}
	transport := &http.Transport{
		Proxy:                  proxy,
		DialContext:            dial,
		TLSClientConfig:        tlsConfig,
		TLSHandshakeTimeout:    cfg.Connect,
		ResponseHeaderTimeout:  cfg.Attempt,
		MaxResponseHeaderBytes: MaxHeader,
		// A reply of a few kilobytes gains nothing from compression, and a
		// hostile endpoint loses its decompression bomb.
		DisableCompression: true,
		// One contact a day: a kept connection would only be found dead.
		DisableKeepAlives: true,
		// HTTP/1.1 only: no frames, streams or header tables to attack
		// (CVE-2023-44487, CVE-2023-45288), and nothing here needs them.
		ForceAttemptHTTP2: false,
	}
	daily, patient := transport.Clone(), transport.Clone()
	daily.TLSClientConfig.CurvePreferences = RenewalCurves()
	patient.ResponseHeaderTimeout = noticeWait
	return &Client{cfg: cfg, base: base, http: over(transport), daily: over(daily), patient: over(patient), most: MaxAnswer}, nil
}

func over(t *http.Transport) *http.Client {
	return &http.Client{
		Transport: t,
		// A redirect is never followed: what was signed for this service must
		// not be carried to another host or to plain http.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// tlsConfig is the strict set-up: CVE-2025-40801 is a licensing SDK that did
// not validate the certificate of its authorisation server.
func tlsConfig(roots string, now func() time.Time) (*tls.Config, error) {
	cfg := &tls.Config{
		MinVersion: tls.VersionTLS12,
		Time:       now,
		NextProtos: []string{"http/1.1"},
		// TLS 1.2 only with forward secrecy and AEAD; TLS 1.3 has no others.
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
	}
	if roots == "" {
		return cfg, nil
	}
	cfg.RootCAs = x509.NewCertPool()
	if !cfg.RootCAs.AppendCertsFromPEM([]byte(roots)) {
		return nil, errors.New("protocol: the pinned TLS roots hold no certificate")
	}
	return cfg, nil
}

func proxyFunc(setting string) (func(*http.Request) (*url.URL, error), error) {
	switch setting {
	case "":
		return http.ProxyFromEnvironment, nil
	case "direct":
		return nil, nil
	}
	u, err := url.Parse(setting)
	// The text of url.Parse would quote the setting, which may hold a password.
	if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "socks5" {
		return nil, errors.New("protocol: the proxy must be http://, https:// or socks5://host:port, \"direct\" or empty")
	}
	return http.ProxyURL(u), nil
}

// Send delivers a sealed request and returns the answer. The path follows from
// the kind inside the request. The same bytes are repeated at most twice, and
// only when nothing was decided yet. Errors: *RefusedError when the merchant
// said no; activation.ErrUnreachable when it could not be asked or said "later" (then a
// *RefusedError with RetryAfter may be wrapped beside it); activation.ErrAnswer when
// something else than a merchant service answered.
func (c *Client) Send(ctx context.Context, request []byte, idempotencyKey string) (Answer, error) {
	req, err := license.OpenRequest(request)
	if err != nil {
		return Answer{}, fmt.Errorf("protocol: the request to send: %w", err)
	}
	if !validIdempotencyKey(idempotencyKey) {
		return Answer{}, errors.New("protocol: the idempotency key must be 1 to 128 printable ASCII characters")
	}
	by := c.http
	if req.Kind == license.RequestRenew {
		by = c.daily
	}
	body, err := c.call(ctx, by, http.MethodPost, Path(req.Kind), request, idempotencyKey, ContentAnswer)
	if err != nil {
		return Answer{}, err
	}
	a, err := DecodeAnswer(body)
	if err != nil {
		return Answer{}, fmt.Errorf("%w: %w", activation.ErrAnswer, err)
	}
	return a, nil
}

// KeySet fetches the current key set envelope, for instance before importing an
// answer signed by a key that is new. Errors are those of Send.
func (c *Client) KeySet(ctx context.Context) ([]byte, error) {
	body, err := c.call(ctx, c.http, http.MethodGet, PathKeySet, nil, "", ContentEnvelope)
	if err != nil {
		return nil, err
	}
	return bytes.TrimSpace(body), nil
}

func validIdempotencyKey(s string) bool {
	if len(s) == 0 || len(s) > MaxIdempotencyKey {
		return false
	}
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// once is a single attempt. It returns the body of a 200 of the wanted type.
func (c *Client) once(ctx context.Context, by *http.Client, method, path string, send []byte, idem, want string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Attempt)
	defer cancel()
	req, err := c.request(ctx, method, path, send, want)
	if err != nil {
		return nil, err
	}
	if send != nil {
		req.Header.Set("Content-Type", ContentEnvelope)
		req.Header.Set(HeaderIdempotency, idem)
	}
	return c.read(by, req, want)
}

// request makes a request with the headers that all have.
func (c *Client) request(ctx context.Context, method, path string, send []byte, want string) (*http.Request, error) {
	u := *c.base
	u.Path += path
	var from io.Reader
	if send != nil {
		from = bytes.NewReader(send)
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), from)
	if err != nil {
		return nil, fmt.Errorf("protocol: %w", err)
	}
	req.Header.Set("User-Agent", c.cfg.Agent)
	req.Header.Set("Accept", want+", "+ContentError)
	req.Header.Set("Accept-Encoding", "identity")
	if c.cfg.Language != "" {
		req.Header.Set("Accept-Language", c.cfg.Language)
	}
	return req, nil
}

// read sends a request and returns the body of a 200 of the wanted type.
func (c *Client) read(by *http.Client, req *http.Request, want string) ([]byte, error) {
	resp, err := by.Do(req)
	if err != nil {
		return nil, unreachable(err)
	}
	defer resp.Body.Close()
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	switch {
	case resp.StatusCode < 200:
		// After "101 Switching Protocols" net/http hands out the bare
		// connection as the body, and no deadline of ours ends a read from it.
		return nil, &failure{err: fmt.Errorf("%w: status %d", activation.ErrAnswer, resp.StatusCode)}
	case resp.StatusCode/100 == 3:
		return nil, &failure{err: fmt.Errorf("%w: it redirects elsewhere, which is never followed", activation.ErrAnswer)}
	case resp.Header.Get("Content-Encoding") != "" && resp.Header.Get("Content-Encoding") != "identity":
		return nil, &failure{err: fmt.Errorf("%w: it compressed the reply although nobody asked", activation.ErrAnswer)}
	case resp.StatusCode == http.StatusOK && kind == want:
	case resp.StatusCode == http.StatusOK:
		return nil, &failure{err: fmt.Errorf("%w: status 200 with another content type; a proxy or login page may be in between", activation.ErrAnswer)}
	case resp.StatusCode/100 == 2:
		return nil, &failure{err: fmt.Errorf("%w: status %d", activation.ErrAnswer, resp.StatusCode)}
	}
	if resp.ContentLength > c.most {
		return nil, &failure{err: fmt.Errorf("%w: the reply is larger than %d bytes", activation.ErrAnswer, c.most)}
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, c.most+1))
	if err != nil {
		return nil, unreachable(err)
	}
	if int64(len(body)) > c.most {
		return nil, &failure{err: fmt.Errorf("%w: the reply is larger than %d bytes", activation.ErrAnswer, c.most)}
	}
	if resp.StatusCode != http.StatusOK {
		return nil, c.refusal(resp, kind, body)
	}
	return body, nil
}

// retryAfter reads Retry-After in either form (RFC 9110, 10.2.3), 0 for none.
func (c *Client) retryAfter(h http.Header) time.Duration {
	v := h.Get("Retry-After")
	if s, err := strconv.ParseInt(v, 10, 32); err == nil && s >= 0 {
		return min(time.Duration(s)*time.Second, maxRetryAfter)
	}
	if t, err := http.ParseTime(v); err == nil {
		return min(max(t.Sub(c.cfg.Now()), 0), maxRetryAfter)
	}
	return 0
}

// maxRetryAfter bounds what a service may ask for: a hostile or broken one
// must not silence an agent past the grace of its license.
const maxRetryAfter = 24 * time.Hour
