package merchant

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"licenseagent.example/activation/license"
	"licenseagent.example/activation/protocol"
	"licenseagent.example/fingerprint"
)

// incoming is a request that was verified and waits for its transaction.
type incoming struct {
	req    *license.Request
	device fingerprint.Device
	body   string // hex SHA-256 of the envelope
	idem   string // hash of the Idempotency-Key, "" for none
}

func (in *incoming) actor() string { return in.req.Device }

// lock names what answering locks first: the code of an activation or re-bind
// (which then locks seats), the seat of everything else.
func (in *incoming) lock(pepper []byte) string {
	if in.req.Code != "" {
		return "code " + lookup(pepper, in.req.Code)
	}
	return "seat " + in.req.License
}

// outcome is what a request is answered with.
type outcome struct {
	license, notice string
	keySet          int64
}

// Process answers one sealed request, whether it came over HTTPS or in a file.
// kind is the kind that the caller expects, "" for any. Errors are *Refusal for
// what the requester can know, anything else is the service's own failure.
func (s *Service) Process(ctx context.Context, envelope []byte, kind, idempotencyKey string) (protocol.Answer, error) {
	req, err := license.OpenRequest(envelope)
	if err != nil {
		return protocol.Answer{}, openRefusal(err)
	}
	if kind != "" && req.Kind != kind {
		return protocol.Answer{}, refuse(protocol.CodeBadRequest)
	}
	if s.issuer == "" {
		return protocol.Answer{}, refuse(protocol.CodeUnavailable)
	}
	if req.Issuer != s.issuer {
		return protocol.Answer{}, refuse(protocol.CodeWrongIssuer)
	}
	device, err := observed(req)
	if err != nil {
		return protocol.Answer{}, err
	}
	in := &incoming{req: req, device: device, body: hash(string(envelope))}
	if idempotencyKey != "" {
		in.idem = hash(req.Device + "\n" + idempotencyKey)
	}
	var out outcome
	var keySet string
	ask := func(t *tx) error {
		o, err := t.answer(in)
		if err != nil {
			return err
		}
		keySet, err = t.keySet(o.keySet)
		out = o
		return err
	}
	err = s.changeSeat(ctx, in, ask)
	if s.redeemable(req, err) {
		if err = s.redeem(ctx, req.Code, req.Product); err == nil {
			err = s.changeSeat(ctx, in, ask)
		}
	}
	s.metrics.requests.WithLabelValues(req.Kind, resultOf(err)).Inc()
	if err != nil {
		return protocol.Answer{}, err
	}
	calendar := s.clock().In(s.market.Calendar).Format("-07:00")
	return protocol.Answer{License: []byte(out.license), Notice: []byte(out.notice), KeySet: []byte(keySet), Calendar: calendar}, nil
}

// changeSeat is change for a request of a device.
func (s *Service) changeSeat(ctx context.Context, in *incoming, run func(t *tx) error) error {
	j := &job{ctx: ctx, lock: in.lock(s.pepper), run: run}
	if in.req.Code == "" {
		j.seat = in.req.License
	}
	return s.put(s.queue, j)
}

func resultOf(err error) string {
	var r *Refusal
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &r):
		return string(r.Code)
	}
	return string(protocol.CodeInternal)
}

func openRefusal(err error) error {
	switch {
	case errors.Is(err, license.ErrTooLarge):
		return refuse(protocol.CodeTooLarge)
	case errors.Is(err, license.ErrSignature), errors.Is(err, license.ErrDevice):
		return refuse(protocol.CodeBadSignature)
	}
	return refuse(protocol.CodeBadRequest)
}

func hash(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

// keySet returns the envelope of a version: the answer to a retry carries the
// one it carried the first time.
func (t *tx) keySet(version int64) (string, error) {
	if t.keys.set != nil && t.keys.set.Version == version {
		return string(t.keys.envelope), nil
	}
	var text string
	if err := t.beside.row(`SELECT envelope FROM keysets WHERE version = $1`, version).Scan(&text); err != nil {
		return "", fmt.Errorf("merchant: key set %d: %w", version, err)
	}
	return text, nil
}

// answer runs one request inside its transaction.
func (t *tx) answer(in *incoming) (outcome, error) {
	// Rare requests are remembered by name and nonce; an on-line renewal is
	// remembered by its seat, which is read anyway.
	remember := in.req.Kind != license.RequestRenew || in.req.Offline
	if remember {
		if out, done, err := t.recall(in); done || err != nil {
			return out, err
		}
	}
	// Before anything is written: a refusal commits what its request wrote.
	for _, use := range []string{license.UseLicense, license.UseNotice} {
		if _, err := t.keys.signer(use, t.now); err != nil {
			return outcome{}, err
		}
	}
	var out outcome
	var err error
	switch in.req.Kind {
	case license.RequestActivate:
		out, err = t.activate(in)
	case license.RequestRebind:
		out, err = t.rebind(in)
	default:
		out, remember, err = t.chained(in, remember)
	}
	if err != nil {
		return out, err
	}
	if remember {
		err = t.remember(in, out)
	}
	return out, err
}

// activate takes a seat of a code. The check and the write are one transaction:
// Tailscale TS-2025-007 is a one-off key checked in one and consumed in another.
func (t *tx) activate(in *incoming) (outcome, error) {
	code, err := t.code(in)
	if err != nil {
		return outcome{}, err
	}
	s, err := t.seat(seatByDevice, code.id, in.req.Device)
	if err == nil {
		return t.settle(s, in)
	}
	if !errors.Is(err, ErrNotFound) {
		return outcome{}, err
	}
	var used int64
	if err := t.row(`SELECT COUNT(*) FROM activations WHERE code_id = $1 AND status = 'active'`, code.id).Scan(&used); err != nil {
		return outcome{}, fmt.Errorf("merchant: seats: %w", err)
	}
	if used >= code.devices {
		return outcome{}, refuse(protocol.CodeUsedUp)
	}
	if code.goods != "" {
		ok, err := t.bound(code, in.req, in.device)
		if err != nil {
			return outcome{}, err
		}
		if !ok {
			return outcome{}, refuse(protocol.CodeDeviceMismatch)
		}
	}
	e, err := t.enrol(in.req.Device, in.device, code.unidentified)
	if err != nil {
		return outcome{}, err
	}
	if code.firstUsed == 0 {
		code.firstUsed = t.now
		if _, err := t.exec(`UPDATE codes SET first_used = $1, updated = $2 WHERE id = $3`, t.now, t.now, code.id); err != nil {
			return outcome{}, err
		}
	}
	s = &seat{code: code, device: in.req.Device, key: in.req.Key, env: in.req.Env, status: statusActive, created: t.now}
	if err := s.enrol(e); err != nil {
		return outcome{}, err
	}
	if _, err := s.see(in.device, t.now); err != nil {
		return outcome{}, err
	}
	if s.license, err = t.newID("lic-"); err != nil {
		return outcome{}, err
	}
	if err := t.used(code.goods, s.device, []string{t.svc.market.day(t.now)}); err != nil {
		return outcome{}, err
	}
	if err := t.advance(s, in); err != nil {
		return outcome{}, err
	}
	if err := t.issueLicense(s, in, ""); err != nil {
		return outcome{}, err
	}
	if err := t.insert(s); err != nil {
		return outcome{}, err
	}
	return s.outcome(), t.audit(in.actor(), "seat.activate", s.license, map[string]any{"code": code.id, "device": s.device, "used": used + 1})
}

// code finds, locks and checks the code of an activation or re-bind.
func (t *tx) code(in *incoming) (entitlement, error) {
	var c entitlement
	q := t.svc.db.locking(codeByLookup, "c")
	rows, err := t.query(q, lookup(t.svc.pepper, in.req.Code))
	if err != nil {
		return c, fmt.Errorf("merchant: code: %w", err)
	}
	defer rows.Close()
	if !rows.Next() {
		if err := rows.Err(); err != nil {
			return c, fmt.Errorf("merchant: code: %w", err)
		}
		return c, refuse(protocol.CodeUnknownCode)
	}
	if err := rows.Scan(c.fields()...); err != nil {
		return c, fmt.Errorf("merchant: code: %w", err)
	}
	switch {
	case in.req.Product != "" && in.req.Product != c.product:
		return c, refuse(protocol.CodeWrongProduct)
	case c.status == statusFrozen:
		return c, refuse(protocol.CodeFrozen)
	case c.status == statusRevoked, c.market == standReleased:
		return c, refuse(protocol.CodeRevoked)
	case c.market == standFrozen:
		return c, refuse(protocol.CodeFrozen)
	case c.market == standExpired:
		return c, refuse(protocol.CodeEnded)
	case c.expires() <= t.now:
		return c, refuse(protocol.CodeEnded)
	}
	return c, nil
}

// rebind settles a seat that this device holds already.
func (t *tx) rebind(in *incoming) (outcome, error) {
	code, err := t.code(in)
	if err != nil {
		return outcome{}, err
	}
	s, err := t.seat(seatByDevice, code.id, in.req.Device)
	if errors.Is(err, ErrNotFound) || err == nil && in.req.License != "" && in.req.License != s.license {
		return outcome{}, refuse(protocol.CodeUnknownLicense)
	}
	if err != nil {
		return outcome{}, err
	}
	return t.settle(s, in)
}

// settle gives the holder of the code its own seat again, with a new start of
// the chain. A contested seat settles itself once in Terms.Rebind and only for
// the same hardware; after that a human decides.
func (t *tx) settle(s *seat, in *incoming) (outcome, error) {
	repaired, err := t.reenrol(s, in)
	if err != nil {
		return outcome{}, err
	}
	if !repaired {
		if _, err := t.recognise(s, in); err != nil {
			return outcome{}, err
		}
	}
	if s.contested > 0 && !repaired {
		if !t.mayRebind(s) {
			return outcome{}, refuse(protocol.CodeRebindLimit)
		}
		s.contested, s.contestWhy, s.rebound = 0, "", t.now
	}
	if err := t.advance(s, in); err != nil {
		return outcome{}, err
	}
	if err := t.issueLicense(s, in, ""); err != nil {
		return outcome{}, err
	}
	if err := t.save(s); err != nil {
		return outcome{}, err
	}
	return s.outcome(), t.audit(in.actor(), "seat.rebind", s.license, map[string]any{"kind": in.req.Kind})
}

// newID draws an identifier: 100 bits in Crockford's base 32, lower case.
func (t *tx) newID(prefix string) (string, error) {
	raw := make([]byte, 20)
	if _, err := io.ReadFull(t.svc.opts.Rand, raw); err != nil {
		return "", fmt.Errorf("merchant: drawing an id: %w", err)
	}
	for i, b := range raw {
		raw[i] = codeAlphabet[b&31]
	}
	return prefix + strings.ToLower(string(raw)), nil
}

// claims is the license of a seat, now.
func (t *tx) claims(s *seat, in *incoming) (license.Claims, error) {
	e, err := s.enrolled()
	if err != nil {
		return license.Claims{}, err
	}
	policy, err := s.policy()
	if err != nil {
		return license.Claims{}, err
	}
	terms := t.svc.opts.Terms
	renew, grace := terms.Renew, terms.Grace
	if s.code.renew > 0 {
		renew = s.code.renew
	}
	if s.code.grace > 0 {
		grace = s.code.grace
	}
	c := license.Claims{
		V: 1, Issuer: t.svc.issuer, ID: s.license, Product: s.code.product, Edition: s.code.edition, Seats: s.code.seats,
		Device: license.Device{ID: s.device, Env: s.env, Version: 1, Salt: s.salt, Parts: e.Parts, Policy: policy, Key: s.key},
		// Not before the seat's own start: a device whose clock is a minute
		// slow must be able to use a license the moment it is renewed.
		IssuedAt: t.now, NotBefore: s.created, Expires: s.code.expires(),
		Seq: s.seq, Head: s.head, KeySet: t.keys.set.Version, Nonce: in.req.Nonce, ServerTime: t.now,
	}
	c.RenewBy = min(t.now+renew, c.Expires)
	c.GraceUntil = min(c.RenewBy+grace, c.Expires)
	if err := json.Unmarshal([]byte(s.code.features), &c.Features); err != nil {
		return c, fmt.Errorf("merchant: code %s: features: %w", s.code.id, err)
	}
	if err := json.Unmarshal([]byte(s.code.limits), &c.Limits); err != nil {
		return c, fmt.Errorf("merchant: code %s: limits: %w", s.code.id, err)
	}
	return c, nil
}
