package license

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

const (
	maxAnchor   = 64 << 10
	maxMerchant = 256
)

// ParseAnchor reads a trust anchor file (SPEC.md section 10). People may
// indent it: white space between JSON tokens is ignored, everything else is as
// strict as a signed payload. The error wraps ErrAnchor.
func ParseAnchor(b []byte) (Anchor, error) {
	if len(b) > maxAnchor {
		return Anchor{}, fmt.Errorf("%w: %d bytes, at most %d", ErrAnchor, len(b), maxAnchor)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, b); err != nil {
		return Anchor{}, fmt.Errorf("%w: %v", ErrAnchor, err)
	}
	var a Anchor
	err := (lexical{newline: true}).check(compact.Bytes())
	if err == nil {
		err = json.Unmarshal(compact.Bytes(), &a)
	}
	if err != nil {
		return Anchor{}, fmt.Errorf("%w: %v", ErrAnchor, err)
	}
	again, err := encodeCanonical(a)
	if err != nil || !bytes.Equal(again, compact.Bytes()) {
		return Anchor{}, fmt.Errorf("%w: unknown, missing, misplaced or doubled members", ErrAnchor)
	}
	if err := a.Validate(); err != nil {
		return Anchor{}, err
	}
	return a, nil
}

// Encode writes the anchor as a file that ParseAnchor reads.
func (a Anchor) Encode() ([]byte, error) {
	if err := a.Validate(); err != nil {
		return nil, err
	}
	b, err := encodeCanonical(a)
	if err != nil {
		return nil, err
	}
	return append(b, '\n'), nil
}

// Validate checks the anchor's limits. The error wraps ErrAnchor.
func (a Anchor) Validate() error {
	var c checker
	c.that(a.V == 1, "v", "want 1")
	c.name(a.Issuer, "iss")
	c.roots(a.Roots, "roots")
	if a.Merchant != "" {
		c.visible(a.Merchant, 9, maxMerchant, "merchant")
		c.that(strings.HasPrefix(a.Merchant, "https://") && !strings.ContainsAny(a.Merchant, " \"\\"), "merchant", "want an https:// URL")
	}
	if a.TLSRoots != "" {
		c.that(strings.HasPrefix(a.TLSRoots, "-----BEGIN CERTIFICATE-----\n"), "tls_roots", "want PEM certificates")
		c.visible(strings.ReplaceAll(a.TLSRoots, "\n", " "), 1, maxAnchor/2, "tls_roots")
	}
	if c.err != nil {
		return fmt.Errorf("%w: %v", ErrAnchor, c.err)
	}
	return nil
}
