package license

import (
	"encoding/hex"
	"strings"
	"testing"
	"unicode/utf8"
)

// generator collects vectors. Wants are written by hand; only payloads of
// accepted messages are taken from what was sealed.
type generator struct {
	t    testing.TB
	f    *fixture
	file vectorFile
}

func generate(t testing.TB) vectorFile {
	f := newFixture(t)
	g := &generator{t: t, f: f, file: vectorFile{Format: "license-agent vectors 1", Data: map[string]string{}}}
	anchor := must[[]byte](t)(f.anchor.Encode())
	for name, b := range map[string][]byte{
		"anchor": anchor, "keyset": f.keySetEnv, "license": f.licenseEnv,
		"notice": f.noticeEnv, "proof": f.proofEnv, "request": f.requestEnv,
	} {
		g.file.Data[name] = string(b)
	}
	g.keys()
	g.envelopes()
	g.payloads()
	g.signatures()
	g.keySets()
	g.anchors(string(anchor))
	g.checks()
	g.times()
	return g.file
}

func (g *generator) add(v vector) { g.file.Vectors = append(g.file.Vectors, v) }

// input puts bytes where they survive: text, or hex when they are not UTF-8.
func (v vector) input(b []byte) vector {
	if utf8.Valid(b) {
		v.Input = string(b)
	} else {
		v.InputHex = hex.EncodeToString(b)
	}
	return v
}

// open is a vector that opens one message with the fixture's keys.
func (g *generator) open(op, name, want string, b []byte) vector {
	v := vector{Name: op + ": " + name, Op: op, Want: want}.input(b)
	switch op {
	case "keyset":
		v.Anchor = "@anchor"
	case "license", "notice":
		v.Anchor, v.KeySet = "@anchor", "@keyset"
	case "proof":
		k := g.f.device.Public()
		v.Key = &k
	}
	return v
}

func (g *generator) opened(op, name string, b []byte, mediaType string) {
	v := g.open(op, name, "ok", b)
	v.Result = &vecResult{Payload: payloadOf(g.t, b, mediaType)}
	g.add(v)
}

// payloads: the genuine messages, every limit, every hostile payload.
func (g *generator) payloads() {
	f, t := g.f, g.t
	for _, k := range []struct {
		op, mediaType string
		env           []byte
		list          []mutation
		signers       []Signer
	}{
		{"license", TypeLicense, f.licenseEnv, append(licenseLimits(f), hostile()...), []Signer{f.licenseKey}},
		{"notice", TypeNotice, f.noticeEnv, noticeLimits(f), []Signer{f.noticeKey}},
		{"proof", TypeProof, f.proofEnv, proofLimits(f), []Signer{f.device}},
		{"request", TypeRequest, f.requestEnv, requestLimits(f), []Signer{f.device}},
		{"keyset", TypeKeySet, f.keySetEnv, keySetLimits(f), f.roots[:2]},
	} {
		g.opened(k.op, "genuine", k.env, k.mediaType)
		applyAll(t, payloadOf(t, k.env, k.mediaType), k.list, func(m mutation, changed string) {
			env := sealRaw(t, k.mediaType, []byte(changed), k.signers...)
			if m.want == "ok" {
				g.opened(k.op, m.name, env, k.mediaType)
			} else {
				g.add(g.open(k.op, m.name, m.want, env))
			}
		})
	}
	tpm := newFixtureFor(t, newP256Signer(t, "tpm device"))
	g.opened("license", "P-256 device key", tpm.licenseEnv, TypeLicense)
	g.opened("request", "P-256 device key", tpm.requestEnv, TypeRequest)
	v := g.open("proof", "P-256 device key", "ok", tpm.proofEnv)
	k := tpm.device.Public()
	v.Key = &k
	g.add(v)
	g.add(vector{Name: "proof: P-256 proof for an Ed25519 key", Op: "proof", Key: g.open("proof", "", "", nil).Key, Want: "signature"}.input(tpm.proofEnv))
}

// envelopes: everything that is not the one spelling.
func (g *generator) envelopes() {
	env := string(g.f.licenseEnv)
	e := must[envelope](g.t)(parseEnvelope(g.f.licenseEnv, TypeLicense))
	sig := encode64(e.signatures[0].sig)
	one := `{"keyid":"` + e.signatures[0].keyID + `","sig":"` + sig + `"}`
	payload := encode64(e.payload)
	list := []mutation{
		{"empty payload", payload, "", ""},
		{"payload not base64", payload, "*" + payload[1:], ""},
		{"payload in URL-safe base64", payload[:8], payload[:6] + "-_", ""},
		{"payload cut by one character", payload + `"`, payload[:len(payload)-1] + `"`, ""},
		{"payload with a line feed", payload[:76], payload[:76] + "\n", ""},
		{"payload with an escaped slash", payload[:4], payload[:3] + `\/`, ""},
		{"signature without padding", sig, strings.TrimRight(sig, "="), ""},
		{"signature with unused bits set", sig, unusedBits(sig), ""},
		{"signature empty", sig, "", ""},
		{"signature null", `"` + sig + `"`, "null", ""},
		{"no signature", one, "", ""},
		{"signatures null", "[" + one + "]", "null", ""},
		{"signature not in a list", "[" + one + "]", one, ""},
		{"five signatures", one, strings.Join([]string{one, one, one, one, one}, ","), ""},
		{"trailing comma", one, one + ",", ""},
		{"space after a comma", `,"payload"`, `, "payload"`, ""},
		{"space before", `{"payloadType"`, ` {"payloadType"`, ""},
		{"byte order mark", `{"payloadType"`, "\ufeff" + `{"payloadType"`, ""},
		{"line feed after", "]}", "]}\n", ""},
		{"second value after", "]}", "]}{}", ""},
		{"cut off", "]}", "]", ""},
		{"unknown member", "]}", `],"x":1}`, ""},
		{"unknown member in a signature", sig + `"`, sig + `","x":""`, ""},
		{"payload twice", `"payload":"`, `"payload":"e30=","payload":"`, ""},
		{"member in capitals", `"payload":"`, `"Payload":"`, ""},
		{"type escaped", "application/", `application\/`, ""},
		{"type empty", TypeLicense, "", ""},
		{"type with a space", TypeLicense, "application/vnd.license-agent.license.v1+json ", ""},
		{"key id empty", e.signatures[0].keyID, "", ""},
		{"key id of 129", e.signatures[0].keyID, strings.Repeat("k", 129), ""},
		{"key id escaped", `"sha256:`, `"\u0073ha256:`, ""},
		{"key id missing", `"keyid":"` + e.signatures[0].keyID + `",`, "", ""},
		{"in a list", `{"payloadType"`, `[{"payloadType"`, ""},
		{"old member order", env, `{"payload":"` + payload + `","payloadType":"` + TypeLicense + `","signatures":[` + one + `]}`, ""},
		{"pretty printed", env, strings.ReplaceAll(env, ",", ",\n  "), ""},
		{"empty input", env, "", ""},
		{"null", env, "null", ""},
		{"empty object", env, "{}", ""},
		{"HTML", env, "<html><body>Please log in</body></html>", ""},
		{"JWS", env, "eyJhbGciOiJub25lIn0.e30.", ""},
		{"invalid UTF-8", env, "\xff\xfe", ""},
		{"type with another version", "license.v1", "license.v2", "media-type"},
		{"type in capitals", "application/vnd", "Application/vnd", "media-type"},
		{"type of a notice", TypeLicense, TypeNotice, "media-type"},
		{"one byte too large", env, `{"payloadType":"` + strings.Repeat("a", MaxEnvelope-15), "too-large"},
	}
	for _, m := range list {
		if m.want == "" {
			m.want = "envelope"
		}
		g.add(g.open("license", "envelope: "+m.name, m.want, []byte(m.apply(g.t, env))))
	}
	g.add(g.open("license", "envelope: as large as allowed, garbage", "envelope", []byte(strings.Repeat("a", MaxEnvelope))))
}

// unusedBits sets a bit that the last base64 character does not use (64 bytes
// leave one byte over: two characters, the second with four unused bits).
func unusedBits(s string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	i := len(strings.TrimRight(s, "=")) - 1
	return s[:i] + string(alphabet[strings.IndexByte(alphabet, s[i])+1]) + s[i+1:]
}
