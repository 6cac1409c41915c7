package service

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// script is a run of drive under the control of a test: nothing waits for time.
type script struct {
	stop    chan struct{}
	expire  chan time.Time
	reports chan State
	result  chan error
	asked   time.Duration
}

func start(main Main) *script {
	s := &script{
		stop: make(chan struct{}), expire: make(chan time.Time),
		reports: make(chan State, 16), result: make(chan error, 1),
	}
	go func() {
		s.result <- drive(main, s.stop, func(st State) { s.reports <- st }, func(d time.Duration) <-chan time.Time {
			s.asked = d
			return s.expire
		})
		close(s.reports)
	}()
	return s
}

// states collects what was reported until drive returned.
func (s *script) states() (all []State) {
	for st := range s.reports {
		all = append(all, st)
	}
	return all
}

var errBroken = errors.New("broken")

func TestDriveStopsWhenAsked(t *testing.T) {
	s := start(func(ctx context.Context, ready func()) error {
		ready()
		ready() // twice does no harm
		<-ctx.Done()
		return ctx.Err()
	})
	if a, b := <-s.reports, <-s.reports; a != StateStarting || b != StateRunning {
		t.Errorf("reports %v, %v", a, b)
	}
	close(s.stop)
	if err := <-s.result; err != nil {
		t.Errorf("result %v", err)
	}
	if diff := cmp.Diff([]State{StateStopping}, s.states()); diff != "" {
		t.Error(diff)
	}
	if s.asked != StopTimeout {
		t.Errorf("waits %v", s.asked)
	}
}

func TestDriveStopBeforeReady(t *testing.T) {
	entered := make(chan struct{})
	s := start(func(ctx context.Context, ready func()) error {
		close(entered)
		<-ctx.Done()
		ready() // too late: the manager has been told "stopping"
		return nil
	})
	<-entered
	close(s.stop)
	if err := <-s.result; err != nil {
		t.Errorf("result %v", err)
	}
	if diff := cmp.Diff([]State{StateStarting, StateStopping}, s.states()); diff != "" {
		t.Error(diff)
	}
}

func TestDriveMainFails(t *testing.T) {
	for name, test := range map[string]struct {
		main Main
		want error
	}{
		"at once":             {func(context.Context, func()) error { return errBroken }, errBroken},
		"without an error":    {func(context.Context, func()) error { return nil }, nil},
		"cancelled by itself": {func(context.Context, func()) error { return context.Canceled }, context.Canceled},
	} {
		s := start(test.main)
		if err := <-s.result; !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
		if diff := cmp.Diff([]State{StateStarting, StateStopping}, s.states()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// An error while stopping is not hidden by the stop.
func TestDriveErrorWhileStopping(t *testing.T) {
	s := start(func(ctx context.Context, ready func()) error {
		<-ctx.Done()
		return errBroken
	})
	close(s.stop)
	if err := <-s.result; !errors.Is(err, errBroken) {
		t.Errorf("result %v", err)
	}
}

func TestDriveGivesUpOnAHangingMain(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	s := start(func(context.Context, func()) error {
		<-release
		return nil
	})
	close(s.stop)
	s.expire <- time.Time{}
	if err := <-s.result; !errors.Is(err, ErrStopTimeout) {
		t.Errorf("result %v", err)
	}
}

func TestStateStrings(t *testing.T) {
	want := []string{"unknown", "starting", "running", "stopping", "stopped", "unknown"}
	for i, text := range want {
		if got := State(i).String(); got != text {
			t.Errorf("State(%d) = %q", i, got)
		}
	}
}

// The numbers are an interface to monitoring: this table may only grow.
func TestEventNumbers(t *testing.T) {
	for e, want := range map[Event]Severity{
		100: SeverityInfo, 101: SeverityInfo, 102: SeverityError, 103: SeverityError,
		200: SeverityInfo, 201: SeverityWarning, 202: SeverityError,
		300: SeverityError, 301: SeverityWarning, 302: SeverityWarning,
		400: SeverityInfo, 401: SeverityWarning,
	} {
		if e.Severity() != want {
			t.Errorf("event %d has severity %v, want %v", e, e.Severity(), want)
		}
		if e < 1 || e > 1000 {
			t.Errorf("event %d is outside of EventCreate.exe's 1 to 1000", e)
		}
	}
	named := []Event{EventStarted, EventStopped, EventFailed, EventStopTimeout, EventPhase, EventWarning, EventNotLicensed, EventUnsafeFiles, EventDamage, EventRefusedCalls, EventContact, EventNoContact}
	if diff := cmp.Diff([]Event{100, 101, 102, 103, 200, 201, 202, 300, 301, 302, 400, 401}, named); diff != "" {
		t.Error(diff)
	}
}
