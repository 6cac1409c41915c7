package license

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"licenseagent.example/docs/promise"
)

// opener reads an envelope and returns what it means: kind and content.
type opener func(env []byte) (meaning string, err error)

func meaning(mediaType string, v any, err error) (string, error) {
	if err != nil {
		return "", err
	}
	b, err := encodeCanonical(v)
	return mediaType + " " + string(b), err
}

// openers are the real functions, one per kind.
func (f *fixture) openers(t testing.TB) map[string]opener {
	ks := must[*KeySet](t)(OpenKeySet(f.anchor, nil, f.keySetEnv))
	return map[string]opener{
		TypeKeySet: func(b []byte) (string, error) {
			v, err := OpenKeySet(f.anchor, nil, b)
			return meaning(TypeKeySet, v, err)
		},
		TypeLicense: func(b []byte) (string, error) { v, err := ks.OpenLicense(b); return meaning(TypeLicense, v, err) },
		TypeNotice:  func(b []byte) (string, error) { v, err := ks.OpenNotice(b); return meaning(TypeNotice, v, err) },
		TypeProof: func(b []byte) (string, error) {
			v, err := OpenProof(f.device.Public(), b)
			return meaning(TypeProof, v, err)
		},
		TypeRequest: func(b []byte) (string, error) { v, err := OpenRequest(b); return meaning(TypeRequest, v, err) },
		TypeBundle: func(b []byte) (string, error) {
			var l Limit
			err := ks.OpenBundle(b, &l)
			return meaning(TypeBundle, l, err)
		},
	}
}

// labelOf reads the kind an envelope claims, as a careless verifier would.
func labelOf(env []byte) string {
	_, rest, _ := strings.Cut(string(env), `{"payloadType":"`)
	label, _, _ := strings.Cut(rest, `"`)
	return label
}

// flipAll flips every step-th bit of an envelope and counts the flips, the
// changed envelopes that are accepted, and those that mean something else.
func flipAll(t testing.TB, env []byte, step int, open opener) (flips, accepted, changed int) {
	t.Helper()
	want, err := open(env)
	if err != nil {
		t.Fatalf("genuine envelope: %v", err)
	}
	for bit := 0; bit < len(env)*8; bit += step {
		flips++
		bad := slices.Clone(env)
		bad[bit/8] ^= 1 << (bit % 8)
		got, err := open(bad)
		if err != nil {
			if got != "" {
				t.Fatalf("bit %d: a result beside %v", bit, err)
			}
			continue
		}
		accepted++
		if got != want {
			changed++
		}
	}
	return flips, accepted, changed
}

// TestP09NoFlipChangesMeaning flips every single bit of a proof, and every
// fifth of the other kinds (every one with PROVE=1). The controls skip the
// kind in the signed bytes and its comparison, and
// then the signature: the same flips must get through with another meaning.
func TestP09NoFlipChangesMeaning(t *testing.T) {
	f := newFixture(t)
	bundle := must[[]byte](t)(Seal(TypeBundle, &Limit{"a", 1}, f.bundleKey))
	keySet3 := must[[]byte](t)(SealKeySet(f.keySet, f.roots...))
	open := f.openers(t)
	total, step := 0, promise.Size(5, 1) // 5 and 8 have no common divisor: every byte and every bit place
	for _, c := range []struct {
		name, mediaType string
		env             []byte
		step            int
		spare           bool // a signature more than needed: flips in it are harmless
	}{
		{"license", TypeLicense, f.licenseEnv, step, false},
		{"notice", TypeNotice, f.noticeEnv, step, false},
		{"proof", TypeProof, f.proofEnv, 1, false},
		{"request", TypeRequest, f.requestEnv, step, false},
		{"bundle", TypeBundle, bundle, step, false},
		{"keyset", TypeKeySet, f.keySetEnv, step, false},
		{"keyset with a spare signature", TypeKeySet, keySet3, step, true},
	} {
		flips, accepted, changed := flipAll(t, c.env, c.step, open[c.mediaType])
		total += flips
		if changed != 0 || (accepted != 0) != c.spare {
			t.Errorf("%s: %d of %d flips accepted, %d with another meaning", c.name, accepted, flips, changed)
		}
	}
	noType := func(env []byte) (string, error) {
		e, err := parseEnvelope(env, labelOf(env))
		if err != nil {
			return "", err
		}
		if !verifySignature(f.licenseKey.Public(), pae("", e.payload), e.signatures[0].sig) {
			return "", ErrSignature
		}
		return e.mediaType + " " + string(e.payload), nil
	}
	untyped := sealRaw(t, "", []byte(payloadOf(t, f.licenseEnv, TypeLicense)), f.licenseKey)
	untyped = slices.Concat([]byte(`{"payloadType":"`+TypeLicense), untyped[len(`{"payloadType":"`):])
	_, _, typeless := flipAll(t, untyped, 5, noType)
	if typeless == 0 {
		t.Error("control: without the type in the signed bytes no flip gets through")
	}
	noSignature := func(env []byte) (string, error) {
		e, err := parseEnvelope(env, TypeLicense)
		if err != nil {
			return "", err
		}
		var c Claims
		if err := decodeCanonical(e.payload, &c, lexical{}); err != nil {
			return "", err
		}
		return meaning(TypeLicense, c, c.validate())
	}
	tried, _, unsigned := flipAll(t, f.licenseEnv, 5, noSignature)
	if unsigned == 0 {
		t.Error("control: without the signature no flip gets through")
	}
	promise.Reached(t, "P09", fmt.Sprintf("%d single-bit flips in %d kinds of envelope: 0 accepted with another meaning", total, len(kindsInOrder())),
		fmt.Sprintf("kind not in the signed bytes: %d flips get through; signature not checked: %d of %d", typeless, unsigned, tried))
}

// kindsInOrder fixes the rows and columns of the matrix of P12.
func kindsInOrder() []string {
	return []string{TypeKeySet, TypeLicense, TypeNotice, TypeProof, TypeRequest, TypeBundle}
}

// useOf is the key use that belongs to a kind.
func useOf(mediaType string) string {
	switch mediaType {
	case TypeKeySet:
		return UseRoot
	case TypeLicense:
		return UseLicense
	case TypeNotice:
		return UseNotice
	case TypeBundle:
		return UseBundle
	}
	return UseDevice
}

// matrix seals the payload of every kind, signed as every kind, labelled as
// every kind, by a key of every use, and opens it as every kind. It returns
// how many combinations pass on the diagonal and how many beside it.
func matrix(t testing.TB, f *fixture, signedBytes func(mediaType string, payload []byte) []byte, open map[string]opener) (diagonal, beside int) {
	t.Helper()
	payloads := map[string][]byte{TypeBundle: []byte(`{"name":"a","value":1}`)}
	for kind, env := range map[string][]byte{
		TypeKeySet: f.keySetEnv, TypeLicense: f.licenseEnv,
		TypeNotice: f.noticeEnv, TypeProof: f.proofEnv, TypeRequest: f.requestEnv,
	} {
		payloads[kind] = []byte(payloadOf(t, env, kind))
	}
	keys := map[string][]Signer{UseRoot: f.roots[:2], UseLicense: {f.licenseKey}, UseNotice: {f.noticeKey}, UseBundle: {f.bundleKey}, UseDevice: {f.device}}
	for _, content := range kindsInOrder() {
		for _, signedAs := range kindsInOrder() {
			for use, signers := range keys {
				e := envelope{payload: payloads[content]}
				for _, s := range signers {
					e.signatures = append(e.signatures, must[signature](t)(sign(signedBytes(signedAs, e.payload), s)))
				}
				for _, label := range kindsInOrder() {
					e.mediaType = label
					env := e.encode()
					for _, openAs := range kindsInOrder() {
						if _, err := open[openAs](env); err != nil {
							continue
						}
						if content == signedAs && content == label && content == openAs && use == useOf(content) {
							diagonal++
						} else {
							beside++
						}
					}
				}
			}
		}
	}
	return diagonal, beside
}

// TestP12KeysServeOnePurpose: 6 kinds of content × 6 signed types × 6 labels ×
// 5 key uses × 6 ways to open, and only the six genuine combinations pass.
func TestP12KeysServeOnePurpose(t *testing.T) {
	f := newFixture(t)
	if d, b := matrix(t, f, pae, f.openers(t)); d != 6 || b != 0 {
		t.Errorf("%d pass on the diagonal, %d beside it; want 6 and 0", d, b)
	}
	// Control 1: the type is not part of the signed bytes.
	noType := func(_ string, payload []byte) []byte { return pae("", payload) }
	weak := weakOpeners(f, noType, func(mediaType string) []PublicKey { return f.publicOf(useOf(mediaType)) })
	d, typeless := matrix(t, f, noType, weak)
	if d != 6 || typeless == 0 {
		t.Errorf("control without type: %d on the diagonal, %d beside; the matrix proves nothing", d, typeless)
	}
	// Control 2: every known key may sign everything.
	weak = weakOpeners(f, pae, func(string) []PublicKey {
		return slices.Concat(f.publicOf(UseRoot), f.publicOf(UseLicense), f.publicOf(UseNotice), f.publicOf(UseBundle), f.publicOf(UseDevice))
	})
	d, useless := matrix(t, f, pae, weak)
	if d != 6 || useless == 0 {
		t.Errorf("control without uses: %d on the diagonal, %d beside; the matrix proves nothing", d, useless)
	}
	kinds := len(kindsInOrder())
	promise.Reached(t, "P12", fmt.Sprintf("%d combinations (content × signed kind × label × key use × opened as): the 6 genuine ones pass, 0 others", kinds*kinds*kinds*kinds*5),
		fmt.Sprintf("without the kind in the signed bytes %d others pass, without key uses %d", typeless, useless))
}

func (f *fixture) publicOf(use string) []PublicKey {
	switch use {
	case UseRoot:
		return f.anchor.Roots.Keys
	case UseLicense:
		return []PublicKey{f.licenseKey.Public()}
	case UseNotice:
		return []PublicKey{f.noticeKey.Public()}
	case UseBundle:
		return []PublicKey{f.bundleKey.Public()}
	}
	return []PublicKey{f.device.Public()}
}

// weakOpeners are verifiers with one defence taken out: other signed bytes or
// another choice of keys. They still check the label, a signature and the
// payload.
func weakOpeners(f *fixture, signedBytes func(string, []byte) []byte, keys func(mediaType string) []PublicKey) map[string]opener {
	open := func(mediaType string, dst func() any) opener {
		return func(env []byte) (string, error) {
			e, err := parseEnvelope(env, mediaType)
			if err != nil {
				return "", err
			}
			for _, k := range keys(mediaType) {
				if signedByKey(k, e, signedBytes(mediaType, e.payload)) {
					v := dst()
					return fmt.Sprint(v), decodeCanonical(e.payload, v, lexical{})
				}
			}
			return "", ErrSignature
		}
	}
	return map[string]opener{
		TypeKeySet:  open(TypeKeySet, func() any { return new(KeySet) }),
		TypeLicense: open(TypeLicense, func() any { return new(Claims) }),
		TypeNotice:  open(TypeNotice, func() any { return new(Notice) }),
		TypeProof:   open(TypeProof, func() any { return new(Proof) }),
		TypeRequest: open(TypeRequest, func() any { return new(Request) }),
		TypeBundle:  open(TypeBundle, func() any { return new(Limit) }),
	}
}
