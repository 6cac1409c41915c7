package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"licenseagent.example/activation"
	"licenseagent.example/platform/service"
	"licenseagent.example/store"
)

// The messages of the agent's log that are events for an operator's monitoring.
const (
	sayAnswers = "license-agent answers"
	sayStopped = "license-agent stopped"
	sayChanged = "license changed"
	sayDamage  = "store"
	sayRefused = "a caller without identity was refused"
	sayContact = "contact with the merchant"
	sayFailed  = "contact with the merchant failed"
)

// events is a log handler that also writes what an operator watches into the
// Windows event log. What anybody can provoke, or what repeats while nothing
// changes, is written once in a while: the event log is small and shared.
type events struct {
	slog.Handler
	write func(service.Event, string) error
	state *eventState
	attrs []slog.Attr
}

type eventState struct {
	mu     sync.Mutex
	last   map[service.Event]time.Time
	failed bool // the last contact failed
}

// quiet is how long a repeated event is not written again.
const quiet = 10 * time.Minute

func newEvents(inner slog.Handler, write func(service.Event, string) error) slog.Handler {
	return &events{Handler: inner, write: write, state: &eventState{last: map[service.Event]time.Time{}}}
}

// WithAttrs and WithGroup keep the event log behind derived loggers.
func (e *events) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *e
	c.Handler, c.attrs = e.Handler.WithAttrs(attrs), append(e.attrs[:len(e.attrs):len(e.attrs)], attrs...)
	return &c
}

func (e *events) WithGroup(name string) slog.Handler {
	c := *e
	c.Handler = e.Handler.WithGroup(name)
	return &c
}

// Enabled lets every level that can be an event through; the inner handler is
// asked again before it writes.
func (e *events) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }

func (e *events) Handle(ctx context.Context, r slog.Record) error {
	var err error
	if e.Handler.Enabled(ctx, r.Level) {
		err = e.Handler.Handle(ctx, r)
	}
	values := map[string]string{}
	text := []string{r.Message}
	each := func(a slog.Attr) bool {
		values[a.Key] = a.Value.String()
		text = append(text, a.Key+"="+a.Value.String())
		return true
	}
	for _, a := range e.attrs {
		each(a)
	}
	r.Attrs(each)
	if id, ok := e.state.event(r.Message, values, r.Time); ok {
		err = errors.Join(err, e.write(id, strings.Join(text, "\n")))
	}
	return err
}

// event finds the event of a message; ok is false for what is none, and for
// repetitions.
func (s *eventState) event(message string, values map[string]string, now time.Time) (id service.Event, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	limited := false
	switch message {
	case sayAnswers:
		return service.EventStarted, true
	case sayStopped:
		return service.EventStopped, true
	case sayChanged:
		switch {
		case values["runs"] == "false":
			return service.EventNotLicensed, true
		case values["phase"] == string(activation.Expiring), values["phase"] == string(activation.Grace):
			return service.EventWarning, true
		}
		return service.EventPhase, true
	case sayDamage:
		id, limited = service.EventDamage, true
	case sayRefused:
		id, limited = service.EventRefusedCalls, true
	case sayFailed:
		again := s.failed
		s.failed = true
		return service.EventNoContact, !again
	case sayContact:
		again := !s.failed
		s.failed = false
		return service.EventContact, !again
	default:
		return 0, false
	}
	if limited {
		if last, seen := s.last[id]; seen && now.Sub(last) < quiet {
			return 0, false
		}
		s.last[id] = now
	}
	return id, true
}

// ending is the event of what run returned; text is the error for everybody.
func ending(err error, text string) (service.Event, string) {
	id := service.EventFailed
	switch {
	case errors.Is(err, service.ErrStopTimeout):
		id = service.EventStopTimeout
	case errors.Is(err, store.ErrUnsafe), isRefusal(err):
		id = service.EventUnsafeFiles
	}
	return id, "license-agent ended: " + text
}
