package protocol

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/cenkalti/backoff/v5"

	"licenseagent.example/activation"
)

// failure is one failed attempt: the error for the caller, whether repeating
// makes sense, and how long the service asked to wait.
type failure struct {
	err   error
	retry bool
	after time.Duration
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// call makes at most Attempts attempts and ends within Overall: whoever types a
// code waits for it, and the scheduler of the agent tries again in any case.
func (c *Client) call(ctx context.Context, by *http.Client, method, path string, send []byte, idem, want string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Overall)
	defer cancel()
	pause := &pauses{ctx: ctx, cfg: c.cfg}
	body, err := backoff.Retry(ctx, func() ([]byte, error) {
		body, err := c.once(ctx, by, method, path, send, idem, want)
		var f *failure
		if errors.As(err, &f) {
			if !f.retry || ctx.Err() != nil {
				return nil, backoff.Permanent(f.err)
			}
			pause.after, err = f.after, f.err
		}
		return body, err
	}, backoff.WithBackOff(pause), backoff.WithMaxTries(Attempts), backoff.WithMaxElapsedTime(0))
	if err != nil && !errors.Is(err, activation.ErrAnswer) && (errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)) && !errors.Is(err, activation.ErrUnreachable) {
		err = fmt.Errorf("%w: %w", activation.ErrUnreachable, err)
	}
	return body, err
}

// pauses is the backoff.BackOff of one call: full jitter, uniform(0, 1 s·2ⁿ),
// and s + uniform(0, s) after a Retry-After of s seconds, because jitter alone
// can collapse to nothing exactly when the service asks to be left alone.
//
// It waits inside NextBackOff and reports 0: backoff/v5 keeps its own timer
// private, and the sleep must be replaceable in tests and simulations.
type pauses struct {
	ctx   context.Context
	cfg   Config
	n     int
	after time.Duration
}

// Reset is called by backoff.Retry before the first attempt.
func (p *pauses) Reset() { p.n, p.after = 0, 0 }

// NextBackOff waits, or stops when the wait would outlast the call: then the
// scheduler, which thinks in hours, knows the wish from the error.
func (p *pauses) NextBackOff() time.Duration {
	wait := time.Duration(p.cfg.Rand() * float64(time.Second<<p.n))
	if p.after > 0 {
		wait = p.after + time.Duration(p.cfg.Rand()*float64(p.after))
	}
	p.n++
	if wait >= p.cfg.Overall {
		return backoff.Stop
	}
	if err := p.cfg.Sleep(p.ctx, wait); err != nil {
		return backoff.Stop
	}
	return 0
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// unreachable turns a transport error into words. A certificate that is wrong
// now is wrong in a second: no retry.
func unreachable(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err // the URL is known; what matters is the reason
	}
	var cert *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var header tls.RecordHeaderError
	var alert tls.AlertError
	var dns *net.DNSError
	switch {
	case errors.As(err, &cert), errors.As(err, &unknown), errors.As(err, &host), errors.As(err, &invalid):
		return &failure{err: fmt.Errorf("%w: its certificate is not acceptable: %w", activation.ErrUnreachable, err)}
	case errors.As(err, &header), errors.As(err, &alert), strings.HasPrefix(err.Error(), "tls: "), strings.HasPrefix(err.Error(), "remote error: tls: "):
		return &failure{err: fmt.Errorf("%w: no acceptable TLS connection: %w", activation.ErrUnreachable, err)}
	case errors.As(err, &dns) && dns.IsNotFound:
		return &failure{err: fmt.Errorf("%w: its name is not known: %w", activation.ErrUnreachable, err)}
	case strings.Contains(err.Error(), "server response headers exceeded"), strings.Contains(err.Error(), "too many 1xx"),
		strings.Contains(err.Error(), "malformed"):
		return &failure{err: fmt.Errorf("%w: the reply is not acceptable HTTP", activation.ErrAnswer)}
	}
	return &failure{err: fmt.Errorf("%w: %w", activation.ErrUnreachable, err), retry: true}
}

// refusal reads an error reply. A known code brings its own texts in the
// configured language; the texts of the service are shown only for codes this
// version does not know, and only as far as they are printable.
func (c *Client) refusal(resp *http.Response, kind string, body []byte) error {
	var p Problem
	after := c.retryAfter(resp.Header)
	temporary := resp.StatusCode == http.StatusRequestTimeout || resp.StatusCode == http.StatusTooEarly ||
		resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= 500
	if kind != ContentError || json.Unmarshal(body, &p) != nil || p.Error.Code == "" {
		if temporary {
			return &failure{err: fmt.Errorf("%w: status %d from something in between", activation.ErrUnreachable, resp.StatusCode), retry: true, after: after}
		}
		return &failure{err: fmt.Errorf("%w: status %d without the error form of the service", activation.ErrAnswer, resp.StatusCode)}
	}
	code := Code(printable(string(p.Error.Code), 64))
	spec := Lookup(code)
	refused := &activation.RefusedError{
		Code: string(code), Status: resp.StatusCode, RetryAfter: after,
		Message: spec.Message.In(c.cfg.Language), Hint: spec.Hint.In(c.cfg.Language),
	}
	if spec.Message == Lookup(CodeUnknown).Message && p.Error.Message != "" {
		refused.Message, refused.Hint = printable(p.Error.Message, 300), printable(p.Error.Hint, 300)
	}
	if temporary {
		return &failure{err: fmt.Errorf("%w: %w", activation.ErrUnreachable, refused), retry: true, after: after}
	}
	return &failure{err: refused}
}

// printable keeps what a terminal may show: no control or format characters
// (escape sequences, bidirectional overrides), at most n runes.
func printable(s string, n int) string {
	var b strings.Builder
	for _, r := range s {
		if n == 0 {
			break
		}
		if unicode.IsPrint(r) {
			b.WriteRune(r)
			n--
		}
	}
	return b.String()
}
