package merchant

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"

	"licenseagent.example/activation/license"
	"licenseagent.example/activation/protocol"
	"licenseagent.example/fingerprint"
)

// observed turns the string and the states of a request into an observation.
func observed(r *license.Request) (fingerprint.Device, error) {
	parsed, err := fingerprint.Parse(r.Fingerprint)
	if err != nil {
		return fingerprint.Device{}, refuse(protocol.CodeBadRequest)
	}
	states := map[fingerprint.Kind]fingerprint.State{}
	alt := map[fingerprint.Kind][]string{}
	for _, p := range r.Parts {
		states[p.Kind], alt[p.Kind] = p.State, p.Alt
		if p.State == fingerprint.OK {
			// Read, but left out of the string (its size limit): there is
			// something that we do not see, which is not "changed".
			states[p.Kind] = fingerprint.Unreadable
		}
	}
	return parsed.Device(r.Env, states, alt), nil
}

// crowdHash is a hardware value as the popularity table knows it: under a key
// of the merchant's own, because the salts of licenses differ on purpose.
func (s *Service) crowdHash(k fingerprint.Kind, value string) string {
	mac := hmac.New(sha256.New, s.crowd)
	mac.Write([]byte(string(k) + "\n" + fingerprint.Canonical(value)))
	return hex.EncodeToString(mac.Sum(nil))
}

// popular says whether so many other devices showed a value that it identifies
// none, and counts this device.
func (t *tx) popular(device string, k fingerprint.Kind, value string) (bool, error) {
	h := t.svc.crowdHash(k, value)
	var others int64
	if err := t.beside.row(`SELECT COUNT(*) FROM popular WHERE value = $1 AND device <> $2`, h, device).Scan(&others); err != nil {
		return false, fmt.Errorf("merchant: popular values: %w", err)
	}
	limit := t.svc.opts.Terms.PopularAt
	if others > limit {
		return true, nil // settled: no need to count further
	}
	n, err := t.beside.exec(`INSERT INTO popular (value, device) VALUES ($1, $2) ON CONFLICT (value, device) DO NOTHING`, h, device)
	if err == nil && n == 1 && others == limit {
		// From now on it identifies none, also of those that came before.
		_, err = t.exec(`UPDATE activations SET crowded = 1 WHERE device_id IN (SELECT device FROM popular WHERE value = $1)`, h)
	}
	return others >= limit, err
}

// dropPopular takes values that have become popular since out of what a seat is
// recognised by. A device that would be left with nothing keeps them: it did
// nothing wrong, and what is left to hold it is its key and its contact anyway.
func (t *tx) dropPopular(s *seat, in *incoming) error {
	if s.crowded == 0 {
		return nil
	}
	if _, err := t.exec(`UPDATE activations SET crowded = 0 WHERE license_id = $1`, s.license); err != nil {
		return err
	}
	e, err := s.enrolled()
	if err != nil {
		return err
	}
	present, err := t.uncommon(in.req.Device, in.device)
	if err != nil {
		return err
	}
	all, own := fingerprint.Enroll(e.Salt, in.device), fingerprint.Enroll(e.Salt, present)
	left := fingerprint.Enrolled{Env: e.Env, Salt: e.Salt}
	var dropped []fingerprint.Kind
	for _, p := range e.Parts {
		popular := func(h string) bool {
			return slices.Contains(all.Hashes(p.Kind), h) && !slices.Contains(own.Hashes(p.Kind), h)
		}
		hashes := slices.DeleteFunc(slices.Clone(p.Hashes), popular)
		if len(hashes) < len(p.Hashes) {
			dropped = append(dropped, p.Kind)
		}
		if len(hashes) > 0 {
			left.Parts = append(left.Parts, fingerprint.Part{Kind: p.Kind, Hashes: hashes})
		}
	}
	if len(dropped) == 0 || !left.Identified() {
		return nil
	}
	if err := s.enrol(left); err != nil {
		return err
	}
	if _, err := s.see(in.device, t.now); err != nil {
		return err
	}
	return t.audit(in.actor(), "device.popular-dropped", s.license, map[string]any{"parts": dropped})
}

// uncommon returns the observation without values that many machines share. CPU
// ids are model codes, shared by design and weighted so: they stay.
func (t *tx) uncommon(device string, d fingerprint.Device) (fingerprint.Device, error) {
	for _, c := range []*fingerprint.Component{&d.MAC, &d.Disk, &d.Board} {
		var keep []fingerprint.Value
		var alt []string
		for _, v := range c.Values {
			common, err := t.popular(device, c.Kind, v.Text)
			if err != nil {
				return d, err
			}
			alt = append(alt, v.Alt...)
			if !common {
				keep = append(keep, fingerprint.Value{Text: v.Text, Source: v.Source})
			}
		}
		if len(keep) > 0 {
			// Other spellings arrive per part, not per value.
			keep[0].Alt = slices.Compact(alt)
			c.Values = keep
		} else if len(c.Values) > 0 {
			c.Values, c.State, c.Reason = nil, fingerprint.Placeholder, "shared by many machines"
		}
	}
	return d, nil
}

// enrol makes the remembered form of a device with a fresh salt. A device that
// shows nothing of its own cannot hold a seat, because its license would fit
// them all, unless the vendor allowed it for this code.
func (t *tx) enrol(device string, d fingerprint.Device, unidentified bool) (fingerprint.Enrolled, error) {
	d, err := t.uncommon(device, d)
	if err != nil {
		return fingerprint.Enrolled{}, err
	}
	salt := make([]byte, 32)
	if _, err := io.ReadFull(t.svc.opts.Rand, salt); err != nil {
		return fingerprint.Enrolled{}, fmt.Errorf("merchant: salt: %w", err)
	}
	e := fingerprint.Enroll(salt, d)
	if !e.Identified() && !unidentified {
		return e, refuse(protocol.CodeNoIdentity)
	}
	return e, nil
}

// recognise decides what the hardware in a request means for its seat: nil when
// it is the same machine, a refusal when it is another one (a copied device
// key; the seat is contested then) or cannot be told. The virtual machine whose
// only value was made anew is taken over here (fingerprint.Enrolled.Remade).
func (t *tx) recognise(s *seat, in *incoming) (fingerprint.Comparison, error) {
	c, err := s.see(in.device, t.now)
	if err != nil {
		return c, err
	}
	if c.Outcome == fingerprint.Same || c.Unidentified() {
		return c, nil // nearly always
	}
	if remade, err := t.remade(s, in, c); err != nil {
		return c, err
	} else if remade {
		return t.takeOver(s, in, "remade: "+c.Why)
	}
	if c.Outcome == fingerprint.Indeterminate {
		if err := t.save(s); err != nil { // support is asked what could not be read
			return c, err
		}
		return c, refuse(protocol.CodeDeviceUnread)
	}
	if err := t.contest(s, "other-hardware", in); err != nil {
		return c, err
	}
	if err := t.save(s); err != nil {
		return c, err
	}
	return c, refuse(protocol.CodeDeviceMismatch)
}

// reenrol takes a repaired machine over: the policy no longer knows it, but the
// buyer's code and the device key are presented and a strong part is still the
// same, as after a new board. It counts as the self-service re-bind. Without any
// strong part in common it is another machine, whatever it presents.
func (t *tx) reenrol(s *seat, in *incoming) (bool, error) {
	c, err := s.see(in.device, t.now)
	if err != nil || c.Outcome != fingerprint.Different || !c.StrongMatch {
		return false, err
	}
	if !t.mayRebind(s) {
		return false, refuse(protocol.CodeRebindLimit)
	}
	_, err = t.takeOver(s, in, c.Why)
	return err == nil, err
}

// mayRebind says whether the self-service re-bind of a seat is available.
func (t *tx) mayRebind(s *seat) bool {
	return s.rebound == 0 || t.now-s.rebound >= t.svc.opts.Terms.Rebind
}

// remade says whether a request comes from the virtual machine of the seat with
// its only value made anew: at the current place of the chain, nothing in
// dispute, no re-bind in the last month, and something of its own to show.
func (t *tx) remade(s *seat, in *incoming, c fingerprint.Comparison) (bool, error) {
	e, err := s.enrolled()
	if err != nil {
		return false, err
	}
	current := s.seq == in.req.Seq && s.head == in.req.Head
	if !e.Remade(c) || !current || s.contested > 0 || !t.mayRebind(s) {
		return false, nil
	}
	present, err := t.uncommon(in.req.Device, in.device)
	if err != nil {
		return false, err
	}
	return fingerprint.Enroll(e.Salt, present).Identified(), nil
}

// takeOver enrols the present hardware of a seat anew and counts it as the
// self-service re-bind.
func (t *tx) takeOver(s *seat, in *incoming, why string) (fingerprint.Comparison, error) {
	none := fingerprint.Comparison{}
	was, err := s.enrolled()
	if err != nil {
		return none, err
	}
	present, err := t.uncommon(in.req.Device, in.device)
	if err != nil {
		return none, err
	}
	if err := s.enrol(fingerprint.Enroll(was.Salt, present)); err != nil {
		return none, err
	}
	s.contested, s.contestWhy, s.rebound = 0, "", t.now
	if err := t.audit(in.actor(), "device.re-enrol", s.license, map[string]any{"why": why}); err != nil {
		return none, err
	}
	return s.see(in.device, t.now)
}

// rollForward brings the seat's reference up to date (fingerprint.Roll): one
// strong part at a time, at most one in Terms.Roll, so that repaired machines
// stay recognisable but nobody exchanges a machine plank by plank. The caller
// has recognised the device.
func (t *tx) rollForward(s *seat, in *incoming) error {
	limit := 1
	if t.now-s.rolled < t.svc.opts.Terms.Roll {
		limit = 0
	}
	e, err := s.enrolled()
	if err != nil {
		return err
	}
	// Nearly every renewal shows nothing new: ask for popular values only then.
	if next, _ := fingerprint.Roll(e, in.device, limit); sameParts(e, next) {
		return nil
	}
	present, err := t.uncommon(in.req.Device, in.device)
	if err != nil {
		return err
	}
	next, kinds := fingerprint.Roll(e, present, limit)
	if sameParts(e, next) {
		return nil
	}
	if err := s.enrol(next); err != nil {
		return err
	}
	if len(kinds) > 0 {
		s.rolled = t.now
	}
	if _, err := s.see(in.device, t.now); err != nil {
		return err
	}
	return t.audit(in.actor(), "device.roll-forward", s.license, map[string]any{"parts": kinds})
}

func sameParts(a, b fingerprint.Enrolled) bool {
	return slices.EqualFunc(a.Parts, b.Parts, func(x, y fingerprint.Part) bool {
		return x.Kind == y.Kind && slices.Equal(x.Hashes, y.Hashes)
	})
}
