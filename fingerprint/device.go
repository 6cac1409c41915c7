// Package fingerprint says which device this is, and whether two observations
// are the same device. It is pure: reading the hardware is the business of
// fingerprint/probe and fingerprint/collect. It is stable API.
//
// The string form is the one of Huawei Cloud KooGallery (License page,
// topic_0070649268): MAC addresses | disk serials | board serial | CPU id.
package fingerprint

// Kind names one of the four parts of a fingerprint.
type Kind string

// The four parts, in the order of the string form.
const (
	MAC   Kind = "mac"
	Disk  Kind = "disk"
	Board Kind = "board"
	CPU   Kind = "cpu"
)

// State says what an observation of one part is worth.
type State string

// The four states. Only OK carries values; the other three print as the empty
// string, and only the JSON form tells them apart.
const (
	OK          State = "ok"
	Absent      State = "absent"      // the machine has none (a negative answer was read)
	Unreadable  State = "unreadable"  // it may have one, we could not read it: never "changed"
	Placeholder State = "placeholder" // there is text, but it identifies nobody
)

// Value is one serial, address or id of a part.
type Value struct {
	// Text is the value as the hardware gave it, trimmed; separators and
	// control bytes are still in it (see Canonical).
	Text string `json:"text"`
	// Source says where it was read, for people: "netlink IFLA_PERM_ADDRESS eth0".
	Source string `json:"source"`
	// Alt holds other spellings of the same thing that are accepted when
	// comparing, such as the controller serial of a Windows NVMe disk.
	Alt []string `json:"alt,omitempty"`
}

// Rejected is a candidate that was read and deliberately not used.
type Rejected struct {
	Text   string `json:"text,omitempty"`
	Source string `json:"source"`
	Reason string `json:"reason"`
	// State is Unreadable when the candidate exists but could not be read, so
	// that its absence from Values is no evidence of change; else Placeholder
	// or empty (left out by rule).
	State State `json:"state,omitempty"`
}

// Component is the observation of one part.
type Component struct {
	Kind     Kind       `json:"kind"`
	State    State      `json:"state"`
	Values   []Value    `json:"values,omitempty"`   // only when State is OK; canonical order. Board and CPU: the first is the string's, further ones count as its Alt
	Reason   string     `json:"reason,omitempty"`   // why not OK, in words
	Rejected []Rejected `json:"rejected,omitempty"` // candidates left out, with the rule that did it
}

// EnvKind is the class of machine that decides which policy profile is enrolled.
type EnvKind string

// The classes of machine.
const (
	Physical  EnvKind = "physical"
	Virtual   EnvKind = "vm"
	Container EnvKind = "container"
)

// Environment says what kind of machine this is and how we know.
type Environment struct {
	Kind   EnvKind `json:"kind"`
	Name   string  `json:"name,omitempty"`   // "kvm", "vmware", "docker", …
	Reason string  `json:"reason,omitempty"` // the evidence, in words
}

// Device is one observation of a machine.
type Device struct {
	MAC   Component   `json:"mac"`
	Disk  Component   `json:"disk"`
	Board Component   `json:"board"`
	CPU   Component   `json:"cpu"`
	Env   Environment `json:"env"`
	// Notes record disagreements between sources; nothing is guessed away.
	Notes []string `json:"notes,omitempty"`
}

// Components returns the four parts in the order of the string form.
func (d Device) Components() []Component {
	return []Component{d.MAC, d.Disk, d.Board, d.CPU}
}
