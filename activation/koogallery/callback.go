package koogallery

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Window is how far a callback's time stamp may be off, in either direction.
const Window = 60 * time.Second

// Reasons for refusing a callback.
var (
	// ErrParameter is returned when signature, timestamp or nonce is missing or malformed.
	ErrParameter = errors.New("koogallery: callback parameter missing or malformed")
	// ErrStale is returned when the time stamp is more than Window off.
	ErrStale = errors.New("koogallery: callback time stamp too far from now")
	// ErrSignature is returned when the signature fits neither form of the body.
	ErrSignature = errors.New("koogallery: callback signature does not match")
)

// Callback is a verified or refused callback with every step that was
// computed, none of which reveals the key.
type Callback struct {
	Nonce     string    `json:"nonce"`
	Time      time.Time `json:"time"`
	Unit      string    `json:"unit"`      // milliseconds or seconds, told apart by magnitude
	Signature string    `json:"signature"` // as received, lower case
	Form      string    `json:"form"`      // which form of the body fitted: raw or canonical
	Steps     []string  `json:"steps"`
}

// VerifyCallback checks the URL signature of KooGallery's calls to the seller
// (request authentication, License 2.0): hex(HMAC(key, key+nonce+timestamp+
// hex(HMAC(key, body)))). The marketplace's own sample re-serialises the body
// with sorted keys before it signs, the documents sign it as sent: both are
// accepted, either hex case, and time stamps in seconds or milliseconds (the
// pages disagree, the sample code uses milliseconds). Replays are the caller's
// business: the nonce is in the result. It returns ErrParameter, ErrStale or
// ErrSignature beside a Callback whose Steps say what was compared.
func VerifyCallback(key string, query url.Values, body []byte, now time.Time) (Callback, error) {
	var c Callback
	step := func(format string, args ...any) { c.Steps = append(c.Steps, fmt.Sprintf(format, args...)) }
	for _, name := range []string{"signature", "timestamp", "nonce"} {
		if n := len(query[name]); n != 1 || query.Get(name) == "" {
			step("parameter %s: found %d times, exactly one is needed", name, n)
			return c, fmt.Errorf("%w: %s", ErrParameter, name)
		}
	}
	c.Nonce, c.Signature = query.Get("nonce"), strings.ToLower(query.Get("signature"))
	if len(c.Nonce) > 256 {
		return c, fmt.Errorf("%w: nonce longer than 256 characters", ErrParameter)
	}
	stamp := query.Get("timestamp")
	n, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || n <= 0 {
		step("parameter timestamp: %q is not a number", stamp)
		return c, fmt.Errorf("%w: timestamp", ErrParameter)
	}
	// Seconds stay below 10^11 until the year 5138; milliseconds passed it in 1973.
	if n < 1e11 {
		c.Time, c.Unit = time.Unix(n, 0).UTC(), "seconds"
	} else {
		c.Time, c.Unit = time.UnixMilli(n).UTC(), "milliseconds"
	}
	off := now.Sub(c.Time)
	step("timestamp %s is in %s: %s, %s from now (%s)", stamp, c.Unit, c.Time.Format(time.RFC3339), off.Round(time.Millisecond), now.UTC().Format(time.RFC3339))

	forms := []struct {
		name string
		body []byte
	}{{"raw", body}}
	if canonical, err := canonicalBody(body); err != nil {
		step("body is not a JSON object: %v; only the raw form is tried", err)
	} else if !bytes.Equal(canonical, body) {
		forms = append(forms, struct {
			name string
			body []byte
		}{"canonical", canonical})
	}
	for _, f := range forms {
		inner, want := callbackSignature(key, c.Nonce, stamp, f.body)
		step("%s body of %d bytes: inner %s, signature %s", f.name, len(f.body), inner, want)
		if hmac.Equal([]byte(want), []byte(c.Signature)) {
			c.Form = f.name
			break
		}
	}
	step("received signature %s", c.Signature)
	// The signature is judged before the clock, so that a wrong clock is never
	// reported to somebody who does not hold the key.
	if c.Form == "" {
		return c, ErrSignature
	}
	if off > Window || off < -Window {
		return c, fmt.Errorf("%w: %s off, %s allowed; check this server's clock", ErrStale, off.Round(time.Second), Window)
	}
	return c, nil
}

func callbackSignature(key, nonce, stamp string, body []byte) (inner, signature string) {
	inner = mac([]byte(key), body)
	return inner, mac([]byte(key), []byte(key+nonce+stamp+inner))
}

// SignCallback makes the query parameters of a callback, upper-case hex as the
// marketplace prints it. It is for simulators and for trying things out.
func SignCallback(key, nonce string, at time.Time, body []byte) url.Values {
	stamp := strconv.FormatInt(at.UnixMilli(), 10)
	_, s := callbackSignature(key, nonce, stamp, body)
	return url.Values{"signature": {strings.ToUpper(s)}, "timestamp": {stamp}, "nonce": {nonce}}
}

// canonicalBody re-serialises a JSON object as the marketplace's sample does:
// members sorted, members that are null dropped, no white space, text not
// escaped beyond what JSON demands. Nested values keep their bytes, compacted:
// how the sample orders them is not documented.
func canonicalBody(body []byte) ([]byte, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil {
		return nil, err
	}
	names := make([]string, 0, len(members))
	for n, v := range members {
		if string(v) != "null" {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	var out bytes.Buffer
	out.WriteByte('{')
	for i, n := range names {
		if i > 0 {
			out.WriteByte(',')
		}
		name, err := plain(n)
		if err != nil {
			return nil, err
		}
		out.Write(name)
		out.WriteByte(':')
		value := []byte(members[n])
		var text string
		if json.Unmarshal(value, &text) == nil {
			if value, err = plain(text); err != nil {
				return nil, err
			}
			out.Write(value)
			continue
		}
		if err := json.Compact(&out, value); err != nil {
			return nil, err
		}
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}

// plain is a JSON string without HTML escapes.
func plain(s string) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

// BodySign is the value of the Body-Sign header of answers, which older
// interface versions demanded and newer pages no longer mention.
func BodySign(key string, body []byte) string {
	h := hmac.New(sha256.New, []byte(key))
	h.Write(body)
	return `sign_type="HMAC-SHA256", signature= "` + base64.StdEncoding.EncodeToString(h.Sum(nil)) + `"`
}
