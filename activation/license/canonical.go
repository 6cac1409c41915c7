package license

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

const (
	maxDepth  = 8                  // nesting of a payload; v1 payloads reach 6
	maxNumber = "9007199254740991" // maxInt as digits
)

// encodeCanonical writes v in the canonical encoding of SPEC.md section 3:
// fixed member order (the order of the struct fields), no white space, no HTML
// escapes. The caller has replaced nil slices by empty ones; lexical refuses
// the null that a forgotten one would give.
func encodeCanonical(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrPayload, err)
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}

// decodeCanonical reads payload into dst and requires that dst, written again,
// gives the same bytes. That one comparison refuses duplicate members, other
// letter case, unknown members, white space and every second spelling of a
// value; encoding/json alone accepts {"seats":1,"ſeats":9999} as 9999.
func decodeCanonical(payload []byte, dst any, rule lexical) error {
	if err := rule.check(payload); err != nil {
		return err
	}
	if err := json.Unmarshal(payload, dst); err != nil {
		// The parser's own text may quote the payload, which may hold a code.
		return fmt.Errorf("%w: not JSON of this kind", ErrPayload)
	}
	again, err := encodeCanonical(dst)
	if err != nil {
		return err
	}
	if !bytes.Equal(again, payload) {
		return fmt.Errorf("%w: writing it again gives other bytes", ErrPayload)
	}
	return nil
}

// lexical is the rule for single bytes, checked before any parser runs: it
// refuses what parsers of different languages treat differently. The zero
// value is for signed payloads: visible ASCII only, the escapes \" and \\, no
// null, fraction, exponent, sign or white space, no number that JavaScript
// would round, and little nesting.
type lexical struct {
	newline bool // the escape \n is allowed: PEM text in a trust anchor
	unicode bool // any UTF-8 but U+2028 and U+2029, which some writers escape: bundles
}

func (l lexical) check(b []byte) error {
	if l.unicode && (!utf8.Valid(b) || bytes.Contains(b, []byte("\u2028")) || bytes.Contains(b, []byte("\u2029"))) {
		return fmt.Errorf("%w: not UTF-8, or a line or paragraph separator", ErrPayload)
	}
	inString, depth := false, 0
	for i := 0; i < len(b); i++ {
		c := b[i]
		switch {
		case c < 0x20 || c > 0x7e && !(l.unicode && c >= 0x80):
			return fmt.Errorf("%w: byte %#02x at %d", ErrPayload, c, i)
		case inString && c == '\\':
			i++
			if i == len(b) || b[i] != '"' && b[i] != '\\' && !(l.newline && b[i] == 'n') {
				return fmt.Errorf("%w: escape that is not needed, at %d", ErrPayload, i)
			}
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return fmt.Errorf("%w: nested deeper than %d", ErrPayload, maxDepth)
			}
		case c == '}' || c == ']':
			depth--
		case '0' <= c && c <= '9':
			end := i
			for end < len(b) && '0' <= b[end] && b[end] <= '9' {
				end++
			}
			if n := string(b[i:end]); len(n) > len(maxNumber) || len(n) == len(maxNumber) && n > maxNumber {
				return fmt.Errorf("%w: number above 2^53-1 at %d", ErrPayload, i)
			}
			i = end - 1
		case c == ',' || c == ':' || strings.IndexByte("truefals", c) >= 0:
		default:
			return fmt.Errorf("%w: byte %#02x at %d", ErrPayload, c, i)
		}
	}
	return nil
}
