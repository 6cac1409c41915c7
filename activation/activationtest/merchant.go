// Package activationtest is a test double: a merchant inside the process that
// signs real envelopes, a clock that tests move, and machines that they break.
// It is for tests only and not stable API.
package activationtest

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"sync"

	"licenseagent.example/activation"
	"licenseagent.example/activation/license"
	"licenseagent.example/fingerprint"
)

// Offer is what one authorization code buys. Zero values: product "studio", one
// seat, ten devices, no end, renew-by after 30 days, grace of 14 days.
type Offer struct {
	Product  string
	Edition  string
	Features []string
	Seats    int64
	Devices  int
	Starts   int64 // not-before, 0: at once
	Expires  int64
	Renew    int64 // seconds from issue to renew-by
	Grace    int64 // seconds from renew-by to grace-until
	Policy   fingerprint.Policy
}

// seat is one license: a code on a device, and its chain.
type seat struct {
	id, code, device string
	key              license.PublicKey
	seq, prevSeq     int64
	head, prevHead   string
	nonce            string // answered last
	reply            activation.Answer
	state            string // a license.Notice* state
}

// Merchant is an activation.Issuer. All methods are safe for concurrent use.
type Merchant struct {
	issuer string
	now    func() int64

	mu      sync.Mutex
	root    license.Signer
	licKey  license.Signer
	noteKey license.Signer
	keySet  license.KeySet
	keyEnv  []byte
	offers  map[string]Offer
	seats   map[string]*seat
	serial  int64

	// Forks counts requests that were judged to come from a second copy.
	Forks int
	// AcceptOneBehind is a control: it takes "one behind" for a lost reply
	// without looking at the nonce, which hides copies that take turns.
	AcceptOneBehind bool
	// Alter changes a license before it is signed: a merchant that errs, or whose
	// issuing key was stolen. May be nil.
	Alter func(c *license.Claims)
	// Before sees each request before it is executed; an error stands for a
	// request that was lost. May be nil.
	Before func(req *license.Request) error
	// After sees each answer before it is delivered; an error stands for a
	// reply that was lost. It may change the answer. May be nil.
	After func(req *license.Request, a *activation.Answer) error
}

// NewMerchant makes a merchant with fresh keys derived from its name; now is
// its clock in UTC seconds.
func NewMerchant(issuer string, now func() int64) *Merchant {
	m := &Merchant{
		issuer: issuer, now: now, offers: map[string]Offer{}, seats: map[string]*seat{},
		root: Signer(issuer + " root"), licKey: Signer(issuer + " license 1"), noteKey: Signer(issuer + " notice 1"),
	}
	m.publish(nil, nil)
	return m
}

// Signer is an Ed25519 key derived from a name.
func Signer(name string) license.Signer {
	seed := sha256.Sum256([]byte("activationtest " + name))
	s, err := license.NewEd25519Signer(seed[:])
	must(err)
	return s
}

// must is for what cannot fail unless this package is wrong.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// publish signs the next key set.
func (m *Merchant) publish(revokedKeys, revokedLicenses []string) {
	ks := license.KeySet{
		V: 1, Issuer: m.issuer, Version: m.keySet.Version + 1, NotBefore: m.now() - 86400, Expires: m.now() + 390*86400,
		Roots:      license.RootKeys{Threshold: 1, Keys: []license.PublicKey{m.root.Public()}},
		Revoked:    slices.Concat(m.keySet.Revoked, revokedKeys),
		RevokedLic: slices.Concat(m.keySet.RevokedLic, revokedLicenses),
	}
	for _, k := range []struct {
		s   license.Signer
		use string
	}{{m.licKey, license.UseLicense}, {m.noteKey, license.UseNotice}} {
		p := k.s.Public()
		ks.Keys = append(ks.Keys, license.OnlineKey{ID: license.KeyID(p), Use: k.use, Alg: p.Alg, Pub: p.Pub})
	}
	for _, k := range m.keySet.Keys {
		if !slices.ContainsFunc(ks.Keys, func(o license.OnlineKey) bool { return o.ID == k.ID }) {
			ks.Keys = append(ks.Keys, k)
		}
	}
	slices.SortFunc(ks.Keys, func(a, b license.OnlineKey) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	slices.Sort(ks.Revoked)
	slices.Sort(ks.RevokedLic)
	env, err := license.SealKeySet(ks, m.root)
	must(err)
	m.keySet, m.keyEnv = ks, env
}

// Anchor is the trust anchor of this merchant.
func (m *Merchant) Anchor() license.Anchor {
	return license.Anchor{V: 1, Issuer: m.issuer, Roots: license.RootKeys{Threshold: 1, Keys: []license.PublicKey{m.root.Public()}}}
}

// AddCode puts an authorization code on sale.
func (m *Merchant) AddCode(code string, o Offer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	set := func(v *int64, d int64) {
		if *v == 0 {
			*v = d
		}
	}
	set(&o.Seats, 1)
	set(&o.Expires, license.NoEnd)
	set(&o.Renew, 30*86400)
	set(&o.Grace, 14*86400)
	if o.Product == "" {
		o.Product = "studio"
	}
	if o.Devices == 0 {
		o.Devices = 10
	}
	if o.Policy.Name == "" {
		p, err := fingerprint.Preset("balanced")
		must(err)
		o.Policy = p
	}
	m.offers[code] = o
}

// SetState freezes, revokes or unfreezes every license of a code.
func (m *Merchant) SetState(code, state string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.seats {
		if s.code == code {
			s.state = state
		}
	}
}

// RevokeLicenses publishes a key set that takes back these license ids.
func (m *Merchant) RevokeLicenses(ids ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.publish(nil, ids)
}

// RotateKeys signs with new keys from now on; revoke says whether the old
// license key is taken back.
func (m *Merchant) RotateKeys(revoke bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var revoked []string
	if revoke {
		revoked = []string{license.KeyID(m.licKey.Public())}
	}
	v := fmt.Sprint(m.keySet.Version + 1)
	m.licKey, m.noteKey = Signer(m.issuer+" license "+v), Signer(m.issuer+" notice "+v)
	m.publish(revoked, nil)
}

// RevokeNoticeKey publishes a key set that takes back the key of the notices.
func (m *Merchant) RevokeNoticeKey() {
	m.mu.Lock()
	defer m.mu.Unlock()
	old := license.KeyID(m.noteKey.Public())
	m.noteKey = Signer(m.issuer + " notice after " + old)
	m.publish([]string{old}, nil)
}

// KeySet returns the current key set envelope.
func (m *Merchant) KeySet(context.Context) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.keyEnv, nil
}

// Send answers a request as the merchant service does.
func (m *Merchant) Send(_ context.Context, request []byte, _ string) (activation.Answer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	req, err := license.OpenRequest(request)
	if err != nil {
		return activation.Answer{}, &activation.RefusedError{Code: "bad-request", Message: err.Error(), Status: 400}
	}
	if m.Before != nil {
		if err := m.Before(req); err != nil {
			return activation.Answer{}, err
		}
	}
	a, err := m.answer(req)
	if err != nil {
		return activation.Answer{}, err
	}
	if m.After != nil {
		if err := m.After(req, &a); err != nil {
			return activation.Answer{}, err
		}
	}
	return a, nil
}

// File answers a request file with an answer file.
func (m *Merchant) File(request []byte) ([]byte, error) {
	a, err := m.Send(context.Background(), request, "")
	if err != nil {
		return nil, err
	}
	return Encode(a), nil
}

// Encode writes an answer as a file.
func Encode(a activation.Answer) []byte {
	out := []byte("{")
	for _, m := range []struct {
		name string
		env  []byte
	}{{"license", a.License}, {"notice", a.Notice}, {"keyset", a.KeySet}} {
		if len(m.env) == 0 {
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(out, `"`+m.name+`":`...)
		out = append(out, m.env...)
	}
	return append(out, "}\n"...)
}

func hash(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte(p + "\n"))
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

func salt(id string) ([]byte, string) {
	sum := sha256.Sum256([]byte("salt " + id))
	return sum[:], base64.StdEncoding.EncodeToString(sum[:])
}
