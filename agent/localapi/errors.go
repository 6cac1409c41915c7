package localapi

import (
	"context"
	"errors"
	"sync"
	"syscall"
	"time"

	"licenseagent.example/activation"
	"licenseagent.example/agent/api"
)

// translate turns any error into the error that a caller sees, with the
// sentence and the next step in one language. What the merchant said is passed
// on in its own words with its own stable code as the cause.
func translate(err error, lang string) *api.Error {
	if mine := (*api.Error)(nil); errors.As(err, &mine) {
		out := *mine
		message, hint := api.Sentence(out.Code, lang)
		if out.Message == "" {
			out.Message = message
		}
		if out.Hint == "" {
			out.Hint = hint
		}
		return &out
	}
	code := seatCode(err)
	if code == "" {
		code = codeOf(err)
	}
	e := api.NewError(code, lang)
	if refused := (*activation.RefusedError)(nil); errors.As(err, &refused) {
		e.Cause = refused.Code
		if refused.Message != "" {
			e.Message = refused.Message
		}
		if refused.Hint != "" {
			e.Hint = refused.Hint
		}
	}
	return e
}

// Explain is translate for errors that are remembered and shown later, such as
// the last failed contact in a status.
func Explain(err error, lang string) *api.Error { return translate(err, lang) }

// codeOf is the mapping from the errors of the life cycle to stable codes. The
// order matters where errors are joined: "not now" beats "no", because a
// refusal that is wrapped beside ErrUnreachable is temporary, and a full disk
// is more useful to know than that storing failed.
func codeOf(err error) string {
	refused := (*activation.RefusedError)(nil)
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return api.CodeStorageFull
	case errors.Is(err, activation.ErrStore):
		return api.CodeStorage
	case errors.Is(err, activation.ErrDevice): // of whatever kind the request was
		return api.CodeDeviceKey
	case errors.Is(err, activation.ErrNotActivated):
		return api.CodeNotActivated
	case errors.Is(err, activation.ErrAmbiguousProduct):
		return api.CodeAmbiguous
	case errors.Is(err, activation.ErrAlreadyActivated):
		return api.CodeAlreadyActivated
	case errors.Is(err, activation.ErrOutstanding):
		return api.CodeOutstanding
	case errors.Is(err, activation.ErrAlreadyImported):
		return api.CodeAlreadyImported
	case errors.Is(err, activation.ErrWrongAnswer):
		return api.CodeWrongAnswer
	case errors.Is(err, activation.ErrUnknownIssuer):
		return api.CodeUnknownIssuer
	case errors.Is(err, activation.ErrDamaged):
		return api.CodeDamaged
	case errors.Is(err, activation.ErrNonce), errors.Is(err, activation.ErrKind):
		return api.CodeBadRequest
	case errors.Is(err, activation.ErrUnreachable):
		return api.CodeUnreachable
	case errors.As(err, &refused):
		return api.CodeRefused
	case errors.Is(err, activation.ErrAnswer):
		return api.CodeBadAnswer
	case errors.Is(err, context.DeadlineExceeded):
		return api.CodeUnreachable
	case errors.Is(err, context.Canceled):
		return api.CodeBusy
	}
	return api.CodeInternal
}

// loudPause is the least time between two errors of one code in the log.
const loudPause = time.Minute

// loud keeps what any local user can cause without end, such as a check while the
// chip of the device key is away, from filling the disk with the log.
type loud struct {
	mu   sync.Mutex
	last map[string]time.Time // by code; the zero value has said nothing
}

// may says whether an error of this code is to be seen by the operator again.
func (l *loud) may(code string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	last, said := l.last[code]
	if since := now.Sub(last); said && since >= 0 && since < loudPause {
		return false
	}
	if l.last == nil {
		l.last = map[string]time.Time{}
	}
	l.last[code] = now
	return true
}
