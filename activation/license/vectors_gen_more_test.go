package license

import (
	"encoding/hex"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"licenseagent.example/fingerprint"
)

// keys: ids, unusable keys, raw signatures, the signed bytes, part hashes.
func (g *generator) keys() {
	f := g.f
	tpm := newP256Signer(g.t, "tpm device")
	for name, s := range sorted(map[string]Signer{"ed25519": f.device, "p256": tpm}) {
		k := s.Public()
		g.add(vector{Name: "keyid: " + name, Op: "keyid", Key: &k, Want: "ok", Result: &vecResult{Text: KeyID(k), Text2: DeviceID(k)}})
		msg := []byte("message")
		sig := must[[]byte](g.t)(s.Sign(msg))
		verify := func(what, want string, msg, sig []byte) {
			g.add(vector{Name: "verify: " + name + ": " + what, Op: "verify", Key: &k, Args: []string{hex.EncodeToString(msg), hex.EncodeToString(sig)}, Want: want})
		}
		verify("genuine", "ok", msg, sig)
		verify("empty message", "ok", nil, must[[]byte](g.t)(s.Sign(nil)))
		verify("other message", "signature", []byte("messagf"), sig)
		verify("63 bytes", "signature", msg, sig[:63])
		verify("65 bytes", "signature", msg, append(slices.Clone(sig), 0))
		verify("no bytes", "signature", msg, nil)
		verify("all zero", "signature", msg, make([]byte, 64))
		verify("halves swapped", "signature", msg, append(slices.Clone(sig[32:]), sig[:32]...))
		for _, bit := range []int{0, 255, 256, 511} {
			bad := slices.Clone(sig)
			bad[bit/8] ^= 1 << (bit % 8)
			verify(fmt.Sprintf("bit %d flipped", bit), "signature", msg, bad)
		}
	}
	sig := must[[]byte](g.t)(f.device.Sign([]byte("message")))
	g.add(vector{Name: "verify: ed25519: S plus the group order", Op: "verify", Key: ref(f.device.Public()), Args: []string{hex.EncodeToString([]byte("message")), hex.EncodeToString(plusL(sig))}, Want: "signature"})
	sig = must[[]byte](g.t)(tpm.Sign([]byte("message")))
	g.add(vector{Name: "verify: p256: n minus s is accepted too", Op: "verify", Key: ref(tpm.Public()), Args: []string{hex.EncodeToString([]byte("message")), hex.EncodeToString(otherS(sig))}, Want: "ok"})
	weak := []string{
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0000000000000000000000000000000000000000000000000000000000000080",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000080",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	}
	for _, h := range weak {
		b, _ := hex.DecodeString(h)
		k := PublicKey{AlgEd25519, encode64(b)}
		g.add(vector{Name: "keyid: ed25519 point of small order or not reduced: " + h, Op: "keyid", Key: &k, Want: "key"})
		// R neutral, S = 0: fits every message under the neutral point.
		g.add(vector{Name: "verify: under " + h, Op: "verify", Key: &k, Args: []string{"00", "01" + strings.Repeat("00", 63)}, Want: "signature"})
	}
	raw := must[key](g.t)(tpm.Public().parse()).raw
	offCurve := slices.Clone(raw)
	offCurve[64] ^= 1
	compressed := append([]byte{2 + raw[64]&1}, raw[1:33]...)
	for name, k := range sorted(map[string]PublicKey{
		"31 bytes": {AlgEd25519, encode64(make([]byte, 31))}, "33 bytes": {AlgEd25519, encode64(make([]byte, 33))},
		"not base64": {AlgEd25519, "!"}, "empty": {AlgEd25519, ""}, "no algorithm": {"", f.device.Public().Pub},
		"algorithm in capitals": {"Ed25519", f.device.Public().Pub}, "algorithm none": {"none", ""},
		"P-256 compressed": {AlgP256, encode64(compressed)}, "P-256 off the curve": {AlgP256, encode64(offCurve)},
		"P-256 infinity": {AlgP256, encode64([]byte{0})}, "P-256 with an Ed25519 key": {AlgP256, f.device.Public().Pub},
	}) {
		g.add(vector{Name: "keyid: " + name, Op: "keyid", Key: &k, Want: "key"})
	}
	for _, a := range [][]string{{TypeProof, "{}"}, {"", ""}, {"a b", "c 1 d"}} {
		g.add(vector{Name: fmt.Sprintf("pae: %q %q", a[0], a[1]), Op: "pae", Args: a, Want: "ok", Result: &vecResult{Text: hex.EncodeToString(pae(a[0], []byte(a[1])))}})
	}
	salt := must[[]byte](g.t)(decode64(f.claims.Device.Salt))
	for _, a := range [][2]string{{"mac", "00:1A:2B:3C:4D:5E"}, {"mac", "00:1a:2b:3c:4d:5e"}, {"disk", "WD-WCC4N0000001"}, {"board", "WD-WCC4N0000001"}, {"board", "BOARD\\7"}, {"cpu", "BFEBFBFF000906EA"}} {
		h := fingerprint.Hash(salt, fingerprint.Kind(a[0]), a[1])
		g.add(vector{Name: "hash: " + a[0] + " " + a[1], Op: "hash", Args: []string{hex.EncodeToString(salt), a[0], a[1]}, Want: "ok", Result: &vecResult{Text: h}})
	}
}

func ref[T any](v T) *T { return &v }

// plusL adds the group order to S: the other spelling of the same signature.
func plusL(sig []byte) []byte {
	l, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	le := slices.Clone(sig[32:])
	slices.Reverse(le)
	s := new(big.Int).Add(new(big.Int).SetBytes(le), l).FillBytes(make([]byte, 32))
	slices.Reverse(s)
	return append(slices.Clone(sig[:32]), s...)
}

// otherS replaces s by n-s.
func otherS(sig []byte) []byte {
	n, _ := new(big.Int).SetString("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", 16)
	s := new(big.Int).Sub(n, new(big.Int).SetBytes(sig[32:])).FillBytes(make([]byte, 32))
	return append(slices.Clone(sig[:32]), s...)
}

// signatures: who may sign what, and what a signature is over.
func (g *generator) signatures() {
	f, t := g.f, g.t
	e := must[envelope](t)(parseEnvelope(f.licenseEnv, TypeLicense))
	genuine := e.signatures[0]
	stranger := edSigner(t, "stranger")
	with := func(name, want string, sigs ...signature) {
		g.add(g.open("license", "signature: "+name, want, envelope{TypeLicense, e.payload, sigs}.encode()))
	}
	signed := func(s Signer, message []byte) signature { return must[signature](t)(sign(message, s)) }
	message := pae(TypeLicense, e.payload)
	as := func(id string, s signature) signature { return signature{id, s.sig} }
	with("by a stranger", "signature", signed(stranger, message))
	with("by a stranger under the right key id", "signature", as(genuine.keyID, signed(stranger, message)))
	with("genuine under another key id", "signature", as(KeyID(stranger.Public()), genuine))
	with("genuine under the device id", "signature", as("dev:"+genuine.keyID[7:], genuine))
	with("genuine, key id in capitals", "signature", as("SHA256:"+genuine.keyID[7:], genuine))
	with("by a root key", "signature", signed(f.roots[0], message))
	with("by a notice key", "signature", signed(f.noticeKey, message))
	with("by a bundle key", "signature", signed(f.bundleKey, message))
	with("by the device key", "signature", signed(f.device, message))
	with("over the payload alone", "signature", signed(f.licenseKey, e.payload))
	with("over the type of a notice", "signature", signed(f.licenseKey, pae(TypeNotice, e.payload)))
	with("over the base64 text", "signature", signed(f.licenseKey, pae(TypeLicense, []byte(encode64(e.payload)))))
	with("63 bytes", "signature", signature{genuine.keyID, genuine.sig[:63]})
	with("65 bytes", "signature", signature{genuine.keyID, append(slices.Clone(genuine.sig), 0)})
	with("S plus the group order", "signature", signature{genuine.keyID, plusL(genuine.sig)})
	with("all zero", "signature", signature{genuine.keyID, make([]byte, 64)})
	with("after a stranger's", "ok", signed(stranger, message), genuine)
	with("before a stranger's", "ok", genuine, signed(stranger, message))
	with("after a bad one under the same key id", "ok", as(genuine.keyID, signed(stranger, message)), genuine)
	with("four, the last genuine", "ok", signed(stranger, message), signed(f.noticeKey, message), signed(f.roots[0], message), genuine)
	with("twice", "ok", genuine, genuine)
	with("beside one of 2,420 bytes", "ok", signature{"ml-dsa-44:future", make([]byte, 2420)}, genuine)
	bad := slices.Clone(e.payload)
	bad[len(bad)-3] ^= 1
	g.add(g.open("license", "signature: payload changed by one bit", "signature", envelope{TypeLicense, bad, e.signatures}.encode()))
	g.add(g.open("notice", "signature: by the license key", "signature", sealRaw(t, TypeNotice, []byte(payloadOf(t, f.noticeEnv, TypeNotice)), f.licenseKey)))
	g.add(g.open("proof", "signature: by another device", "signature", must[[]byte](t)(SealProof(f.proof, stranger))))
	g.add(g.open("proof", "signature: by the license key", "signature", must[[]byte](t)(SealProof(f.proof, f.licenseKey))))
	g.add(g.open("proof", "a request of the same key", "media-type", f.requestEnv))
	g.add(g.open("request", "a proof of the same key", "media-type", f.proofEnv))
	g.add(g.open("request", "signature: by another device", "signature", sealRaw(t, TypeRequest, []byte(payloadOf(t, f.requestEnv, TypeRequest)), stranger)))
	g.add(g.open("keyset", "a license", "media-type", f.licenseEnv))
}
