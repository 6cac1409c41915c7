package merchant

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"licenseagent.example/activation/koogallery"
)

// problemID names one open problem.
type problemID struct{ code, subject string }

// problemList is what is wrong now. It lives in memory, because one of the
// things that can be wrong is the database. Problems with the marketplace are
// shared through the database: any instance may meet them, and any may see that
// they are over. The zero value is ready.
type problemList struct {
	mu      sync.Mutex
	open    map[problemID]Problem
	dirty   map[problemID]bool // shared problems to be written, or deleted when not open
	foreign map[problemID]bool // open because another instance says so
	failing map[string]int64   // since when calls about a subject fail without a reason; "": all calls
}

// report opens a problem, writes it to the log once and sets the metric.
func (s *Service) report(code, detail string) { s.reportFor(code, "", detail) }

// solved closes a problem, if it is open.
func (s *Service) solved(code string) { s.solvedFor(code, "") }

// reportFor is report for a problem of one of many: a code id, a product. It
// never waits for anything.
func (s *Service) reportFor(code, subject, detail string) {
	l, id := &s.problems, problemID{code, subject}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open == nil {
		l.open, l.dirty, l.foreign = map[problemID]Problem{}, map[problemID]bool{}, map[problemID]bool{}
	}
	if have, ok := l.open[id]; ok {
		// Met here: whoever said first that it is over was wrong, or early.
		if have.Detail != detail || l.foreign[id] {
			have.Detail, l.dirty[id] = detail, true
		}
		delete(l.foreign, id)
		l.open[id] = have
		return
	}
	p, ok := problemOf(code)
	if !ok {
		return
	}
	p.Subject, p.Detail, p.Since = subject, detail, s.clock().Unix()
	l.open[id], l.dirty[id] = p, true
	s.metrics.problems.WithLabelValues(code).Set(float64(l.count(code)))
	s.log.Error("problem", "problem", code, "detail", detail, "subject", subject, "message", p.Message.EN, "next", p.Next.EN)
}

// solvedFor is solved for a problem of one of many.
func (s *Service) solvedFor(code, subject string) {
	l, id := &s.problems, problemID{code, subject}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.open[id]; !ok {
		return
	}
	delete(l.open, id)
	delete(l.foreign, id)
	l.dirty[id] = true
	s.metrics.problems.WithLabelValues(code).Set(float64(l.count(code)))
	s.log.Warn("problem solved", "problem", code, "subject", subject)
}

func (l *problemList) count(code string) (n int) {
	for id := range l.open {
		if id.code == code {
			n++
		}
	}
	return n
}

func problemOf(code string) (Problem, bool) {
	for _, p := range Problems() {
		if p.Code == code {
			return p, true
		}
	}
	return Problem{}, false
}

// shared says whether a problem is that of all instances.
func shared(code string) bool {
	for _, p := range marketProblems() {
		if p.Code == code {
			return true
		}
	}
	return false
}

// shareProblems writes what this instance has found to the database and takes
// over what others have. What cannot be written stays to be written.
func (s *Service) shareProblems(ctx context.Context) error {
	l := &s.problems
	l.mu.Lock()
	todo := map[problemID]*Problem{}
	for id := range l.dirty {
		delete(l.dirty, id)
		if !shared(id.code) {
			continue
		}
		todo[id] = nil
		if p, ok := l.open[id]; ok {
			todo[id] = &p
		}
	}
	l.mu.Unlock()
	if len(todo) > 0 {
		if err := s.change(ctx, func(t *tx) error { return t.keepProblems(todo) }); err != nil {
			l.mu.Lock()
			defer l.mu.Unlock()
			for id := range todo {
				l.dirty[id] = true
			}
			return err
		}
	}
	// What is about one of many has no later success that ends it here: it is
	// open as long as the database says so, whoever settles it (see Settle).
	l.mu.Lock()
	for id, p := range todo {
		if _, open := l.open[id]; p != nil && open && id.subject != "" && !l.dirty[id] {
			l.foreign[id] = true
		}
	}
	l.mu.Unlock()
	return s.hearProblems(ctx)
}

// keepProblems writes problems down; nil removes one.
func (t *tx) keepProblems(todo map[problemID]*Problem) error {
	for id, p := range todo {
		if p == nil {
			if _, err := t.exec(`DELETE FROM problems WHERE code = $1 AND subject = $2`, id.code, id.subject); err != nil {
				return err
			}
			continue
		}
		if _, err := t.exec(`INSERT INTO problems (code, subject, detail, since) VALUES ($1, $2, $3, $4)
			ON CONFLICT (code, subject) DO UPDATE SET detail = excluded.detail`, id.code, id.subject, p.Detail, p.Since); err != nil {
			return err
		}
	}
	return nil
}

// hearProblems takes over what other instances and earlier runs have written.
func (s *Service) hearProblems(ctx context.Context) error {
	rows, err := s.db.read.QueryContext(ctx, `SELECT code, subject, detail, since FROM problems`)
	if err != nil {
		return fmt.Errorf("merchant: problems: %w", err)
	}
	defer rows.Close()
	said := map[problemID]Problem{}
	for rows.Next() {
		var one Problem
		if err := rows.Scan(&one.Code, &one.Subject, &one.Detail, &one.Since); err != nil {
			return fmt.Errorf("merchant: problems: %w", err)
		}
		if p, ok := problemOf(one.Code); ok {
			p.Subject, p.Detail, p.Since = one.Subject, one.Detail, one.Since
			said[problemID{one.Code, one.Subject}] = p
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("merchant: problems: %w", err)
	}
	l := &s.problems
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open == nil {
		l.open, l.dirty, l.foreign = map[problemID]Problem{}, map[problemID]bool{}, map[problemID]bool{}
	}
	for id, p := range said {
		if _, ok := l.open[id]; !ok && !l.dirty[id] {
			l.open[id], l.foreign[id] = p, true
		}
	}
	for id := range l.foreign {
		if _, ok := said[id]; !ok {
			delete(l.open, id)
			delete(l.foreign, id)
		}
	}
	for _, p := range marketProblems() {
		s.metrics.problems.WithLabelValues(p.Code).Set(float64(l.count(p.Code)))
	}
	return nil
}

// judgeCall turns the outcome of a call to the marketplace into problems.
func (s *Service) judgeCall(_ context.Context, call, class, subject string, err error) {
	var e *koogallery.Error
	hint := ""
	if errors.As(err, &e) {
		hint = strings.TrimSpace(e.Code + " " + e.Hint) // never the message: it may repeat the code
	}
	general := map[string]string{
		"certificate": problemCert, "unreachable": problemAway, "unreadable": problemAnswer,
		string(koogallery.ClockSkew): problemClock, string(koogallery.Throttled): problemThrottled,
	}
	if name, ok := general[class]; ok {
		s.reportFor(name, "", hint)
		return
	}
	switch koogallery.Class(class) {
	case koogallery.Unauthorized:
		s.reportFor(problemKey, "", hint)
	case koogallery.Retry:
		s.failed(problemFailing, subject, call+" "+hint)
	case koogallery.Ambiguous:
		if subject != "" { // without one: see nameTyped
			s.failed(problemForeign, subject, call+" "+hint)
		}
	case koogallery.UnknownCode, koogallery.NotActivated:
		if subject != "" { // without one: a buyer's typing mistake
			s.reportFor(problemUnknown, subject, call+" "+hint)
		}
	case koogallery.BadCodeInSet, koogallery.Refused:
		if subject != "" {
			s.reportFor(problemBatch, subject, call+" "+hint)
		}
	case koogallery.Success:
		for _, name := range general {
			s.solvedFor(name, "")
		}
		s.solvedFor(problemKey, "")
		s.succeeded(subject)
		if subject != "" {
			s.solvedFor(problemForeign, subject)
			s.solvedBy(call, problemUnknown, subject)
			s.solvedBy(call, problemBatch, subject)
		}
	}
}
