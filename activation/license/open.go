package license

import "fmt"

// signers returns the keys of the set with the given use that signed the
// envelope. Signatures under other key ids are ignored: a second algorithm may
// sign beside the first one day.
func (ks *KeySet) signers(e envelope, use string) []OnlineKey {
	var found []OnlineKey
	message := pae(e.mediaType, e.payload)
	for _, s := range e.signatures {
		for _, k := range ks.Keys {
			if k.ID != s.keyID || k.Use != use {
				continue
			}
			if p, err := k.public().parse(); err == nil && p.id == s.keyID && p.verify(message, s.sig) {
				found = append(found, k)
			}
		}
	}
	return found
}

// accepted says whether one of the keys may have signed a message made at the
// given UTC second; made < 0 leaves the dates out. The error is that of the
// first key.
func (ks *KeySet) accepted(keys []OnlineKey, made int64) error {
	var first error
	for _, k := range keys {
		var err error
		switch {
		case ks.KeyRevoked(k.ID):
			err = fmt.Errorf("%w: %s", ErrKeyRevoked, k.ID)
		case made >= 0 && made < k.NotBefore:
			err = fmt.Errorf("%w: %s", ErrKeyNotYet, k.ID)
		case made >= 0 && made < k.MinIssued:
			err = fmt.Errorf("%w: %s, for messages of this age", ErrKeyRevoked, k.ID)
		default:
			return nil
		}
		if first == nil {
			first = err
		}
	}
	if first == nil {
		first = ErrSignature
	}
	return first
}

// OpenLicense verifies a license: signed by a key of use license that is not
// revoked and was in use when the license was issued; same issuer; the set no
// older than the license demands. Whether the license id itself is revoked is
// asked separately (LicenseRevoked), and time is not looked at (TimeState).
func (ks *KeySet) OpenLicense(data []byte) (*Claims, error) {
	e, err := parseEnvelope(data, TypeLicense)
	if err != nil {
		return nil, err
	}
	keys := ks.signers(e, UseLicense)
	if len(keys) == 0 {
		return nil, ErrSignature
	}
	c := new(Claims)
	if err := decodeCanonical(e.payload, c, lexical{}); err != nil {
		return nil, err
	}
	if err := c.validate(); err != nil {
		return nil, err
	}
	if err := ks.pairs(keys, c.IssuedAt, c.Issuer, c.KeySet); err != nil {
		return nil, err
	}
	return c, nil
}

// pairs checks a verified message against the set it came with. A message that
// demands a newer set is refused, so that nobody can pair it with an old set
// that still lists a revoked key.
func (ks *KeySet) pairs(keys []OnlineKey, made int64, issuer string, least int64) error {
	if err := ks.accepted(keys, made); err != nil {
		return err
	}
	if issuer != ks.Issuer {
		return fmt.Errorf("%w: message", ErrIssuer)
	}
	if ks.Version < least {
		return fmt.Errorf("%w: version %d, wants %d", ErrKeySetTooOld, ks.Version, least)
	}
	return nil
}

// OpenNotice verifies a notice in the same way, with a key of use notice; the
// date that counts is st.
func (ks *KeySet) OpenNotice(data []byte) (*Notice, error) {
	e, err := parseEnvelope(data, TypeNotice)
	if err != nil {
		return nil, err
	}
	keys := ks.signers(e, UseNotice)
	if len(keys) == 0 {
		return nil, ErrSignature
	}
	n := new(Notice)
	if err := decodeCanonical(e.payload, n, lexical{}); err != nil {
		return nil, err
	}
	if err := n.validate(); err != nil {
		return nil, err
	}
	if err := ks.pairs(keys, n.ServerTime, n.Issuer, n.KeySet); err != nil {
		return nil, err
	}
	return n, nil
}

// OpenBundle verifies a message signed by a key of use bundle and decodes its
// payload strictly into dst, a pointer to a struct whose field order is the
// format. dst is written only after the signature was verified; on error its
// content is undefined. The payload's own rules, issuer among them, are the
// caller's.
func (ks *KeySet) OpenBundle(data []byte, dst any) error {
	e, err := parseEnvelope(data, TypeBundle)
	if err != nil {
		return err
	}
	keys := ks.signers(e, UseBundle)
	if len(keys) == 0 {
		return ErrSignature
	}
	if err := ks.accepted(keys, -1); err != nil {
		return err
	}
	return decodeCanonical(e.payload, dst, lexical{unicode: true})
}

// signedByKey says whether the key made one of the signatures over message.
func signedByKey(k PublicKey, e envelope, message []byte) bool {
	p, err := k.parse()
	return err == nil && p.signed(e, message)
}

func (k key) signed(e envelope, message []byte) bool {
	for _, s := range e.signatures {
		if s.keyID == k.id && k.verify(message, s.sig) {
			return true
		}
	}
	return false
}

// OpenProof verifies a proof by the device key of a license. What the proof
// says must still be compared with what was asked: see VerifyCheck.
func OpenProof(dk PublicKey, data []byte) (*Proof, error) {
	k, _ := dk.parse() // an unusable key verifies nothing
	return openProof(k, data)
}

func openProof(dk key, data []byte) (*Proof, error) {
	e, err := parseEnvelope(data, TypeProof)
	if err != nil {
		return nil, err
	}
	if !dk.signed(e, pae(e.mediaType, e.payload)) {
		return nil, ErrSignature
	}
	p := new(Proof)
	if err := decodeCanonical(e.payload, p, lexical{}); err != nil {
		return nil, err
	}
	if err := p.validate(); err != nil {
		return nil, err
	}
	return p, nil
}

// OpenRequest verifies a request by the device key it carries: this proves
// that the sender holds the key, not that anybody knows the key. It is the one
// message that is parsed before its signature is checked.
func OpenRequest(data []byte) (*Request, error) {
	e, err := parseEnvelope(data, TypeRequest)
	if err != nil {
		return nil, err
	}
	r := new(Request)
	if err := decodeCanonical(e.payload, r, lexical{}); err != nil {
		return nil, err
	}
	if err := r.validate(); err != nil {
		return nil, err
	}
	if !signedByKey(r.Key, e, pae(e.mediaType, e.payload)) {
		return nil, ErrSignature
	}
	return r, nil
}
