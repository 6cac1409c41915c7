package activationtest

import (
	"fmt"

	"licenseagent.example/activation"
	"licenseagent.example/activation/license"
	"licenseagent.example/fingerprint"
)

func refuse(code string, status int) error {
	return &activation.RefusedError{Code: code, Message: "The test merchant says " + code + ".", Hint: "Change the test.", Status: status}
}

// answer executes one request.
func (m *Merchant) answer(req *license.Request) (activation.Answer, error) {
	if req.Issuer != m.issuer {
		return activation.Answer{}, refuse("wrong-issuer", 403)
	}
	s, err := m.seat(req)
	if err != nil {
		return activation.Answer{}, err
	}
	if s.nonce == req.Nonce {
		return s.reply, nil // a lost reply: the same bytes again
	}
	switch req.Kind {
	case license.RequestActivate, license.RequestRebind:
		if s.state == license.NoticeReleased || s.state == license.NoticeContested {
			s.state = license.NoticeActive
		}
	default:
		current := req.Seq == s.seq && req.Head == s.head
		behind := req.Seq == s.prevSeq && req.Head == s.prevHead
		if !current && !(m.AcceptOneBehind && behind) {
			m.Forks++
			if s.state == license.NoticeActive {
				s.state = license.NoticeContested
			}
		}
		if req.Kind == license.RequestRelease && s.state != license.NoticeRevoked {
			s.state = license.NoticeReleased
		}
	}
	m.serial++
	s.prevSeq, s.prevHead = s.seq, s.head
	s.seq, s.head = s.seq+1, hash(s.head, req.Nonce, fmt.Sprint(m.serial))
	s.nonce = req.Nonce
	s.reply = m.reply(req, s)
	return s.reply, nil
}

// seat finds or makes the license a request is about.
func (m *Merchant) seat(req *license.Request) (*seat, error) {
	if req.Kind != license.RequestActivate && req.License != "" {
		s := m.seats[req.License]
		if s == nil || s.device != req.Device {
			return nil, refuse("unknown-license", 404)
		}
		return s, nil
	}
	o, ok := m.offers[req.Code]
	switch {
	case !ok:
		return nil, refuse("unknown-code", 403)
	case req.Product != "" && req.Product != o.Product:
		return nil, refuse("wrong-product", 403)
	}
	id := "lic-" + hash(req.Code, req.Device)
	if s := m.seats[id]; s != nil {
		return s, nil
	}
	used := 0
	for _, s := range m.seats {
		if s.code == req.Code && s.state != license.NoticeReleased {
			used++
		}
	}
	if used >= o.Devices {
		return nil, refuse("code-used-up", 409)
	}
	s := &seat{id: id, code: req.Code, device: req.Device, key: req.Key, state: license.NoticeActive}
	m.seats[id] = s
	return s, nil
}

// reply signs what the state of the license calls for.
func (m *Merchant) reply(req *license.Request, s *seat) activation.Answer {
	o, now := m.offers[s.code], m.now()
	a := activation.Answer{KeySet: m.keyEnv}
	if s.state != license.NoticeActive {
		env, err := license.SealNotice(license.Notice{
			V: 1, Issuer: m.issuer, License: s.id, Product: o.Product, Device: s.device, State: s.state, Reason: "test",
			Seq: s.seq, Head: s.head, KeySet: m.keySet.Version, Nonce: req.Nonce, ServerTime: now,
		}, m.noteKey)
		must(err)
		a.Notice = env
		return a
	}
	parsed, err := fingerprint.Parse(req.Fingerprint)
	must(err)
	alt := map[fingerprint.Kind][]string{}
	for _, p := range req.Parts {
		alt[p.Kind] = p.Alt
	}
	raw, text := salt(s.id)
	enrolled := fingerprint.EnrollParsed(raw, req.Env, parsed, alt)
	start := o.Starts
	if start == 0 {
		start = now
	}
	renew := min(max(now, start)+o.Renew, o.Expires)
	claims := license.Claims{
		V: 1, Issuer: m.issuer, ID: s.id, Product: o.Product, Edition: o.Edition, Seats: o.Seats, Features: o.Features,
		Device: license.Device{
			ID: s.device, Env: req.Env, Version: 1, Salt: text, Parts: enrolled.Parts, Policy: o.Policy, Key: s.key,
		},
		IssuedAt: now, NotBefore: start, Expires: o.Expires, RenewBy: renew, GraceUntil: min(renew+o.Grace, license.NoEnd),
		Seq: s.seq, Head: s.head, KeySet: m.keySet.Version, Nonce: req.Nonce, ServerTime: now,
	}
	if m.Alter != nil {
		m.Alter(&claims)
	}
	a.License, err = license.SealLicense(claims, m.licKey)
	must(err)
	return a
}
