package merchant

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"licenseagent.example/activation/license"
	"licenseagent.example/fingerprint"
)

// codeEnd is entitlement.expires in SQL, as the index codes_end has it.
const codeEnd = `(CASE
    WHEN ends > 0 AND (valid_days = 0 OR first_used = 0 OR ends <= first_used + valid_days * 86400) THEN ends
    WHEN valid_days > 0 AND first_used > 0 THEN first_used + valid_days * 86400
    ELSE 253402300799 END)`

// MaxList bounds every list that a caller may ask for.
const MaxList = 10_000

// Expiring lists codes whose entitlement ends within the given seconds from
// now, the next to end first. Codes taken back are left out.
func (s *Service) Expiring(ctx context.Context, within int64, limit int) ([]CodeInfo, error) {
	now := s.clock().Unix()
	rows, err := s.query(ctx, codeQuery+`WHERE `+codeEnd+` > $1 AND `+codeEnd+` <= $2 AND c.status <> 'revoked'
		ORDER BY `+codeEnd+` LIMIT $3`, now, now+within, limit)
	if err != nil {
		return nil, fmt.Errorf("merchant: codes: %w", err)
	}
	return collect(rows, scanCode)
}

// Contested lists the seats of which a copy was seen, the newest case first.
func (s *Service) Contested(ctx context.Context, limit int) ([]DeviceInfo, error) {
	rows, err := s.query(ctx, deviceQuery+`WHERE a.contested > 0 AND a.status = 'active' ORDER BY a.contested DESC LIMIT $1`, limit)
	if err != nil {
		return nil, fmt.Errorf("merchant: devices: %w", err)
	}
	return collect(rows, scanDevice)
}

// Found is what a search came upon.
type Found struct {
	Codes   []CodeInfo   `json:"codes"`
	Devices []DeviceInfo `json:"devices"`
}

// SaleInfo is what is known of the sale of a marketplace's code.
type SaleInfo struct {
	Standing  string    `json:"standing"` // the marketplace's word: alive, frozen, expired, released
	Product   string    `json:"product"`  // of the marketplace
	Order     string    `json:"order"`
	Amount    int64     `json:"amount"`    // the quantity bought, 0: not told
	Activated int64     `json:"activated"` // UTC second of the activation there
	Checked   int64     `json:"checked"`   // UTC second of the last answer about it, 0: none
	Problem   string    `json:"problem"`   // why the last attempt failed
	Waiting   int64     `json:"waiting"`   // work about it that waits
	Failed    int64     `json:"failed"`    // work about it that was given up
	Uses      []UseInfo `json:"uses"`      // the newest days of use
}

// saleUses is how many days of use are shown with a sale.
const saleUses = 31

// Sale describes the sale of a code; nil for the vendor's own codes.
func (s *Service) Sale(ctx context.Context, codeID string) (*SaleInfo, error) {
	rows, err := s.query(ctx, `SELECT g.standing, g.product, g.order_id, g.amount, g.activated, g.checked, g.problem,
		(SELECT COUNT(*) FROM jobs j WHERE j.goods = g.id AND j.failed = 0), (SELECT COUNT(*) FROM jobs j WHERE j.goods = g.id AND j.failed = 1)
		FROM goods g JOIN codes c ON c.goods = g.id WHERE c.id = $1`, codeID)
	if err != nil {
		return nil, fmt.Errorf("merchant: sale: %w", err)
	}
	list, err := collect(rows, func(rows *sql.Rows) (i SaleInfo, err error) {
		err = rows.Scan(&i.Standing, &i.Product, &i.Order, &i.Amount, &i.Activated, &i.Checked, &i.Problem, &i.Waiting, &i.Failed)
		return i, err
	})
	if err != nil || len(list) == 0 {
		return nil, err
	}
	list[0].Uses, err = s.Uses(ctx, codeID, saleUses)
	return &list[0], err
}

// findLimit bounds each list of Found.
const findLimit = 100

// Find looks for codes and devices by what support is told on the telephone: a
// code, its id, its last group, its note, the marketplace's order of it; a
// license id, a device id.
func (s *Service) Find(ctx context.Context, what string) (Found, error) {
	what = strings.TrimSpace(what)
	if what == "" || len(what) > 256 {
		return Found{}, fmt.Errorf("%w: want 1 to 256 bytes to search for", ErrInput)
	}
	found := Found{Codes: []CodeInfo{}, Devices: []DeviceInfo{}}
	hint := "…" + strings.ToUpper(strings.TrimPrefix(what, "…"))
	const newest = ` ORDER BY c.created DESC`
	for _, q := range []struct{ where, value string }{
		{`c.id = $1` + newest, what},
		{`c.lookup = $1` + newest, lookup(s.pepper, what)},
		{`c.hint = $1` + newest, hint},
		{`c.note = $1` + newest, what},
		{`c.goods <> '' AND c.goods IN (SELECT g.id FROM goods g WHERE g.order_id = $1)`, what}, // all of one day
	} {
		rows, err := s.query(ctx, codeQuery+`WHERE `+q.where+` LIMIT $2`, q.value, findLimit)
		if err != nil {
			return found, fmt.Errorf("merchant: codes: %w", err)
		}
		list, err := collect(rows, scanCode)
		if err != nil {
			return found, err
		}
		found.Codes = append(found.Codes, list...)
	}
	for _, where := range []string{`a.license_id = $1`, `a.device_id = $1`} {
		rows, err := s.query(ctx, deviceQuery+`WHERE `+where+` ORDER BY a.created DESC LIMIT $2`, what, findLimit)
		if err != nil {
			return found, fmt.Errorf("merchant: devices: %w", err)
		}
		list, err := collect(rows, scanDevice)
		if err != nil {
			return found, err
		}
		found.Devices = append(found.Devices, list...)
	}
	return found, nil
}

// RebindWindow is how long a re-bind by support waits for the device, in
// seconds: a customer on the telephone contacts within minutes, one without
// network sends a file within days.
const RebindWindow = 7 * day

// Rebind settles a seat by a decision of support: the next contact of this
// device key within RebindWindow is taken as it stands, with its hardware and
// its position of the chain, whatever the seat was contested for. ErrNotFound,
// ErrState when the seat is released or taken back.
func (s *Service) Rebind(ctx context.Context, licenseID, reason string) error {
	return s.change(ctx, func(t *tx) error {
		one, err := t.liveSeat(licenseID)
		if err != nil {
			return err
		}
		one.openUntil = t.now + RebindWindow
		if err := t.save(one); err != nil {
			return err
		}
		return t.audit(t.by, "seat.rebind-open", licenseID, map[string]any{"until": one.openUntil, "reason": reason})
	})
}

// liveSeat loads a seat for an operator's action.
func (t *tx) liveSeat(licenseID string) (*seat, error) {
	one, err := t.seat(seatByLicense, licenseID)
	if errors.Is(err, ErrNotFound) {
		return nil, fmt.Errorf("%w: license %s", ErrNotFound, licenseID)
	}
	if err != nil {
		return nil, err
	}
	if one.status != statusActive {
		return nil, fmt.Errorf("%w: license %s is %s", ErrState, licenseID, one.status)
	}
	return one, nil
}

// invited takes the device as it stands, because support said so. It is true
// when there was an invitation, which is used up then.
func (t *tx) invited(s *seat, in *incoming) (bool, error) {
	if s.status != statusActive || s.openUntil <= t.now || in.req.Kind == license.RequestRelease {
		return false, nil
	}
	c, err := s.see(in.device, t.now)
	if err != nil {
		return false, err
	}
	if c.Outcome == fingerprint.Different {
		// The same question as at an activation: a machine that shows nothing
		// of its own cannot be told from others afterwards.
		if _, err := t.enrol(in.req.Device, in.device, s.code.unidentified); err != nil {
			return false, err
		}
		if _, err := t.takeOver(s, in, "support: "+c.Why); err != nil {
			return false, err
		}
	}
	s.openUntil, s.contested, s.contestWhy = 0, 0, ""
	return true, t.audit(in.actor(), "seat.rebind", s.license, map[string]any{"kind": "support", "hardware": c.Outcome, "was": s.seq, "claimed": in.req.Seq})
}
