package koogallery

import (
	"errors"
	"fmt"
	"strings"
)

// Class says what to do about an answer. It is decided by the error code in
// the body, never by the HTTP status: the documents pair the same code with
// different statuses in different years.
type Class string

// The classes.
const (
	Success       Class = "success"
	AlreadyActive Class = "already-active" // 92020003: confirm by a heartbeat
	NotReceived   Class = "not-received"   // the buyer must first receive the code
	UnknownCode   Class = "unknown-code"
	NotActivated  Class = "not-activated"
	BadCodeInSet  Class = "bad-code-in-batch"   // which one is not said: activate one by one
	Refused       Class = "refused"             // our request is wrong: no retry will help
	Unauthorized  Class = "unauthorized"        // access key wrong or disabled
	Ambiguous     Class = "internal-or-foreign" // 92020001: an internal error, or another seller's code; later, with backoff
	ClockSkew     Class = "clock-skew"          // this server's clock is more than 15 minutes off
	Throttled     Class = "throttled"
	Retry         Class = "retry" // internal or unknown: later, with backoff
)

// Transport failures.
var (
	// ErrUnavailable is returned when neither host could be reached.
	ErrUnavailable = errors.New("koogallery: the marketplace cannot be reached")
	// ErrCertificate is returned when a host's certificate is not valid for it.
	// It is never worked around: behind it may be a forged marketplace.
	ErrCertificate = errors.New("koogallery: the marketplace's certificate is not valid")
	// ErrAnswer is returned when an answer is not the JSON object it should be.
	ErrAnswer = errors.New("koogallery: the answer cannot be read")
	// ErrArgument is returned before anything is sent, for arguments outside the documented limits.
	ErrArgument = errors.New("koogallery: argument outside the documented limits")
)

// Error is an answer that is not a success.
type Error struct {
	Code    string
	Message string
	HTTP    int
	Class   Class
	Hint    string
	Codes   []string // the codes of a batch that the answer names as bad; not part of the text
	Reports []Usage  // the reports of usage that were not taken, when the answer says which; not part of the text
}

func (e *Error) Error() string {
	return fmt.Sprintf("koogallery: %s %s (HTTP %d): %s", e.Code, e.Message, e.HTTP, e.Hint)
}

// ClassOf returns the class of an error of this package; Retry for transport
// failures, Success for nil.
func ClassOf(err error) Class {
	if err == nil {
		return Success
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Class
	}
	if errors.Is(err, ErrArgument) || errors.Is(err, ErrRequest) {
		return Refused
	}
	return Retry
}

// classify knows the license error table, the older table, the gateway's
// codes, the upload codes (CBC, 9138) and the order codes (MKT). A code it does
// not know is Retry: new codes may appear without notice.
func classify(code string) (Class, string) {
	switch code {
	case "92020000", "CBC.0000", "MKT.0000":
		return Success, ""
	case "92020001":
		// "Internal error" in the current table, "unauthorized" in the older one,
		// which also pairs it with other statuses.
		return Ambiguous, "an internal error, or another seller's code: check that it was sold by this seller"
	case "92020003":
		return AlreadyActive, "the code is in another state than this call expects; on a repeated activation it is already active, confirm by heartbeat"
	case "92020004":
		return NotReceived, "the buyer must first receive the code in My KooGallery"
	case "92020005":
		return UnknownCode, "no such code; check for a typing mistake"
	case "92020011":
		return NotActivated, "activate the code before asking for its state"
	case "92020020":
		return BadCodeInSet, "one of the codes is invalid; activate them one by one to find it"
	case "92020002", "95000001", "95000002", "95000003", "95000004", "CBC.0101", "MKT.0101", "MKT.0199", "91381037":
		return Refused, "the marketplace calls this request invalid; it will not be repeated"
	case "91381033", "91381034", "91381035", "91381038":
		return Refused, "the marketplace does not take this license for this application"
	case "CBC.0150", "91380150", "MKT.0150", "MKT.0151", "MKT.0154":
		return Unauthorized, "check the access key and its rights"
	case "MKT.0250":
		return Throttled, "too many order queries; slow down"
	case "APIGW.0308":
		return Throttled, "the gateway limits the rate; slow down"
	case "APIGW.0301", "APIGW.0303":
		return Unauthorized, "the gateway refuses the signature: check access key, secret, and this server's clock (15 minutes at most)"
	}
	if strings.HasPrefix(code, "APIGW.03") {
		return Unauthorized, "the gateway does not accept the caller"
	}
	return Retry, "the marketplace has an internal problem or a code that is new; repeated later"
}
