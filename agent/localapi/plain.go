package localapi

import (
	"bytes"

	"licenseagent.example/agent/api"
)

// plainCheck reads the usual form of a check without the general JSON reader:
// an object of known members with texts of printable ASCII, no escapes, no
// white space, none twice. Everything else is left to decodeJSON (ok false),
// also what is wrong; a fuzz target holds the two together.
func plainCheck(b []byte) (q api.CheckRequest, ok bool) {
	rest, ok := bytes.CutPrefix(b, []byte{'{'})
	if !ok {
		return q, false
	}
	for seen := 0; ; {
		var name, value []byte
		if name, rest, ok = plainText(rest); !ok || len(rest) == 0 || rest[0] != ':' {
			return q, false
		}
		if value, rest, ok = plainText(rest[1:]); !ok || len(rest) == 0 {
			return q, false
		}
		bit := 0
		switch string(name) {
		case "product":
			q.Product, bit = string(value), 1
		case "issuer":
			q.Issuer, bit = string(value), 2
		case "nonce":
			q.Nonce, bit = string(value), 4
		}
		if bit == 0 || seen&bit != 0 {
			return q, false
		}
		seen |= bit
		switch {
		case rest[0] == ',':
			rest = rest[1:]
		case rest[0] == '}' && len(rest) == 1:
			return q, true
		default:
			return q, false
		}
	}
}

// plainText reads one text in quotes that stands for itself.
func plainText(b []byte) (text, rest []byte, ok bool) {
	if len(b) < 2 || b[0] != '"' {
		return nil, nil, false
	}
	for i := 1; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			return b[1:i], b[i+1:], true
		case c < 0x20 || c >= 0x7f || c == '\\':
			return nil, nil, false
		}
	}
	return nil, nil, false
}
