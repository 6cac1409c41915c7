package merchant

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"

	"licenseagent.example/activation/protocol"
)

// Refusal is a request that was understood and answered with no. What its
// transaction wrote before refusing (a contested mark, an audit row) stays.
type Refusal struct {
	Code  protocol.Code
	After int64 // seconds to wait, for the codes that may be tried again
}

// Error names the code and its English message.
func (r *Refusal) Error() string {
	return string(r.Code) + ": " + protocol.Lookup(r.Code).Message.EN
}

func refuse(c protocol.Code) error { return &Refusal{Code: c} }

// errBusy is returned when more requests wait than the writer takes in seconds.
var errBusy = fmt.Errorf("%w: too many requests are waiting", ErrUnavailable)

// batchSize bounds the requests of one transaction. Beyond a few dozen the
// cost of the sync is shared enough; a bound keeps the wait of the first small.
const batchSize = 128

// job is one piece of work for the writer.
type job struct {
	ctx  context.Context
	lock string // what it locks first, see attempt
	seat string // the license whose seat it reads, "" for none or many
	run  func(t *tx) error
	err  error
	done chan struct{}
}

// change runs one piece of work in a transaction of the writer, together with
// whatever else is waiting, and returns after the commit. run may be called
// twice (the second time alone), so it must leave nothing behind but its
// results. It returns the error of run, or that of the transaction.
func (s *Service) change(ctx context.Context, run func(t *tx) error) error {
	return s.changeLocking(ctx, "", run)
}

// changeFirst is change for a caller with little patience: it overtakes what
// waits already. The marketplace hangs up after five seconds.
func (s *Service) changeFirst(ctx context.Context, lock string, run func(t *tx) error) error {
	return s.put(s.urgent, &job{ctx: ctx, lock: lock, run: run})
}

// changeLocking is change for work that locks rows which other instances of the
// service may want in the same second: lock names the first of them.
func (s *Service) changeLocking(ctx context.Context, lock string, run func(t *tx) error) error {
	return s.put(s.queue, &job{ctx: ctx, lock: lock, run: run})
}

func (s *Service) put(queue chan *job, j *job) error {
	j.done = make(chan struct{})
	s.closing.RLock()
	if s.closed {
		s.closing.RUnlock()
		return refuse(protocol.CodeUnavailable)
	}
	select {
	case queue <- j:
		s.closing.RUnlock()
	default:
		s.closing.RUnlock()
		return errBusy
	}
	<-j.done
	return j.err
}

// writeLoop is the one writer. It ends when the queue is closed and empty.
func (s *Service) writeLoop() {
	defer close(s.stopped)
	for {
		first, ok := s.next(true)
		if !ok {
			return
		}
		batch := append(make([]*job, 0, batchSize), first)
		for len(batch) < batchSize {
			j, ok := s.next(false)
			if !ok {
				break
			}
			batch = append(batch, j)
		}
		s.metrics.batch.Observe(float64(len(batch)))
		s.commit(batch)
		for _, j := range batch {
			close(j.done)
		}
	}
}

// next takes one job, an urgent one before others; false when there is none, or
// with wait when there will be none.
func (s *Service) next(wait bool) (*job, bool) {
	select {
	case j, ok := <-s.urgent:
		if ok {
			return j, true
		}
	default:
	}
	if !wait {
		select {
		case j, ok := <-s.queue:
			return j, ok
		default:
			return nil, false
		}
	}
	urgent := s.urgent
	for {
		select {
		case j, ok := <-urgent:
			if ok {
				return j, true
			}
			urgent = nil // closed: only what is left of the other
		case j, ok := <-s.queue:
			if ok {
				return j, true
			}
			j, ok = <-s.urgent // both were closed together
			return j, ok
		}
	}
}

// commit runs a batch. When one member fails for a reason of the database, the
// batch is undone and each member runs alone: one poisoned request must not
// fail its neighbours. After a failed COMMIT nothing is repeated, because the
// outcome is unknown; the devices repeat, and the chain rule tells.
func (s *Service) commit(batch []*job) {
	live := batch[:0:0]
	for _, j := range batch {
		if j.err = j.ctx.Err(); j.err == nil { // gone before we began: no work for nobody
			live = append(live, j)
		}
	}
	if len(live) == 0 || s.attempt(live) || len(live) == 1 || errors.Is(live[0].err, ErrUnavailable) {
		return
	}
	for _, j := range live {
		s.attempt([]*job{j})
	}
}

// attempt runs jobs in one transaction; false means it was rolled back. Jobs run
// in the order of what they lock, so that two instances with the same rows in
// their batches wait for each other instead of locking each other up.
func (s *Service) attempt(jobs []*job) bool {
	slices.SortStableFunc(jobs, func(a, b *job) int { return strings.Compare(a.lock, b.lock) })
	fail := func(err error) bool {
		err = s.databaseFailed(err)
		for _, j := range jobs {
			j.err = err
		}
		return false
	}
	ctx, cancel := s.db.bound() // not a client's: one that hangs up must not undo its neighbours
	defer cancel()
	sqlTx, err := s.db.write.BeginTx(ctx, nil)
	if err != nil {
		return fail(fmt.Errorf("merchant: begin: %w", err))
	}
	t := &tx{beside: beside{ctx, sqlTx, s}, now: s.clock().Unix()}
	undo := func(err error) bool {
		if back := sqlTx.Rollback(); back != nil {
			err = errors.Join(err, back)
		}
		return fail(err)
	}
	if err := s.loadKeys(t); err != nil {
		return undo(err)
	}
	for i, j := range jobs {
		if j.seat != "" && t.ahead.read == nil { // not earlier: codes are locked before seats
			if err := t.readAhead(jobs[i:]); err != nil {
				return undo(err)
			}
		}
		t.by = actorOf(j.ctx)
		j.err = protect(j.run, t)
		var refusal *Refusal
		if j.err != nil && !errors.As(j.err, &refusal) {
			return undo(j.err)
		}
	}
	if err := t.finish(); err != nil {
		return undo(err)
	}
	if err := sqlTx.Commit(); err != nil {
		fail(fmt.Errorf("merchant: commit: %w", err))
		return true // undone or not is unknown: do not run again
	}
	s.solved(problemDatabase)
	s.committed(t)
	return true
}

// protect turns a panic into an error: one request must not end the service.
func protect(run func(t *tx) error, t *tx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("merchant: panic: %v\n%s", p, debug.Stack())
		}
	}()
	return run(t)
}
