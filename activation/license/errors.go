package license

import "errors"

// Sentinels. Every error of this package wraps exactly one of them; Code turns
// it into the stable word that SPEC.md and the shared vectors use.
var (
	// ErrTooLarge is returned when an envelope or file exceeds its size limit, before it is looked at.
	ErrTooLarge = errors.New("license: too large")
	// ErrEnvelope is returned when the bytes are not the one spelling of a DSSE envelope.
	ErrEnvelope = errors.New("license: not an envelope")
	// ErrMediaType is returned when the envelope is of another message kind than the caller asked for.
	ErrMediaType = errors.New("license: other kind of message")
	// ErrSignature is returned when no acceptable key signed these bytes.
	ErrSignature = errors.New("license: no valid signature")
	// ErrThreshold is returned when fewer different root keys signed a key set than must.
	ErrThreshold = errors.New("license: too few root signatures")
	// ErrPayload is returned when the payload is not the canonical JSON of its kind.
	ErrPayload = errors.New("license: payload is not canonical")
	// ErrLimits is returned when a field is outside its limits, on sealing and on opening.
	ErrLimits = errors.New("license: field outside its limits")
	// ErrAnchor is returned when a trust anchor file is unusable.
	ErrAnchor = errors.New("license: unusable trust anchor")
	// ErrIssuer is returned when a message names another issuer than the one trusted here.
	ErrIssuer = errors.New("license: other issuer")
	// ErrKeySetRollback is returned when a key set is older than one seen before, or differs from it under the same version.
	ErrKeySetRollback = errors.New("license: key set goes back")
	// ErrKeySetTooOld is returned when a license or notice demands a newer key set than the one it came with.
	ErrKeySetTooOld = errors.New("license: key set too old for this message")
	// ErrKeySetExpired is returned when a key set is expired beyond the caller's tolerance.
	ErrKeySetExpired = errors.New("license: key set expired")
	// ErrKeyRevoked is returned when the signing key is revoked, or void for messages of that age.
	ErrKeyRevoked = errors.New("license: signing key revoked")
	// ErrKeyNotYet is returned when a message is dated before its signing key comes into use.
	ErrKeyNotYet = errors.New("license: signing key not yet in use")
	// ErrNonce is returned when a proof answers another question than the one asked.
	ErrNonce = errors.New("license: other nonce")
	// ErrProduct is returned when a license or proof is for another product.
	ErrProduct = errors.New("license: other product")
	// ErrDevice is returned when a device id does not belong to the device key beside it.
	ErrDevice = errors.New("license: device id does not match device key")
	// ErrHash is returned when a proof speaks of another license file.
	ErrHash = errors.New("license: proof is for another license")
	// ErrStale is returned when the answer took longer than a fresh proof may.
	ErrStale = errors.New("license: answer too late")
	// ErrKey is returned when a key cannot be used: unknown algorithm, wrong length, forbidden point.
	ErrKey = errors.New("license: unusable key")
	// ErrOptions is returned when the caller's own options make no sense, such as a nonce that is not 32 bytes.
	ErrOptions = errors.New("license: wrong options")
)

// Code returns the stable code of an error of this package: the word that
// SPEC.md section 11 and testdata/vectors.json use in every language. It is ""
// for nil and "unexpected" for errors of another origin.
func Code(err error) string {
	if err == nil {
		return ""
	}
	for _, c := range []struct {
		err  error
		code string
	}{
		{ErrTooLarge, "too-large"},
		{ErrEnvelope, "envelope"},
		{ErrMediaType, "media-type"},
		{ErrSignature, "signature"},
		{ErrThreshold, "threshold"},
		{ErrPayload, "payload"},
		{ErrLimits, "limits"},
		{ErrAnchor, "anchor"},
		{ErrIssuer, "issuer"},
		{ErrKeySetRollback, "keyset-rollback"},
		{ErrKeySetTooOld, "keyset-too-old"},
		{ErrKeySetExpired, "keyset-expired"},
		{ErrKeyRevoked, "key-revoked"},
		{ErrKeyNotYet, "key-not-yet"},
		{ErrNonce, "nonce"},
		{ErrProduct, "product"},
		{ErrDevice, "device"},
		{ErrHash, "hash"},
		{ErrStale, "stale"},
		{ErrKey, "key"},
		{ErrOptions, "options"},
	} {
		if errors.Is(err, c.err) {
			return c.code
		}
	}
	return "unexpected"
}
