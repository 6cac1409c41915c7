package service

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// seen is one look at a service.
type seen struct {
	state  State
	marked bool
	err    error
}

// What an interrupted run has left under way is waited for, and only that.
func TestSettle(t *testing.T) {
	broken := errors.New("broken")
	gone := seen{err: ErrNotInstalled}
	for _, test := range []struct {
		name  string
		looks []seen
		calls []string // what is done about it
		waits int
		want  error
	}{
		{"not there", []seen{gone}, nil, 0, nil},
		{"runs", []seen{{state: StateRunning}}, nil, 0, nil},
		{"stands", []seen{{state: StateStopped}}, nil, 0, nil},
		{"is being started", []seen{{state: StateStarting}, {state: StateStarting}, {state: StateRunning}}, nil, 2, nil},
		{"is being stopped", []seen{{state: StateStopping}, {state: StateStopped}}, []string{"end"}, 1, nil},
		{"is being removed", []seen{{state: StateStopping, marked: true}, {state: StateStopped, marked: true}}, []string{"end"}, 3, nil},
		{"was removed while it ran", []seen{{state: StateRunning, marked: true}, {state: StateStopped, marked: true}}, []string{"stop", "end"}, 2, nil},
		{"was removed, and goes in between", []seen{{state: StateStarting, marked: true}, gone}, nil, 1, nil},
		{"cannot be read", []seen{{err: broken}}, nil, 0, broken},
	} {
		f := &fakeManager{installed: true}
		c := controlOf(f, nil)
		c.exit = func(string) (func(context.Context) error, error) {
			return func(context.Context) error { f.call("end"); return nil }, nil
		}
		looks, waits := test.looks, 0
		c.look = func(string) (State, bool, error) {
			now := looks[0]
			looks = looks[1:]
			return now.state, now.marked, now.err
		}
		after := func(time.Duration) <-chan time.Time {
			waits++
			f.installed = waits < test.waits // until then somebody has it open
			return closed()
		}
		settled := len(test.looks) == 1 && test.want == nil
		if ok, err := c.Settled(); ok != settled || !errors.Is(err, test.want) {
			t.Errorf("%s: settled %v, %v", test.name, ok, err)
		}
		looks = test.looks
		if err := c.settle(t.Context(), after); !errors.Is(err, test.want) || len(looks) != 0 || waits != test.waits {
			t.Errorf("%s: %v, %d looks not taken, %d waits", test.name, err, len(looks), waits)
		}
		if diff := cmp.Diff(test.calls, f.calls); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
	}
	if ok, err := controlOf(&fakeManager{}, nil).Settled(); !ok || err != nil {
		t.Errorf("a manager without such states: %v, %v", ok, err)
	}
	if err := controlOf(&fakeManager{}, nil).Settle(t.Context()); err != nil {
		t.Errorf("a manager without such states: %v", err)
	}
}

// What does not end is told after a while, with what to do.
func TestSettleDoesNotWaitForEver(t *testing.T) {
	over, cancel := context.WithCancel(t.Context())
	cancel()
	never := func(time.Duration) <-chan time.Time { return nil }
	for _, test := range []struct {
		name string
		look seen
		want error
	}{
		{"starting", seen{state: StateStarting}, ErrNotReady},
		{"stopping", seen{state: StateStopping}, ErrStopTimeout},
		{"removed", seen{state: StateStopped, marked: true}, ErrMarkedForDeletion},
		{"removed and running", seen{state: StateRunning, marked: true}, ErrStopTimeout},
	} {
		f := &fakeManager{installed: true, stopHangs: make(chan struct{})}
		c := controlOf(f, nil)
		c.look = func(string) (State, bool, error) { return test.look.state, test.look.marked, nil }
		c.exit = func(string) (func(context.Context) error, error) { return context.Context.Err, nil }
		if err := c.settle(over, never); !errors.Is(err, test.want) || !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "x") {
			t.Errorf("%s: %v", test.name, err)
		}
		close(f.stopHangs)
	}
	f := &fakeManager{installed: true}
	c := controlOf(f, nil)
	c.look = func(string) (State, bool, error) { return StateStopped, true, nil }
	waits := 0
	if err := c.settle(t.Context(), func(time.Duration) <-chan time.Time { waits++; return closed() }); !errors.Is(err, ErrMarkedForDeletion) || waits != vanishTries {
		t.Errorf("somebody keeps it open: %v after %d waits", err, waits)
	}
}

// A removal goes on where one that was killed has ended.
func TestRemovedBefore(t *testing.T) {
	f := &fakeManager{installed: true, uninstallErr: ErrMarkedForDeletion, quicker: true}
	if err := controlOf(f, nil).Uninstall(t.Context()); err != nil {
		t.Error(err)
	}
	f = &fakeManager{installed: true, uninstallErr: ErrMarkedForDeletion}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := controlOf(f, nil).Uninstall(ctx); !errors.Is(err, ErrMarkedForDeletion) || !errors.Is(err, context.Canceled) {
		t.Errorf("control: %v", err)
	}
}

// A start that somebody else has asked for before is no failure.
func TestStartOfWhatRuns(t *testing.T) {
	f := &fakeManager{installed: true, startErr: errRuns}
	if err := controlOf(f, nil).Start(); err != nil {
		t.Error(err)
	}
	f.startErr = errors.New("no")
	if err := controlOf(f, nil).Start(); !errors.Is(err, f.startErr) {
		t.Errorf("control: %v", err)
	}
}

// closed is a time that has come.
func closed() <-chan time.Time {
	c := make(chan time.Time)
	close(c)
	return c
}
