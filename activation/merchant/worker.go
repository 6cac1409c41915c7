package merchant

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"licenseagent.example/activation/koogallery"
)

const (
	// workPoll is how often an instance looks for work that another one left.
	workPoll = time.Second
	// callsAtOnce bounds the calls to the marketplace under way.
	callsAtOnce = 4
)

// Work does what must happen after answers until ctx ends: heartbeats, usage
// reports, order queries, uploads. Any number of instances may work at once.
// What is under way when ctx ends is finished or put back.
func (s *Service) Work(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-s.wake:
		}
		wait := workPoll
		n, err := s.WorkDue(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			s.log.Error("background work failed; it is tried again", "error", err)
		case n == jobBatch:
			wait = 0
		}
		s.housekeep(ctx)
		timer.Reset(wait)
	}
}

// WorkDue does the jobs that are due now, at most one batch, and returns how
// many it took.
func (s *Service) WorkDue(ctx context.Context) (int, error) {
	if !s.market.sells() {
		return 0, nil // what waits, waits for a service with the marketplace configured
	}
	list, err := s.claim(ctx, jobBatch)
	if err != nil || len(list) == 0 {
		return 0, err
	}
	var usage []task
	var mu sync.Mutex
	var errs []error
	fail := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		errs = append(errs, err)
	}
	slots := make(chan struct{}, callsAtOnce)
	var running sync.WaitGroup
	for _, j := range list {
		if j.kind == jobUsage {
			usage = append(usage, j)
			continue
		}
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			if err := s.runTask(ctx, j); err != nil {
				fail(fmt.Errorf("job %s: %w", j.kind, err))
			}
		})
	}
	if len(usage) > 0 {
		if err := s.reportUsage(ctx, usage); err != nil {
			fail(fmt.Errorf("job usage: %w", err))
		}
	}
	running.Wait()
	return len(list), errors.Join(errs...)
}

// runTask does one job. An error of the marketplace is not an error of the
// job: it is put back or given up.
func (s *Service) runTask(ctx context.Context, j task) error {
	held, err := s.hold(ctx, j)
	if err != nil || len(held) == 0 {
		return err
	}
	switch j.kind {
	case jobConfirm, jobBeat:
		err = s.beat(ctx, j)
	case jobOrder:
		err = s.queryOrder(ctx, j)
	case jobUpload:
		err = s.uploadLicense(ctx, j)
	default:
		err = fmt.Errorf("%w: job of kind %q", ErrInput, j.kind) // of a newer version
	}
	return err
}

// settleTask writes down how a call ended: done, later, or given up.
func (s *Service) settleTask(ctx context.Context, j task, err error, done func(t *tx) error) error {
	about := ""
	if err != nil {
		about = cmp.Or(s.codeOf(context.WithoutCancel(ctx), j.goods), instanceSubject)
	}
	return s.changeLocking(context.WithoutCancel(ctx), "code "+j.goods, func(t *tx) error {
		if err == nil {
			if done != nil {
				if err := done(t); err != nil {
					return err
				}
			}
			return t.finished(j)
		}
		switch koogallery.ClassOf(err) {
		case koogallery.UnknownCode, koogallery.Refused, koogallery.NotActivated, koogallery.BadCodeInSet:
			return t.givenUp(j, word(err)) // and named by judgeCall
		case koogallery.NotReceived, koogallery.AlreadyActive:
			s.reportFor(problemGivenUp, about, j.kind+": "+word(err))
			return t.givenUp(j, word(err))
		}
		if t.now-j.created > jobGiveUp {
			s.reportFor(problemGivenUp, about, j.kind+": "+word(err))
			return t.givenUp(j, word(err))
		}
		return t.again(j, s.pause(j.attempts), word(err))
	})
}

// instanceSubject names work about an instance that has no code yet: its id
// belongs to the marketplace's customer.
const instanceSubject = "instance"

// beat asks for the standing of goods and takes it in.
func (s *Service) beat(ctx context.Context, j task) error {
	g, code, err := s.secretOf(ctx, j.goods)
	if err != nil {
		return err
	}
	if g.kind != goodsCode || g.standing == standReleased && j.kind == jobBeat {
		return s.settleTask(ctx, j, nil, nil) // nothing to ask about
	}
	var h koogallery.Heartbeat
	start := s.clock().Unix()
	err = s.asked(ctx, "heartbeat", s.codeOf(ctx, g.id), func(ctx context.Context) (err error) {
		h, err = s.heartbeat(ctx, g, code)
		return err
	})
	return s.settleTask(ctx, j, err, func(t *tx) error {
		g, err := t.goods(j.goods)
		if err != nil {
			return err
		}
		if err := t.heard(g, h); err != nil {
			return err
		}
		return t.askedFor(j, start)
	})
}

// secretOf reads goods and their code or instance id.
func (s *Service) secretOf(ctx context.Context, id string) (*goods, string, error) {
	g := new(goods)
	if err := s.db.read.QueryRowContext(ctx, `SELECT `+goodsColumns+` FROM goods WHERE id = $1`, id).Scan(g.fields()...); err != nil {
		return nil, "", fmt.Errorf("merchant: goods: %w", err)
	}
	text, err := s.openGoods(g)
	return g, text, err
}

// codeOf names goods for logs and troubles: the id of a code that came from
// them, which says nothing to a stranger.
func (s *Service) codeOf(ctx context.Context, goods string) string {
	var id string
	if err := s.db.read.QueryRowContext(ctx, `SELECT id FROM codes WHERE goods = $1 AND goods <> '' ORDER BY id LIMIT 1`, goods).Scan(&id); err != nil {
		return ""
	}
	return id
}

// nonceLife is how long a nonce of a callback is remembered: longer than any
// time stamp can be fresh, whatever happens to clocks.
const nonceLife = day

// useLife is how long reported days of use are kept, to tell a day that is
// reported again from a new one.
const useLife = 40

// housekeep forgets what is old, at most once an hour, and brings gauges up to date.
func (s *Service) housekeep(ctx context.Context) {
	s.measureQueue(ctx)
	now := s.clock().Unix()
	if now-s.kept.Load() < 3600 {
		return
	}
	s.kept.Store(now)
	before := time.Unix(now, 0).In(s.market.Calendar).AddDate(0, 0, -useLife).Format(time.DateOnly)
	err := s.change(ctx, func(t *tx) error {
		if _, err := t.exec(`DELETE FROM nonces WHERE seen < $1`, t.now-nonceLife); err != nil {
			return err
		}
		if _, err := t.exec(`DELETE FROM guesses WHERE clear < $1`, t.now); err != nil {
			return err
		}
		_, err := t.exec(`DELETE FROM uses WHERE day < $1 AND reported > 0`, before)
		return err
	})
	if err != nil {
		s.log.Error("housekeeping failed; it is tried again in an hour", "error", err)
	}
}

// payload reads the JSON of a job.
func payload[T any](j task) (T, error) {
	var v T
	if err := json.Unmarshal([]byte(j.payload), &v); err != nil {
		return v, fmt.Errorf("merchant: job %s: %w", j.kind, err)
	}
	return v, nil
}
