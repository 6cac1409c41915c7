// Package api holds the wire types of the agent's local API (HTTP/1.1 + JSON
// over a Unix socket or named pipe). It is stable API, standard library only;
// openapi.yaml beside it is the same in OpenAPI, and testdata holds golden JSON.
package api

// Host is the only accepted Host header: anything else is a browser that was
// re-pointed at the socket (DNS rebinding, Tailscale TS-2022-004).
const Host = "license-agent"

// Paths of version 1.
const (
	PathVersion  = "/v1/version"
	PathStatus   = "/v1/status"     // GET, any local user
	PathCheck    = "/v1/check"      // POST, any local user
	PathWhy      = "/v1/why"        // GET, any local user (masked)
	PathEvents   = "/v1/events"     // GET, long poll, any local user
	PathFiles    = "/v1/license"    // GET, any local user: license and key set envelopes for checks without a nonce
	PathActivate = "/v1/activate"   // POST, administrators
	PathPreview  = "/v1/preview"    // GET, administrators: what an activation would send, and to whom
	PathRenew    = "/v1/renew"      // POST, administrators
	PathRelease  = "/v1/release"    // POST, administrators
	PathRebind   = "/v1/rebind"     // POST, administrators
	PathRequest  = "/v1/request"    // POST, administrators: request file for a machine without network
	PathImport   = "/v1/import"     // POST, administrators
	PathSeats    = "/v1/seats"      // POST, any local user: take a seat; the connection is the seat
	PathHolders  = "/v1/seats/list" // GET, any local user: who holds them
	PathMetrics  = "/v1/metrics"    // GET, any local user
	PathSimulate = "/v1/simulate"   // POST, any local user: what would happen if; changes nothing
	PathDiagnose = "/v1/diagnose"   // GET, administrators
)

// Verdict mirrors activation.Verdict with the sentences added.
type Verdict struct {
	Phase      string   `json:"phase"`
	Runs       bool     `json:"runs"`
	Flags      []string `json:"flags,omitempty"`
	Reason     string   `json:"reason"`
	Message    string   `json:"message"`
	Next       string   `json:"next,omitempty"`
	NextStep   string   `json:"next_step,omitempty"`
	Until      int64    `json:"until,omitempty"`
	Expires    int64    `json:"expires,omitempty"`
	RenewBy    int64    `json:"renew_by,omitempty"`
	GraceUntil int64    `json:"grace_until,omitempty"`
	DaysLeft   int64    `json:"days_left"`
}

// License is one license in a status answer.
type License struct {
	Issuer      string           `json:"issuer"`
	Product     string           `json:"product"`
	Edition     string           `json:"edition,omitempty"`
	ID          string           `json:"id,omitempty"`
	Seats       int64            `json:"seats,omitempty"`
	SeatsUsed   int64            `json:"seats_used,omitempty"`    // of Seats, now
	SeatsQueue  int64            `json:"seats_waiting,omitempty"` // requests that wait for one
	Features    []string         `json:"features,omitempty"`
	Limits      map[string]int64 `json:"limits,omitempty"`
	Verdict     Verdict          `json:"verdict"`
	Hardware    *Hardware        `json:"hardware,omitempty"` // absent while there is no license to compare with
	LastContact int64            `json:"last_contact,omitempty"`
	NextContact int64            `json:"next_contact,omitempty"`
	LastError   *Error           `json:"last_error,omitempty"` // of the last attempt to reach the merchant
	Pending     string           `json:"pending,omitempty"`    // a request that waits for its answer
}

// Status answers GET /v1/status.
type Status struct {
	Instance string    `json:"instance"`
	Version  string    `json:"version"`
	DeviceID string    `json:"device_id"`
	KeyTier  string    `json:"key_tier"` // file, os or tpm: where the device key lives, truthfully
	Time     int64     `json:"time"`     // effective time by the time rule
	Serial   uint64    `json:"serial"`   // grows with each change; for /v1/events
	Licenses []License `json:"licenses"`
}

// CheckRequest asks for a fresh proof. Issuer may be "" when only one vendor
// uses this instance.
type CheckRequest struct {
	Product string `json:"product"`
	Issuer  string `json:"issuer,omitempty"`
	Nonce   string `json:"nonce"` // standard base64 of exactly 32 fresh random bytes
	// Reread makes the agent read its machine before it answers: the program read
	// another one than the license's, and the agent's reading may be hours old.
	Reread bool `json:"reread,omitempty"`
}

// CheckAnswer carries three DSSE envelopes as base64 text; Verdict is a
// convenience that proves nothing by itself.
type CheckAnswer struct {
	License string  `json:"license"`
	KeySet  string  `json:"keyset"`
	Proof   string  `json:"proof"`
	Verdict Verdict `json:"verdict"`
}

// Error is the body of every failed request, inside {"error": …}. Code is one
// of the Code constants. Cause is the merchant's own stable code when Code is
// CodeMerchantRefused, such as "code-used-up"; a program never has to parse
// Message, which is for people and comes in the language that was asked for.
type Error struct {
	Code      string `json:"code"`
	Cause     string `json:"cause,omitempty"`
	Message   string `json:"message"`
	Hint      string `json:"hint,omitempty"`
	RequestID string `json:"request_id,omitempty"`
}

// Error makes *Error an error: "code: message", with the cause in brackets.
func (e *Error) Error() string {
	if e.Cause != "" {
		return e.Code + " (" + e.Cause + "): " + e.Message
	}
	return e.Code + ": " + e.Message
}

// ErrorBody wraps Error on the wire.
type ErrorBody struct {
	Error Error `json:"error"`
}
