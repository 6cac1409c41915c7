package activation

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"licenseagent.example/activation/license"
	"licenseagent.example/fingerprint"
)

// view is one immutable picture of everything; readers never see half a step.
type view struct {
	clock   ClockState
	keySets map[string]*heldKeySet
	entries []*entry            // sorted by key
	device  *fingerprint.Device // replaced, never changed
	bootID  string
	bootTag string
}

// heldKeySet is a verified key set with its bytes; err says why it is not.
type heldKeySet struct {
	env []byte
	set *license.KeySet
	err error
}

// entry is one record with what was verified of it.
type entry struct {
	rec     Record
	keys    *heldKeySet
	claims  *license.Claims // nil: none, or it does not verify
	notice  *license.Notice
	sha     string
	revoked bool
	problem error // why claims is nil although there is a license
	cmp     fingerprint.Comparison
	used    *atomic.Int64 // calendar day of the last check, 0: none since the last answer
	plan    *usePlan      // the contact of a day of use
}

// publish verifies a state and makes it what readers see. Envelopes that were
// verified before with the same key set are not verified again, and a
// comparison is made anew only for a new license or a new observation.
func (l *Lifecycle) publish(s State, device *fingerprint.Device) {
	old := l.snap.Load()
	r := l.cfg.Clock()
	v := &view{clock: s.Clock, keySets: map[string]*heldKeySet{}, device: device, bootID: r.BootID, bootTag: l.bootTag(r.BootID)}
	for issuer, env := range s.KeySets {
		if old != nil {
			if k := old.keySets[issuer]; k != nil && bytes.Equal(k.env, env) {
				v.keySets[issuer] = k
				continue
			}
		}
		if k := l.fresh.keys; k != nil && k.set.Issuer == issuer && bytes.Equal(k.env, env) {
			v.keySets[issuer] = k
			continue
		}
		v.keySets[issuer] = l.openKeySet(issuer, env)
	}
	for _, rec := range s.Records {
		v.entries = append(v.entries, l.entry(rec, v, old))
	}
	slices.SortFunc(v.entries, func(a, b *entry) int {
		if d := strings.Compare(a.rec.Key.Issuer, b.rec.Key.Issuer); d != 0 {
			return d
		}
		return strings.Compare(a.rec.Key.Product, b.rec.Key.Product)
	})
	l.snap.Store(v)
}

func (l *Lifecycle) openKeySet(issuer string, env []byte) *heldKeySet {
	a, ok := l.anchors[issuer]
	if !ok {
		return &heldKeySet{env: env, err: ErrUnknownIssuer}
	}
	set, err := license.OpenKeySet(a, nil, env)
	return &heldKeySet{env: env, set: set, err: err}
}

func (l *Lifecycle) entry(rec Record, v, old *view) *entry {
	e := &entry{rec: rec, keys: v.keySets[rec.Key.Issuer], used: new(atomic.Int64)}
	var was *entry
	if old != nil {
		was = old.exact(rec.Key)
	}
	if was != nil && was.rec.Contact == rec.Contact {
		e.used = was.used // an answer starts the count anew
	}
	e.plan = l.planned(rec, was)
	if was != nil && was.keys == e.keys && bytes.Equal(was.rec.License, rec.License) && bytes.Equal(was.rec.Notice, rec.Notice) {
		e.claims, e.notice, e.sha, e.revoked, e.problem = was.claims, was.notice, was.sha, was.revoked, was.problem
	} else {
		l.verify(e)
	}
	switch {
	case e.claims == nil:
	case was != nil && was.claims == e.claims && old.device == v.device:
		e.cmp = was.cmp
	default:
		e.cmp = compare(e.claims, *v.device)
	}
	return e
}

// verify opens the envelopes of an entry with its key set.
func (l *Lifecycle) verify(e *entry) {
	if len(e.rec.License) == 0 && len(e.rec.Notice) == 0 {
		return
	}
	if e.keys == nil || e.keys.err != nil {
		e.problem = fmt.Errorf("%w: no usable key set", ErrDamaged)
		if _, known := l.anchors[e.rec.Key.Issuer]; !known {
			e.problem = ErrUnknownIssuer
		}
		return
	}
	if len(e.rec.License) > 0 {
		c, err := l.fresh.claims, error(nil)
		if c == nil || l.fresh.keys != e.keys || !bytes.Equal(l.fresh.license, e.rec.License) {
			c, err = e.keys.set.OpenLicense(e.rec.License)
		}
		if errors.Is(err, license.ErrKeyRevoked) {
			// The key set takes back the key that signed. What the license says
			// can then only be shown, never be used: revoked is a no.
			c = new(license.Claims)
			err = unverified(e.rec.License, c)
			e.revoked = true
		}
		switch {
		case err != nil:
			e.problem = fmt.Errorf("%w: %w", ErrDamaged, err)
			return
		case c.Issuer != e.rec.Key.Issuer || c.Product != e.rec.Key.Product || c.Device.Key != l.pub:
			e.problem = fmt.Errorf("%w: it is for another product or device key", ErrDamaged)
			return
		}
		e.claims, e.sha = c, license.Hash(e.rec.License)
		e.revoked = e.revoked || e.keys.set.LicenseRevoked(c.ID)
	}
	if len(e.rec.Notice) > 0 {
		n, err := e.keys.set.OpenNotice(e.rec.Notice)
		if errors.Is(err, license.ErrKeyRevoked) {
			// It was verified when it arrived, and a notice can only take away:
			// that its key was revoked since must not give anything back.
			n = new(license.Notice)
			err = unverified(e.rec.Notice, n)
		}
		if err != nil {
			e.claims, e.problem = nil, fmt.Errorf("%w: notice: %w", ErrDamaged, err)
			return
		}
		e.notice = n
	}
}

// unverified reads the payload of an envelope without checking its signature.
func unverified(env []byte, payload any) error {
	var w struct{ Payload []byte }
	if err := json.Unmarshal(env, &w); err != nil {
		return license.ErrEnvelope
	}
	if err := json.Unmarshal(w.Payload, payload); err != nil {
		return license.ErrPayload
	}
	return nil
}

// enrolled is the device that a license was issued for. Verified claims hold a
// valid salt; shown ones may not, and then nothing is enrolled.
func enrolled(c *license.Claims) fingerprint.Enrolled {
	salt, err := base64.StdEncoding.DecodeString(c.Device.Salt)
	if err != nil {
		return fingerprint.Enrolled{Env: c.Device.Env}
	}
	return fingerprint.Enrolled{Env: c.Device.Env, Salt: salt, Parts: c.Device.Parts}
}

// see is an observation under the salt of a license.
func see(c *license.Claims, d fingerprint.Device) []fingerprint.Seen {
	return fingerprint.See(enrolled(c).Salt, d)
}

// compare compares the device a license was issued for with an observation.
func compare(c *license.Claims, d fingerprint.Device) fingerprint.Comparison {
	return fingerprint.Compare(c.Device.Policy, enrolled(c), d)
}

// settledParts are the four parts of an observation with the rules of fingerprint
// applied; what a part is follows from its place, not from what it says.
func settledParts(d fingerprint.Device) [4]fingerprint.Component {
	parts := [4]fingerprint.Component{d.MAC, d.Disk, d.Board, d.CPU}
	for i, k := range [4]fingerprint.Kind{fingerprint.MAC, fingerprint.Disk, fingerprint.Board, fingerprint.CPU} {
		parts[i].Kind = k
		parts[i] = parts[i].Settled()
	}
	return parts
}

// state is what a store holds for this view.
func (v *view) state() State {
	s := State{Clock: v.clock, KeySets: map[string][]byte{}}
	for issuer, k := range v.keySets {
		s.KeySets[issuer] = k.env
	}
	for _, e := range v.entries {
		s.Records = append(s.Records, e.rec)
	}
	return s
}

// exact is the entry of one key, nil for none.
func (v *view) exact(k Key) *entry {
	for _, e := range v.entries {
		if e.rec.Key == k {
			return e
		}
	}
	return nil
}

// find is the entry of a product; issuer may be "" when it is unique.
func (v *view) find(product, issuer string) (*entry, error) {
	var found *entry
	for _, e := range v.entries {
		if product == "" || e.rec.Key.Product != product || issuer != "" && e.rec.Key.Issuer != issuer {
			continue
		}
		if found != nil {
			return nil, ErrAmbiguousProduct
		}
		found = e
	}
	if found == nil {
		return nil, ErrNotActivated
	}
	return found, nil
}

// inputs collects what Decide looks at. No time is earlier than the server time
// inside the license: it was signed then.
func (l *Lifecycle) inputs(v *view, e *entry, r Reading) Inputs {
	eff, ev := v.clock.Believe(r)
	in := Inputs{
		Now: max(eff, 0), Clock: ev, License: e.claims, Notice: e.notice, Revoked: e.revoked,
		Comparison: e.cmp, Worse: e.rec.Worse, Contact: e.rec.Contact, Contested: e.rec.Contested, Warn: l.cfg.Warn,
	}
	if e.claims != nil {
		in.Now = max(in.Now, e.claims.ServerTime)
	}
	return in
}

// bootTag is opaque and changes with each boot; the boot id itself stays here.
func (l *Lifecycle) bootTag(id string) string {
	sum := sha256.Sum256([]byte("license-agent boot v1\n" + l.deviceID + "\n" + id))
	return hex.EncodeToString(sum[:8])
}
