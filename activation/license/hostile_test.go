package license

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"licenseagent.example/docs/promise"
)

// mutation is one change of a payload's text, signed as genuinely as the
// original, and the code it must be refused with ("ok" for allowed ones).
type mutation struct{ name, old, new, want string }

// apply makes the change once and fails when there was nothing to change.
func (m mutation) apply(t testing.TB, payload string) string {
	t.Helper()
	out := strings.Replace(payload, m.old, m.new, 1)
	if out == payload {
		t.Fatalf("%s: %q is not in the payload", m.name, m.old)
	}
	return out
}

// hostile are license payloads that say, or seem to say, 9999 seats, or that
// parsers of different languages read differently. All must be "payload".
func hostile() []mutation {
	const seats, end = `"seats":5`, `}`
	tail := `"st":1767225600}`
	deep := strings.Repeat("[", 5000) + strings.Repeat("]", 5000)
	list := []mutation{
		{"duplicate member, same value", seats, `"seats":5,"seats":5`, ""},
		{"duplicate member, last differs", seats, `"seats":5,"seats":9999`, ""},
		{"duplicate member, first differs", seats, `"seats":9999,"seats":5`, ""},
		{"duplicate member at the end", tail, `"st":1767225600,"seats":9999}`, ""},
		{"duplicate member at the front", `{"v":1`, `{"seats":9999,"v":1`, ""},
		{"duplicate object", `"dev":{`, `"dev":{},"dev":{`, ""},
		{"member in capitals", seats, `"SEATS":9999`, ""},
		{"second member in capitals", seats, `"seats":5,"SEATS":9999`, ""},
		{"second member with a long s (U+017F)", seats, `"seats":5,"ſeats":9999`, ""},
		{"member with a long s (U+017F)", seats, `"ſeats":9999`, ""},
		{"member with a Kelvin sign (U+212A)", `"ks":7`, "\"\u212as\":7", ""},
		{"nested member in capitals", `"fpv":1`, `"FPV":1`, ""},
		{"unknown member", seats, `"seats":5,"site":1`, ""},
		{"unknown nested member", `"fpv":1`, `"fpv":1,"x":[]`, ""},
		{"member __proto__", seats, `"__proto__":{"seats":9999},"seats":5`, ""},
		{"empty member name", seats, `"":9999,"seats":5`, ""},
		{"missing member", `"seats":5,`, ``, ""},
		{"missing list", `"feat":["export","reports"],`, ``, ""},
		{"missing last member", `,"st":1767225600`, ``, ""},
		{"members swapped", `"seats":5,"feat":["export","reports"]`, `"feat":["export","reports"],"seats":5`, ""},
		{"nested members swapped", `"env":"physical","fpv":1`, `"fpv":1,"env":"physical"`, ""},
		{"space before", `{"v":1`, ` {"v":1`, ""},
		{"space after", tail, tail + ` `, ""},
		{"line feed after", tail, tail + "\n", ""},
		{"space after a colon", seats, `"seats": 5`, ""},
		{"space after a comma", `,"seats"`, `, "seats"`, ""},
		{"tab", seats, "\"seats\":\t5", ""},
		{"carriage return and line feed", `,"seats"`, ",\r\n\"seats\"", ""},
		{"vertical tab", `,"seats"`, ",\v\"seats\"", ""},
		{"no-break space", `,"seats"`, ",\u00a0\"seats\"", ""},
		{"byte order mark before", `{"v":1`, "\ufeff{\"v\":1", ""},
		{"NUL after", tail, tail + "\x00", ""},
		{"NaN", seats, `"seats":NaN`, ""},
		{"Infinity", seats, `"seats":Infinity`, ""},
		{"minus Infinity", seats, `"seats":-Infinity`, ""},
		{"minus zero", `"board":40`, `"board":-0`, ""},
		{"negative number", seats, `"seats":-1`, ""},
		{"plus sign", seats, `"seats":+5`, ""},
		{"exponent", seats, `"seats":5e0`, ""},
		{"large exponent", seats, `"seats":1e999`, ""},
		{"exponent in capitals", seats, `"seats":5E3`, ""},
		{"fraction", seats, `"seats":5.0`, ""},
		{"fraction that rounds to an integer", seats, `"seats":4.9999999999999999999`, ""},
		{"leading zero", seats, `"seats":05`, ""},
		{"hexadecimal number", seats, `"seats":0x5`, ""},
		{"octal number", seats, `"seats":0o5`, ""},
		{"digits with underscore", seats, `"seats":9_999`, ""},
		{"number above 2^63", seats, `"seats":9223372036854775808`, ""},
		{"number above 2^64, wraps to 5", seats, `"seats":18446744073709551621`, ""},
		{"number of 400 digits", seats, `"seats":` + strings.Repeat("9", 400), ""},
		{"number as text", seats, `"seats":"5"`, ""},
		{"number as list", seats, `"seats":[5]`, ""},
		{"boolean for number", seats, `"seats":true`, ""},
		{"null for number", seats, `"seats":null`, ""},
		{"null for list", `"feat":["export","reports"]`, `"feat":null`, ""},
		{"null for text", `"ed":"pro"`, `"ed":null`, ""},
		{"object for list", `"feat":["export","reports"]`, `"feat":{}`, ""},
		{"text for list", `"feat":["export","reports"]`, `"feat":"export"`, ""},
		{"null in a list", `"export"`, `null`, ""},
		{"undefined", seats, `"seats":undefined`, ""},
		{"depth 5000", seats, `"x":` + deep + `,"seats":5`, ""},
		{"depth 9", seats, `"x":[[[[[[[[]]]]]]]],"seats":5`, ""},
		{"needless escape of a letter", `"pro"`, `"\u0070ro"`, ""},
		{"needless escape of a slash", `"pro"`, `"p\/ro"`, ""},
		{"needless escape of <", `"pro"`, `"p\u003cro"`, ""},
		{"escaped member name", seats, `"\u0073eats":5`, ""},
		{"escaped NUL", `"pro"`, `"pro\u0000"`, ""},
		{"escaped line feed", `"pro"`, `"pro\n"`, ""},
		{"lone surrogate escaped", `"pro"`, `"pro\ud800"`, ""},
		{"invalid escape", `"pro"`, `"pro\x41"`, ""},
		{"escape at the end", tail, `"st":"\`, ""},
		{"raw NUL in text", `"pro"`, "\"pro\x00\"", ""},
		{"raw line feed in text", `"pro"`, "\"pro\n\"", ""},
		{"DEL in text", `"pro"`, "\"pro\x7f\"", ""},
		{"letter outside ASCII", `"pro"`, `"pró"`, ""},
		{"line separator U+2028", `"pro"`, "\"pro\u2028\"", ""},
		{"replacement character", `"pro"`, "\"pro\ufffd\"", ""},
		{"invalid UTF-8", `"pro"`, "\"pro\xff\"", ""},
		{"overlong UTF-8", `"pro"`, "\"pro\xc0\xaf\"", ""},
		{"surrogate in UTF-8", `"pro"`, "\"pro\xed\xa0\x80\"", ""},
		{"trailing comma in a list", `"reports"]`, `"reports",]`, ""},
		{"trailing comma in the object", tail, `"st":1767225600,}`, ""},
		{"comment", seats, `/* seats */"seats":5`, ""},
		{"comment to the end of line", seats, "// \n\"seats\":5", ""},
		{"single quotes", `"seats"`, `'seats'`, ""},
		{"member name without quotes", `"seats"`, `seats`, ""},
		{"second value after", tail, tail + `{"seats":9999}`, ""},
		{"in a list", `{"v":1`, `[{"v":1`, ""},
		{"cut off", tail, `"st":17672`, ""},
		{"two closing braces", tail, tail + end, ""},
		{"not an object", `{"v":1`, `1{"v":1`, ""},
	}
	for i := range list {
		list[i].want = "payload"
	}
	return list
}

// sealRaw signs any bytes as a payload: what a vendor's careless tool, or a
// stolen key, could produce.
func sealRaw(t testing.TB, mediaType string, payload []byte, signers ...Signer) []byte {
	t.Helper()
	e := envelope{mediaType: mediaType, payload: payload}
	for _, s := range signers {
		e.signatures = append(e.signatures, must[signature](t)(sign(pae(mediaType, payload), s)))
	}
	return e.encode()
}

func payloadOf(t testing.TB, env []byte, mediaType string) string {
	t.Helper()
	return string(must[envelope](t)(parseEnvelope(env, mediaType)).payload)
}

// TestP11OnlyCanonicalPayload: hostile payloads with genuine signatures are all
// refused as not canonical. The control reads the same payloads with plain
// json.Unmarshal, which takes a good part of them, some as 9999 seats.
func TestP11OnlyCanonicalPayload(t *testing.T) {
	f := newFixture(t)
	ks := must[*KeySet](t)(OpenKeySet(f.anchor, nil, f.keySetEnv))
	payload := payloadOf(t, f.licenseEnv, TypeLicense)
	refused, lenient, cheated := 0, 0, 0
	for _, m := range hostile() {
		bad := []byte(m.apply(t, payload))
		c, err := ks.OpenLicense(sealRaw(t, TypeLicense, bad, f.licenseKey))
		if Code(err) != "payload" || c != nil {
			t.Errorf("%s: code %q, claims %v", m.name, Code(err), c != nil)
			continue
		}
		refused++
		var plain Claims
		if json.Unmarshal(bad, &plain) == nil {
			lenient++
			if plain.Seats == 9999 {
				cheated++
			}
		}
	}
	if refused < 60 {
		t.Errorf("only %d hostile payloads refused, want at least 60", refused)
	}
	if lenient < 3 || cheated < 3 {
		t.Errorf("control: json.Unmarshal took %d, %d of them as 9999 seats, want at least 3: the payloads are not hostile", lenient, cheated)
	}
	promise.Reached(t, "P11", fmt.Sprintf("%d of %d hostile payloads with genuine signatures refused", refused, len(hostile())),
		fmt.Sprintf("plain json.Unmarshal takes %d of them, %d as 9999 seats", lenient, cheated))
}
