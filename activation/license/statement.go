package license

import "fmt"

// TypeStatement is the media type of an in-toto statement (in-toto Attestation
// Framework, "Envelope"): what a release says about how its files were built.
// It shares the envelope with the kinds of SPEC.md and nothing else; no key of a
// key set signs it.
const TypeStatement = "application/vnd.in-toto+json"

// SealStatement writes a statement, a struct whose field order is the format, as
// canonical JSON and signs it.
func SealStatement(statement any, s Signer) ([]byte, error) {
	return seal(TypeStatement, statement, []Signer{s})
}

// OpenStatement verifies a statement by the key given and decodes it strictly
// into dst. dst is written only after the signature was verified; on error its
// content is undefined.
func OpenStatement(k PublicKey, data []byte, dst any) error {
	e, err := parseEnvelope(data, TypeStatement)
	if err != nil {
		return err
	}
	if !signedByKey(k, e, pae(e.mediaType, e.payload)) {
		return fmt.Errorf("%w: statement", ErrSignature)
	}
	return decodeCanonical(e.payload, dst, lexical{unicode: true})
}
