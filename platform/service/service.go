// Package service runs the agent under the service manager of the machine and
// asks that manager to install, start, stop and remove it.
//
// It wraps kardianos/service once, because using it directly has surprises: it
// decides by the session whether the process is a service, ignores option
// values of a wrong type, leaves a running service behind when it removes it on
// Windows, and can wait for ever for one that does not stop. What runs is
// always the explicit command "license-agent run": whether a service manager
// started it is found out by asking the manager, not by guessing.
//
// It is not part of the stable API.
package service

import (
	"context"
	"errors"
	"time"
)

// StopTimeout is how long a stopping agent may take to finish its answers and
// to close the store. After that the process ends anyway; the store is made to
// survive that.
const StopTimeout = 5 * time.Second

var (
	// ErrStopTimeout is returned by Run when the agent did not end within
	// StopTimeout, and by Control.Stop when the service did not.
	ErrStopTimeout = errors.New("service: did not stop in time")
	// ErrNotInstalled is returned when the service manager does not know the
	// service.
	ErrNotInstalled = errors.New("service: not installed")
	// ErrExists is returned by Install when the service is installed already.
	ErrExists = errors.New("service: installed already")
	// ErrMarkedForDeletion is returned on Windows when a removed service still
	// exists because somebody has it open, often the Services window.
	ErrMarkedForDeletion = errors.New("service: marked for deletion; close the Services window and other tools that show it, then try again")
	// ErrAccess is returned when only an administrator may do that.
	ErrAccess = errors.New("service: needs administrator rights")
	// ErrNoManager is returned when no known service manager runs here, as in
	// most containers.
	ErrNoManager = errors.New("service: no service manager found; in a container, run the agent on the host and mount its socket directory; elsewhere run it directly: license-agent run")
	// ErrNotHardened is returned by Install when the service was installed and
	// works, but the manager refused a setting that takes rights away from it.
	// The caller decides whether to keep it.
	ErrNotHardened = errors.New("service: installed with more rights than intended")
	// ErrNotReady is returned by Await on Windows when a service that was started
	// ended or did not get ready.
	ErrNotReady = errors.New("service: started but not ready; the application event log says why")
	// ErrDefinition is returned when a Definition cannot be right.
	ErrDefinition = errors.New("service: bad definition")
	// ErrNoEventLog is returned by OpenLog where there is no event log. On Linux
	// what the agent writes to standard error is in the journal.
	ErrNoEventLog = errors.New("service: no event log on this operating system")
)

// errRuns is a manager's answer to Start: somebody else has asked before.
var errRuns = errors.New("service: runs already")

// State is what the agent tells the service manager, or the manager tells us.
type State int

// The states. The zero value is unknown.
const (
	StateUnknown State = iota
	StateStarting
	StateRunning
	StateStopping
	StateStopped
)

// String gives the state in one lower-case word.
func (s State) String() string {
	switch s {
	case StateStarting:
		return "starting"
	case StateRunning:
		return "running"
	case StateStopping:
		return "stopping"
	case StateStopped:
		return "stopped"
	}
	return "unknown"
}

// Main is the agent's main loop. It calls ready once it answers requests, and
// returns soon after ctx ends, nil if that is why it returns.
type Main func(ctx context.Context, ready func()) error

// drive runs main and keeps the manager informed. stop asks for the end;
// report tells the manager; after is time.After.
func drive(main Main, stop <-chan struct{}, report func(State), after func(time.Duration) <-chan time.Time) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ready, done := make(chan struct{}, 1), make(chan error, 1)
	report(StateStarting)
	go func() {
		done <- main(ctx, func() {
			select {
			case ready <- struct{}{}:
			default: // said already, and not yet heard
			}
		})
	}()
	running := false
	var late <-chan time.Time
	for {
		select {
		case <-ready:
			// Said once; and a manager that was told "stopping" must not hear
			// "running" again.
			if !running && late == nil {
				running = true
				report(StateRunning)
			}
		case <-stop:
			stop = nil
			report(StateStopping)
			cancel()
			late = after(StopTimeout)
		case err := <-done:
			if late == nil {
				report(StateStopping)
			} else if errors.Is(err, context.Canceled) {
				err = nil // ended because it was asked to
			}
			return err
		case <-late:
			return ErrStopTimeout
		}
	}
}
