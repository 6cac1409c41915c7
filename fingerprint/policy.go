package fingerprint

import "slices"

// Weights are the points of each part. All are ≥ 0.
type Weights struct {
	Board int `json:"board"`
	Disk  int `json:"disk"`
	MAC   int `json:"mac"`
	CPU   int `json:"cpu"`
}

// Profile is one rule for comparing an enrolled device with the present one.
type Profile struct {
	Required []Kind  `json:"req"`   // parts that must match whenever they were enrolled; sorted
	Weights  Weights `json:"w"`     //
	Minimum  int     `json:"min"`   // percent of the determined weight that must match, 1..100
	Floor    int     `json:"floor"` // percent of the enrolled weight that must be readable, else indeterminate
}

// Policy travels signed inside the license. The profile is chosen by the
// class of machine that was enrolled, not by what the machine says today.
type Policy struct {
	Name     string  `json:"name"` // "balanced", "strict", "tolerant" or the vendor's own
	Physical Profile `json:"phys"`
	Virtual  Profile `json:"virt"`
}

// Part is the enrolled form of one part: salted hashes only.
type Part struct {
	Kind   Kind     `json:"kind"`
	Hashes []string `json:"h"` // sorted, at most MaxHashes
}

// MaxHashes bounds the hashes of one part in a license: a storage server with
// 480 disks must not make the license larger than its envelope allows.
const MaxHashes = 16

// Enrolled is the device as a license remembers it.
type Enrolled struct {
	Env   EnvKind
	Salt  []byte
	Parts []Part // only parts that were usable at enrolment
}

// Remade says that a virtual machine was held by one value only, an address or
// a disk serial, and that this value was made anew, as hypervisors do whenever a
// device is re-created. Such a value is configuration: whoever can copy the
// state of the machine can set it as well, so that refusing the machine protects
// nobody. Off line the answer is still "another machine"; at a contact the device
// key and its place on the chain decide, and the new value is enrolled.
func (e Enrolled) Remade(c Comparison) bool {
	lone := len(e.Hashes(Board)) == 0 && (len(e.Hashes(MAC)) == 0) != (len(e.Hashes(Disk)) == 0)
	return lone && (e.Env == Virtual || e.Env == Container) && c.Outcome == Different && !c.StrongMatch
}

// Identified says that there is a part to know the device by: a board, a disk or
// a network address. The CPU id is a model code.
func (e Enrolled) Identified() bool {
	return len(e.Hashes(Board)) > 0 || len(e.Hashes(Disk)) > 0 || len(e.Hashes(MAC)) > 0
}

// PartResult says how one part compares.
type PartResult struct {
	Kind   Kind   `json:"kind"`
	Result string `json:"result"` // match, changed, absent, unreadable, placeholder, not-enrolled
	Weight int    `json:"weight"`
	Strong bool   `json:"strong"` // board, disk and MAC are strong; CPU is a model code
}

// Lost says that the part was enrolled and that something else, or nothing, is
// there now; what cannot be read is not lost.
func (p PartResult) Lost() bool {
	return p.Result == ResultChanged || p.Result == ResultAbsent || p.Result == ResultPlaceholder
}

// Outcome is the result of a comparison.
type Outcome string

// The three outcomes.
const (
	Same          Outcome = "same"
	Different     Outcome = "different"
	Indeterminate Outcome = "indeterminate"
)

// Comparison explains an outcome completely; Decide takes it as it is.
type Comparison struct {
	Outcome       Outcome      `json:"outcome"`
	Parts         []PartResult `json:"parts"`
	Matched       int          `json:"matched"`   // points of parts that match
	Available     int          `json:"available"` // points usable at enrolment and determined now
	Enrolled      int          `json:"enrolled"`  // points usable at enrolment
	Need          int          `json:"need"`      // points needed of Available (rounded up)
	Left          int          `json:"left"`      // points that may still be lost before the outcome changes
	StrongMatch   bool         `json:"strong_match"`
	StrongChanged bool         `json:"strong_changed"` // a strong part is changed, absent or a placeholder now
	Drift         bool         `json:"drift"`          // a part that counts is lost, whatever the outcome
	Why           string       `json:"why"`            // one sentence for people
}

// Missing lists the enrolled parts that were not seen, lost or unreadable, sorted.
func (c Comparison) Missing() []Kind {
	var missing []Kind
	for _, p := range c.Parts {
		if p.Lost() || p.Result == ResultUnreadable {
			missing = append(missing, p.Kind)
		}
	}
	slices.Sort(missing)
	return missing
}

// Unidentified says that the license was issued for a machine that showed no
// board, disk or network address of its own: there is nothing to compare, and
// only the device key and the regular contact tell its copies apart.
func (c Comparison) Unidentified() bool {
	for _, p := range c.Parts {
		if p.Strong && p.Result != ResultNotEnrolled {
			return false
		}
	}
	return len(c.Parts) > 0
}
