package agent

import (
	"context"
	"log/slog"
	"strings"
	"sync"
)

// hidden is what stands in the place of a secret.
const hidden = "[redacted]"

// keptSecrets bounds the memory of a Redactor.
const keptSecrets = 64

// Redactor knows the secrets that went through this process (authorization
// codes) and removes them from any text that leaves it: log, last error,
// support bundle. A merchant may quote a code in its sentence, and a proxy may
// quote a whole request (CWE-532).
type Redactor struct {
	mu      sync.RWMutex
	secrets []string
}

// NewRedactor returns one that knows nothing yet.
func NewRedactor() *Redactor { return &Redactor{} }

// Hide makes secret and its usual spellings disappear from now on. Texts
// shorter than six bytes are ignored: removing them would only garble.
func (r *Redactor) Hide(secret string) {
	const shortest = 6
	bare := strings.NewReplacer("-", "", " ", "").Replace(secret)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range []string{strings.TrimSpace(secret), bare, strings.ToUpper(secret), strings.ToUpper(bare), strings.ToLower(secret)} {
		if len(s) >= shortest && !contains(r.secrets, s) {
			r.secrets = append(r.secrets, s)
		}
	}
	if extra := len(r.secrets) - keptSecrets; extra > 0 {
		r.secrets = r.secrets[extra:]
	}
}

func contains(list []string, s string) bool {
	for _, have := range list {
		if have == s {
			return true
		}
	}
	return false
}

// Text returns s without any known secret.
func (r *Redactor) Text(s string) string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, secret := range r.secrets {
		s = strings.ReplaceAll(s, secret, hidden)
	}
	return s
}

// Error is Text of an error's text, "" for nil.
func (r *Redactor) Error(err error) string {
	if err == nil {
		return ""
	}
	return r.Text(err.Error())
}

// Handler wraps a log handler so that no record carries a known secret.
func (r *Redactor) Handler(h slog.Handler) slog.Handler { return redacting{r, h} }

type redacting struct {
	r    *Redactor
	next slog.Handler
}

// Enabled is that of the wrapped handler.
func (h redacting) Enabled(ctx context.Context, l slog.Level) bool { return h.next.Enabled(ctx, l) }

// Handle passes the record on with every text cleaned.
func (h redacting) Handle(ctx context.Context, rec slog.Record) error {
	clean := slog.NewRecord(rec.Time, rec.Level, h.r.Text(rec.Message), rec.PC)
	rec.Attrs(func(a slog.Attr) bool {
		clean.AddAttrs(h.attr(a))
		return true
	})
	return h.next.Handle(ctx, clean)
}

// WithAttrs and WithGroup keep the cleaning around the wrapped handler.
func (h redacting) WithAttrs(attrs []slog.Attr) slog.Handler {
	out := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		out[i] = h.attr(a)
	}
	return redacting{h.r, h.next.WithAttrs(out)}
}

// WithGroup opens a group of the wrapped handler.
func (h redacting) WithGroup(name string) slog.Handler { return redacting{h.r, h.next.WithGroup(name)} }

func (h redacting) attr(a slog.Attr) slog.Attr {
	v := a.Value.Resolve()
	switch v.Kind() {
	case slog.KindString:
		return slog.String(a.Key, h.r.Text(v.String()))
	case slog.KindGroup:
		group := v.Group()
		out := make([]any, len(group))
		for i, m := range group {
			out[i] = h.attr(m)
		}
		return slog.Group(a.Key, out...)
	case slog.KindAny:
		return slog.String(a.Key, h.r.Text(v.String()))
	default:
		return a
	}
}
