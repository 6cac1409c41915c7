// Package koogallery speaks the license interfaces of Huawei Cloud KooGallery:
// signed calls to the marketplace (activate, heartbeat, usage, order query,
// license upload) and the verification of its calls to the seller. Answers are
// read leniently, requests are sent strictly. It knows nothing of the rest of
// the merchant service and is not stable API.
package koogallery

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// DateFormat is the form of the X-Sdk-Date header: UTC, compact ISO 8601.
const DateFormat = "20060102T150405Z"

const algorithm = "SDK-HMAC-SHA256"

// contentHash is the header that takes the place of the body's hash, and
// unsignedPayload its value for a body that is not signed.
const (
	contentHash     = "x-sdk-content-sha256"
	unsignedPayload = "UNSIGNED-PAYLOAD"
)

// ErrRequest is returned when a request cannot be signed as it stands: no
// host, no date, or a header that holds a line break.
var ErrRequest = errors.New("koogallery: the request cannot be signed")

// Credentials are the seller's access key pair. The secret identifies the
// seller's whole cloud account: it stays on the vendor's server.
type Credentials struct {
	AccessKey string
	SecretKey string
}

// String and GoString keep the secret out of logs and error texts.
func (c Credentials) String() string { return "access key " + c.AccessKey }

// GoString is String for %#v.
func (c Credentials) GoString() string { return c.String() }

// Request is what is signed: exactly the headers in Headers, the Host taken
// from URL, and the date. Names may be in any case.
type Request struct {
	Method  string
	URL     *url.URL
	Headers map[string]string
	Body    []byte
	Date    time.Time
}

// Signature shows every step, because a mismatch is found by comparing them.
type Signature struct {
	CanonicalRequest string `json:"canonical_request"`
	StringToSign     string `json:"string_to_sign"`
	Signature        string `json:"signature"`
	Authorization    string `json:"authorization"`
}

// Sign computes the SDK-HMAC-SHA256 signature of Huawei Cloud's API gateway
// (API signing guide). The Host header is signed, so that a retry on another
// host needs a new signature. It returns ErrRequest for what cannot be signed.
func Sign(c Credentials, r Request) (Signature, error) {
	if r.URL == nil || r.URL.Host == "" || r.Date.IsZero() || r.Method == "" {
		return Signature{}, fmt.Errorf("%w: method, URL with host and date are needed", ErrRequest)
	}
	date := r.Date.UTC().Format(DateFormat)
	headers := map[string]string{"host": hostOf(r.URL), "x-sdk-date": date}
	for name, value := range r.Headers {
		if strings.ContainsAny(name+value, "\r\n") {
			return Signature{}, fmt.Errorf("%w: header %q holds a line break", ErrRequest, name)
		}
		headers[strings.ToLower(strings.TrimSpace(name))] = strings.TrimSpace(value)
	}
	names := make([]string, 0, len(headers))
	for n := range headers {
		names = append(names, n)
	}
	slices.Sort(names)
	var canonicalHeaders strings.Builder
	for _, n := range names {
		canonicalHeaders.WriteString(n + ":" + headers[n] + "\n")
	}
	signed := strings.Join(names, ";")
	payload := hash(r.Body)
	if said := headers[contentHash]; said != "" {
		payload = said // the SDKs sign what this header says instead of the body
	}
	var s Signature
	s.CanonicalRequest = strings.Join([]string{
		strings.ToUpper(r.Method), canonicalPath(r.URL), canonicalQuery(r.URL), canonicalHeaders.String(), signed, payload,
	}, "\n")
	s.StringToSign = algorithm + "\n" + date + "\n" + hash([]byte(s.CanonicalRequest))
	s.Signature = mac([]byte(c.SecretKey), []byte(s.StringToSign))
	s.Authorization = algorithm + " Access=" + c.AccessKey + ", SignedHeaders=" + signed + ", Signature=" + s.Signature
	return s, nil
}

// hostOf leaves the default port out, as clients put it on the wire.
func hostOf(u *url.URL) string {
	if u.Scheme == "https" && u.Port() == "443" || u.Scheme == "http" && u.Port() == "80" {
		return u.Hostname()
	}
	return u.Host
}

// canonicalPath encodes each segment and ends with a slash; the slash is only
// in the signed form, never on the wire.
func canonicalPath(u *url.URL) string {
	segments := strings.Split(u.EscapedPath(), "/")
	for i, s := range segments {
		if raw, err := url.PathUnescape(s); err == nil {
			segments[i] = escape(raw)
		}
	}
	p := strings.Join(segments, "/")
	if !strings.HasPrefix(p, "/") {
		p = "/" + p
	}
	if !strings.HasSuffix(p, "/") {
		p += "/"
	}
	return p
}

func canonicalQuery(u *url.URL) string {
	values := u.Query()
	keys := make([]string, 0, len(values))
	for k := range values {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	var pairs []string
	for _, k := range keys {
		vs := slices.Clone(values[k])
		slices.Sort(vs)
		for _, v := range vs {
			pairs = append(pairs, escape(k)+"="+escape(v))
		}
	}
	return strings.Join(pairs, "&")
}

// escape is the percent-encoding of RFC 3986 section 2.3: url.QueryEscape
// would turn a blank into a plus.
func escape(s string) string {
	const hexDigits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || strings.IndexByte("-_.~", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		b.WriteString("%" + string(hexDigits[c>>4]) + string(hexDigits[c&15]))
	}
	return b.String()
}

func hash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func mac(key, message []byte) string {
	h := hmac.New(sha256.New, key)
	h.Write(message)
	return hex.EncodeToString(h.Sum(nil))
}
