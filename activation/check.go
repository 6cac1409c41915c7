package activation

import (
	"encoding/base64"

	"licenseagent.example/activation/license"
	"licenseagent.example/fingerprint"
)

// CheckAnswer is what a program gets for one nonce: three DSSE envelopes that
// it verifies itself, and the verdict for convenience.
type CheckAnswer struct {
	License []byte
	KeySet  []byte
	Proof   []byte
	Verdict Verdict
}

// Held is one license as people see it.
type Held struct {
	Key           Key
	ID            string          // license id, "" before the first answer
	Claims        *license.Claims // nil while an activation is under way or when Problem is set
	Verdict       Verdict
	Comparison    fingerprint.Comparison
	Contact       int64
	NextTry       int64
	Failures      int
	LastError     string
	Pending       string // kind of the request that waits for its answer, "" for none
	PendingFile   bool   // it was made for a file
	Contested     bool
	Worse         Worse
	KeySetVersion int64
	Problem       error // why a remembered license is not used, nil otherwise
}

// Check answers one program: the license, the key set and a proof over its
// nonce, signed with the device key. The key signs nothing but this structure,
// so the agent is no signing oracle. issuer may be "" when only one vendor has
// the product. Errors: ErrNonce, ErrNotActivated, ErrAmbiguousProduct, or why
// the license held is not used (ErrDamaged, ErrUnknownIssuer).
func (l *Lifecycle) Check(product, issuer string, nonce []byte) (CheckAnswer, error) {
	if len(nonce) != NonceSize {
		return CheckAnswer{}, ErrNonce
	}
	v := l.snap.Load()
	e, err := v.usable(product, issuer)
	if err != nil {
		return CheckAnswer{}, err
	}
	r := l.cfg.Clock()
	in := l.inputs(v, e, r)
	verdict := Decide(in)
	boot := v.bootTag
	if r.BootID != v.bootID {
		boot = l.bootTag(r.BootID)
	}
	proof, err := license.SealProof(license.Proof{
		V: 1, Nonce: base64.StdEncoding.EncodeToString(nonce), Product: e.rec.Key.Product, License: e.sha,
		Phase: string(verdict.Phase), Runs: verdict.Runs, Missing: e.cmp.Missing(), Time: in.Now, Boot: boot,
	}, l.cfg.Device)
	if err != nil {
		return CheckAnswer{}, err
	}
	l.mark(e, in.Now)
	return CheckAnswer{License: e.rec.License, KeySet: e.keys.env, Proof: proof, Verdict: verdict}, nil
}

// Envelopes is the license and key set for programs that check without a nonce.
// Errors are those of Check.
func (l *Lifecycle) Envelopes(product, issuer string) (licenseEnv, keySet []byte, err error) {
	e, err := l.snap.Load().usable(product, issuer)
	if err != nil {
		return nil, nil, err
	}
	return e.rec.License, e.keys.env, nil
}

// usable is an entry with a license that verified.
func (v *view) usable(product, issuer string) (*entry, error) {
	e, err := v.find(product, issuer)
	switch {
	case err != nil:
		return nil, err
	case e.problem != nil:
		return nil, e.problem
	case e.claims == nil:
		return nil, ErrNotActivated
	}
	return e, nil
}

// Held lists what is held and what is under way, sorted by issuer and product.
func (l *Lifecycle) Held() []Held {
	v := l.snap.Load()
	r := l.cfg.Clock()
	list := make([]Held, 0, len(v.entries))
	for _, e := range v.entries {
		list = append(list, l.held(v, e, r))
	}
	return list
}

func (l *Lifecycle) held(v *view, e *entry, r Reading) Held {
	in := l.inputs(v, e, r)
	h := Held{
		Key: e.rec.Key, Claims: e.claims, Verdict: Decide(in), Comparison: e.cmp,
		Contact: e.rec.Contact, NextTry: e.nextContact(in.Now), Failures: e.rec.Failures, LastError: e.rec.LastError,
		Contested: e.rec.Contested, Worse: e.rec.Worse, Problem: e.problem,
	}
	if e.claims != nil {
		h.ID = e.claims.ID
	}
	if p := e.rec.Pending; p != nil {
		h.Pending, h.PendingFile = p.Kind, p.Offline
	}
	if e.keys != nil && e.keys.set != nil {
		h.KeySetVersion = e.keys.set.Version
	}
	return h
}

// DeviceID names this device to the merchant: the id of its device key.
func (l *Lifecycle) DeviceID() string { return l.deviceID }

// Device is the newest observation of the hardware, raw.
func (l *Lifecycle) Device() fingerprint.Device { return *l.snap.Load().device }

// Now is the effective time with its evidence.
func (l *Lifecycle) Now() (int64, ClockEvidence) { return l.snap.Load().clock.Believe(l.cfg.Clock()) }
