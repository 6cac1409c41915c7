package license

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strconv"
)

// Size limits of envelopes in bytes. They are checked before anything is
// parsed, so that the work for one message is bounded.
const (
	MaxEnvelope   = 16 << 10  // license, notice, proof
	MaxRequest    = 64 << 10  // request: the raw fingerprint alone may take 5,000 bytes
	MaxKeySet     = 128 << 10 // key set and bundle
	MaxSignatures = 4
)

const maxKeyID = 128 // bytes of a key id; v1 ids take 39

// signature is one signature of an envelope. The key id is a hint that selects
// the key to try; it is not part of the signed bytes and decides nothing.
type signature struct {
	keyID string
	sig   []byte
}

// envelope is a parsed DSSE envelope (github.com/secure-systems-lab/dsse,
// protocol.md 1.0.2). Nothing in it is trusted yet.
type envelope struct {
	mediaType  string
	payload    []byte
	signatures []signature
}

// maxSize is the size limit of one kind of message.
func maxSize(mediaType string) int {
	switch mediaType {
	case TypeKeySet, TypeBundle, TypeStatement:
		return MaxKeySet
	case TypeRequest:
		return MaxRequest
	}
	return MaxEnvelope
}

// pae is DSSE's pre-authentication encoding: the bytes that are signed. The
// lengths make it injective, and the type inside keeps a signature over one
// kind of message from being used for another.
func pae(mediaType string, payload []byte) []byte {
	b := make([]byte, 0, len(payload)+len(mediaType)+32)
	b = append(b, "DSSEv1 "...)
	b = strconv.AppendInt(b, int64(len(mediaType)), 10)
	b = append(b, ' ')
	b = append(b, mediaType...)
	b = append(b, ' ')
	b = strconv.AppendInt(b, int64(len(payload)), 10)
	b = append(b, ' ')
	return append(b, payload...)
}

// encode writes the envelope in its one spelling.
func (e envelope) encode() []byte {
	n := 64 + len(e.mediaType) + base64.StdEncoding.EncodedLen(len(e.payload))
	for _, s := range e.signatures {
		n += 32 + len(s.keyID) + base64.StdEncoding.EncodedLen(len(s.sig))
	}
	b := make([]byte, 0, n)
	b = append(b, `{"payloadType":"`...)
	b = append(b, e.mediaType...)
	b = append(b, `","payload":"`...)
	b = base64.StdEncoding.AppendEncode(b, e.payload)
	b = append(b, `","signatures":[`...)
	for i, s := range e.signatures {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"keyid":"`...)
		b = append(b, s.keyID...)
		b = append(b, `","sig":"`...)
		b = base64.StdEncoding.AppendEncode(b, s.sig)
		b = append(b, `"}`...)
	}
	return append(b, `]}`...)
}

// parseEnvelope reads an envelope of the given kind. It accepts exactly what
// encode writes: general JSON parsers differ about duplicate members, letter
// case and white space, so none is used.
func parseEnvelope(b []byte, mediaType string) (envelope, error) {
	if limit := maxSize(mediaType); len(b) > limit {
		return envelope{}, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(b), limit)
	}
	var e envelope
	ok := true
	lit := func(s string) {
		if ok = ok && bytes.HasPrefix(b, []byte(s)); ok {
			b = b[len(s):]
		}
	}
	text := func(allowed func(byte) bool, limit int) string {
		n := 0
		for ok && n < len(b) && n < limit && allowed(b[n]) {
			n++
		}
		ok = ok && n > 0
		if !ok {
			return ""
		}
		s := string(b[:n])
		b = b[n:]
		return s
	}
	data := func(limit int) []byte {
		d, err := decode64(text(isBase64, limit))
		ok = ok && err == nil
		return d
	}
	lit(`{"payloadType":"`)
	e.mediaType = text(isMediaType, 128)
	lit(`","payload":"`)
	e.payload = data(MaxKeySet)
	lit(`","signatures":[`)
	for ok {
		lit(`{"keyid":"`)
		id := text(isToken, maxKeyID)
		lit(`","sig":"`)
		e.signatures = append(e.signatures, signature{keyID: id, sig: data(MaxEnvelope)})
		lit(`"}`)
		if !ok || len(b) == 0 || b[0] != ',' {
			break
		}
		if len(e.signatures) == MaxSignatures {
			return envelope{}, fmt.Errorf("%w: more than %d signatures", ErrEnvelope, MaxSignatures)
		}
		b = b[1:]
	}
	lit(`]}`)
	if !ok || len(b) != 0 {
		return envelope{}, fmt.Errorf("%w: not in the one spelling of SPEC.md section 2", ErrEnvelope)
	}
	if e.mediaType != mediaType {
		return envelope{}, fmt.Errorf("%w: %q where %q belongs", ErrMediaType, e.mediaType, mediaType)
	}
	return e, nil
}

// decode64 decodes standard base64 with padding. Go's decoder skips line
// breaks and, without Strict, ignores trailing bits; both would give one value
// several spellings.
func decode64(s string) ([]byte, error) {
	for i := 0; i < len(s); i++ {
		if !isBase64(s[i]) {
			return nil, fmt.Errorf("byte %d is outside the base64 alphabet", i)
		}
	}
	return base64.StdEncoding.Strict().DecodeString(s)
}

func isAlnum(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

func isBase64(c byte) bool { return isAlnum(c) || c == '+' || c == '/' || c == '=' }

func isMediaType(c byte) bool {
	return isAlnum(c) || c == '.' || c == '/' || c == '+' || c == '-'
}

func isToken(c byte) bool {
	return isBase64(c) || c == '.' || c == '_' || c == ':' || c == '-'
}
