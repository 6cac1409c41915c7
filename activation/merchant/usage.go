package merchant

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"licenseagent.example/activation/koogallery"
)

const (
	// oldestUse is how many days back a day of use is still told to the
	// marketplace; a machine that was off the net longer is told for these.
	oldestUse = 31
	// spreadUse bounds the wait before the marketplace is asked about a day of
	// use: a thousand agents that report together must not ask together.
	spreadUse = 1800
)

// used books the days on which a device used what a marketplace sold. The
// first device of a day makes the marketplace be asked, once per code and day.
func (t *tx) used(goods, device string, days []string) error {
	if goods == "" || goods[:min(2, len(goods))] == instancePrefix {
		return nil
	}
	now := time.Unix(t.now, 0).In(t.svc.market.Calendar)
	for _, d := range days {
		when, err := time.ParseInLocation(time.DateOnly, d, now.Location())
		// A clock that is wrong must not make the marketplace count days that
		// nobody has seen yet.
		if err != nil || when.After(now.AddDate(0, 0, 1)) || when.Before(now.AddDate(0, 0, -oldestUse)) {
			continue
		}
		if err := t.usedOn(goods, device, d, now); err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) usedOn(goods, device, d string, now time.Time) error {
	n, err := t.beside.exec(`INSERT INTO uses (goods, day, device, reported) VALUES ($1, $2, $3, 0) ON CONFLICT (goods, day, device) DO NOTHING`, goods, d, device)
	if err != nil || n == 0 {
		return err
	}
	// Within the day that is left, so that it counts as this day's use.
	tomorrow := time.Date(now.Year(), now.Month(), now.Day()+1, 0, 0, 0, 0, now.Location())
	span := max(0, min(t.svc.market.Spread, int64(tomorrow.Sub(now)/time.Second)-300))
	var devices int64
	if err := t.beside.row(`SELECT COUNT(*) FROM uses WHERE goods = $1 AND day = $2`, goods, d).Scan(&devices); err != nil {
		return fmt.Errorf("merchant: uses: %w", err)
	}
	if devices == 1 {
		if err := t.firstUse(goods, d, span); err != nil {
			return err
		}
	}
	return t.enqueue(jobUsage, goods, d, t.now+t.svc.spread(span), "")
}

// firstUse asks for the heartbeat of a day, unless the marketplace was asked on
// that day already: by the activation that is just being answered, or to confirm
// a callback.
func (t *tx) firstUse(goods, d string, span int64) error {
	var checked int64
	if err := t.beside.row(`SELECT checked FROM goods WHERE id = $1`, goods).Scan(&checked); err != nil {
		return fmt.Errorf("merchant: uses: %w", err)
	}
	if checked > 0 && t.svc.market.day(checked) == d {
		return nil
	}
	return t.enqueue(jobBeat, goods, d, t.now+t.svc.spread(span), "")
}

// usageOf is one code of a report under way.
type usageOf struct {
	task    task
	day     string
	reports []koogallery.Usage
	devices []string
	more    bool // there are more devices than one report takes
	code    string
}

// reportUsage tells the clients of up to 100 codes in one call. When the
// marketplace does not take the whole, each code of which it does not say that it
// was taken is told by itself, so that a bad one is found and the others are not
// held up.
func (s *Service) reportUsage(ctx context.Context, list []task) error {
	var batch []usageOf
	seen := map[string]bool{}
	var errs []error
	for _, j := range list {
		u, err := s.unreported(ctx, j)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if len(u.reports) == 0 {
			errs = append(errs, s.settleTask(ctx, j, nil, nil))
			continue
		}
		if seen[j.goods] { // two days of one code: one after the other, a report has no date
			errs = append(errs, s.tellUsage(ctx, []usageOf{u}))
			continue
		}
		seen[j.goods] = true
		batch = append(batch, u)
	}
	if len(batch) > 0 {
		errs = append(errs, s.tellUsage(ctx, batch))
	}
	return errors.Join(errs...)
}

// unreported reads what a job has to tell.
func (s *Service) unreported(ctx context.Context, j task) (usageOf, error) {
	u := usageOf{task: j, day: j.id[len(jobUsage)+len(j.goods)+2:]}
	_, secret, err := s.secretOf(ctx, j.goods)
	if err != nil {
		return u, err
	}
	u.code = s.codeOf(ctx, j.goods)
	rows, err := s.db.read.QueryContext(ctx, `SELECT device FROM uses WHERE goods = $1 AND day = $2 AND reported = 0 ORDER BY device LIMIT $3`, j.goods, u.day, jobBatch+1)
	if err != nil {
		return u, fmt.Errorf("merchant: uses: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var device string
		if err := rows.Scan(&device); err != nil {
			return u, fmt.Errorf("merchant: uses: %w", err)
		}
		if u.more = len(u.devices) == jobBatch; u.more {
			break
		}
		u.devices = append(u.devices, device)
		u.reports = append(u.reports, koogallery.Usage{Code: secret, ID: device})
	}
	return u, rows.Err()
}

// tellUsage makes one call for a batch and writes down what became of it.
func (s *Service) tellUsage(ctx context.Context, batch []usageOf) error {
	tasks := make([]task, len(batch))
	for i, u := range batch {
		tasks[i] = u.task
	}
	held, err := s.hold(ctx, tasks...)
	if err != nil || len(held) == 0 {
		return err
	}
	batch = slices.DeleteFunc(batch, func(u usageOf) bool { return !slices.Contains(held, u.task) })
	var reports []koogallery.Usage
	for _, u := range batch {
		reports = append(reports, u.reports...)
	}
	subject := ""
	if len(batch) == 1 {
		subject = batch[0].code
	}
	call := "usage"
	err = s.asked(ctx, call, subject, func(ctx context.Context) error { return s.market.Market.ReportUsage(ctx, reports) })
	switch koogallery.ClassOf(err) {
	case koogallery.UnknownCode, koogallery.BadCodeInSet, koogallery.Refused, koogallery.NotActivated, koogallery.AlreadyActive:
		if len(batch) > 1 {
			var errs []error
			for _, u := range batch {
				if taken := u.taken(err); len(taken) == len(u.devices) {
					errs = append(errs, s.settleUsage(ctx, u, nil))
				} else {
					errs = append(errs, s.tellUsage(ctx, []usageOf{u}))
				}
			}
			return errors.Join(errs...)
		}
	}
	var errs []error
	for _, u := range batch {
		errs = append(errs, s.settleUsage(ctx, u, err))
	}
	return errors.Join(errs...)
}

// taken is the devices whose report was taken although the call failed, as far as
// its answer says which were not.
func (u usageOf) taken(err error) []string {
	var e *koogallery.Error
	if !errors.As(err, &e) || len(e.Reports) == 0 {
		return nil
	}
	var list []string
	for i, r := range u.reports {
		if !slices.Contains(e.Reports, r) {
			list = append(list, u.devices[i])
		}
	}
	return list
}

// settleUsage writes down what became of the report about one code.
func (s *Service) settleUsage(ctx context.Context, u usageOf, err error) error {
	if taken := u.taken(err); len(taken) > 0 {
		if err := s.change(context.WithoutCancel(ctx), func(t *tx) error { return t.reported(u, taken) }); err != nil {
			return err
		}
		if u.more { // they must not wait for the ones that were not taken
			next, err := s.unreported(ctx, u.task)
			if err != nil {
				return err
			}
			return s.tellUsage(ctx, []usageOf{next})
		}
	}
	return s.settleTask(ctx, u.task, err, func(t *tx) error {
		if err := t.reported(u, u.devices); err != nil {
			return err
		}
		if u.more {
			return t.enqueue(jobUsage, u.task.goods, u.day, t.now, "")
		}
		return nil
	})
}

// reported notes that the marketplace has taken the use of devices.
func (t *tx) reported(u usageOf, devices []string) error {
	for _, d := range devices {
		if _, err := t.exec(`UPDATE uses SET reported = $1 WHERE goods = $2 AND day = $3 AND device = $4`, t.now, u.task.goods, u.day, d); err != nil {
			return err
		}
	}
	return nil
}

// UseInfo is one day on which a device used a code.
type UseInfo struct {
	Day      string `json:"day"`
	Device   string `json:"device"`
	Reported int64  `json:"reported"` // UTC second at which the marketplace was told, 0: not yet
}

// Uses lists the days of use of a marketplace's code, newest first. Both orders
// run backwards: then the primary key has it, however many devices used the code.
func (s *Service) Uses(ctx context.Context, codeID string, limit int) ([]UseInfo, error) {
	rows, err := s.query(ctx, `SELECT day, device, reported FROM uses
		WHERE goods = (SELECT goods FROM codes WHERE id = $1) ORDER BY day DESC, device DESC LIMIT $2`, codeID, limit)
	if err != nil {
		return nil, fmt.Errorf("merchant: uses: %w", err)
	}
	return collect(rows, scanUse)
}

func scanUse(rows *sql.Rows) (UseInfo, error) {
	var u UseInfo
	err := rows.Scan(&u.Day, &u.Device, &u.Reported)
	return u, err
}
