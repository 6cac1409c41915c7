//go:build !windows

package service

import (
	"context"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
)

// Run runs main until it returns or until SIGTERM or SIGINT asks for the end. A
// second signal ends the process at once. Under systemd it reports READY and
// STOPPING (sd_notify(3), Type=notify); elsewhere that is nothing. name is the
// service's name; it matters on Windows only.
func Run(name string, main Main) error {
	asked, forget := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer forget()
	return drive(main, asked.Done(), func(s State) {
		switch s {
		case StateRunning:
			notify(daemon.SdNotifyReady)
		case StateStopping:
			notify(daemon.SdNotifyStopping)
			forget() // the next signal has its usual effect
		}
	}, time.After)
}

// notify does not report errors: there is nobody to tell, and an agent that
// cannot talk to its manager should go on answering.
func notify(state string) { daemon.SdNotify(false, state) }

// Status shows one line about the agent in the service manager ("systemctl
// status"), where there is one that shows it.
func Status(line string) { notify("STATUS=" + line) }

// Watchdog returns how often kick is due, 0 if the manager does not watch. The
// caller must kick only while its main work is healthy: a timer that always
// kicks would hide exactly the failures that the watchdog is for. The interval
// is half of what the manager allows (sd_watchdog_enabled(3)).
func Watchdog() (every time.Duration, kick func()) {
	limit, err := daemon.SdWatchdogEnabled(false)
	if err != nil || limit <= 0 {
		return 0, func() {}
	}
	return limit / 2, func() { notify(daemon.SdNotifyWatchdog) }
}

// Handed returns what the service manager passed to this process
// (sd_listen_fds(3)): the sockets that it has opened, in the unit's order, and
// apart from them what a Keeper of an earlier run gave it, by name. Nothing if
// there is none or it is meant for another process. The environment is cleared,
// so a second call returns nothing. Package ipc judges what they are.
func Handed() (sockets []*os.File, kept map[string][]*os.File) {
	kept = map[string][]*os.File{}
	for _, f := range activation.Files(true) {
		if name, ok := strings.CutPrefix(f.Name(), keptPrefix); ok {
			kept[name] = append(kept[name], f)
		} else {
			sockets = append(sockets, f)
		}
	}
	return sockets, kept
}

// Log writes to the event log of Windows.
type Log struct{}

// OpenLog returns ErrNoEventLog: what is written to standard error is in the
// journal with time, unit and process.
func OpenLog(string) (*Log, error) { return nil, ErrNoEventLog }

// Write does nothing here.
func (*Log) Write(Event, string) error { return ErrNoEventLog }

// Close does nothing here.
func (*Log) Close() error { return nil }
