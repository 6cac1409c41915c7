// Package activation is the life cycle of a license on one machine: the pure
// decision (Decide), the time rule, the device chain and the use cases, over
// two ports (Issuer and StateStore). It does no I/O of its own and is not
// stable API.
package activation

import (
	"context"

	"licenseagent.example/activation/license"
	"licenseagent.example/fingerprint"
)

// Phase is one of the nine phases a license can be in; Decide documents them.
type Phase string

// The phases: this table and no other.
const (
	Unactivated  Phase = "unactivated"
	Active       Phase = "active"
	Expiring     Phase = "expiring"
	Grace        Phase = "grace"
	Suspended    Phase = "suspended"
	Expired      Phase = "expired"
	Revoked      Phase = "revoked"
	WrongDevice  Phase = "wrong-device"
	ClockSuspect Phase = "clock-suspect"
)

// Flag stands beside a phase.
type Flag string

// The flags.
const (
	FlagIndeterminate    Flag = "indeterminate"
	FlagDrift            Flag = "drift"
	FlagContested        Flag = "contested"
	FlagProvisionalClock Flag = "provisional-clock"
)

// Key names one license of an instance. Product is "" while an activation is
// under way and the product is not known yet.
type Key struct {
	Issuer  string `json:"issuer"`
	Product string `json:"product"`
}

// ClockEvidence is what the time rule says beside the effective time.
type ClockEvidence struct {
	Behind      bool  `json:"behind"`      // wall clock is behind the high-water mark and no tick is on disk yet
	Provisional bool  `json:"provisional"` // wall clock is > 48 h ahead of what is believed
	Wall        int64 `json:"wall"`
	HighWater   int64 `json:"high_water"`
}

// Worse is the memory of reads that were worse than the verdict in force
// (debounce). Zero value: none.
//
// Reads that could not tell (indeterminate) neither count nor reset: unreadable
// is never "changed", and it is no proof of sameness either.
type Worse struct {
	Reads int   `json:"reads"`
	First int64 `json:"first"` // effective time of the first such read
	Last  int64 `json:"last"`
	Blind int64 `json:"blind,omitempty"` // effective time of the first of an unbroken run of reads that determined no strong part at all, 0: none
}

// Inputs is everything Decide may look at. All values were verified before.
type Inputs struct {
	Now        int64 // effective time, UTC seconds
	Clock      ClockEvidence
	License    *license.Claims        // nil: none held
	Notice     *license.Notice        // newest verified notice of this license, nil: none
	Revoked    bool                   // the license id or its key is revoked by the key set held
	Comparison fingerprint.Comparison // enrolled against the newest observation
	Worse      Worse
	Contact    int64 // server time of the last signed contact
	Contested  bool
	Warn       int64 // seconds before the entitlement end at which "expiring" starts
}

// Verdict answers "may this machine run now, why, until when, and what should
// the operator do". Texts for Reason and Next are in Sentence.
type Verdict struct {
	Phase      Phase  `json:"phase"`
	Runs       bool   `json:"runs"`
	Flags      []Flag `json:"flags,omitempty"`
	Reason     string `json:"reason"`          // stable code, e.g. "entitlement-ended"
	Next       string `json:"next,omitempty"`  // stable code of the next step, e.g. "renew-now"
	Until      int64  `json:"until,omitempty"` // when time alone changes this verdict, 0: never
	Expires    int64  `json:"expires,omitempty"`
	RenewBy    int64  `json:"renew_by,omitempty"`
	GraceUntil int64  `json:"grace_until,omitempty"`
	DaysLeft   int64  `json:"days_left"` // whole days until it stops running if nothing happens
}

// Pending is a request whose nonce is on disk before it is sent (write-ahead):
// after a lost reply the very same bytes are sent again, and the merchant can
// tell a retry from a copy of this machine.
type Pending struct {
	Kind    string `json:"kind"` // license.Request* kinds
	Nonce   string `json:"nonce"`
	Request []byte `json:"request"` // the signed envelope, byte for byte what is (re)sent
	IdemKey string `json:"idem"`
	At      int64  `json:"at"`
	Offline bool   `json:"offline"`
	Boot    int64  `json:"boot,omitempty"`    // seconds since boot at At: an answer cannot be older than its question
	BootID  string `json:"boot_id,omitempty"` // the boot that Boot counts in
}

// Record is one license and everything remembered about it.
type Record struct {
	Key       Key      `json:"key"`
	License   []byte   `json:"license,omitempty"` // DSSE envelope
	Notice    []byte   `json:"notice,omitempty"`  // DSSE envelope
	Seq       int64    `json:"seq"`
	Head      string   `json:"head"`
	Pending   *Pending `json:"pending,omitempty"`
	Contact   int64    `json:"contact"`
	Contested bool     `json:"contested"`
	Worse     Worse    `json:"worse"`
	Days      []string `json:"days,omitempty"`     // days with at least one check since the last answer
	Calendar  string   `json:"calendar,omitempty"` // of these days, as the last answer named it
	NextTry   int64    `json:"next_try"`           // effective time of the next scheduled contact
	Failures  int      `json:"failures"`           // consecutive failed contacts
	LastError string   `json:"last_error,omitempty"`
	UsedNonce []string `json:"used_nonce,omitempty"` // newest answered nonces, to name a second import
}

// ClockState is what the time rule keeps on disk.
type ClockState struct {
	HighWater   int64  `json:"hw"`   // greatest believed UTC second
	Boot        int64  `json:"boot"` // seconds since boot (suspend included) when HighWater was written
	BootID      string `json:"boot_id"`
	Provisional int64  `json:"prov,omitempty"`  // believed time when a far-ahead wall clock was first seen, 0: none
	Ticked      bool   `json:"ticked"`          // a tick of this boot is on disk
	Every       int64  `json:"every,omitempty"` // seconds until the next tick as promised when this was written, 0 after an orderly stop
	Slack       int64  `json:"slack,omitempty"` // seconds that may have been lost to power cuts since the last signed contact
	Offset      int64  `json:"off,omitempty"`   // seconds by which signed server time showed the wall clock to be far ahead, 0: none
	Count       int64  `json:"count,omitempty"` // value of Config.Counter that belongs to this state, 0: none yet
}

// State is everything an instance remembers.
type State struct {
	Records []Record
	KeySets map[string][]byte // issuer → key set envelope
	Clock   ClockState
}

// Change is one atomic, durable step of State.
type Change struct {
	Put     []Record
	Delete  []Key
	KeySets map[string][]byte
	Clock   *ClockState
}

// StateStore is where an instance remembers. Apply returns nil only when the
// change is durable. After an error the store has stopped: Load must be called
// again and may show either the old or the new state: a failed sync of the last
// page reports an error for a commit that is already visible.
type StateStore interface {
	Load() (State, error)
	Apply(Change) error
}

// Answer is what the merchant says to a request, on line or as a file.
type Answer struct {
	License []byte `json:"license,omitempty"` // DSSE envelopes, as JSON strings of their bytes on the wire
	Notice  []byte `json:"notice,omitempty"`
	KeySet  []byte `json:"keyset"`
	// Calendar is whose days count as days of use, such as "-03:00"; "" is
	// DefaultCalendar. It is signed by nobody and decides nothing about a
	// license: a wrong one moves the hour at which a day begins.
	Calendar string `json:"calendar,omitempty"`
}

// Issuer is the merchant as the life cycle sees it. Errors are *RefusedError
// (the merchant said no), or wrap ErrUnreachable or ErrAnswer.
type Issuer interface {
	Send(ctx context.Context, request []byte, idempotencyKey string) (Answer, error)
	KeySet(ctx context.Context) ([]byte, error)
}
