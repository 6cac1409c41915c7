package merchant

import (
	"errors"
	"strings"

	"licenseagent.example/activation/koogallery"
)

const (
	// lastingFailure is how many seconds internal errors of the marketplace may
	// go on before somebody is told: most pass by themselves.
	lastingFailure = 3600
	// maxTyped bounds the problems about codes that somebody typed and the
	// marketplace does not take; the oldest gives way. Guesses must not fill the
	// list, nor hide the newest one.
	maxTyped = 20
)

// failed notes a call that failed for no reason of ours, and opens a problem
// when it lasts: one for all when nothing succeeds, else one for the subject.
func (s *Service) failed(problem, subject, detail string) {
	now := s.clock().Unix()
	l := &s.problems
	l.mu.Lock()
	if l.failing == nil {
		l.failing = map[string]int64{}
	}
	lasts := map[string]bool{}
	for _, about := range []string{"", subject} {
		if _, ok := l.failing[about]; !ok {
			l.failing[about] = now
		}
		lasts[about] = now-l.failing[about] >= lastingFailure
	}
	l.mu.Unlock()
	switch {
	case lasts[""]:
		s.reportFor(problemFailing, "", detail)
	case lasts[subject]:
		s.reportFor(problem, subject, detail)
	}
}

// succeeded ends what failed notes.
func (s *Service) succeeded(subject string) {
	l := &s.problems
	l.mu.Lock()
	delete(l.failing, "")
	delete(l.failing, subject)
	l.mu.Unlock()
	s.solvedFor(problemFailing, "")
	if subject != "" {
		s.solvedFor(problemFailing, subject)
	}
}

// raise opens a problem in the transaction that finds it: one that is met once
// only must not be lost with the process.
func (t *tx) raise(code, subject, detail string) error {
	t.svc.reportFor(code, subject, detail)
	return t.keepProblems(map[problemID]*Problem{{code, subject}: {Detail: detail, Since: t.now}})
}

// over closes a problem in the transaction that ends it: another process has it
// open, perhaps.
func (t *tx) over(id problemID) error {
	err := t.keepProblems(map[problemID]*Problem{id: nil})
	t.svc.solvedFor(id.code, id.subject)
	return err
}

// named counts what a problem is open about besides a subject.
func (s *Service) named(code, besides string) int {
	s.problems.mu.Lock()
	defer s.problems.mu.Unlock()
	n := s.problems.count(code)
	if _, open := s.problems.open[problemID{code, besides}]; open {
		n--
	}
	return n
}

// solvedBy closes a problem that the same call met: that a code's use is taken
// says nothing of a heartbeat that calls it not activated.
func (s *Service) solvedBy(call, code, subject string) {
	l := &s.problems
	l.mu.Lock()
	p := l.open[problemID{code, subject}]
	l.mu.Unlock()
	if met, _, _ := strings.Cut(p.Detail, " "); met == call {
		s.solvedFor(code, subject)
	}
}

// nameTyped names a code that somebody typed and that the marketplace does not
// take, by its last characters. How it answers for a code of another seller is
// not documented: 92020001 says so or means an internal error, and "does not
// exist" and "invalid" are as plausible. A typing mistake looks like the latter,
// hence a problem of its own, and only for what looks like one of its codes.
func (s *Service) nameTyped(call, code string, err error) {
	var e *koogallery.Error
	if !errors.As(err, &e) {
		return
	}
	detail := strings.TrimSpace(call + " " + e.Code + " " + e.Hint) // never the message: it may repeat the code
	switch e.Class {
	case koogallery.Ambiguous:
		s.reportFor(problemForeign, foreignHint(code), detail)
	case koogallery.UnknownCode, koogallery.Refused, koogallery.BadCodeInSet, koogallery.NotActivated:
		if strings.HasPrefix(code, "PL") && foreignHint(code) != foreignHint("") {
			s.makeRoom(problemTyped, foreignHint(code), maxTyped)
			s.reportFor(problemTyped, foreignHint(code), detail)
		}
	}
}

// makeRoom closes the oldest problems with a code, so that the one about the
// subject may open.
func (s *Service) makeRoom(code, subject string, most int) {
	l := &s.problems
	for {
		l.mu.Lock()
		n, oldest := 0, Problem{}
		for id, p := range l.open {
			if id.code != code {
				continue
			}
			if n++; n == 1 || p.Since < oldest.Since {
				oldest = p
			}
		}
		_, open := l.open[problemID{code, subject}]
		l.mu.Unlock()
		if open || n < most {
			return
		}
		s.solvedFor(code, oldest.Subject)
	}
}
