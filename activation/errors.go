package activation

import (
	"errors"
	"time"
)

// Errors of the life cycle. Each is wrapped with what it is about; none carries
// an authorization code or a hardware value.
var (
	// ErrNotActivated is returned when no license is held for the product or key asked for.
	ErrNotActivated = errors.New("activation: no license is held for this product")
	// ErrAmbiguousProduct is returned when several vendors' licenses fit and the caller named no issuer.
	ErrAmbiguousProduct = errors.New("activation: several licenses fit, name the issuer")
	// ErrAlreadyActivated is returned when a license already runs and replacing it was not asked for.
	ErrAlreadyActivated = errors.New("activation: a license already runs on this machine")
	// ErrOutstanding is returned when another request of the same license waits for its answer.
	ErrOutstanding = errors.New("activation: another request waits for its answer")
	// ErrAlreadyImported is returned when this answer was imported before.
	ErrAlreadyImported = errors.New("activation: this answer was imported before")
	// ErrUnreachable is returned when the merchant service could not be asked, or said "later".
	ErrUnreachable = errors.New("activation: the merchant service cannot be reached")
	// ErrAnswer is returned when what came back is not a valid answer of the merchant service.
	ErrAnswer = errors.New("activation: the merchant service answered nonsense")
	// ErrWrongAnswer is returned when a genuine answer belongs to another request or another device.
	ErrWrongAnswer = errors.New("activation: this answer belongs to another request")
	// ErrUnknownIssuer is returned when no trust anchor is configured for the issuer.
	ErrUnknownIssuer = errors.New("activation: no trust anchor for this vendor")
	// ErrNonce is returned when the nonce of a check is not exactly NonceSize bytes.
	ErrNonce = errors.New("activation: a nonce is exactly 32 bytes")
	// ErrKind is returned when a request of this kind cannot be made, for instance a renewal without a license.
	ErrKind = errors.New("activation: this kind of request cannot be made now")
	// ErrDevice is returned when the device key cannot sign now, because the chip that it is in does not answer.
	ErrDevice = errors.New("activation: the device key does not sign")
	// ErrStore is returned when a step could not be made durable; nothing was sent, and what was answered is asked for again.
	ErrStore = errors.New("activation: the state could not be saved")
	// ErrDamaged is returned when a remembered license no longer verifies.
	ErrDamaged = errors.New("activation: the remembered license does not verify")
)

// RefusedError says that the merchant service understood the request and said
// no. It is final for this request unless it is wrapped beside ErrUnreachable,
// which means "not now".
type RefusedError struct {
	Code       string        // stable, from the merchant's table
	Message    string        // one sentence
	Hint       string        // the next step
	Status     int           // HTTP status, 0 when there was no HTTP
	RetryAfter time.Duration // 0: not said
}

// Error is the code and the sentence.
func (e *RefusedError) Error() string { return e.Code + ": " + e.Message }
