package activation

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"sort"
	"unicode/utf8"

	"licenseagent.example/activation/license"
	"licenseagent.example/fingerprint"
)

// The device chain. Agent and merchant both remember (seq, head) of each
// license. A request names the position and a fresh nonce that is on disk
// before it is sent; an answer moves both one step. The merchant answers a
// request from one step behind with the very same bytes when the nonce is the
// one it answered then (a lost reply), and calls everything else a fork: two
// machines continue one chain. Accepting "one behind" without the nonce would
// hide two copies that take turns for ever.

// maxReportedDays is how many days of use one request carries.
const maxReportedDays = 400

// ask makes the signed request for the position of rec and the record that must
// be on disk before it is sent. code is for activations and rebinds.
func (l *Lifecycle) ask(v *view, rec Record, kind, code string, offline bool) (Record, error) {
	nonce := make([]byte, NonceSize)
	if _, err := io.ReadFull(l.cfg.Rand, nonce); err != nil {
		return rec, fmt.Errorf("activation: drawing a nonce: %w", err)
	}
	r := l.cfg.Clock()
	now, _ := v.clock.Believe(r)
	req := l.describe(v, rec.Key.Issuer, r)
	req.Kind, req.Product, req.Code = kind, rec.Key.Product, code
	req.Nonce, req.Offline = base64.StdEncoding.EncodeToString(nonce), offline
	if kind != license.RequestActivate {
		req.License, req.Seq, req.Head = licenseID(v, rec), rec.Seq, rec.Head
		req.Days = l.usedDays(v, rec)
		if l.cfg.SeatPeak != nil {
			req.Peak = l.cfg.SeatPeak(rec.Key)
		}
	}
	env, err := license.SealRequest(req, l.cfg.Device)
	if err != nil {
		return rec, fmt.Errorf("%w: %w", ErrKind, err)
	}
	sum := sha256.Sum256(env)
	rec.Days = req.Days
	rec.Pending = &Pending{
		Kind: kind, Nonce: req.Nonce, Request: env, IdemKey: hex.EncodeToString(sum[:16]),
		At: now, Offline: offline, Boot: r.Boot, BootID: r.BootID,
	}
	return rec, nil
}

// describe fills in what a request says of this device.
func (l *Lifecycle) describe(v *view, issuer string, r Reading) license.Request {
	req := license.Request{
		V: 1, Issuer: issuer, Device: l.deviceID, Key: l.pub,
		Fingerprint: fingerprint.Format(*v.device).String, Env: v.device.Env.Kind,
		Time: max(r.Wall, 0), Agent: l.cfg.AgentVersion,
	}
	for _, c := range settledParts(*v.device) {
		req.Parts = append(req.Parts, license.ObservedPart{Kind: c.Kind, State: c.State, Alt: spellings(c)})
	}
	if k := v.keySets[issuer]; k != nil && k.set != nil {
		req.KeySet = k.set.Version
	}
	return req
}

// Preview is what an activation would send, without code and nonce, so that an
// operator can decide before anything leaves the machine.
func (l *Lifecycle) Preview(issuer string) (license.Request, error) {
	if _, err := l.anchor(issuer); err != nil {
		return license.Request{}, err
	}
	req := l.describe(l.snap.Load(), issuer, l.cfg.Clock())
	req.Kind = license.RequestActivate
	return req, nil
}

// spellings are the other forms of the values of a part, as far as a request
// may carry them. What hardware reports as text may be anything.
func spellings(c fingerprint.Component) []string {
	var alt []string
	for _, v := range c.Values {
		for _, a := range v.Alt {
			if s := fingerprint.Canonical(a); s != "" && len(s) <= fingerprint.MaxValue && utf8.ValidString(s) {
				alt = append(alt, s)
			}
		}
	}
	sort.Strings(alt)
	alt = slices.Compact(alt)
	return alt[:min(len(alt), fingerprint.MaxHashes)]
}

// licenseID is the id to ask for, also when the license held does not verify
// any more: the merchant can settle that.
func licenseID(v *view, rec Record) string {
	if e := v.exact(rec.Key); e != nil && e.claims != nil {
		return e.claims.ID
	}
	var c license.Claims
	if unverified(rec.License, &c) != nil {
		return ""
	}
	return c.ID
}

// usedDays are the days with a check since the last answer, newest kept.
func (l *Lifecycle) usedDays(v *view, rec Record) []string {
	days := slices.Clone(rec.Days)
	if e := v.exact(rec.Key); e != nil {
		if d := e.used.Load(); d != 0 {
			days = append(days, dayText(d))
		}
	}
	sort.Strings(days)
	days = slices.Compact(days)
	return days[max(0, len(days)-maxReportedDays):]
}

// unreported are the days of use that the request now answered did not carry.
func (l *Lifecycle) unreported(v *view, asked Record) []string {
	req, err := license.OpenRequest(asked.Pending.Request)
	if err != nil || req.Kind == license.RequestActivate {
		return nil
	}
	return slices.DeleteFunc(l.usedDays(v, asked), func(d string) bool { return slices.Contains(req.Days, d) })
}

// opened is an answer whose signatures hold and that is for this device.
type opened struct {
	keys       *heldKeySet
	license    []byte
	claims     *license.Claims
	noticeEnv  []byte
	notice     *license.Notice
	product    string
	nonce      string
	seq        int64
	head       string
	serverTime int64
	calendar   string
}

// open verifies an answer with the anchor and the key set held before. Errors
// wrap ErrAnswer, or ErrWrongAnswer for another device's.
func (l *Lifecycle) open(a license.Anchor, prev *license.KeySet, ans Answer) (opened, error) {
	set, err := license.OpenKeySet(a, prev, ans.KeySet)
	if err != nil {
		return opened{}, fmt.Errorf("%w: key set: %w", ErrAnswer, err)
	}
	if _, err := Calendar(ans.Calendar); err != nil {
		return opened{}, err
	}
	o := opened{keys: &heldKeySet{env: ans.KeySet, set: set}, calendar: ans.Calendar}
	var device string
	if len(ans.Notice) > 0 {
		n, err := set.OpenNotice(ans.Notice)
		if err != nil {
			return opened{}, fmt.Errorf("%w: notice: %w", ErrAnswer, err)
		}
		o.noticeEnv, o.notice = ans.Notice, n
		o.product, o.nonce, o.seq, o.head, o.serverTime, device = n.Product, n.Nonce, n.Seq, n.Head, n.ServerTime, n.Device
	}
	if len(ans.License) > 0 {
		c, err := set.OpenLicense(ans.License)
		if err != nil {
			return opened{}, fmt.Errorf("%w: license: %w", ErrAnswer, err)
		}
		if n := o.notice; n != nil && (n.License != c.ID || n.Nonce != c.Nonce || n.Seq != c.Seq || n.Head != c.Head || n.Product != c.Product || n.Device != c.Device.ID) {
			return opened{}, fmt.Errorf("%w: license and notice are not from one answer", ErrAnswer)
		}
		o.license, o.claims = ans.License, c
		o.product, o.nonce, o.seq, o.head, o.serverTime, device = c.Product, c.Nonce, c.Seq, c.Head, c.ServerTime, c.Device.ID
	}
	if o.claims == nil && o.notice == nil {
		return o, nil // a key set alone: news about revocations
	}
	if device != l.deviceID {
		return opened{}, fmt.Errorf("%w: and to another device", ErrWrongAnswer)
	}
	if set.Expired(o.serverTime) {
		// Licenses outlast their key set, but nothing new comes from it.
		return opened{}, fmt.Errorf("%w: %w", ErrAnswer, license.ErrKeySetExpired)
	}
	return o, nil
}

// answers says whether an opened answer continues rec: the nonce on disk comes
// back, for the same license, and the chain moves on.
func (o opened) answers(rec Record, heldID string) error {
	p := rec.Pending
	switch {
	case p == nil || p.Nonce != o.nonce:
		return ErrWrongAnswer
	case rec.Key.Product != "" && o.product != rec.Key.Product:
		return fmt.Errorf("%w: it is for product %s", ErrWrongAnswer, o.product)
	case p.Kind == license.RequestActivate:
		if o.claims == nil {
			return fmt.Errorf("%w: an activation without a license", ErrAnswer)
		}
		return nil
	case o.seq <= rec.Seq || o.head == rec.Head:
		return fmt.Errorf("%w: the chain does not move on", ErrAnswer)
	}
	id := ""
	if o.claims != nil {
		id = o.claims.ID
	} else {
		id = o.notice.License
	}
	if id != heldID && p.Kind != license.RequestRebind {
		return fmt.Errorf("%w: it is for another license", ErrWrongAnswer)
	}
	return nil
}

// answered is the entry that has taken the answer to a nonce, nil for none.
func (v *view) answered(issuer, nonce string) *entry {
	for _, e := range v.entries {
		if e.rec.Key.Issuer == issuer && slices.Contains(e.rec.UsedNonce, nonce) {
			return e
		}
	}
	return nil
}

// settle is the record after an answer.
func (o opened) settle(rec Record) Record {
	rec.UsedNonce = append(slices.Clone(rec.UsedNonce), o.nonce)
	rec.UsedNonce = rec.UsedNonce[max(0, len(rec.UsedNonce)-keptNonces):]
	rec.Pending, rec.Failures, rec.LastError = nil, 0, ""
	rec.Seq, rec.Head, rec.Contact = o.seq, o.head, o.serverTime
	if o.claims != nil {
		rec.Key.Product = o.product
		rec.License, rec.Notice, rec.Contested = o.license, nil, false
	}
	if o.notice != nil {
		rec.Notice, rec.Contested = o.noticeEnv, o.notice.State == license.NoticeContested
	}
	return rec
}

// ended says whether the merchant has nothing more to say about this license.
func (o opened) ended() bool {
	return o.notice != nil && (o.notice.State == license.NoticeRevoked || o.notice.State == license.NoticeReleased)
}
