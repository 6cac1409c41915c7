package license

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

const maxDepth = 8 // nesting of a payload; v1 payloads reach 6

// encodeCanonical writes v in the canonical encoding of SPEC.md section 3:
// fixed member order (the order of the struct fields), no white space, no HTML
// escapes. The caller has replaced nil slices by empty ones; checkLexical
// refuses the null that a forgotten one would give.
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
func decodeCanonical(payload []byte, dst any) error {
	if err := checkLexical(payload, ""); err != nil {
		return err
	}
	if err := json.Unmarshal(payload, dst); err != nil {
		return fmt.Errorf("%w: %v", ErrPayload, err)
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

// checkLexical refuses, before any parser runs, what parsers of different
// languages treat differently: invalid UTF-8, control characters, escapes
// other than \" and \\ (and those in extra), U+2028 and U+2029 (which some
// writers always escape), null, fractions, exponents, signs, white space and
// deep nesting.
func checkLexical(b []byte, extra string) error {
	if !utf8.Valid(b) {
		return fmt.Errorf("%w: not UTF-8", ErrPayload)
	}
	if bytes.Contains(b, []byte("\u2028")) || bytes.Contains(b, []byte("\u2029")) {
		return fmt.Errorf("%w: line or paragraph separator U+2028 or U+2029", ErrPayload)
	}
	inString, depth := false, 0
	for i := 0; i < len(b); i++ {
		c := b[i]
		switch {
		case inString && c == '\\':
			i++
			if i == len(b) || b[i] != '"' && b[i] != '\\' && bytes.IndexByte([]byte(extra), b[i]) < 0 {
				return fmt.Errorf("%w: escape that is not needed, at byte %d", ErrPayload, i)
			}
		case c < 0x20:
			return fmt.Errorf("%w: control character at byte %d", ErrPayload, i)
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return fmt.Errorf("%w: nested deeper than %d", ErrPayload, maxDepth)
			}
		case c == '}' || c == ']':
			depth--
		case c == ',' || c == ':' || '0' <= c && c <= '9' || bytes.IndexByte([]byte("truefals"), c) >= 0:
		default:
			return fmt.Errorf("%w: %q at byte %d", ErrPayload, c, i)
		}
	}
	return nil
}
