package license

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"
)

// State is what the clock alone says about a license.
type State string

// The three states.
const (
	Valid      State = "valid"       // nbf ≤ t < ren
	ValidStale State = "valid-stale" // ren ≤ t < grc: runs, but the merchant should have been asked
	NotValid   State = "not-valid"
)

// Reasons beside NotValid.
const (
	ReasonNotYet         = "not-yet-valid"
	ReasonEntitlementEnd = "entitlement-ended"
	ReasonGraceEnd       = "grace-ended"
	ReasonLicenseRevoked = "license-revoked"
)

// TimeState says what UTC second t means for a verified license; reason is ""
// unless the state is NotValid. Entitlement end, renew-by and grace-until are
// three different things, and each boundary belongs to the later side.
func TimeState(c *Claims, t int64) (state State, reason string) {
	switch {
	case t < c.NotBefore:
		return NotValid, ReasonNotYet
	case t >= c.Expires:
		return NotValid, ReasonEntitlementEnd
	case t >= c.GraceUntil:
		return NotValid, ReasonGraceEnd
	case t >= c.RenewBy:
		return ValidStale, ""
	}
	return Valid, ""
}

// DefaultKeySetTolerance is how long after its expiry a program still accepts
// a key set: as long as a set may live. Licenses outlast their key set, but
// not for ever: this bounds what a stolen issuing key is worth.
const DefaultKeySetTolerance = maxLifetime

// MaxAge is how long a proof may take from drawing the nonce to its arrival.
const MaxAge = 5 * time.Second

// CheckOptions is what a program knows when it checks an answer of the agent.
type CheckOptions struct {
	Product string // must equal the license's product
	Issuer  string // "" accepts the issuer of the anchor
	Nonce   []byte // the 32 random bytes drawn for this check; unused by VerifyFiles
	Now     int64  // the program's own clock, UTC seconds
	// Asked and Arrived are when the nonce was drawn and when the answer was
	// complete; take both from the same monotonic clock. Unused by VerifyFiles.
	Asked, Arrived time.Time
	// KeySetTolerance is how many seconds after its expiry a key set is still
	// accepted; 0 means DefaultKeySetTolerance.
	KeySetTolerance int64
	// MinKeySet is the highest key set version this program has seen; 0 when
	// it keeps no memory.
	MinKeySet int64
}

// Checked is the result of a check. Runs is the answer; the rest explains it.
type Checked struct {
	Claims        *Claims
	KeySet        *KeySet
	Proof         *Proof // nil from VerifyFiles
	Time          int64  // the time used: the greatest of Now, the proof's time and st
	State         State  // by time and revocation
	Reason        string // why the state is NotValid, else ""
	Runs          bool   // the state is not NotValid and, with a proof, the agent says the product runs
	KeySetExpired bool   // within the tolerance: renewals will fail until a new set arrives

	device key // Claims.Device.Key, for further proofs
}

// VerifyCheck verifies what the agent answered to a nonce, trusting nothing
// but the anchor, in this order: the key set by the root keys, the license by
// the key set, the proof by the device key in the license, nonce, product,
// license hash and age, then the time rule. An error means that the answer
// proves nothing and nothing is returned; a license that is genuine but over
// is no error: look at Runs. One step is left to the caller: comparing the
// fingerprint of this machine, read by the program itself, with Claims.Device
// (otherwise the answer may be relayed from a licensed machine).
func VerifyCheck(a Anchor, opts CheckOptions, licenseEnv, keySetEnv, proofEnv []byte) (*Checked, error) {
	if len(opts.Nonce) != nonceBytes {
		return nil, fmt.Errorf("%w: nonce of %d bytes, want %d", ErrOptions, len(opts.Nonce), nonceBytes)
	}
	r, err := verifyFiles(a, opts, licenseEnv, keySetEnv)
	if err != nil {
		return nil, err
	}
	return r.WithProof(opts, Hash(licenseEnv), proofEnv)
}

// WithProof verifies a fresh proof over a license and key set that VerifyCheck
// or VerifyFiles has accepted before, so that a program that asks often
// verifies only what is new. hash is Hash of that license; the options are
// those of VerifyCheck. r is not changed.
func (r *Checked) WithProof(opts CheckOptions, hash string, proofEnv []byte) (*Checked, error) {
	if len(opts.Nonce) != nonceBytes || opts.Product != r.Claims.Product {
		return nil, fmt.Errorf("%w: nonce of %d bytes for product %q", ErrOptions, len(opts.Nonce), opts.Product)
	}
	if err := fresh(r.KeySet, opts); err != nil {
		return nil, err
	}
	p, err := openProof(r.device, proofEnv)
	if err != nil {
		return nil, err
	}
	if p.Nonce != encode64(opts.Nonce) {
		return nil, ErrNonce
	}
	if p.Product != opts.Product {
		return nil, fmt.Errorf("%w: proof", ErrProduct)
	}
	if p.License != hash {
		return nil, ErrHash
	}
	if age := opts.Arrived.Sub(opts.Asked); age < 0 || age > MaxAge {
		return nil, fmt.Errorf("%w: %v, at most %v", ErrStale, age, MaxAge)
	}
	next := &Checked{Claims: r.Claims, KeySet: r.KeySet, Proof: p, device: r.device}
	return next.decide(opts.Now, p.Time, p.Runs), nil
}

// VerifyFiles verifies a license and key set without a proof, as from files:
// it shows that the vendor issued them, not that this machine holds the device
// key. The caller must compare the fingerprint with Claims.Device.
func VerifyFiles(a Anchor, opts CheckOptions, licenseEnv, keySetEnv []byte) (*Checked, error) {
	r, err := verifyFiles(a, opts, licenseEnv, keySetEnv)
	if err != nil {
		return nil, err
	}
	return r.decide(opts.Now, 0, true), nil
}

// Hash is the SHA-256 of a license envelope in lower-case hex, as a proof
// names it.
func Hash(licenseEnv []byte) string {
	sum := sha256.Sum256(licenseEnv)
	return hex.EncodeToString(sum[:])
}

func verifyFiles(a Anchor, opts CheckOptions, licenseEnv, keySetEnv []byte) (*Checked, error) {
	if opts.Product == "" || opts.KeySetTolerance < 0 || opts.Now < 0 {
		return nil, fmt.Errorf("%w: product, time and tolerance", ErrOptions)
	}
	if opts.Issuer != "" && opts.Issuer != a.Issuer {
		return nil, fmt.Errorf("%w: anchor", ErrIssuer)
	}
	ks, err := OpenKeySet(a, nil, keySetEnv)
	if err != nil {
		return nil, err
	}
	if err := fresh(ks, opts); err != nil {
		return nil, err
	}
	c, err := ks.OpenLicense(licenseEnv)
	if err != nil {
		return nil, err
	}
	if c.Product != opts.Product {
		return nil, fmt.Errorf("%w: license", ErrProduct)
	}
	device, err := c.Device.Key.parse()
	if err != nil {
		return nil, err
	}
	return &Checked{Claims: c, KeySet: ks, device: device}, nil
}

// fresh checks what about a key set depends on the time and memory of the program.
func fresh(ks *KeySet, opts CheckOptions) error {
	if ks.Version < opts.MinKeySet {
		return fmt.Errorf("%w: version %d after %d", ErrKeySetRollback, ks.Version, opts.MinKeySet)
	}
	tolerance := opts.KeySetTolerance
	if tolerance == 0 {
		tolerance = DefaultKeySetTolerance
	}
	if opts.Now-tolerance >= ks.Expires {
		return ErrKeySetExpired
	}
	return nil
}

// decide applies the time rule and revocation. Signed times can only move the
// clock forward, so setting the program's clock back gains nothing.
func (r *Checked) decide(now, proofTime int64, agentRuns bool) *Checked {
	r.Time = max(now, proofTime, r.Claims.ServerTime)
	r.State, r.Reason = TimeState(r.Claims, r.Time)
	if r.KeySet.LicenseRevoked(r.Claims.ID) {
		r.State, r.Reason = NotValid, ReasonLicenseRevoked
	}
	r.Runs = r.State != NotValid && agentRuns
	r.KeySetExpired = r.KeySet.Expired(r.Time)
	return r
}
