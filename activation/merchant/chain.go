package merchant

import (
	"database/sql"
	"errors"
	"fmt"

	"licenseagent.example/activation/license"
	"licenseagent.example/activation/protocol"
	"licenseagent.example/fingerprint"
)

// chained answers a renewal or release by the chain rule: the current position
// is accepted; one position behind with the nonce answered last is a genuine
// retry and gets the same bytes; everything else is a fork, somebody holds a
// copy. Accepting "one behind" without the nonce would let two copies take
// turns for ever. The second result says whether to remember the answer.
func (t *tx) chained(in *incoming, remember bool) (outcome, bool, error) {
	s, err := t.seat(seatByLicense, in.req.License)
	if errors.Is(err, ErrNotFound) || err == nil && s.device != in.req.Device {
		// Whose license it is, is not for other devices to know.
		return outcome{}, false, refuse(protocol.CodeUnknownLicense)
	}
	if err != nil {
		return outcome{}, false, err
	}
	if s.code.product != in.req.Product {
		return outcome{}, false, refuse(protocol.CodeWrongProduct)
	}
	current := s.seq == in.req.Seq && s.head == in.req.Head
	behind := s.prevSeq == in.req.Seq && s.prevHead == in.req.Head
	if !current && behind && in.req.Nonce == s.lastNonce && !t.svc.forgets {
		if in.body != s.lastBody {
			return outcome{}, false, refuse(protocol.CodeIdempotency)
		}
		return s.outcome(), false, nil
	}
	if in.idem != "" && in.idem == s.lastIdem {
		return outcome{}, false, refuse(protocol.CodeIdempotency) // the same name for another request
	}
	invited, err := t.invited(s, in)
	if err != nil {
		return outcome{}, false, err
	}
	compared, err := t.admit(s, in)
	if err != nil {
		return outcome{}, false, err
	}
	if !current && !invited && s.status == statusActive {
		if current, err = t.reaccepted(s, in); err != nil {
			return outcome{}, false, err
		}
	}
	if !current && !invited && s.status == statusActive {
		if !remember { // not looked up before: renewals rarely need it
			if out, done, err := t.recall(in); done || err != nil {
				return out, false, err
			}
		}
		out, err := t.fork(s, in)
		return out, true, err
	}
	err = t.step(s, in, compared)
	return s.outcome(), remember, err
}

// admit looks at the hardware of a live seat. A release needs no more than that
// it is not another machine.
func (t *tx) admit(s *seat, in *incoming) (fingerprint.Comparison, error) {
	if s.status != statusActive {
		return fingerprint.Comparison{}, nil
	}
	c, err := t.recognise(s, in)
	var r *Refusal
	if errors.As(err, &r) && r.Code == protocol.CodeDeviceUnread && in.req.Kind == license.RequestRelease {
		err = nil
	}
	return c, err
}

// step answers a request that stands at the current position.
func (t *tx) step(s *seat, in *incoming, c fingerprint.Comparison) error {
	state, reason := "", ""
	switch {
	case s.status == statusReleased:
		state, reason = license.NoticeReleased, s.reason
	case s.status == statusRevoked || s.code.status == statusRevoked:
		state, reason = license.NoticeRevoked, "revoked-by-vendor"
	case in.req.Kind == license.RequestRelease:
		state, reason = license.NoticeReleased, "released-by-operator"
		s.status, s.reason = statusReleased, reason
		if err := t.audit(in.actor(), "seat.release", s.license, map[string]any{"code": s.code.id}); err != nil {
			return err
		}
	case s.code.status == statusFrozen:
		state, reason = license.NoticeSuspended, "frozen-by-vendor"
	case s.code.market == standFrozen:
		state, reason = license.NoticeSuspended, "frozen-by-marketplace"
	case s.code.market == standExpired:
		state, reason = license.NoticeSuspended, "expired-in-marketplace"
	case s.contested > 0:
		state, reason = license.NoticeContested, s.contestWhy
	case s.code.expires() <= t.now:
		return refuse(protocol.CodeEnded)
	}
	if err := t.advance(s, in); err != nil {
		return err
	}
	if err := t.statement(s, in, c, state, reason); err != nil {
		return err
	}
	return t.save(s)
}

// statement signs what the seat is told: a notice, or a license, with the
// notice "active" beside it when the last word was another one.
func (t *tx) statement(s *seat, in *incoming, c fingerprint.Comparison, state, reason string) error {
	if state != "" {
		s.lastLicense = ""
		if s.noticed != state {
			if err := t.audit(in.actor(), "seat.notice", s.license, map[string]any{"state": state, "reason": reason}); err != nil {
				return err
			}
		}
		return t.issueNotice(s, in, state, reason)
	}
	if err := t.dropPopular(s, in); err != nil {
		return err
	}
	if err := t.rollForward(s, in); err != nil {
		return err
	}
	s.renewals++
	if s.noticed == "" || s.noticed == license.NoticeActive {
		return t.issueLicense(s, in, "")
	}
	if err := t.audit(in.actor(), "seat.notice", s.license, map[string]any{"state": license.NoticeActive}); err != nil {
		return err
	}
	return t.issueLicense(s, in, license.NoticeActive)
}

// fork marks the seat and answers the copy that stands elsewhere. It is a
// statement, not a verdict: both copies run on until their renew-by, because a
// restored backup looks the same. The chain of the seat does not move.
func (t *tx) fork(s *seat, in *incoming) (outcome, error) {
	if err := t.contest(s, "fork", in); err != nil {
		return outcome{}, err
	}
	if err := t.save(s); err != nil {
		return outcome{}, err
	}
	other := *s
	other.seq, other.head = in.req.Seq, in.req.Head
	if err := t.advance(&other, in); err != nil {
		return outcome{}, err
	}
	other.lastLicense = ""
	var err error
	if other.head, err = t.strayHead(); err != nil {
		return outcome{}, err
	}
	err = t.issueNotice(&other, in, license.NoticeContested, s.contestWhy)
	return other.outcome(), err
}

// contest marks a seat once.
func (t *tx) contest(s *seat, why string, in *incoming) error {
	if s.contested > 0 {
		return nil
	}
	s.contested, s.contestWhy = t.now, why
	t.svc.metrics.contested.Inc()
	return t.audit(in.actor(), "seat.contested", s.license, map[string]any{"why": why, "seq": s.seq, "claimed": in.req.Seq})
}

// advance moves the chain one step for a request: the new head holds fresh
// randomness, so that nobody can compute it ahead.
func (t *tx) advance(s *seat, in *incoming) (err error) {
	s.prevSeq, s.prevHead = in.req.Seq, in.req.Head
	s.seq = max(s.seq, in.req.Seq) + 1
	s.epoch = t.epoch
	if s.head, err = t.newHead(s.license, s.seq); err != nil {
		return err
	}
	s.lastNonce, s.lastIdem, s.lastBody = in.req.Nonce, in.idem, in.body
	s.contact, s.agent = t.now, in.req.Agent
	s.uses, s.usesMost = in.req.Peak, max(s.usesMost, in.req.Peak)
	s.told = s.code.news
	if n := len(in.req.Days); n > 0 {
		s.lastDay = max(s.lastDay, in.req.Days[n-1])
	}
	return t.used(s.code.goods, s.device, in.req.Days)
}

func (s *seat) outcome() outcome {
	return outcome{license: s.lastLicense, notice: s.lastNotice, keySet: s.lastKeySet}
}

// issueLicense signs a license for the present position; state is that of a
// notice to accompany it, "" for none.
func (t *tx) issueLicense(s *seat, in *incoming, state string) error {
	signer, err := t.keys.signer(license.UseLicense, t.now)
	if err != nil {
		return err
	}
	c, err := t.claims(s, in)
	if err != nil {
		return err
	}
	envelope, err := license.SealLicense(c, signer)
	if err != nil {
		return fmt.Errorf("merchant: license %s: %w", s.license, err)
	}
	s.lastLicense, s.lastNotice, s.noticed, s.lastKeySet = string(envelope), "", "", t.keys.set.Version
	if state == "" {
		return nil
	}
	return t.issueNotice(s, in, state, "")
}

func (t *tx) issueNotice(s *seat, in *incoming, state, reason string) error {
	signer, err := t.keys.signer(license.UseNotice, t.now)
	if err != nil {
		return err
	}
	envelope, err := license.SealNotice(license.Notice{
		V: 1, Issuer: t.svc.issuer, License: s.license, Product: s.code.product, Device: s.device,
		State: state, Reason: reason, Seq: s.seq, Head: s.head,
		KeySet: t.keys.set.Version, Nonce: in.req.Nonce, ServerTime: t.now,
	}, signer)
	if err != nil {
		return fmt.Errorf("merchant: notice for %s: %w", s.license, err)
	}
	s.lastNotice, s.noticed, s.lastKeySet = string(envelope), state, t.keys.set.Version
	return nil
}

// recall finds an earlier answer to the same request. The same nonce or the
// same name with another body is refused: one of the two is not the request
// that was signed and written down before sending.
func (t *tx) recall(in *incoming) (outcome, bool, error) {
	if t.svc.forgets {
		return outcome{}, false, nil
	}
	var out outcome
	var body string
	err := t.beside.row(`SELECT body, license, notice, keyset FROM answers WHERE nonce = $1`, in.nonce()).
		Scan(&body, &out.license, &out.notice, &out.keySet)
	switch {
	case err == nil && body == in.body:
		return out, true, nil
	case err == nil:
		return outcome{}, true, refuse(protocol.CodeIdempotency)
	case !errors.Is(err, sql.ErrNoRows):
		return outcome{}, false, fmt.Errorf("merchant: answers: %w", err)
	case in.idem == "":
		return outcome{}, false, nil
	}
	err = t.beside.row(`SELECT body FROM idempotency WHERE name = $1`, in.idem).Scan(&body)
	switch {
	case errors.Is(err, sql.ErrNoRows), err == nil && body == in.body:
		return outcome{}, false, nil
	case err == nil:
		return outcome{}, true, refuse(protocol.CodeIdempotency)
	}
	return outcome{}, false, fmt.Errorf("merchant: idempotency: %w", err)
}

// nonce names a request among those of all devices.
func (in *incoming) nonce() string { return hash(in.req.Device + "\n" + in.req.Nonce) }

// remember keeps the answer under the nonce, and the body under the name.
func (t *tx) remember(in *incoming, out outcome) error {
	if t.svc.forgets {
		return nil
	}
	if _, err := t.beside.exec(`INSERT INTO answers (nonce, body, license, notice, keyset, created) VALUES ($1, $2, $3, $4, $5, $6)`,
		in.nonce(), in.body, out.license, out.notice, out.keySet, t.now); err != nil {
		return err
	}
	if in.idem == "" {
		return nil
	}
	_, err := t.beside.exec(`INSERT INTO idempotency (name, body, created) VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING`, in.idem, in.body, t.now)
	return err
}

// nameLife is how long an Idempotency-Key is remembered: twice the 24 hours
// that clients may rely on. The answer itself is kept by its nonce.
const nameLife = 2 * day

// tidy forgets old names, at most once an hour.
func (t *tx) tidy() error {
	if t.now-t.svc.tidied < 3600 {
		return nil
	}
	t.svc.tidied = t.now
	_, err := t.exec(`DELETE FROM idempotency WHERE created < $1`, t.now-nameLife)
	return err
}
