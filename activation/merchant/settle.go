package merchant

import (
	"context"
	"fmt"
)

// Settle says that a problem about one of many was put right outside: a code
// whose order somebody looked up, a buyer who was told. Nothing that happens
// here could tell. It is closed on every instance, and work about that code
// that was given up is tried again. ErrNotFound when there is no such problem,
// ErrState for one that closes by itself.
func (s *Service) Settle(ctx context.Context, code, subject, reason string) error {
	if err := s.hearProblems(ctx); err != nil {
		return s.databaseFailed(err)
	}
	id := problemID{code, subject}
	s.problems.mu.Lock()
	_, open := s.problems.open[id]
	s.problems.mu.Unlock()
	if !open {
		return fmt.Errorf("%w: problem %s of %q", ErrNotFound, clip(code), subject)
	}
	if subject == "" {
		return fmt.Errorf("%w: %s closes by itself when what it says was put right", ErrState, code)
	}
	err := s.change(ctx, func(t *tx) error {
		if err := t.keepProblems(map[problemID]*Problem{id: nil}); err != nil {
			return err
		}
		// As if it were new, so that it is not given up for its age at once.
		if _, err := t.exec(`UPDATE jobs SET failed = 0, attempts = 0, due = $1, created = $1, problem = '', updated = $1
			WHERE failed = 1 AND (goods IN (SELECT goods FROM codes WHERE id = $2 AND goods <> '') OR $2 = $3 AND goods LIKE $4)`,
			t.now, subject, instanceSubject, instancePrefix+"%"); err != nil {
			return err
		}
		t.work = true
		return t.audit(t.by, "problem.settle", subject, map[string]any{"problem": code, "reason": reason})
	})
	if err == nil {
		s.solvedFor(code, subject)
	}
	return err
}
