package merchant

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"strings"

	"licenseagent.example/activation/license"
)

// DeviceInfo is one activation as support sees it. Hardware appears only as the
// names of the parts that are enrolled.
type DeviceInfo struct {
	License   string   `json:"license"`
	Device    string   `json:"device"`
	Code      string   `json:"code"`
	Product   string   `json:"product"`
	Status    string   `json:"status"`
	Reason    string   `json:"reason,omitempty"`
	Told      string   `json:"told"` // what the device was told last: license, or a notice state
	Contested int64    `json:"contested"`
	ContestBy string   `json:"contested_why,omitempty"`
	Rebound   int64    `json:"rebound"`
	Rolled    int64    `json:"rolled_forward"`
	Seq       int64    `json:"seq"`
	OpenUntil int64    `json:"open_until"` // support lets the next contact until then be taken as it stands, 0: no
	Renewals  int64    `json:"renewals"`
	LastDay   string   `json:"last_day,omitempty"`
	Seats     int64    `json:"seats"`     // concurrent uses that are sold for each machine
	Uses      int64    `json:"uses"`      // most concurrent uses since the contact before the last one
	UsesMost  int64    `json:"uses_most"` // most concurrent uses ever reported
	Env       string   `json:"env"`
	Parts     []string `json:"parts"`
	Agent     string   `json:"agent"`
	Created   int64    `json:"created"`
	Contact   int64    `json:"contact"`
	Expires   int64    `json:"expires"`
}

func scanDevice(rows *sql.Rows) (DeviceInfo, error) {
	s := new(seat)
	if err := rows.Scan(append(s.fields(), s.code.fields()...)...); err != nil {
		return DeviceInfo{}, fmt.Errorf("merchant: device: %w", err)
	}
	e, err := s.enrolled()
	if err != nil {
		return DeviceInfo{}, err
	}
	d := DeviceInfo{
		License: s.license, Device: s.device, Code: s.code.id, Product: s.code.product, Status: s.status, Reason: s.reason,
		Told: s.noticed, Contested: s.contested, ContestBy: s.contestWhy, Rebound: s.rebound, Rolled: s.rolled, Seq: s.seq,
		Renewals: s.renewals, LastDay: s.lastDay, Seats: s.code.seats, Uses: s.uses, UsesMost: s.usesMost, Env: string(s.env), Parts: []string{}, Agent: s.agent, Created: s.created,
		Contact: s.contact, Expires: s.code.expires(), OpenUntil: s.openUntil,
	}
	if d.Told == "" {
		d.Told = "license"
	}
	for _, p := range e.Parts {
		d.Parts = append(d.Parts, string(p.Kind))
	}
	return d, nil
}

const deviceQuery = `SELECT ` + seatColumns + `, ` + entitlementColumns + ` FROM activations a JOIN codes c ON c.id = a.code_id `

// Devices lists activations, newest first; code "" means all.
func (s *Service) Devices(ctx context.Context, code string, limit int) ([]DeviceInfo, error) {
	query, args := deviceQuery+`ORDER BY a.created DESC, a.license_id DESC LIMIT $1`, []any{limit}
	if code != "" {
		query, args = deviceQuery+`WHERE a.code_id = $1 ORDER BY a.created DESC, a.license_id DESC LIMIT $2`, []any{code, limit}
	}
	rows, err := s.query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("merchant: devices: %w", err)
	}
	return collect(rows, scanDevice)
}

// Device finds one activation by license id, or the newest of a device id.
func (s *Service) Device(ctx context.Context, id string) (DeviceInfo, error) {
	where := `WHERE a.device_id = $1 `
	if strings.HasPrefix(id, "lic-") {
		where = `WHERE a.license_id = $1 `
	}
	rows, err := s.query(ctx, deviceQuery+where+`ORDER BY a.created DESC LIMIT 1`, id)
	if err != nil {
		return DeviceInfo{}, fmt.Errorf("merchant: device: %w", err)
	}
	list, err := collect(rows, scanDevice)
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("%w: %s", ErrNotFound, id)
	}
	if err != nil {
		return DeviceInfo{}, err
	}
	return list[0], nil
}

// Release frees a seat from the vendor's side. The device keeps what it holds
// until its next contact, where it gets the receipt.
func (s *Service) Release(ctx context.Context, licenseID, reason string) error {
	return s.change(ctx, func(t *tx) error {
		one, err := t.liveSeat(licenseID)
		if err != nil {
			return err
		}
		one.status, one.reason = statusReleased, "released-by-vendor"
		if err := t.save(one); err != nil {
			return err
		}
		t.tell(one.code.id)
		return t.audit(t.by, "seat.release", licenseID, map[string]any{"code": one.code.id, "reason": reason})
	})
}

// AuditRow is one link of the audit chain, see Audit.
type AuditRow = auditRow

// Audit returns the rows about one subject, or all for "", oldest first, after
// the given sequence number.
func (s *Service) Audit(ctx context.Context, subject string, after int64, limit int) ([]AuditRow, error) {
	const columns = `SELECT seq, at, actor, action, subject, detail, prev, hash FROM audit `
	query, args := columns+`WHERE seq > $1 ORDER BY seq LIMIT $2`, []any{after, limit}
	if subject != "" {
		query, args = columns+`WHERE subject = $1 AND seq > $2 ORDER BY seq LIMIT $3`, []any{subject, after, limit}
	}
	rows, err := s.query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("merchant: audit: %w", err)
	}
	return collect(rows, func(rows *sql.Rows) (AuditRow, error) {
		var r AuditRow
		var detail string
		err := rows.Scan(&r.Seq, &r.At, &r.Actor, &r.Action, &r.Subject, &detail, &r.Prev, &r.Hash)
		r.Detail = []byte(detail)
		return r, err
	})
}

// ErrAudit is returned when a row of the audit chain was changed, dropped or reordered.
var ErrAudit = errors.New("merchant: the audit chain is broken")

// Follow checks that a row follows another one: nothing between them was
// dropped and neither was changed. The zero row stands before the first.
func (r AuditRow) Follow(last AuditRow) error {
	sum, err := r.sum()
	if err != nil {
		return err
	}
	if r.Seq != last.Seq+1 || r.Prev != last.Hash || r.Hash != sum {
		return fmt.Errorf("%w: at row %d", ErrAudit, last.Seq+1)
	}
	return nil
}

// WalkAudit calls do for every row of the chain up to its present end, oldest
// first, after checking that each follows the one before. ErrAudit when one
// was changed, dropped or reordered.
func (s *Service) WalkAudit(ctx context.Context, do func(AuditRow) error) (length int64, err error) {
	// The tip first: rows that another process appends meanwhile are not missing.
	var tip, last AuditRow
	if err := s.db.read.QueryRowContext(ctx, readTip).Scan(&tip.Seq, &tip.Hash); err != nil {
		return 0, fmt.Errorf("merchant: audit: %w", err)
	}
	for last.Seq < tip.Seq {
		rows, err := s.Audit(ctx, "", last.Seq, int(min(1000, tip.Seq-last.Seq)))
		if err != nil {
			return last.Seq, err
		}
		for _, r := range rows {
			if err := r.Follow(last); err != nil {
				return last.Seq, err
			}
			if err := do(r); err != nil {
				return last.Seq, err
			}
			last = r
		}
		if len(rows) == 0 {
			break
		}
	}
	if tip.Seq != last.Seq || tip.Hash != last.Hash {
		return last.Seq, fmt.Errorf("%w: rows are missing after %d", ErrAudit, last.Seq)
	}
	return last.Seq, nil
}

// VerifyAudit walks the whole chain and returns its length.
func (s *Service) VerifyAudit(ctx context.Context) (int64, error) {
	return s.WalkAudit(ctx, func(AuditRow) error { return nil })
}

// throwaway is a signer for checks whose result nobody keeps.
func throwaway(rand io.Reader) (license.Signer, error) {
	seed := make([]byte, 32)
	if _, err := io.ReadFull(rand, seed); err != nil {
		return nil, fmt.Errorf("merchant: %w", err)
	}
	return license.NewEd25519Signer(seed)
}
