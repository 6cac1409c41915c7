package merchant

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

// Kinds of jobs.
const (
	jobConfirm = "confirm" // a heartbeat after a callback: the marketplace's own word
	jobBeat    = "beat"    // the heartbeat of a day of use
	jobUsage   = "usage"   // the clients of a day of use
	jobOrder   = "order"   // what an instance was ordered as
	jobUpload  = "upload"  // a license that was applied for
)

const (
	// jobLease is how long a worker holds a job: longer than the slowest call,
	// before which it is extended (see hold). What a killed worker held is free
	// again after it.
	jobLease = 60
	// jobBatch is how many jobs one claim takes; a usage report holds 100 codes.
	jobBatch = 100
	// Pauses after a failure: full jitter over a doubling span.
	jobRetryBase = 30
	jobRetryCap  = 3600
	// jobGiveUp ends jobs that the marketplace could not be asked about for so
	// long that their answer means nothing any more.
	jobGiveUp = 14 * day
)

// task is one piece of work that survives a crash.
type task struct {
	id, kind, goods, payload string
	round, attempts, created int64
}

// jobID names work, so that the same work waits once.
func jobID(kind, goods, key string) string {
	if key == "" {
		return kind + ":" + goods
	}
	return kind + ":" + goods + ":" + key
}

// enqueue makes work wait. The same work (kind, goods, key) waits once: asked
// for again it runs again, but no earlier than a pause after a failure allows,
// except a confirmation, which somebody waits for.
func (t *tx) enqueue(kind, goods, key string, due int64, payload string) error {
	when := `CASE WHEN jobs.failed = 0 THEN jobs.due ELSE excluded.due END`
	if kind == jobConfirm {
		when = `CASE WHEN jobs.failed = 0 AND jobs.due < excluded.due THEN jobs.due ELSE excluded.due END`
	}
	_, err := t.beside.exec(`INSERT INTO jobs (id, kind, goods, payload, due, lease, owner, round, attempts, failed, problem, created, updated)
		VALUES ($1, $2, $3, $4, $5, 0, '', 1, 0, 0, '', $6, $7)
		ON CONFLICT (id) DO UPDATE SET round = jobs.round + 1, due = `+when+`, failed = 0, payload = excluded.payload, updated = excluded.updated`,
		jobID(kind, goods, key), kind, goods, payload, due, t.now, t.now)
	if err == nil {
		t.work = true
	}
	return err
}

// claim takes jobs that are due, oldest first, and holds them. Instances skip
// what another one is just claiming; SQLite has one writer at a time. The
// heartbeat of a day waits for a confirmation of the same code, which may be it.
func (s *Service) claim(ctx context.Context, limit int) ([]task, error) {
	var list []task
	err := s.change(ctx, func(t *tx) error {
		list = nil
		q := `SELECT id, kind, goods, payload, round, attempts, created FROM jobs WHERE failed = 0 AND due <= $1 AND lease <= $2
			AND NOT (kind = '` + jobBeat + `' AND EXISTS (SELECT 1 FROM jobs c WHERE c.id = '` + jobConfirm + `:' || jobs.goods AND c.failed = 0))
			ORDER BY due, id LIMIT $3`
		if s.db.postgres {
			q += ` FOR UPDATE SKIP LOCKED`
		}
		rows, err := t.query(q, t.now, t.now, limit)
		if err != nil {
			return fmt.Errorf("merchant: jobs: %w", err)
		}
		defer rows.Close()
		for rows.Next() {
			var j task
			if err := rows.Scan(&j.id, &j.kind, &j.goods, &j.payload, &j.round, &j.attempts, &j.created); err != nil {
				return fmt.Errorf("merchant: jobs: %w", err)
			}
			list = append(list, j)
		}
		if err := rows.Err(); err != nil {
			return fmt.Errorf("merchant: jobs: %w", err)
		}
		if err := rows.Close(); err != nil {
			return fmt.Errorf("merchant: jobs: %w", err)
		}
		for i := range list {
			list[i].attempts++
			if _, err := t.exec(`UPDATE jobs SET lease = $1, owner = $2, attempts = $3, updated = $4 WHERE id = $5`,
				t.now+jobLease, s.name, list[i].attempts, t.now, list[i].id); err != nil {
				return err
			}
		}
		return nil
	})
	return list, err
}

// hold extends the leases of jobs whose call comes now, and returns those that
// are still this worker's: a batch takes longer than a lease when the marketplace
// is slow, and another instance may have taken what waited too long in it.
func (s *Service) hold(ctx context.Context, list ...task) ([]task, error) {
	var held []task
	err := s.change(ctx, func(t *tx) error {
		held = nil
		for _, j := range list {
			n, err := t.exec(`UPDATE jobs SET lease = $1 WHERE id = $2 AND owner = $3 AND attempts = $4 AND lease > $5`,
				t.now+jobLease, j.id, s.name, j.attempts, t.now)
			if err != nil {
				return err
			}
			if n == 1 {
				held = append(held, j)
			}
		}
		return nil
	})
	return held, err
}

// finished forgets a job that was done. One that was asked for again meanwhile
// stays, because what was done may have come too early for that.
func (t *tx) finished(j task) error {
	n, err := t.exec(`DELETE FROM jobs WHERE id = $1 AND owner = $2 AND round = $3`, j.id, t.svc.name, j.round)
	if err != nil || n == 1 {
		return err
	}
	_, err = t.exec(`UPDATE jobs SET lease = 0, owner = '', attempts = 0, due = $1, updated = $2 WHERE id = $3 AND owner = $4`, t.now, t.now, j.id, t.svc.name)
	return err
}

// again puts a job back for later.
func (t *tx) again(j task, wait int64, why string) error {
	_, err := t.exec(`UPDATE jobs SET lease = 0, owner = '', due = $1, problem = $2, updated = $3 WHERE id = $4 AND owner = $5`,
		t.now+wait, why, t.now, j.id, t.svc.name)
	return err
}

// givenUp keeps a job for a human.
func (t *tx) givenUp(j task, why string) error {
	_, err := t.exec(`UPDATE jobs SET lease = 0, owner = '', failed = 1, problem = $1, updated = $2 WHERE id = $3 AND owner = $4`,
		why, t.now, j.id, t.svc.name)
	return err
}

// pause is how long a job waits after so many attempts.
func (s *Service) pause(attempts int64) int64 {
	span := int64(jobRetryCap)
	if attempts < 8 { // 30·2⁷ exceeds the cap
		span = min(span, jobRetryBase<<max(attempts-1, 0))
	}
	return 1 + s.spread(span)
}

// spread draws a number in [0, span).
func (s *Service) spread(span int64) int64 {
	if span <= 0 {
		return 0
	}
	var b [8]byte
	if _, err := io.ReadFull(s.opts.Rand, b[:]); err != nil {
		return span / 2
	}
	return int64(binary.BigEndian.Uint64(b[:]) % uint64(min(span, math.MaxInt32)))
}

// QueueInfo says how the work after the answers stands.
type QueueInfo struct {
	Waiting int64 `json:"waiting"`
	Failed  int64 `json:"failed"`   // given up, see Problems
	Oldest  int64 `json:"oldest"`   // UTC second at which the oldest waiting job was due, 0: none is late
	NextDue int64 `json:"next_due"` // 0: nothing waits
}

// Queue describes the jobs.
func (s *Service) Queue(ctx context.Context) (QueueInfo, error) {
	var q QueueInfo
	err := s.db.read.QueryRowContext(ctx, `SELECT COALESCE(SUM(CASE WHEN failed = 0 THEN 1 ELSE 0 END), 0), COALESCE(SUM(failed), 0),
		COALESCE(MIN(CASE WHEN failed = 0 THEN due END), 0) FROM jobs`).Scan(&q.Waiting, &q.Failed, &q.NextDue)
	if err != nil {
		return q, fmt.Errorf("merchant: jobs: %w", err)
	}
	if now := s.clock().Unix(); q.NextDue > 0 && q.NextDue <= now {
		q.Oldest = q.NextDue
	}
	return q, nil
}
