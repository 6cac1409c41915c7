package merchant

import (
	"context"
	"errors"
	"fmt"

	"licenseagent.example/activation"
	"licenseagent.example/activation/license"
	"licenseagent.example/activation/protocol"
	"licenseagent.example/fingerprint"
)

// Explanation is one device explained as it explains itself (license-agent
// why), from what was seen at its last contact. Parts show the first digits of
// salted hashes only: the same digits as on the device, so that both ends of a
// telephone line can compare them.
type Explanation struct {
	Device   DeviceInfo `json:"device"`
	SeenAt   int64      `json:"seen_at"` // UTC second of the observation, 0: none
	Verdict  Verdict    `json:"verdict"`
	Settled  *Verdict   `json:"settled,omitempty"` // once the same hardware was read for a day, where it differs
	Hardware string     `json:"hardware"`          // what may still be lost, in words
	Warning  bool       `json:"warning"`           // somebody should look before it breaks
	// Comparison holds the enrolled device against the observation.
	Comparison fingerprint.Comparison `json:"comparison"`
	Parts      []PartInfo             `json:"parts"`
	Assumed    []string               `json:"assumed"` // what a simulation assumed, in words
	// Chain is where a request file stands: current, retry, fork. Else "".
	Chain string `json:"chain,omitempty"`
}

// Verdict is what activation.Decide says, with its sentences.
type Verdict struct {
	activation.Verdict
	Message  string `json:"message"`
	NextStep string `json:"next_step,omitempty"`
}

// PartInfo is one part then and now, in the first digits of salted hashes.
type PartInfo struct {
	Kind   fingerprint.Kind  `json:"kind"`
	Result string            `json:"result"`
	Weight int               `json:"weight"`
	State  fingerprint.State `json:"state"`
	Reason string            `json:"reason,omitempty"`
	Then   []string          `json:"then"`
	Now    []string          `json:"now"`
}

// Why explains a device, by license id or device id, as it is (the zero
// scenario) or in a scenario. Nothing is written. Error: ErrNotFound.
func (s *Service) Why(ctx context.Context, id string, scenario activation.Scenario) (Explanation, error) {
	info, err := s.Device(ctx, id)
	if err != nil {
		return Explanation{}, err
	}
	return s.explain(ctx, info, func(t *tx, one *seat) (Explanation, error) { return t.explain(one, scenario) })
}

// explain gives a seat to somebody who does not save it.
func (s *Service) explain(ctx context.Context, info DeviceInfo, how func(*tx, *seat) (Explanation, error)) (x Explanation, err error) {
	err = s.change(ctx, func(t *tx) error {
		one, err := t.seat(seatByLicense, info.License)
		if err != nil {
			return err
		}
		x, err = how(t, one)
		return err
	})
	x.Device = info
	return x, err
}

// Explain explains the hardware and the chain position of a request file
// against what is enrolled. Nothing is written and nothing is issued.
func (s *Service) Explain(ctx context.Context, envelope []byte) (Explanation, error) {
	req, err := license.OpenRequest(envelope)
	if err != nil {
		return Explanation{}, openRefusal(err)
	}
	device, err := observed(req)
	if err != nil {
		return Explanation{}, err
	}
	id := req.License
	if id == "" {
		id = req.Device
	}
	info, err := s.Device(ctx, id)
	if err == nil && info.Device != req.Device {
		err = refuse(protocol.CodeUnknownLicense)
	}
	if err != nil {
		return Explanation{}, err
	}
	return s.explain(ctx, info, func(t *tx, one *seat) (Explanation, error) {
		if _, err := one.see(device, t.now); err != nil {
			return Explanation{}, err
		}
		x, err := t.explain(one, activation.Scenario{})
		x.Chain = one.position(req)
		return x, err
	})
}

// position names where a request stands on the chain of the seat.
func (s *seat) position(req *license.Request) string {
	switch {
	case s.seq == req.Seq && s.head == req.Head:
		return "current"
	case s.prevSeq == req.Seq && s.prevHead == req.Head && s.lastNonce == req.Nonce:
		return "retry"
	}
	return "fork"
}

func (t *tx) explain(s *seat, scenario activation.Scenario) (Explanation, error) {
	in, seen, err := t.inputs(s)
	if err != nil {
		return Explanation{}, err
	}
	x := Explanation{SeenAt: s.seenAt, Parts: []PartInfo{}, Assumed: scenario.Words("en")}
	if len(x.Assumed) > 0 {
		in, seen = scenario.In(in, seen)
	}
	why := activation.Explain(in, seen)
	x.Verdict, x.Comparison = spoken(why.Held.Verdict), in.Comparison
	if why.Settled.Phase != why.Held.Verdict.Phase {
		settled := spoken(why.Settled)
		x.Settled = &settled
	}
	tolerance := activation.ToleranceOf(in.Comparison)
	x.Hardware, x.Warning = tolerance.Sentence("en"), tolerance.Warn
	for _, p := range why.Parts {
		x.Parts = append(x.Parts, PartInfo{
			Kind: p.Kind, Result: p.Result, Weight: p.Weight, State: p.State, Reason: p.Reason,
			Then: append([]string{}, p.Then...), Now: append([]string{}, p.Digits...),
		})
	}
	return x, nil
}

func spoken(v activation.Verdict) Verdict {
	return Verdict{Verdict: v, Message: activation.Sentence(v.Reason, "en", v), NextStep: activation.Sentence(v.Next, "en", v)}
}

// inputs is what the device would give Decide now if its clock is right and its
// hardware is as it was last seen. What only the device remembers (how often a
// worse read was seen) is not known here.
func (t *tx) inputs(s *seat) (activation.Inputs, []fingerprint.Seen, error) {
	in := activation.Inputs{Now: t.now, Contact: s.contact, Contested: s.contested > 0, Warn: activation.DefaultWarn}
	in.Clock.Wall, in.Clock.HighWater = t.now, t.now
	if t.keys == nil || t.keys.set == nil {
		return in, nil, ErrNotInitialised
	}
	in.Revoked = t.keys.set.LicenseRevoked(s.license)
	claims, err := t.held(s)
	if err != nil {
		return in, nil, err
	}
	in.License = claims
	if s.lastNotice != "" {
		if in.Notice, err = t.keys.set.OpenNotice([]byte(s.lastNotice)); err != nil && !errors.Is(err, license.ErrKeyRevoked) {
			return in, nil, fmt.Errorf("merchant: activation %s: notice: %w", s.license, err)
		}
	}
	seen, err := s.lastSeen()
	if err != nil {
		return in, nil, err
	}
	e, err := s.enrolled()
	if err != nil {
		return in, nil, err
	}
	in.Comparison = fingerprint.CompareSeen(claims.Device.Policy, e, seen)
	return in, seen, nil
}

// held is the license that the device holds. After a notice its bytes are not
// kept; then it is what would have been signed at that contact.
func (t *tx) held(s *seat) (*license.Claims, error) {
	if s.lastLicense != "" {
		c, err := t.keys.set.OpenLicense([]byte(s.lastLicense))
		if err == nil {
			return c, nil
		}
		if !errors.Is(err, license.ErrKeyRevoked) {
			return nil, fmt.Errorf("merchant: activation %s: license: %w", s.license, err)
		}
	}
	then := *t
	then.now = s.contact
	c, err := then.claims(s, &incoming{req: &license.Request{Nonce: s.lastNonce}})
	return &c, err
}
