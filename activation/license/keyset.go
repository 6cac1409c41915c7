package license

import (
	"bytes"
	"fmt"
)

// Limits of a key set.
const (
	maxRootKeys   = 8
	maxOnlineKeys = 32
	maxRevoked    = 256
	maxRevokedLic = 1024
	maxLifetime   = 400 * 86400 // seconds from nbf to exp
)

func (ks *KeySet) normalise() {
	ks.Roots.Keys = some(ks.Roots.Keys)
	ks.Keys = some(ks.Keys)
	ks.Revoked = some(ks.Revoked)
	ks.RevokedLic = some(ks.RevokedLic)
}

// roots checks a set of root keys. A key listed twice would be one key that
// counts as two, so it is refused here and counted once again when verifying.
func (c *checker) roots(r RootKeys, field string) {
	c.number(int64(len(r.Keys)), 1, maxRootKeys, field+".keys")
	c.number(int64(r.Threshold), 1, MaxSignatures, field+".threshold")
	c.that(r.Threshold <= len(r.Keys), field+".threshold", "want at most the number of keys")
	seen := map[string]bool{}
	for _, k := range r.Keys {
		c.key(k, field+".keys", AlgEd25519)
		c.that(!seen[k.Pub], field+".keys", "want each key once")
		seen[k.Pub] = true
	}
}

func (ks *KeySet) validate() error {
	var c checker
	c.that(ks.V == 1, "v", "want 1")
	c.name(ks.Issuer, "iss")
	c.number(ks.Version, 1, maxInt, "ver")
	c.instant(ks.NotBefore, "nbf")
	c.instant(ks.Expires, "exp")
	c.that(ks.NotBefore < ks.Expires, "exp", "want after nbf")
	c.that(ks.Expires-ks.NotBefore <= maxLifetime, "exp", "want at most 400 days after nbf")
	c.roots(ks.Roots, "roots")
	root := map[string]bool{}
	for _, k := range ks.Roots.Keys {
		root[KeyID(k)] = true
	}
	ids := make([]string, len(ks.Keys))
	for i, k := range ks.Keys {
		ids[i] = k.ID
		c.key(k.public(), "keys.pub", AlgEd25519)
		c.that(k.ID == KeyID(k.public()), "keys.kid", "want the id of the key")
		c.that(!root[k.ID], "keys", "want no root key among the issuing keys")
		c.that(k.Use == UseLicense || k.Use == UseNotice || k.Use == UseBundle, "keys.use", "want license, notice or bundle")
		c.instant(k.NotBefore, "keys.nbf")
		c.instant(k.MinIssued, "keys.min")
	}
	c.ascending(ids, maxOnlineKeys, "keys")
	for _, id := range ks.Revoked {
		c.that(len(id) == 39 && id[:7] == "sha256:" && isHex(id[7:], 32), "revoked", "want key ids")
		c.that(!root[id], "revoked", "want no root key of this set")
	}
	c.ascending(ks.Revoked, maxRevoked, "revoked")
	for _, id := range ks.RevokedLic {
		c.id(id, "revlic")
	}
	c.ascending(ks.RevokedLic, maxRevokedLic, "revlic")
	return c.err
}

func (k OnlineKey) public() PublicKey { return PublicKey{Alg: k.Alg, Pub: k.Pub} }

// rootVerifier counts root signatures of one key set envelope. It remembers
// which keys verified, because the same few keys usually stand in the anchor,
// in the set held before and in the new set.
type rootVerifier struct {
	e       envelope
	message []byte
	known   map[PublicKey]bool
}

func (v *rootVerifier) signed(k PublicKey) bool {
	ok, known := v.known[k]
	if !known {
		ok = signedByKey(k, v.e, v.message)
		v.known[k] = ok
	}
	return ok
}

// reached says whether enough different keys of r signed. A key counts once
// however often it signs or is listed (The Update Framework, specification
// 1.0.33, section 5.3.4: count keys, not key ids).
func (v *rootVerifier) reached(r RootKeys) bool {
	counted := map[PublicKey]bool{}
	for _, k := range r.Keys {
		if v.signed(k) {
			counted[k] = true
		}
	}
	return r.Threshold > 0 && len(counted) >= r.Threshold
}

// OpenKeySet verifies a key set. It must be signed by the root threshold of
// the anchor, by the threshold of its own roots (so that nobody can lose the
// keys by a typing error) and, when prev is the newest set seen before, by the
// threshold of prev's roots. ErrKeySetRollback means an older version than
// prev, or another content under the same version. Expiry is no error here:
// see Expired.
func OpenKeySet(a Anchor, prev *KeySet, data []byte) (*KeySet, error) {
	if err := a.Validate(); err != nil {
		return nil, err
	}
	e, err := parseEnvelope(data, TypeKeySet)
	if err != nil {
		return nil, err
	}
	v := rootVerifier{e, pae(e.mediaType, e.payload), map[PublicKey]bool{}}
	if !v.reached(a.Roots) {
		return nil, fmt.Errorf("%w: of the trust anchor", ErrThreshold)
	}
	if prev != nil && !v.reached(prev.Roots) {
		return nil, fmt.Errorf("%w: of the key set held before", ErrThreshold)
	}
	ks := new(KeySet)
	if err := decodeCanonical(e.payload, ks, lexical{}); err != nil {
		return nil, err
	}
	if err := ks.validate(); err != nil {
		return nil, err
	}
	if !v.reached(ks.Roots) {
		return nil, fmt.Errorf("%w: of the key set's own roots", ErrThreshold)
	}
	if ks.Issuer != a.Issuer {
		return nil, fmt.Errorf("%w: key set", ErrIssuer)
	}
	if prev == nil {
		return ks, nil
	}
	if prev.Issuer != ks.Issuer {
		return nil, fmt.Errorf("%w: key set held before", ErrIssuer)
	}
	if ks.Version < prev.Version {
		return nil, fmt.Errorf("%w: version %d after %d", ErrKeySetRollback, ks.Version, prev.Version)
	}
	if ks.Version == prev.Version {
		held, err := encodeCanonical(prev)
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(held, e.payload) {
			return nil, fmt.Errorf("%w: two contents for version %d", ErrKeySetRollback, ks.Version)
		}
	}
	return ks, nil
}

// Expired says whether the set's lifetime is over at UTC second now. An
// expired set means "cannot renew", never "licenses are invalid".
func (ks *KeySet) Expired(now int64) bool { return now >= ks.Expires }

// LicenseRevoked says whether the set takes back the license with this id.
func (ks *KeySet) LicenseRevoked(id string) bool { return contains(ks.RevokedLic, id) }

// KeyRevoked says whether the set takes back the key with this id.
func (ks *KeySet) KeyRevoked(id string) bool { return contains(ks.Revoked, id) }

func contains(list []string, s string) bool {
	for _, e := range list {
		if e == s {
			return true
		}
	}
	return false
}
