package license

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"licenseagent.example/fingerprint"
)

// brokenSigner is a key store that fails, or that returns ASN.1 in place of
// r‖s as crypto/ecdsa does.
type brokenSigner struct {
	Signer
	pub PublicKey
	sig []byte
	err error
}

func (s brokenSigner) Public() PublicKey           { return s.pub }
func (s brokenSigner) Sign([]byte) ([]byte, error) { return s.sig, s.err }

// TestSealMisuse: whatever a caller does wrong gives an error with a code and
// no bytes.
func TestSealMisuse(t *testing.T) {
	f := newFixture(t)
	tpmGone := errors.New("TPM gone")
	pub := f.licenseKey.Public()
	check := func(name, want string, b []byte, err error) {
		t.Helper()
		if Code(err) != want || b != nil {
			t.Errorf("%s: code %q, want %q; bytes: %v", name, Code(err), want, b != nil)
		}
	}
	b, err := SealLicense(f.claims, brokenSigner{pub: pub, err: tpmGone})
	check("signer fails", "unexpected", b, err)
	if !errors.Is(err, tpmGone) {
		t.Errorf("the signer's own error is lost: %v", err)
	}
	b, err = SealLicense(f.claims, brokenSigner{pub: pub, sig: make([]byte, 71)})
	check("signer returns DER", "key", b, err)
	b, err = SealLicense(f.claims, brokenSigner{pub: PublicKey{"rsa", "AAAA"}})
	check("signer of an unknown algorithm", "key", b, err)
	b, err = Seal(TypeLicense, &f.claims, f.licenseKey)
	check("license past its own function", "media-type", b, err)
	b, err = Seal(TypeBundle, Limit{"a", 1})
	check("nobody signs", "envelope", b, err)
	b, err = SealRequest(f.request, f.licenseKey)
	check("request by another key", "device", b, err)
	b, err = AddSignature(sealRaw(t, TypeKeySet, []byte("{}"), f.roots[0]), f.roots[1])
	check("signature over an empty key set", "payload", b, err)
	bad := f.keySet
	bad.Version = 0
	bad.normalise()
	b, err = AddSignature(sealRaw(t, TypeKeySet, must[[]byte](t)(encodeCanonical(&bad)), f.roots[0]), f.roots[1])
	check("signature over a key set outside the limits", "limits", b, err)
	b, err = AddSignature(f.keySetEnv, brokenSigner{pub: pub, err: tpmGone})
	check("second signer fails", "unexpected", b, err)
	b, err = Anchor{}.Encode()
	check("empty anchor", "anchor", b, err)
	for _, n := range []int{0, 31, 33, 64} {
		if s, err := NewEd25519Signer(make([]byte, n)); Code(err) != "key" || s != nil {
			t.Errorf("seed of %d bytes: %v", n, err)
		}
	}
	if Code(nil) != "" || Code(fmt.Errorf("around: %w", ErrNonce)) != "nonce" {
		t.Error("Code does not look through wrapping")
	}
}

// TestLargest: the largest messages that the limits allow fit into the size
// limits, except a license that uses all limits at once, which is refused when
// it is sealed and not by the customer's machine.
func TestLargest(t *testing.T) {
	f := newFixture(t)
	name := func(i int) string { return fmt.Sprintf("%s%04d", strings.Repeat("x", 60), i) }
	ks := f.keySet
	for i := range maxRevokedLic {
		ks.RevokedLic = append(ks.RevokedLic, name(i))
	}
	ks.RevokedLic, ks.Revoked = ks.RevokedLic[1:], nil
	for i := range maxRevoked {
		ks.Revoked = append(ks.Revoked, fmt.Sprintf("sha256:%032x", i))
	}
	for i := len(ks.Keys); i < maxOnlineKeys; i++ {
		ks.Keys = append(ks.Keys, online(edSigner(t, name(i)), UseLicense))
	}
	ks.Keys = sortedKeys(ks.Keys...)
	env := must[[]byte](t)(SealKeySet(ks, f.roots...))
	must[*KeySet](t)(OpenKeySet(f.anchor, nil, env))
	t.Logf("largest key set: %d of %d bytes", len(env), MaxKeySet)

	r := f.request
	r.Fingerprint = strings.Repeat("A", maxFingerprint-3) + "|||"
	r.Days = nil
	for i := range maxDays {
		r.Days = append(r.Days, fmt.Sprintf("%04d-%02d-01", 2000+i/12, 1+i%12))
	}
	for i := range r.Parts {
		r.Parts[i].Alt = nil
		for n := range fingerprint.MaxHashes {
			r.Parts[i].Alt = append(r.Parts[i].Alt, strings.Repeat("W", maxAlt-2)+fmt.Sprintf("%02d", n))
		}
	}
	env = must[[]byte](t)(SealRequest(r, f.device))
	must[*Request](t)(OpenRequest(env))
	t.Logf("largest request without escapes: %d of %d bytes", len(env), MaxRequest)

	c := f.claims
	for i := range maxList {
		c.Features, c.Limits = append(c.Features, name(i)), append(c.Limits, Limit{name(i), maxInt})
	}
	c.Features, c.Limits = c.Features[2:], c.Limits[2:]
	if b, err := SealLicense(c, f.licenseKey); err != nil || len(b) > MaxEnvelope {
		t.Errorf("64 features and 64 limits of full length: %v", err)
	}
	for _, k := range []fingerprint.Kind{fingerprint.MAC, fingerprint.Disk, fingerprint.Board, fingerprint.CPU} {
		p := fingerprint.Part{Kind: k}
		for i := range fingerprint.MaxHashes {
			p.Hashes = append(p.Hashes, fmt.Sprintf("%064x", i))
		}
		c.Device.Parts = append(c.Device.Parts, p)
	}
	c.Device.Parts = c.Device.Parts[2:]
	if b, err := SealLicense(c, f.licenseKey); Code(err) != "too-large" || b != nil {
		t.Errorf("all limits at once: %v", err)
	}
}

// TestBundleKeys: a bundle obeys revocation, and decodes into the caller's
// struct only what that struct names.
func TestBundleKeys(t *testing.T) {
	f := newFixture(t)
	env := must[[]byte](t)(Seal(TypeBundle, Limit{"a", 1}, f.bundleKey))
	f.keySet.Revoked = []string{KeyID(f.bundleKey.Public())}
	f.seal(t)
	ks := must[*KeySet](t)(OpenKeySet(f.anchor, nil, f.keySetEnv))
	var l Limit
	if err := ks.OpenBundle(env, &l); Code(err) != "key-revoked" || l != (Limit{}) {
		t.Errorf("revoked bundle key: %v %v", l, err)
	}
	ks.Revoked = nil
	var other struct {
		Name string `json:"name"`
	}
	if err := ks.OpenBundle(env, &other); Code(err) != "payload" {
		t.Errorf("a member that the struct lacks: %v", err)
	}
	if err := ks.OpenBundle(env, &l); err != nil || l != (Limit{"a", 1}) {
		t.Errorf("genuine bundle: %v %v", l, err)
	}
}

// TestTimesDoNotOverflow: extreme clocks give a state, never a wrapped number.
func TestTimesDoNotOverflow(t *testing.T) {
	f := newFixture(t)
	for _, now := range []int64{0, 1<<63 - 1} {
		_, err := VerifyFiles(f.anchor, CheckOptions{Product: "planner", Now: now, KeySetTolerance: 1<<63 - 1}, f.licenseEnv, f.keySetEnv)
		if err != nil {
			t.Errorf("now %d: %v", now, err)
		}
	}
	if _, err := VerifyFiles(f.anchor, CheckOptions{Product: "planner", Now: -1}, f.licenseEnv, f.keySetEnv); Code(err) != "options" {
		t.Errorf("negative time: %v", err)
	}
}
