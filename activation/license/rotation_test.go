package license

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"licenseagent.example/docs/promise"
)

// keySetOpener has the shape of OpenKeySet, so that the scenario can run with
// a defence taken out.
type keySetOpener func(a Anchor, prev *KeySet, data []byte) (*KeySet, error)

// vendor plays the owner of the keys through the years of P13.
type vendor struct {
	t       *testing.T
	f       *fixture
	root    []Signer // root[1] … root[5]
	old, nu Signer   // issuing keys
}

func (v *vendor) set(version int64, roots RootKeys, keys []OnlineKey, revoked ...string) KeySet {
	return KeySet{
		V: 1, Issuer: "acme", Version: version, NotBefore: t0, Expires: t0 + 300*day, Roots: roots,
		Keys: sortedKeys(slices.Clone(keys)...), Revoked: slices.Sorted(slices.Values(revoked)),
	}
}

// publish signs without any check of its own: the verifier is on trial.
func (v *vendor) publish(ks KeySet, signers ...Signer) []byte {
	v.t.Helper()
	ks.normalise()
	return sealRaw(v.t, TypeKeySet, must[[]byte](v.t)(encodeCanonical(&ks)), signers...)
}

func (v *vendor) license(s Signer, issued, keySet int64) []byte {
	v.t.Helper()
	c := v.f.claims
	c.IssuedAt, c.KeySet = issued, keySet
	return must[[]byte](v.t)(SealLicense(c, s))
}

// rotate runs the twelve steps with one way of opening key sets and returns
// the names of the steps that did not end as they must.
func rotate(t *testing.T, open keySetOpener) (failed []string) {
	v := &vendor{t: t, f: newFixture(t), old: edSigner(t, "license key"), nu: edSigner(t, "new license key")}
	for _, n := range []string{"root 0", "root 1", "root 2", "root 3", "root 4", "root 5"} {
		v.root = append(v.root, edSigner(t, n))
	}
	r, a := v.root, v.f.anchor // the anchor holds roots 1, 2 and 3, two must sign
	var held *KeySet           // what the agent in the field holds
	step := func(name string, want string, got error) {
		if Code(got) != want {
			failed = append(failed, name+": "+Code(got))
		}
	}
	receive := func(name, want string, env []byte) {
		ks, err := open(a, held, env)
		if (ks == nil) != (err != nil) {
			t.Fatalf("%s: a key set beside an error, or neither", name)
		}
		if err == nil {
			held = ks
		}
		step(name, want, err)
	}
	use := func(ks *KeySet, env []byte) error { _, err := ks.OpenLicense(env); return err }

	oldKey, newKey := online(v.old, UseLicense), online(v.nu, UseLicense)
	newKey.NotBefore = t0 + 7*day
	roots := rootKeys(2, r[1], r[2], r[3])
	v1 := v.set(1, roots, []OnlineKey{oldKey})
	receive("1 first set, two of three roots", "", v.publish(v1, r[1], r[2]))
	first := held
	v2 := v.set(2, roots, []OnlineKey{oldKey, newKey})
	receive("2 one root of three", "threshold", v.publish(v2, r[1]))
	receive("3 one root signing twice", "threshold", v.publish(v2, r[1], r[1]))
	receive("4 new issuing key announced", "", v.publish(v2, r[1], r[3]))
	step("4a used before its day", "key-not-yet", use(held, v.license(v.nu, t0+7*day-1, 2)))
	step("4b used on its day", "", use(held, v.license(v.nu, t0+7*day, 2)))
	step("4c the old key still works", "", use(held, v.license(v.old, t0, 1)))
	receive("5 rollback to version 1", "keyset-rollback", v.publish(v1, r[1], r[2]))
	other := v2
	other.Revoked = []string{newKey.ID}
	receive("6 second content of version 2", "keyset-rollback", v.publish(other, r[1], r[2]))
	second := held
	v3 := v.set(3, roots, []OnlineKey{oldKey, newKey}, oldKey.ID)
	receive("7 old key revoked", "", v.publish(v3, r[2], r[3]))
	step("7a its licenses are refused", "key-revoked", use(held, v.license(v.old, t0, 1)))
	step("7b the new key's are not", "", use(held, v.license(v.nu, t0+8*day, 3)))
	step("8 a license of now beside the set before", "keyset-too-old", use(second, v.license(v.nu, t0+8*day, 3)))
	v4 := v.set(4, rootKeys(2, r[2], r[3], r[4]), []OnlineKey{oldKey, newKey}, oldKey.ID)
	receive("9 root 1 leaves, signed by the old threshold only", "threshold", v.publish(v4, r[1], r[2]))
	receive("9a signed by both thresholds", "", v.publish(v4, r[2], r[3]))
	v5 := v.set(5, rootKeys(2, r[3], r[4], r[5]), []OnlineKey{oldKey, newKey}, oldKey.ID)
	receive("10 root 2 leaves, without the anchor's threshold", "threshold", v.publish(v5, r[3], r[4]))
	latest := v.publish(v5, r[2], r[3], r[4])
	receive("10a with it", "", latest)
	late, err := open(a, first, latest)
	step("11 thirty days behind, catches up in one contact", "", err)
	if err == nil {
		step("11a and knows of the revoked key", "key-revoked", use(late, v.license(v.old, t0, 1)))
	}
	f := v.f
	f.keySet, f.licenseKey = v5, v.nu
	f.claims.IssuedAt, f.claims.KeySet, f.claims.RenewBy, f.claims.GraceUntil = t0+8*day, 5, t0+1000*day, t0+1000*day
	f.claims.Expires = NoEnd
	env := must[[]byte](t)(SealLicense(f.claims, v.nu))
	check := func(now int64) (*Checked, error) {
		p := f.proof
		p.License, p.Time = Hash(env), now
		at := time.Unix(now, 0)
		return VerifyCheck(a, CheckOptions{Product: "planner", Nonce: f.nonce, Now: now, Asked: at, Arrived: at, KeySetTolerance: 90 * day, MinKeySet: 5},
			env, latest, must[[]byte](t)(SealProof(p, f.device)))
	}
	c, err := check(v5.Expires)
	step("12 set expired: the license runs on", "", err)
	if err == nil && (!c.Runs || !c.KeySetExpired) {
		failed = append(failed, "12a expired set does not mean invalid")
	}
	_, err = check(v5.Expires + 90*day)
	step("12b beyond the tolerance", "keyset-expired", err)
	return failed
}

// TestP13KeysRotate plays twelve steps of a vendor's key history. The controls
// take one defence out each and must fail at exactly the step it protects.
func TestP13KeysRotate(t *testing.T) {
	if failed := rotate(t, OpenKeySet); len(failed) != 0 {
		t.Errorf("steps that went wrong: %q", failed)
	}
	has := func(failed []string, step string) bool {
		return slices.ContainsFunc(failed, func(s string) bool { return len(s) > len(step) && s[:len(step)] == step })
	}
	noMemory := func(a Anchor, _ *KeySet, b []byte) (*KeySet, error) { return OpenKeySet(a, nil, b) }
	forgetful := rotate(t, noMemory)
	if !has(forgetful, "5 ") || !has(forgetful, "6 ") {
		t.Errorf("control: without memory of the set before, rollback must show; failed: %q", forgetful)
	}
	countIDs := func(a Anchor, prev *KeySet, b []byte) (*KeySet, error) {
		ks, err := OpenKeySet(a, prev, b)
		if Code(err) != "threshold" {
			return ks, err
		}
		return weakThreshold(a, b)
	}
	counting := rotate(t, countIDs)
	if !has(counting, "3 ") || has(counting, "2 ") {
		t.Errorf("control: counting signatures in place of keys, the double one must show; failed: %q", counting)
	}
	anyRoot := func(a Anchor, prev *KeySet, b []byte) (*KeySet, error) {
		a.Roots.Threshold = 1
		return OpenKeySet(a, prev, b)
	}
	single := rotate(t, anyRoot)
	if !has(single, "10 ") {
		t.Errorf("control: with a threshold of one in the anchor, step 10 must show; failed: %q", single)
	}
	promise.Reached(t, "P13", "12 of 12 steps: rotation, revocation, rollback, one root of three, a root twice, both thresholds, expiry, 30 days behind",
		fmt.Sprintf("no memory of the set before: %d checks fail; signatures counted in place of keys: %d; one root enough: %d", len(forgetful), len(counting), len(single)))
}

// weakThreshold counts signatures of the anchor's keys, however often one key
// signs: the mistake that The Update Framework warns of.
func weakThreshold(a Anchor, b []byte) (*KeySet, error) {
	e, err := parseEnvelope(b, TypeKeySet)
	if err != nil {
		return nil, err
	}
	n := 0
	for _, s := range e.signatures {
		for _, k := range a.Roots.Keys {
			if s.keyID == KeyID(k) && verifySignature(k, pae(e.mediaType, e.payload), s.sig) {
				n++
			}
		}
	}
	if n < a.Roots.Threshold {
		return nil, ErrThreshold
	}
	ks := new(KeySet)
	return ks, decodeCanonical(e.payload, ks, lexical{})
}

// TestAddSignature lets root keys in different places sign one after the
// other; a second signature by the same key replaces the first.
func TestAddSignature(t *testing.T) {
	f := newFixture(t)
	one := must[[]byte](t)(SealKeySet(f.keySet, f.roots[0]))
	if _, err := OpenKeySet(f.anchor, nil, one); Code(err) != "threshold" {
		t.Errorf("one of three: %v", err)
	}
	again := must[[]byte](t)(AddSignature(one, f.roots[0]))
	if string(again) != string(one) {
		t.Error("the same key signing again changes the envelope")
	}
	two := must[[]byte](t)(AddSignature(one, f.roots[1]))
	must[*KeySet](t)(OpenKeySet(f.anchor, nil, two))
	if _, err := AddSignature(f.licenseEnv, f.roots[0]); Code(err) != "media-type" {
		t.Errorf("a license: %v", err)
	}
	full := two
	for _, n := range []string{"x", "y"} {
		full = must[[]byte](t)(AddSignature(full, edSigner(t, n)))
	}
	if _, err := AddSignature(full, edSigner(t, "z")); Code(err) != "envelope" {
		t.Errorf("fifth signature: %v", err)
	}
}
