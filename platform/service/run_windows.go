package service

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/svc"
	"golang.org/x/sys/windows/svc/eventlog"
)

// Run connects to the service control manager and runs main as the service
// name. A process that no manager has started is told so by the manager
// (ERROR_FAILED_SERVICE_CONTROLLER_CONNECT) and runs main until Ctrl+C or until
// its console is closed. There is no guess by session or parent process.
func Run(name string, main Main) error {
	h := &handler{main: main}
	err := svc.Run(name, h)
	if errors.Is(err, windows.ERROR_FAILED_SERVICE_CONTROLLER_CONNECT) {
		asked, forget := signal.NotifyContext(context.Background(), os.Interrupt)
		defer forget()
		return drive(main, asked.Done(), func(s State) {
			if s == StateStopping {
				forget()
			}
		}, time.After)
	}
	if h.err != nil {
		return h.err
	}
	return err
}

// handler is the service as the manager sees it.
type handler struct {
	main Main
	err  error
}

// startHint and stopHint tell the manager how long to wait, in milliseconds.
const (
	startHint = 30_000
	stopHint  = uint32(StopTimeout/time.Millisecond) + 1000
)

// Execute is called by svc.Run on the service's thread.
func (h *handler) Execute(_ []string, requests <-chan svc.ChangeRequest, changes chan<- svc.Status) (bool, uint32) {
	stop, ended := make(chan struct{}), make(chan struct{})
	defer close(ended)
	go func() {
		once := sync.OnceFunc(func() { close(stop) })
		for {
			select {
			case <-ended:
				return
			case r := <-requests:
				switch r.Cmd {
				case svc.Interrogate:
					select {
					case changes <- r.CurrentStatus:
					case <-ended:
						return
					}
				case svc.Stop, svc.Shutdown, svc.PreShutdown:
					once()
				}
			}
		}
	}()
	h.err = drive(h.main, stop, func(s State) { changes <- status(s) }, time.After)
	switch {
	case h.err == nil:
		return false, 0
	case errors.Is(h.err, ErrStopTimeout):
		return true, exitStopTimeout
	default:
		// Any other code than 0 makes the manager's recovery actions apply.
		return true, exitFailed
	}
}

// The service-specific exit codes that "sc query" shows.
const (
	exitFailed      = 1
	exitStopTimeout = 2
)

func status(s State) svc.Status {
	switch s {
	case StateStarting:
		return svc.Status{State: svc.StartPending, WaitHint: startHint}
	case StateRunning:
		return svc.Status{State: svc.Running, Accepts: svc.AcceptStop | svc.AcceptShutdown}
	default:
		return svc.Status{State: svc.StopPending, WaitHint: stopHint}
	}
}

// Status has no place to show a line on Windows.
func Status(string) {}

// Watchdog returns 0: the Windows manager restarts a service that ends and does
// not ask one that hangs.
func Watchdog() (every time.Duration, kick func()) { return 0, func() {} }

// Handed returns nothing: Windows hands nothing over.
func Handed() (sockets []*os.File, kept map[string][]*os.File) { return nil, nil }

// Keeper would give descriptors to the service manager; that of Windows takes
// none. The zero value is ready.
type Keeper struct{}

// NewKeeper returns nil: nobody keeps anything here.
func NewKeeper() *Keeper { return nil }

// Keep does nothing.
func (*Keeper) Keep(string, ...syscall.Conn) error { return nil }

// Forget does nothing.
func (*Keeper) Forget(string) error { return nil }

// Close does nothing.
func (*Keeper) Close() error { return nil }

// Log writes to the Windows event log under the service's name.
type Log struct{ inner *eventlog.Log }

// OpenLog opens the event log for the service. The source is registered by
// Install; without that the entries appear with a note that the description
// was not found.
func OpenLog(service string) (*Log, error) {
	l, err := eventlog.Open(service)
	if err != nil {
		return nil, err
	}
	return &Log{inner: l}, nil
}

// Write writes one entry. text must not contain secrets: every user of the
// machine may read the application log.
func (l *Log) Write(e Event, text string) error {
	switch e.Severity() {
	case SeverityError:
		return l.inner.Error(uint32(e), text)
	case SeverityWarning:
		return l.inner.Warning(uint32(e), text)
	default:
		return l.inner.Info(uint32(e), text)
	}
}

// Close releases the log.
func (l *Log) Close() error { return l.inner.Close() }
