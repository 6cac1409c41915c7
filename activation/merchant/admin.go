package merchant

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"sort"

	"licenseagent.example/activation/license"
	"licenseagent.example/fingerprint"
)

var (
	// ErrInput is returned when an operator gives a value that cannot be.
	ErrInput = errors.New("merchant: not acceptable")
	// ErrState is returned when a code or seat is not in a state that allows what an operator asks for.
	ErrState = errors.New("merchant: not possible now")
)

// CodeSpec is what a new code is for.
type CodeSpec struct {
	Product   string           `json:"product"`
	Edition   string           `json:"edition"`
	Devices   int64            `json:"devices"`    // machines at a time, ≥ 1
	Seats     int64            `json:"seats"`      // concurrent uses per machine, ≥ 1
	Features  []string         `json:"features"`   //
	Limits    map[string]int64 `json:"limits"`     //
	ValidDays int64            `json:"valid_days"` // from the first activation, 0: no limit of days
	Ends      int64            `json:"ends"`       // UTC second of a fixed end, 0: none
	Renew     int64            `json:"renew"`      // seconds, 0: the service's terms
	Grace     int64            `json:"grace"`      // seconds, 0: the service's terms
	Policy    string           `json:"policy"`     // of the fingerprint: strict, balanced, tolerant, or one in JSON (fingerprint.ParsePolicy)
	Note      string           `json:"note"`       // for support
	// Unidentified lets machines hold the code that show no board, disk or
	// network address of their own. Their licenses are held by the device key
	// and the regular contact alone.
	Unidentified bool `json:"unidentified"`
}

// CodeInfo is a code as support sees it: without the code.
type CodeInfo struct {
	ID string `json:"id"`
	CodeSpec
	Hint      string `json:"hint"`
	Source    string `json:"source"`
	Status    string `json:"status"`
	Market    string `json:"market,omitempty"` // the marketplace's word: alive, frozen, expired, released
	Used      int64  `json:"used"`             // devices that hold a seat now
	FirstUsed int64  `json:"first_used"`
	Expires   int64  `json:"expires"` // entitlement end as far as it is known, license.NoEnd for none
	Created   int64  `json:"created"`
	Updated   int64  `json:"updated"`
}

// check seals a license with the given terms and throws it away: what package
// license would refuse at the first activation is refused here already.
func (c CodeSpec) check(issuer string, signer license.Signer) error {
	policy, err := fingerprint.ParsePolicy(c.Policy)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInput, err)
	}
	key := signer.Public()
	claims := license.Claims{
		V: 1, Issuer: issuer, ID: "lic-check", Product: c.Product, Edition: c.Edition, Seats: c.Seats,
		Features: c.Features, Limits: sortedLimits(c.Limits), Expires: license.NoEnd, RenewBy: 1, GraceUntil: 1, Seq: 1, Head: "0", KeySet: 1,
		Nonce:  key.Pub,
		Device: license.Device{ID: license.DeviceID(key), Env: fingerprint.Physical, Version: 1, Salt: key.Pub, Policy: policy, Key: key},
	}
	if _, err := license.SealLicense(claims, signer); err != nil {
		return fmt.Errorf("%w: %w", ErrInput, err)
	}
	switch {
	case c.Devices < 1 || c.Devices > 1_000_000_000:
		return fmt.Errorf("%w: devices: want 1 to 1000000000", ErrInput)
	case c.ValidDays < 0 || c.ValidDays > 36500:
		return fmt.Errorf("%w: days of validity: want 0 to 36500", ErrInput)
	case c.Ends < 0 || c.Ends > license.NoEnd || c.Renew < 0 || c.Grace < 0:
		return fmt.Errorf("%w: a time is out of range", ErrInput)
	}
	return nil
}

// flag is how a truth value is stored: SQLite has none of its own.
func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func sortedLimits(m map[string]int64) []license.Limit {
	list := []license.Limit{}
	for n, v := range m {
		list = append(list, license.Limit{Name: n, Value: v})
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Name < list[j].Name })
	return list
}

// MaxCodes bounds the codes of one AddCodes: they are one transaction, which
// everybody else waits for.
const MaxCodes = 5000

// AddCodes creates n codes and returns them with their ids, in the same order.
// This is the only time that the codes themselves exist outside customers'
// hands: the database keeps a keyed hash.
func (s *Service) AddCodes(ctx context.Context, spec CodeSpec, n int) (codes []string, infos []CodeInfo, err error) {
	if s.issuer == "" {
		return nil, nil, ErrNotInitialised
	}
	spec.Features = append([]string{}, spec.Features...)
	sort.Strings(spec.Features)
	signer, err := throwaway(s.opts.Rand)
	if err != nil {
		return nil, nil, err
	}
	if err := spec.check(s.issuer, signer); err != nil {
		return nil, nil, err
	}
	if n < 1 || n > MaxCodes {
		return nil, nil, fmt.Errorf("%w: number of codes: want 1 to %d", ErrInput, MaxCodes)
	}
	for range n {
		c, err := newCode(s.opts.Rand)
		if err != nil {
			return nil, nil, err
		}
		codes = append(codes, c)
	}
	features, err := marshal(spec.Features)
	if err != nil {
		return nil, nil, err
	}
	limits, err := marshal(sortedLimits(spec.Limits))
	if err != nil {
		return nil, nil, err
	}
	err = s.change(ctx, func(t *tx) error {
		infos = nil
		for _, c := range codes {
			id, err := t.newID("c-")
			if err != nil {
				return err
			}
			info := CodeInfo{ID: id[:14], CodeSpec: spec, Hint: codeHint(c), Source: "own", Status: statusActive, Created: t.now, Updated: t.now}
			if _, err := t.exec(`INSERT INTO codes (id, lookup, hint, source, product, edition, devices, seats, features, limits,
				valid_days, ends, renew, grace, policy, status, note, first_used, created, updated, unidentified)
				VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, 0, $18, $19, $20)`,
				info.ID, lookup(s.pepper, c), info.Hint, info.Source, spec.Product, spec.Edition, spec.Devices, spec.Seats, features, limits,
				spec.ValidDays, spec.Ends, spec.Renew, spec.Grace, spec.Policy, info.Status, spec.Note, t.now, t.now, flag(spec.Unidentified)); err != nil {
				return err
			}
			if err := t.audit(t.by, "code.add", info.ID, map[string]any{"product": spec.Product, "devices": spec.Devices}); err != nil {
				return err
			}
			infos = append(infos, info)
		}
		return nil
	})
	return codes, infos, err
}

const codeQuery = `SELECT c.id, c.product, c.edition, c.devices, c.seats, c.features, c.limits, c.valid_days, c.ends, c.renew, c.grace, c.policy,
	c.status, c.first_used, c.unidentified, c.goods, c.market, c.news, c.hint, c.source, c.note, c.created, c.updated,
	(SELECT COUNT(*) FROM activations a WHERE a.code_id = c.id AND a.status = 'active') FROM codes c `

func scanCode(rows *sql.Rows) (CodeInfo, error) {
	var e entitlement
	var i CodeInfo
	if err := rows.Scan(append(e.fields(), &i.Hint, &i.Source, &i.Note, &i.Created, &i.Updated, &i.Used)...); err != nil {
		return i, fmt.Errorf("merchant: code: %w", err)
	}
	i.ID, i.Product, i.Edition, i.Devices, i.Seats = e.id, e.product, e.edition, e.devices, e.seats
	i.ValidDays, i.Ends, i.Renew, i.Grace, i.Policy = e.validDays, e.ends, e.renew, e.grace, e.policy
	i.Unidentified = e.unidentified
	i.Status, i.FirstUsed, i.Expires, i.Market = e.status, e.firstUsed, e.expires(), e.market
	if err := json.Unmarshal([]byte(e.features), &i.Features); err != nil {
		return i, fmt.Errorf("merchant: code %s: %w", i.ID, err)
	}
	var limits []license.Limit
	if err := json.Unmarshal([]byte(e.limits), &limits); err != nil {
		return i, fmt.Errorf("merchant: code %s: %w", i.ID, err)
	}
	i.Limits = map[string]int64{}
	for _, l := range limits {
		i.Limits[l.Name] = l.Value
	}
	return i, nil
}

// Codes lists codes, newest first; product "" means all.
func (s *Service) Codes(ctx context.Context, product string, limit int) ([]CodeInfo, error) {
	query, args := codeQuery+`ORDER BY c.created DESC, c.id DESC LIMIT $1`, []any{limit}
	if product != "" {
		query, args = codeQuery+`WHERE c.product = $1 ORDER BY c.created DESC, c.id DESC LIMIT $2`, []any{product, limit}
	}
	rows, err := s.query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("merchant: codes: %w", err)
	}
	return collect(rows, scanCode)
}

// Code returns one code by its id.
func (s *Service) Code(ctx context.Context, id string) (CodeInfo, error) {
	rows, err := s.query(ctx, codeQuery+`WHERE c.id = $1`, id)
	if err != nil {
		return CodeInfo{}, fmt.Errorf("merchant: code: %w", err)
	}
	list, err := collect(rows, scanCode)
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("%w: code %s", ErrNotFound, id)
	}
	if err != nil {
		return CodeInfo{}, err
	}
	return list[0], nil
}

func collect[T any](rows *sql.Rows, scan func(*sql.Rows) (T, error)) ([]T, error) {
	defer rows.Close()
	list := []T{}
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, rows.Err()
}

// Freeze suspends a code: every device learns it at its next renewal and stops.
func (s *Service) Freeze(ctx context.Context, id, reason string) error {
	return s.setCode(ctx, id, statusFrozen, reason, statusActive)
}

// Unfreeze undoes Freeze.
func (s *Service) Unfreeze(ctx context.Context, id, reason string) error {
	return s.setCode(ctx, id, statusActive, reason, statusFrozen)
}

// Revoke takes a code and its licenses back for good. Devices learn it at their
// next renewal; the next key set carries it to devices without network.
func (s *Service) Revoke(ctx context.Context, id, reason string) error {
	return s.setCode(ctx, id, statusRevoked, reason, statusActive, statusFrozen)
}

func (s *Service) setCode(ctx context.Context, id, status, reason string, from ...string) error {
	return s.change(ctx, func(t *tx) error {
		var have string
		err := t.row(t.svc.db.locking(`SELECT status FROM codes WHERE id = $1`, "codes"), id).Scan(&have)
		if errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("%w: code %s", ErrNotFound, id)
		}
		if err != nil {
			return fmt.Errorf("merchant: code: %w", err)
		}
		allowed := false
		for _, f := range from {
			allowed = allowed || have == f
		}
		if !allowed {
			return fmt.Errorf("%w: code %s is %s", ErrState, id, have)
		}
		if _, err := t.exec(`UPDATE codes SET status = $1, updated = $2, news = news + 1, news_at = $3 WHERE id = $4`, status, t.now, t.now, id); err != nil {
			return err
		}
		if status == statusRevoked {
			if _, err := t.exec(`UPDATE activations SET status = 'revoked', reason = 'revoked-by-vendor' WHERE code_id = $1 AND status = 'active'`, id); err != nil {
				return err
			}
		}
		t.tell(id)
		return t.audit(t.by, "code."+status, id, map[string]any{"from": have, "reason": reason})
	})
}
