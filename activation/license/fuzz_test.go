package license

import (
	"bytes"
	"os"
	"testing"
)

// Each fuzz target opens arbitrary bytes. When they verify, the meaning must
// be that of something the fixture sealed (no fuzzer finds a private key), the
// envelope must be its own only spelling, and nothing may panic. The corpora in
// testdata/fuzz start from genuine and from broken envelopes.

func fuzzOpen(f *testing.F, mediaType string, seeds ...[]byte) {
	fx := newFixture(f)
	open := fx.openers(f)[mediaType]
	genuine := map[string]bool{}
	for _, s := range seeds {
		f.Add(s)
		if m, err := open(s); err == nil {
			genuine[m] = true
		}
	}
	if len(genuine) == 0 {
		f.Fatal("no seed verifies: the target proves nothing")
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := open(b)
		if err != nil {
			if m != "" {
				t.Fatalf("a result beside %v", err)
			}
			if Code(err) == "unexpected" {
				t.Fatalf("error without a code: %v", err)
			}
			return
		}
		if !genuine[m] {
			t.Fatalf("forged: %s", m)
		}
		e, err := parseEnvelope(b, mediaType)
		if err != nil || !bytes.Equal(e.encode(), b) {
			t.Fatalf("a second spelling of the envelope verifies: %v", err)
		}
	})
}

func FuzzOpenLicense(f *testing.F) {
	fx := newFixture(f)
	seeds := [][]byte{fx.licenseEnv, newFixtureFor(f, newP256Signer(f, "tpm device")).licenseEnv, fx.noticeEnv}
	payload := payloadOf(f, fx.licenseEnv, TypeLicense)
	for _, m := range hostile()[:20] {
		seeds = append(seeds, sealRaw(f, TypeLicense, []byte(m.apply(f, payload)), fx.licenseKey))
	}
	fuzzOpen(f, TypeLicense, seeds...)
}

func FuzzOpenKeySet(f *testing.F) {
	fx := newFixture(f)
	fuzzOpen(f, TypeKeySet, fx.keySetEnv, must[[]byte](f)(SealKeySet(fx.keySet, fx.roots...)), must[[]byte](f)(SealKeySet(fx.keySet, fx.roots[0])))
}

func FuzzOpenProof(f *testing.F) {
	fx := newFixture(f)
	fuzzOpen(f, TypeProof, fx.proofEnv, fx.requestEnv)
}

// FuzzOpenRequest is the one parser that sees input before its signature is
// checked; anybody can sign a request, so only what it means is compared.
func FuzzOpenRequest(f *testing.F) {
	fx := newFixture(f)
	tpm := newFixtureFor(f, newP256Signer(f, "tpm device"))
	fuzzOpen(f, TypeRequest, fx.requestEnv, tpm.requestEnv, fx.proofEnv)
}

// FuzzPayload goes past the signature: whatever payload decodes is written
// again with the same bytes, and is refused or accepted without a panic.
func FuzzPayload(f *testing.F) {
	fx := newFixture(f)
	for kind, env := range map[string][]byte{
		TypeLicense: fx.licenseEnv, TypeKeySet: fx.keySetEnv,
		TypeNotice: fx.noticeEnv, TypeProof: fx.proofEnv, TypeRequest: fx.requestEnv,
	} {
		f.Add([]byte(payloadOf(f, env, kind)))
	}
	for _, m := range hostile() {
		f.Add([]byte(m.apply(f, payloadOf(f, fx.licenseEnv, TypeLicense))))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, dst := range []interface{ validate() error }{new(Claims), new(KeySet), new(Notice), new(Proof), new(Request)} {
			if decodeCanonical(b, dst, lexical{}) != nil {
				continue
			}
			if err := dst.validate(); err != nil {
				if c := Code(err); c != "limits" && c != "device" {
					t.Fatalf("%T: %v", dst, err)
				}
			}
			again, err := encodeCanonical(dst)
			if err != nil || !bytes.Equal(again, b) {
				t.Fatalf("%T: second spelling", dst)
			}
		}
	})
}

// FuzzAnchor: a file that parses is the same file after writing and parsing.
func FuzzAnchor(f *testing.F) {
	fx := newFixture(f)
	good := must[[]byte](f)(fx.anchor.Encode())
	f.Add(good)
	f.Add([]byte("{\n \"v\": 1 }"))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := ParseAnchor(b)
		if err != nil {
			if Code(err) != "anchor" {
				t.Fatalf("code %q", Code(err))
			}
			return
		}
		again, err := ParseAnchor(must[[]byte](t)(a.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		same(t, a, again)
	})
}

// FuzzPlanted is the control of the fuzzing itself: a reader that takes the
// part behind the dot without looking whether there is one, as a license SDK
// of the field did. .ci/fuzz runs it with FUZZ_PLANTED and expects the panic.
func FuzzPlanted(f *testing.F) {
	f.Add([]byte("key.signature"))
	f.Fuzz(func(t *testing.T, b []byte) {
		parts := bytes.Split(b, []byte("."))
		if os.Getenv("FUZZ_PLANTED") == "" && len(parts) < 2 {
			return
		}
		if len(parts[1]) > 1<<20 {
			t.Fatal("too long")
		}
	})
}
