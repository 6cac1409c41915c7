package koogallery

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"time"
)

// Hosts of the marketplace. The second is asked only when the first one's
// domain is unavailable (interface description of the open API).
const (
	PrimaryHost  = "mkt.myhuaweicloud.com"
	FallbackHost = "mkt.myhuaweicloud.cn"
)

const (
	basePath   = "/api/mkp-openapi-public/global/"
	maxAnswer  = 1 << 20
	clockLimit = 15 * time.Minute
	// connectTimeout bounds reaching a host, and the TLS handshake with it again.
	// It is far below RequestTimeout: a host that swallows what it is sent must
	// be left while there is time for the other one.
	connectTimeout = 3 * time.Second
)

const (
	// RequestTimeout bounds one request to one host.
	RequestTimeout = 8 * time.Second
	// CallTimeout bounds a call: a first host that cannot be reached, and then a
	// whole request to the second one.
	CallTimeout = 2*connectTimeout + RequestTimeout
)

// Client calls the open API. All fields but Fallback are needed.
type Client struct {
	Keys     Credentials
	Host     string       // PrimaryHost, or a simulator's address
	Fallback string       // FallbackHost, or "" for none
	HTTP     *http.Client // with strict TLS (see NewHTTPClient) and a timeout
	Now      func() time.Time
	// HeartbeatV2 asks for the state of codes with the batch interface, whose
	// tables were never published: the shape of v2 activation is sent, and every
	// plausible answer is read.
	HeartbeatV2 bool
	// UnsignedUploads leaves the bodies of uploads out of the signature, as the
	// cloud's own SDKs do for whatever is not JSON. The documents do not say
	// which of the two the marketplace expects.
	UnsignedUploads bool
	// Zone is the time zone of times that name none; nil is UTC.
	Zone *time.Location
	// Unknown is called when an answer holds something the documents leave
	// open, so that it reaches a log: what it is about, and the member met.
	Unknown func(about, member string)
}

// NewHTTPClient is an HTTP client as the documents demand it: TLS ≥ 1.2,
// strict certificate checks, no redirects. roots nil means the system's.
func NewHTTPClient(roots *x509.CertPool, timeout time.Duration) *http.Client {
	return newHTTPClient(roots, timeout, new(net.Dialer).DialContext)
}

func newHTTPClient(roots *x509.CertPool, timeout time.Duration, dial func(ctx context.Context, network, address string) (net.Conn, error)) *http.Client {
	return &http.Client{
		Timeout: timeout,
		Transport: &http.Transport{
			Proxy:           http.ProxyFromEnvironment,
			TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				ctx, cancel := context.WithTimeout(ctx, connectTimeout)
				defer cancel()
				return dial(ctx, network, address)
			},
			TLSHandshakeTimeout:   connectTimeout,
			ResponseHeaderTimeout: timeout,
			DisableCompression:    true,
			ForceAttemptHTTP2:     false,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// call sends one request, on the other host when the first is unavailable, and
// decodes the answer into out (which may be nil). Codes other than success
// come back as *Error.
func (c *Client) call(ctx context.Context, method, path string, query url.Values, contentType string, body []byte, out any) error {
	err := c.callHost(ctx, c.Host, method, path, query, contentType, body, out)
	if err != nil && c.Fallback != "" && unavailable(err) && ctx.Err() == nil {
		return c.callHost(ctx, c.Fallback, method, path, query, contentType, body, out)
	}
	return err
}

func (c *Client) callHost(ctx context.Context, host, method, path string, query url.Values, contentType string, body []byte, out any) error {
	u := &url.URL{Scheme: "https", Host: host, Path: basePath + path, RawQuery: query.Encode()}
	now := c.Now()
	headers := map[string]string{"Content-Type": contentType}
	if c.UnsignedUploads && contentType != jsonType {
		headers[contentHash] = unsignedPayload
	}
	sig, err := Sign(c.Keys, Request{Method: method, URL: u, Headers: headers, Body: body, Date: now})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRequest, err)
	}
	for name, value := range headers {
		req.Header.Set(name, value)
	}
	req.Header.Set("X-Sdk-Date", now.UTC().Format(DateFormat))
	req.Header.Set("Authorization", sig.Authorization)
	var broken atomic.Bool // the TLS handshake failed: nothing of the request was sent
	req = req.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		TLSHandshakeDone: func(_ tls.ConnectionState, err error) { broken.Store(err != nil) },
	}))
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return transport(err, broken.Load())
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if len(answer) > maxAnswer {
		return fmt.Errorf("%w: more than %d bytes", ErrAnswer, maxAnswer)
	}
	return judge(resp, answer, now, out)
}

// judge decides by the code in the body. Gateway and interfaces use the member
// names error_code and error_msg, the order query resultCode and resultMsg.
func judge(resp *http.Response, answer []byte, now time.Time, out any) error {
	var head struct {
		ErrorCode  string `json:"error_code"`
		ErrorMsg   string `json:"error_msg"`
		ResultCode string `json:"resultCode"`
		ResultMsg  string `json:"resultMsg"`
	}
	if err := json.Unmarshal(answer, &head); err != nil {
		return fmt.Errorf("%w: HTTP %d with a body that is not a JSON object", ErrAnswer, resp.StatusCode)
	}
	e := &Error{Code: head.ErrorCode, Message: head.ErrorMsg, HTTP: resp.StatusCode}
	if e.Code == "" {
		e.Code, e.Message = head.ResultCode, head.ResultMsg
	}
	if e.Code == "" {
		return fmt.Errorf("%w: HTTP %d without a code", ErrAnswer, resp.StatusCode)
	}
	e.Class, e.Hint = classify(e.Code)
	if e.Class == Success {
		if out == nil {
			return nil
		}
		if err := json.Unmarshal(answer, out); err != nil {
			return fmt.Errorf("%w: %w", ErrAnswer, err)
		}
		return nil
	}
	if e.Class == Unauthorized {
		// The answer's Date header is not signed, but for telling an operator
		// about his own clock it is good enough.
		if server, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
			if off := now.Sub(server); off > clockLimit || off < -clockLimit {
				e.Class = ClockSkew
				e.Hint = fmt.Sprintf("this server's clock is %s off; the gateway allows 15 minutes: set the clock", off.Round(time.Second))
			}
		}
	}
	return e
}

// errHandshake marks a connection that never came to be.
var errHandshake = errors.New("the TLS handshake did not end")

// transport names what went wrong on the way.
func transport(err error, handshake bool) error {
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var verify *tls.CertificateVerificationError
	if errors.As(err, &unknown) || errors.As(err, &host) || errors.As(err, &invalid) || errors.As(err, &verify) {
		return fmt.Errorf("%w: %w", ErrCertificate, err)
	}
	if handshake {
		return fmt.Errorf("%w: %w: %w", ErrUnavailable, errHandshake, err)
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// unavailable is true when the domain could not be reached at all: name
// resolution, connecting or the TLS handshake failed. A bad certificate, an error code or a lost
// answer never moves a request to another host.
func unavailable(err error) bool {
	if !errors.Is(err, ErrUnavailable) {
		return false
	}
	var dns *net.DNSError
	var op *net.OpError
	return errors.Is(err, errHandshake) || errors.As(err, &dns) || errors.As(err, &op) && op.Op == "dial"
}

func (c *Client) unknown(about, member string) {
	if c.Unknown != nil {
		c.Unknown(about, member)
	}
}
