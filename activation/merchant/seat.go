package merchant

import (
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"licenseagent.example/activation/license"
	"licenseagent.example/fingerprint"
)

// Status words of codes and activations.
const (
	statusActive   = "active"
	statusFrozen   = "frozen"
	statusReleased = "released"
	statusRevoked  = "revoked"
)

// entitlement is a code as issuing needs it.
type entitlement struct {
	id, product, edition string
	devices, seats       int64
	features, limits     string // JSON
	validDays, ends      int64
	renew, grace         int64
	policy, status       string
	firstUsed            int64
	unidentified         bool   // machines without any serial of their own may hold it
	goods, market        string // what a marketplace sold it as, and its standing there; "" for our own
	news                 int64  // grows with each change that devices should learn
}

const entitlementColumns = `c.id, c.product, c.edition, c.devices, c.seats, c.features, c.limits, c.valid_days, c.ends, c.renew, c.grace, c.policy, c.status, c.first_used, c.unidentified,
	c.goods, c.market, c.news`

func (e *entitlement) fields() []any {
	return []any{
		&e.id, &e.product, &e.edition, &e.devices, &e.seats, &e.features, &e.limits,
		&e.validDays, &e.ends, &e.renew, &e.grace, &e.policy, &e.status, &e.firstUsed, &e.unidentified,
		&e.goods, &e.market, &e.news,
	}
}

// expires is the entitlement end: the earlier of a fixed end and the days that
// run from the first activation.
func (e *entitlement) expires() int64 {
	end := int64(license.NoEnd)
	if e.ends > 0 {
		end = e.ends
	}
	if e.validDays > 0 && e.firstUsed > 0 {
		end = min(end, e.firstUsed+e.validDays*day)
	}
	return end
}

// seat is one activation with the code it came from.
type seat struct {
	code entitlement

	license, device         string
	key                     license.PublicKey
	env                     fingerprint.EnvKind
	salt, parts, seen       string
	seenAt                  int64
	status, reason          string
	seq                     int64
	head                    string
	prevSeq                 int64
	prevHead                string
	lastNonce               string
	lastIdem, lastBody      string
	lastLicense, lastNotice string
	lastKeySet              int64
	noticed                 string
	contested               int64
	contestWhy              string
	rebound, rolled         int64
	lastDay                 string
	renewals                int64
	agent                   string
	created, contact        int64
	openUntil               int64                 // support lets the next contact be taken as it stands
	uses, usesMost          int64                 // most concurrent uses: of the last report, and ever
	epoch                   int64                 // in which the chain was last accepted, see epoch.go
	told                    int64                 // entitlement.news at the last answer
	parsed                  *fingerprint.Enrolled // salt and parts, once somebody asked
	crowded                 int64                 // 1: a value of it has become popular since; written by popular and dropPopular alone
}

const seatColumns = `a.license_id, a.device_id, a.device_alg, a.device_pub, a.env, a.salt, a.parts, a.seen, a.seen_at, a.status, a.reason,
	a.seq, a.head, a.prev_seq, a.prev_head, a.last_nonce, a.last_idem, a.last_body, a.last_license, a.last_notice, a.last_keyset,
	a.noticed, a.contested, a.contest_why, a.rebound, a.rolled, a.last_day, a.renewals, a.agent, a.created, a.contact, a.open_until, a.epoch, a.uses, a.uses_most, a.told, a.crowded`

func (s *seat) fields() []any {
	return []any{
		&s.license, &s.device, &s.key.Alg, &s.key.Pub, &s.env, &s.salt, &s.parts, &s.seen, &s.seenAt, &s.status, &s.reason,
		&s.seq, &s.head, &s.prevSeq, &s.prevHead, &s.lastNonce, &s.lastIdem, &s.lastBody, &s.lastLicense, &s.lastNotice, &s.lastKeySet,
		&s.noticed, &s.contested, &s.contestWhy, &s.rebound, &s.rolled, &s.lastDay, &s.renewals, &s.agent, &s.created, &s.contact, &s.openUntil, &s.epoch, &s.uses, &s.usesMost, &s.told, &s.crowded,
	}
}

const (
	seatByLicense = `SELECT ` + seatColumns + `, ` + entitlementColumns + ` FROM activations a JOIN codes c ON c.id = a.code_id WHERE a.license_id = $1`
	seatByDevice  = `SELECT ` + seatColumns + `, ` + entitlementColumns + ` FROM activations a JOIN codes c ON c.id = a.code_id
		WHERE a.code_id = $1 AND a.device_id = $2 AND a.status = 'active'`
	codeByLookup = `SELECT ` + entitlementColumns + ` FROM codes c WHERE c.lookup = $1`
	insertSeat   = `INSERT INTO activations (code_id, license_id, device_id, device_alg, device_pub, env, salt, parts, seen, seen_at, status, reason,
		seq, head, prev_seq, prev_head, last_nonce, last_idem, last_body, last_license, last_notice, last_keyset,
		noticed, contested, contest_why, rebound, rolled, last_day, renewals, agent, created, contact, open_until, epoch, uses, uses_most, told)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
		$21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37)`
	newestKeySet = `SELECT COALESCE(MAX(version), 0), COALESCE((SELECT CAST(value AS BIGINT) FROM settings WHERE name = 'epoch'), 0) FROM keysets`
)

// hotQueries are what every renewal executes: kept prepared.
func (d *Database) hotQueries() []string {
	hot := []string{newestKeySet, d.locking(seatByLicense, "a"), d.saveOne}
	if d.postgres {
		hot = append(hot, seatsByLicense, d.saveMany)
	}
	return hot
}

// seat loads and locks one activation; ErrNotFound when there is none.
func (t *tx) seat(query string, args ...any) (*seat, error) {
	if query == seatByLicense {
		if s, ok := t.seatAhead(args[0].(string)); ok && s == nil {
			return nil, ErrNotFound
		} else if ok {
			return s, nil
		}
	}
	if err := t.flush(); err != nil { // the seat may be among the unsaved; reading it makes nothing stale
		return nil, err
	}
	s := new(seat)
	err := t.beside.row(t.svc.db.locking(query, "a"), args...).Scan(append(s.fields(), s.code.fields()...)...)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("merchant: activation: %w", err)
	}
	return s, nil
}

// insert writes a new activation, save an old one.
func (t *tx) insert(s *seat) error {
	_, err := t.exec(insertSeat, s.code.id, s.license, s.device, s.key.Alg, s.key.Pub, s.env, s.salt, s.parts, s.seen, s.seenAt, s.status, s.reason,
		s.seq, s.head, s.prevSeq, s.prevHead, s.lastNonce, s.lastIdem, s.lastBody, s.lastLicense, s.lastNotice, s.lastKeySet,
		s.noticed, s.contested, s.contestWhy, s.rebound, s.rolled, s.lastDay, s.renewals, s.agent, s.created, s.contact, s.openUntil, s.epoch, s.uses, s.usesMost, s.told)
	return err
}

// enrolled is the device as the seat remembers it.
func (s *seat) enrolled() (fingerprint.Enrolled, error) {
	if s.parsed != nil {
		return *s.parsed, nil
	}
	e := fingerprint.Enrolled{Env: s.env}
	var err error
	if e.Salt, err = base64.StdEncoding.DecodeString(s.salt); err != nil {
		return e, fmt.Errorf("merchant: activation %s: salt: %w", s.license, err)
	}
	if err := json.Unmarshal([]byte(s.parts), &e.Parts); err != nil {
		return e, fmt.Errorf("merchant: activation %s: parts: %w", s.license, err)
	}
	s.parsed = &e
	return e, nil
}

func (s *seat) enrol(e fingerprint.Enrolled) (err error) {
	s.parsed = nil
	s.salt = base64.StdEncoding.EncodeToString(e.Salt)
	s.parts, err = marshal(e.Parts)
	return err
}

// policy is the rule by which the seat is held: that of its code.
func (s *seat) policy() (fingerprint.Policy, error) {
	p, err := fingerprint.ParsePolicy(s.code.policy)
	if err != nil {
		return p, fmt.Errorf("merchant: code %s: %w", s.code.id, err)
	}
	return p, nil
}

// see holds a device against what the seat remembers, and remembers what was
// seen, in hashes, for the people who are asked why.
func (s *seat) see(d fingerprint.Device, now int64) (fingerprint.Comparison, error) {
	e, err := s.enrolled()
	if err != nil {
		return fingerprint.Comparison{}, err
	}
	p, err := s.policy()
	if err != nil {
		return fingerprint.Comparison{}, err
	}
	seen := fingerprint.See(e.Salt, d)
	c := fingerprint.CompareSeen(p, e, seen)
	for i := range seen {
		// As many as a license may hold; those that count first.
		h := e.Hashes(seen[i].Kind)
		slices.SortStableFunc(seen[i].Values, func(a, b fingerprint.SeenValue) int {
			return rank(a.Enrolled(h)) - rank(b.Enrolled(h))
		})
		seen[i].Values = seen[i].Values[:min(len(seen[i].Values), fingerprint.MaxHashes)]
	}
	s.seenAt = now
	s.seen, err = marshal(seen)
	return c, err
}

func rank(first bool) int {
	if first {
		return 0
	}
	return 1
}

// lastSeen is the newest observation, nil for none.
func (s *seat) lastSeen() (seen []fingerprint.Seen, err error) {
	if s.seen == "" {
		return nil, nil
	}
	if err := json.Unmarshal([]byte(s.seen), &seen); err != nil {
		return nil, fmt.Errorf("merchant: activation %s: seen: %w", s.license, err)
	}
	return seen, nil
}
