// Package protocol is what an agent and the merchant service say to each
// other: wire types, error codes, and the HTTPS client that is the
// activation.Issuer of a running agent. openapi.yaml beside this file says the
// same for people who write another client. It is not stable API.
//
// Every message that decides something is a DSSE envelope signed by one of the
// two sides (package license); HTTP and TLS only carry them. The same bytes
// travel in files where there is no network.
package protocol

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"licenseagent.example/activation"
	"licenseagent.example/activation/license"
)

// Paths of the service, under the base URL of the trust anchor.
const (
	PathActivations = "/v1/activations"
	PathRenewals    = "/v1/renewals"
	PathReleases    = "/v1/releases"
	PathRebinds     = "/v1/rebinds"
	PathKeySet      = "/v1/keyset"
	PathHealth      = "/healthz"
	PathReady       = "/readyz"
)

// PathNotices is the path of the news about one license.
func PathNotices(licenseID string) string { return PathActivations + "/" + licenseID + "/notices" }

// SchemePoll is the Authorization scheme of PathNotices: the base64 of a
// license.Poll envelope follows.
const SchemePoll = "License-Poll"

// News is the answer of PathNotices: whether the device should renew now.
type News struct {
	News bool `json:"news"`
}

// Content types. A captive portal or a misconfigured proxy answers 200 with
// text/html; it is told apart here and not by guessing at the body.
const (
	ContentEnvelope = "application/vnd.license-agent.envelope.v1+json"
	ContentAnswer   = "application/vnd.license-agent.answer.v1+json"
	ContentError    = "application/json"
)

// HeaderIdempotency names a request so that a repeated one is answered and not
// executed again (IETF draft-ietf-httpapi-idempotency-key-header).
const HeaderIdempotency = "Idempotency-Key"

// Size limits in bytes. Both sides hold them before they parse anything.
const (
	// MaxRequest fits the largest request that package license seals.
	MaxRequest = license.MaxRequest
	// MaxAnswer bounds an answer: license, notice and a key set of 128 KiB fit.
	MaxAnswer = 256 << 10
	// MaxHeader bounds the header block of either side.
	MaxHeader = 8 << 10
	// MaxIdempotencyKey bounds the value of HeaderIdempotency.
	MaxIdempotencyKey = 128
)

// Answer is what the merchant says to a request; see activation.Answer.
type Answer = activation.Answer

// ErrFormat is returned when bytes are not an answer: too long, no JSON, or
// without a key set.
var ErrFormat = errors.New("protocol: not an answer of a merchant service")

// Path returns the path that takes requests of a kind, "" for an unknown kind.
func Path(kind string) string {
	switch kind {
	case license.RequestActivate:
		return PathActivations
	case license.RequestRenew:
		return PathRenewals
	case license.RequestRelease:
		return PathReleases
	case license.RequestRebind:
		return PathRebinds
	}
	return ""
}

// Kind is the inverse of Path.
func Kind(path string) string {
	for _, k := range []string{license.RequestActivate, license.RequestRenew, license.RequestRelease, license.RequestRebind} {
		if Path(k) == path {
			return k
		}
	}
	return ""
}

// wireAnswer is Answer with the envelopes as JSON values, so that jq and people
// can look into an answer file without unpacking strings.
type wireAnswer struct {
	License json.RawMessage `json:"license"`
	Notice  json.RawMessage `json:"notice"`
	KeySet  json.RawMessage `json:"keyset"`
	// Calendar is left out when it is the usual one, activation.DefaultCalendar.
	Calendar string `json:"calendar"`
}

// EncodeAnswer writes an answer as the body of a reply, which is byte for byte
// also the answer file for a machine without network. The envelopes keep their
// bytes. It returns ErrFormat when a member is not compact JSON, when the key
// set is missing or when the whole is longer than MaxAnswer.
func EncodeAnswer(a Answer) ([]byte, error) {
	if len(a.KeySet) == 0 {
		return nil, fmt.Errorf("%w: no key set", ErrFormat)
	}
	var out bytes.Buffer
	out.WriteByte('{')
	for _, m := range []struct {
		name string
		data []byte
	}{{"license", a.License}, {"notice", a.Notice}, {"keyset", a.KeySet}} {
		if len(m.data) == 0 {
			continue
		}
		small, err := compact(m.data)
		if err != nil || !bytes.Equal(small, m.data) {
			return nil, fmt.Errorf("%w: member %s is not compact JSON", ErrFormat, m.name)
		}
		if out.Len() > 1 {
			out.WriteByte(',')
		}
		out.WriteString(`"` + m.name + `":`)
		out.Write(m.data)
	}
	if a.Calendar != "" && a.Calendar != activation.DefaultCalendar {
		if _, err := activation.Calendar(a.Calendar); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrFormat, err)
		}
		out.WriteString(`,"calendar":"` + a.Calendar + `"`)
	}
	out.WriteString("}\n")
	if out.Len() > MaxAnswer {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrFormat, out.Len(), MaxAnswer)
	}
	return out.Bytes(), nil
}

// DecodeAnswer reads what EncodeAnswer wrote, also after an editor or jq has
// re-indented the file. Nothing in the result is verified: the envelopes are
// opened by package license. Unknown members are ignored, so that an older
// agent understands a newer service. Errors wrap ErrFormat.
func DecodeAnswer(b []byte) (Answer, error) {
	if len(b) > MaxAnswer {
		return Answer{}, fmt.Errorf("%w: %d bytes, at most %d", ErrFormat, len(b), MaxAnswer)
	}
	var w wireAnswer
	if err := json.Unmarshal(b, &w); err != nil {
		return Answer{}, fmt.Errorf("%w: %s", ErrFormat, jsonFault(err))
	}
	if _, err := activation.Calendar(w.Calendar); err != nil {
		return Answer{}, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	a := Answer{Calendar: w.Calendar}
	for _, m := range []struct {
		name string
		from json.RawMessage
		to   *[]byte
	}{{"license", w.License, &a.License}, {"notice", w.Notice, &a.Notice}, {"keyset", w.KeySet, &a.KeySet}} {
		if len(m.from) == 0 || string(m.from) == "null" {
			continue
		}
		small, err := compact(m.from)
		if err != nil || small[0] != '{' {
			return Answer{}, fmt.Errorf("%w: member %s is not an object", ErrFormat, m.name)
		}
		*m.to = small
	}
	if a.KeySet == nil {
		return Answer{}, fmt.Errorf("%w: no key set", ErrFormat)
	}
	if a.License == nil && a.Notice == nil {
		return Answer{}, fmt.Errorf("%w: neither license nor notice", ErrFormat)
	}
	return a, nil
}

func compact(b []byte) ([]byte, error) {
	var out bytes.Buffer
	if err := json.Compact(&out, b); err != nil {
		return nil, err
	}
	if out.Len() == 0 {
		return nil, errors.New("empty")
	}
	return out.Bytes(), nil
}

// jsonFault describes a JSON error without quoting the input: what a hostile
// endpoint sent must not reach a terminal or a log through an error text.
func jsonFault(err error) string {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Sprintf("no JSON (at byte %d)", syntax.Offset)
	}
	return "JSON of another shape"
}
