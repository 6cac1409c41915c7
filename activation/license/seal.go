package license

import "fmt"

// Seal writes payload as canonical JSON and signs it with every signer. It is
// for bundles, whose payload is the caller's struct; the other kinds have a
// function of their own that checks the limits first, and are refused here.
func Seal(mediaType string, payload any, signers ...Signer) ([]byte, error) {
	if mediaType != TypeBundle {
		return nil, fmt.Errorf("%w: %s has its own seal function", ErrMediaType, mediaType)
	}
	return seal(mediaType, payload, signers)
}

// SealLicense checks the claims and signs them with an issuing key of use
// license. Nil lists are written as empty ones; lists must be sorted already.
// ErrLimits or ErrDevice name the field that no verifier would accept;
// ErrTooLarge means that the fields, each within its limit, exceed MaxEnvelope
// together.
func SealLicense(c Claims, s Signer) ([]byte, error) {
	c.normalise()
	if err := c.validate(); err != nil {
		return nil, err
	}
	return seal(TypeLicense, &c, []Signer{s})
}

// SealNotice checks a notice and signs it with an issuing key of use notice.
func SealNotice(n Notice, s Signer) ([]byte, error) {
	if err := n.validate(); err != nil {
		return nil, err
	}
	return seal(TypeNotice, &n, []Signer{s})
}

// SealKeySet checks a key set and signs it with root keys. It does not demand
// the threshold: root keys in different places sign one after the other (see
// AddSignature).
func SealKeySet(ks KeySet, roots ...Signer) ([]byte, error) {
	ks.normalise()
	if err := ks.validate(); err != nil {
		return nil, err
	}
	return seal(TypeKeySet, &ks, roots)
}

// SealProof checks a proof and signs it with the device key.
func SealProof(p Proof, s Signer) ([]byte, error) {
	p.Missing = some(p.Missing)
	if err := p.validate(); err != nil {
		return nil, err
	}
	return seal(TypeProof, &p, []Signer{s})
}

// SealRequest checks a request and signs it with the device key it names.
func SealRequest(r Request, s Signer) ([]byte, error) {
	r.normalise()
	if err := r.validate(); err != nil {
		return nil, err
	}
	if s.Public() != r.Key {
		return nil, fmt.Errorf("%w: signer is not the key of the request", ErrDevice)
	}
	return seal(TypeRequest, &r, []Signer{s})
}

// AddSignature signs the payload of an existing key set envelope with one more
// root key, whose earlier signature it replaces. The payload must be a key set
// within the limits; existing signatures are kept as they are.
func AddSignature(keySet []byte, s Signer) ([]byte, error) {
	e, err := parseEnvelope(keySet, TypeKeySet)
	if err != nil {
		return nil, err
	}
	var ks KeySet
	if err := decodeCanonical(e.payload, &ks, lexical{}); err != nil {
		return nil, err
	}
	if err := ks.validate(); err != nil {
		return nil, err
	}
	one, err := sign(pae(TypeKeySet, e.payload), s)
	if err != nil {
		return nil, err
	}
	var all []signature
	for _, old := range e.signatures {
		if old.keyID != one.keyID {
			all = append(all, old)
		}
	}
	e.signatures = append(all, one)
	return e.finish()
}

func seal(mediaType string, payload any, signers []Signer) ([]byte, error) {
	body, err := encodeCanonical(payload)
	if err != nil {
		return nil, err
	}
	if err := (lexical{unicode: mediaType == TypeBundle || mediaType == TypeStatement}).check(body); err != nil {
		return nil, err
	}
	e := envelope{mediaType: mediaType, payload: body}
	message := pae(mediaType, body)
	for _, s := range signers {
		one, err := sign(message, s)
		if err != nil {
			return nil, err
		}
		e.signatures = append(e.signatures, one)
	}
	return e.finish()
}

func sign(message []byte, s Signer) (signature, error) {
	id := KeyID(s.Public())
	if id == "" {
		return signature{}, fmt.Errorf("%w: signer", ErrKey)
	}
	sig, err := s.Sign(message)
	if err != nil {
		return signature{}, fmt.Errorf("license: signing with %s: %w", id, err)
	}
	if len(sig) != 64 {
		return signature{}, fmt.Errorf("%w: signer %s returned %d bytes, want 64", ErrKey, id, len(sig))
	}
	return signature{keyID: id, sig: sig}, nil
}

// finish checks what encoding cannot: nothing is sealed that cannot be opened.
func (e envelope) finish() ([]byte, error) {
	if n := len(e.signatures); n < 1 || n > MaxSignatures {
		return nil, fmt.Errorf("%w: %d signatures, want 1 to %d", ErrEnvelope, n, MaxSignatures)
	}
	b := e.encode()
	if limit := maxSize(e.mediaType); len(b) > limit {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(b), limit)
	}
	return b, nil
}
