package main

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"licenseagent.example/activation/koogallery"
)

// maxBody is more than the gateway takes (12 MB).
const maxBody = 16 << 20

// errCallback is returned when a callback would be refused; the steps were printed.
var errCallback = errors.New("the callback is refused")

type signOptions struct {
	method, url, body, date, contentType string
	headers                              []string
}

type callbackOptions struct{ url, body, now string }

func (a *app) koogalleryCmd() *cobra.Command {
	return group("koogallery", "Try the marketplace: signatures, callbacks, a simulated one", a.koogallerySignCmd(), a.koogalleryVerifyCmd(), a.koogallerySimulatedCmd())
}

func (a *app) koogallerySignCmd() *cobra.Command {
	var o signOptions
	c := &cobra.Command{
		Use:   "sign --url URL",
		Short: "Show how a request to KooGallery is signed, step by step",
		Long: `Prints the canonical request, the string to sign and the Authorization header of
SDK-HMAC-SHA256, to be compared with what another tool computed. Nothing is sent.

The key pair comes from KOOGALLERY_ACCESS_KEY and KOOGALLERY_SECRET_KEY, or from
access_key and secret_key in the section [koogallery] of merchant.toml, never
from the command line. ` + exitHelp,
		Args: args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error { return a.runKoogallerySign(o) },
	}
	f := c.Flags()
	f.StringVar(&o.method, "method", "POST", "HTTP method")
	f.StringVar(&o.url, "url", "", "whole URL of the request")
	f.StringVar(&o.body, "body", "", "file with the exact body, - for standard input; none for an empty body")
	f.StringVar(&o.date, "date", "", "X-Sdk-Date such as 20260102T030405Z (default: now)")
	f.StringVar(&o.contentType, "content-type", "application/json", "Content-Type that is signed, empty for none")
	f.StringArrayVar(&o.headers, "header", nil, "further signed header, Name: value, repeatable")
	return c
}

func (a *app) runKoogallerySign(o signOptions) error {
	keys, err := a.koogalleryKeys()
	if err != nil {
		return err
	}
	if keys.Access == "" || keys.Secret == "" {
		return usage("no key pair: set KOOGALLERY_ACCESS_KEY and KOOGALLERY_SECRET_KEY, or access_key and secret_key in [koogallery] of %s", configName)
	}
	r := koogallery.Request{Method: o.method, Headers: map[string]string{}, Date: a.now()}
	if r.URL, err = url.Parse(o.url); err != nil || r.URL.Host == "" {
		return usage("--url: %q is no URL with a host", o.url)
	}
	if o.date != "" {
		if r.Date, err = time.Parse(koogallery.DateFormat, o.date); err != nil {
			return usage("--date: %q has not the form 20260102T030405Z", o.date)
		}
	}
	if o.contentType != "" {
		r.Headers["Content-Type"] = o.contentType
	}
	for _, h := range o.headers {
		name, value, ok := strings.Cut(h, ":")
		if !ok || strings.TrimSpace(name) == "" {
			return usage("--header: %q has not the form Name: value", h)
		}
		r.Headers[strings.TrimSpace(name)] = strings.TrimSpace(value)
	}
	if r.Body, err = a.readBody(o.body); err != nil {
		return err
	}
	if strings.HasSuffix(string(r.Body), "\n") {
		fmt.Fprintln(a.stderr, "note: the body ends with a line end, which is signed too; most programs send none")
	}
	s, err := koogallery.Sign(koogallery.Credentials{AccessKey: keys.Access, SecretKey: keys.Secret}, r)
	if err != nil {
		return usage("%v", err)
	}
	return a.print(s, func(w io.Writer) {
		fmt.Fprintf(w, "canonical request:\n%s\n\nstring to sign:\n%s\n\nsignature:\n%s\n\nAuthorization: %s\n", s.CanonicalRequest, s.StringToSign, s.Signature, s.Authorization)
	})
}

func (a *app) koogalleryVerifyCmd() *cobra.Command {
	var o callbackOptions
	c := &cobra.Command{
		Use:   "verify-callback --url URL --body FILE",
		Short: "Say step by step whether a callback of KooGallery is accepted",
		Long: `Verifies signature, timestamp and nonce in the query of a callback's URL over its
body, and shows what was computed and where it differs. Whether the nonce was
used before is known to the running service only.

The key comes from KOOGALLERY_CALLBACK_KEY, or from callback_key in the section
[koogallery] of merchant.toml. Exit code 0 accepted, 7 refused. ` + exitHelp,
		Args: args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error { return a.runKoogalleryVerify(o) },
	}
	f := c.Flags()
	f.StringVar(&o.url, "url", "", "URL of the callback with its query, or the query alone")
	f.StringVar(&o.body, "body", "", "file with the body exactly as received, - for standard input")
	f.StringVar(&o.now, "now", "", "time to judge by, such as 2026-01-02T03:04:05Z (default: now)")
	return c
}

// callbackResult is the JSON form of verify-callback.
type callbackResult struct {
	Accepted bool   `json:"accepted"`
	Why      string `json:"why,omitempty"`
	koogallery.Callback
}

func (a *app) runKoogalleryVerify(o callbackOptions) error {
	keys, err := a.koogalleryKeys()
	if err != nil {
		return err
	}
	if keys.Callback == "" {
		return usage("no key: set KOOGALLERY_CALLBACK_KEY, or callback_key in [koogallery] of %s", configName)
	}
	raw := o.url
	if _, after, ok := strings.Cut(raw, "?"); ok {
		raw = after
	}
	query, err := url.ParseQuery(raw)
	if err != nil || raw == "" {
		return usage("--url: no query with signature, timestamp and nonce in it")
	}
	now := a.now()
	if o.now != "" {
		if now, err = time.Parse(time.RFC3339, o.now); err != nil {
			return usage("--now: %q has not the form 2026-01-02T03:04:05Z", o.now)
		}
	}
	body, err := a.readBody(o.body)
	if err != nil {
		return err
	}
	c, refusal := koogallery.VerifyCallback(keys.Callback, query, body, now)
	result := callbackResult{Accepted: refusal == nil, Callback: c}
	if refusal != nil {
		result.Why = strings.TrimPrefix(refusal.Error(), "koogallery: ")
	}
	err = a.print(result, func(w io.Writer) {
		for i, s := range c.Steps {
			fmt.Fprintf(w, "%d. %s\n", i+1, s)
		}
		if result.Accepted {
			fmt.Fprintf(w, "accepted: the signature fits the %s body\n", c.Form)
		}
	})
	if err != nil || refusal == nil {
		return err
	}
	return fmt.Errorf("%w: %s", errCallback, result.Why)
}

// readBody reads a body byte for byte: a line end that an editor added is part
// of it, and a reason for a signature that differs.
func (a *app) readBody(name string) ([]byte, error) {
	if name == "" {
		return nil, nil
	}
	from := a.stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		from = f
	}
	b, err := io.ReadAll(io.LimitReader(from, maxBody+1))
	if err == nil && len(b) > maxBody {
		err = usage("%s is larger than any body (%d bytes)", name, maxBody)
	}
	return b, err
}
