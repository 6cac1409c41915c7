package api

// Version answers GET /v1/version.
type Version struct {
	Version  string `json:"version"`
	API      int    `json:"api"` // 1
	Instance string `json:"instance"`
	Go       string `json:"go"`
	OS       string `json:"os"`
	Arch     string `json:"arch"`
}

// Files answers GET /v1/license: what a program may check without a nonce.
// That is weaker than a check with proof (a copy of both files on another
// machine is told apart by the fingerprint only).
type Files struct {
	License string `json:"license"` // DSSE envelope, base64
	KeySet  string `json:"keyset"`  // DSSE envelope, base64
}

// Preview answers GET /v1/preview: what an activation would send and to whom,
// so that an operator can decide before anything leaves the machine.
type Preview struct {
	Issuer      string        `json:"issuer"`
	Merchant    string        `json:"merchant"` // base URL of the merchant service
	DeviceID    string        `json:"device_id"`
	Fingerprint string        `json:"fingerprint"` // the string of the KooGallery rule, raw
	Environment string        `json:"environment"` // physical, vm or container
	Parts       []PreviewPart `json:"parts"`
	Agent       string        `json:"agent"` // version text that is sent along
}

// PreviewPart is one part of the fingerprint that would be sent.
type PreviewPart struct {
	Kind   string   `json:"kind"`
	State  string   `json:"state"`
	Values []string `json:"values,omitempty"`
	Reason string   `json:"reason,omitempty"`
}

// ActivateRequest redeems an authorization code. Issuer may be "" when this
// instance knows one trust anchor, Product "" when only the code is known.
// Replace allows a code to take the place of
// a license that is held for the same product.
type ActivateRequest struct {
	Issuer  string `json:"issuer,omitempty"`
	Product string `json:"product,omitempty"`
	Code    string `json:"code"`
	Replace bool   `json:"replace,omitempty"`
}

// KeyRequest names one license for renew and release. Both may be "" when only
// one license is held.
type KeyRequest struct {
	Issuer  string `json:"issuer,omitempty"`
	Product string `json:"product,omitempty"`
}

// RebindRequest settles a contested seat on this device.
type RebindRequest struct {
	Issuer  string `json:"issuer,omitempty"`
	Product string `json:"product,omitempty"`
	Code    string `json:"code"`
}

// OfflineRequest asks for a request file for a machine without network. Kind
// is activate, renew, release or rebind; Code is needed for activate and rebind.
// Replace gives up an activation file that still waits for its answer.
type OfflineRequest struct {
	Kind    string `json:"kind"`
	Issuer  string `json:"issuer,omitempty"`
	Product string `json:"product,omitempty"`
	Code    string `json:"code,omitempty"`
	Replace bool   `json:"replace,omitempty"`
}

// RequestFile answers POST /v1/request: the signed request, base64, to be
// carried to the merchant byte for byte.
type RequestFile struct {
	Kind    string `json:"kind"`
	Issuer  string `json:"issuer"`
	Product string `json:"product,omitempty"`
	File    string `json:"file"`
}

// ImportRequest carries the merchant's answer file, base64 of at most 256 KiB.
type ImportRequest struct {
	Answer string `json:"answer"`
}

// Outcome answers activate, renew, release, rebind and import: the license as
// it stands afterwards.
type Outcome struct {
	License License `json:"license"`
}

// Kinds of Event.
const (
	EventVerdict  = "verdict"  // phase, flags or reason of a license changed
	EventLicense  = "license"  // a license was added, replaced or removed
	EventContact  = "contact"  // the outcome of a contact with the merchant changed
	EventSeats    = "seats"    // somebody found every seat of a license taken; at most one a minute for each license
	EventObserved = "observed" // the hardware was read and something differs; Hardware says whether that is a warning
)

// Event is one change. It carries no more than is needed to decide whether to
// ask again: the proof is in the answer to a check, never in an event. One
// change can be two events: a part that is lost is "observed", and the flag that
// this raises is a "verdict".
type Event struct {
	Serial   uint64     `json:"serial"`
	Time     int64      `json:"time"`
	Kind     string     `json:"kind"`
	Issuer   string     `json:"issuer,omitempty"`
	Product  string     `json:"product,omitempty"`
	Phase    string     `json:"phase,omitempty"`
	Runs     bool       `json:"runs"`
	Reason   string     `json:"reason,omitempty"`
	Hardware *Hardware  `json:"hardware,omitempty"` // of kind observed, without Message
	Seats    *SeatCount `json:"seats,omitempty"`    // of kind seats
}

// Events answers GET /v1/events?since=N&wait=30s. Serial is what to pass as
// since next time. Missed says that older events were forgotten: read the
// status again. An empty list means that nothing happened while waiting.
// The serial begins anew with each start of the agent; a since that lies in
// the future is answered at once with Missed.
type Events struct {
	Serial uint64  `json:"serial"`
	Missed bool    `json:"missed,omitempty"`
	Events []Event `json:"events"`
}

// Diagnosis answers GET /v1/diagnose: what a support engineer needs, without
// codes, keys or raw serials.
type Diagnosis struct {
	Version  Version       `json:"version"`
	Status   Status        `json:"status"`
	Why      []Explanation `json:"why"`
	Device   []Part        `json:"device"` // masked
	Env      string        `json:"environment"`
	Notes    []string      `json:"notes"`   // disagreements between sources, masked
	Sockets  []string      `json:"sockets"` // every socket the process holds
	Process  Process       `json:"process"`
	Settings []Setting     `json:"settings"`
	Inputs   []byte        `json:"inputs"` // JSON of the inputs of each verdict, hashes and salts removed
	Events   []Event       `json:"events"`
}

// Process is the agent's own use of the machine.
type Process struct {
	PID        int    `json:"pid"`
	Started    int64  `json:"started"`
	Goroutines int    `json:"goroutines"`
	HeapBytes  uint64 `json:"heap_bytes"`
}

// Setting is one configuration value with where it came from: flag,
// environment, file or default.
type Setting struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Source string `json:"source"`
}
