package service

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/registry"
	"golang.org/x/sys/windows/svc"
	"golang.org/x/sys/windows/svc/eventlog"
	"golang.org/x/sys/windows/svc/mgr"
)

// harden takes away what the service does not need, after the library has
// created it. All settings are tried; the errors of those that the manager
// refused are returned together.
func harden(def Definition) error {
	return withService(def.Name, func(s *mgr.Service) error {
		return errors.Join(settle(s, def), delayed(s), restrictSID(s), dropPrivileges(s), recovery(s))
	})
}

// withService opens a service for changing it.
func withService(name string, do func(*mgr.Service) error) error {
	m, err := mgr.Connect()
	if err != nil {
		return err
	}
	defer m.Disconnect()
	s, err := m.OpenService(name)
	if err != nil {
		return err
	}
	defer s.Close()
	return do(s)
}

// settle stores type, start, account and the command line, with the program in
// quotes, always: an unquoted path with a space makes Windows try
// C:\Program.exe first.
func settle(s *mgr.Service, def Definition) error {
	now, err := current(s)
	if err != nil {
		return named("configuration", err)
	}
	line, err := windows.UTF16PtrFromString(commandLine(def.Executable, def.Arguments))
	if err != nil {
		return err
	}
	var account, none *uint16
	if !keepAccount(now.Account, def) {
		if account, err = windows.UTF16PtrFromString(def.account()); err != nil {
			return err
		}
		none = new(uint16) // a virtual account has no password
	}
	err = windows.ChangeServiceConfig(s.Handle, windows.SERVICE_WIN32_OWN_PROCESS, windows.SERVICE_AUTO_START,
		windows.SERVICE_ERROR_NORMAL, line, nil, nil, nil, account, none, nil)
	return named("command line", err)
}

// current reads what the manager holds; the part that every manager can tell.
func current(s *mgr.Service) (Settings, error) {
	buf := make([]byte, 8<<10) // the documented maximum
	var n uint32
	q := (*windows.QUERY_SERVICE_CONFIG)(unsafe.Pointer(&buf[0]))
	if err := windows.QueryServiceConfig(s.Handle, q, uint32(len(buf)), &n); err != nil {
		return Settings{}, err
	}
	return Settings{
		CommandLine: windows.UTF16PtrToString(q.BinaryPathName), Account: windows.UTF16PtrToString(q.ServiceStartName),
		Automatic: q.StartType == windows.SERVICE_AUTO_START, Own: q.ServiceType == windows.SERVICE_WIN32_OWN_PROCESS,
	}, nil
}

// Differs says in which settings the installed service is not as Install makes
// it: it was installed by an older version or by a package, or somebody has
// changed it. ErrNotInstalled if there is none.
func (c *Control) Differs() ([]string, error) {
	var out []string
	err := withService(c.def.Name, func(s *mgr.Service) error {
		now, err := current(s)
		if err != nil {
			return err
		}
		out = append(differs(now, c.def), limits(s)...)
		return nil
	})
	if err == nil && !sourceKnown(c.def.Name) {
		out = append(out, "event source")
	}
	return out, classify(err)
}

// Configure makes the installed service as Install makes it. An account that an
// administrator has chosen stays. ErrNotHardened as for Install.
func (c *Control) Configure() error {
	if !sourceKnown(c.def.Name) {
		if err := eventlog.InstallAsEventCreate(c.def.Name, eventlog.Error|eventlog.Warning|eventlog.Info); err != nil {
			return fmt.Errorf("service: event source of %s: %w", c.def.Name, classifySystem(err))
		}
	}
	if err := classify(withService(c.def.Name, func(s *mgr.Service) error { return settle(s, c.def) })); err != nil {
		return fmt.Errorf("service: configure %s: %w", c.def.Name, err)
	}
	if err := c.harden(c.def); err != nil {
		return fmt.Errorf("%w: %w", ErrNotHardened, err)
	}
	return nil
}

// Trace removes what a removal that was cut off has left of a service that the
// manager does not know any more: its source of events.
func (c *Control) Trace() error {
	if !sourceKnown(c.def.Name) {
		return nil
	}
	return classify(eventlog.Remove(c.def.Name))
}

// Await waits until a service that was started has said that it is ready, or
// has ended (ErrNotReady): the manager's own answer to Start comes before that.
func (c *Control) Await(ctx context.Context) error {
	every := time.NewTicker(50 * time.Millisecond)
	defer every.Stop()
	for {
		state, code, err := c.query()
		switch {
		case err != nil:
			return classify(err)
		case state == svc.Running:
			return nil
		case state == svc.Stopped:
			return fmt.Errorf("%w: %s ended with %s", ErrNotReady, c.def.Name, code)
		}
		select {
		case <-every.C:
		case <-ctx.Done():
			return fmt.Errorf("%w: %s: %w", ErrNotReady, c.def.Name, ctx.Err())
		}
	}
}

// query reads the state and why the service has ended.
func (c *Control) query() (state svc.State, code string, err error) {
	err = withService(c.def.Name, func(s *mgr.Service) error {
		st, err := s.Query()
		state = st.State
		if code = fmt.Sprintf("code %d", st.Win32ExitCode); st.ServiceSpecificExitCode != 0 {
			code = fmt.Sprintf("the agent's own code %d", st.ServiceSpecificExitCode)
		}
		return err
	})
	return state, code, err
}

// processExit finds the process of a service. A service says "stopped" before
// its process has let go of its files.
func processExit() func(string) (func(context.Context) error, error) {
	return func(name string) (func(context.Context) error, error) {
		var h windows.Handle
		err := withService(name, func(s *mgr.Service) error {
			st, err := s.Query()
			if err != nil || st.ProcessId == 0 {
				return err
			}
			// A process that cannot be opened has ended or is not ours to wait for.
			if p, err := windows.OpenProcess(windows.SYNCHRONIZE, false, st.ProcessId); err == nil {
				h = p
			}
			return nil
		})
		return func(ctx context.Context) error {
			if h == 0 {
				return nil
			}
			defer windows.CloseHandle(h)
			for ctx.Err() == nil {
				if e, err := windows.WaitForSingleObject(h, 50); err != nil || e == windows.WAIT_OBJECT_0 {
					return err
				}
			}
			return ctx.Err()
		}, err
	}
}

// looker reads the state, and finds out by a change that changes nothing whether
// the service is marked for deletion: no query tells.
func looker() func(string) (State, bool, error) {
	return func(name string) (state State, marked bool, err error) {
		err = withService(name, func(s *mgr.Service) error {
			st, err := s.Query()
			if err != nil {
				return err
			}
			switch st.State {
			case svc.Stopped:
				state = StateStopped
			case svc.StartPending:
				state = StateStarting
			case svc.StopPending:
				state = StateStopping
			default:
				state = StateRunning
			}
			const same = windows.SERVICE_NO_CHANGE
			err = windows.ChangeServiceConfig(s.Handle, same, same, same, nil, nil, nil, nil, nil, nil, nil)
			marked = errors.Is(err, windows.ERROR_SERVICE_MARKED_FOR_DELETE)
			return nil
		})
		return state, marked, err
	}
}

// Traced reports whether Trace has something to do.
func (c *Control) Traced() bool { return sourceKnown(c.def.Name) }

// sourceKnown reports whether the event log knows the service.
func sourceKnown(name string) bool {
	k, err := registry.OpenKey(registry.LOCAL_MACHINE, `SYSTEM\CurrentControlSet\Services\EventLog\Application\`+name, registry.QUERY_VALUE)
	if err != nil {
		return false
	}
	k.Close()
	return true
}

// limits says which of the restrictions are not in force.
func limits(s *mgr.Service) []string {
	var out []string
	for _, l := range []struct {
		name  string
		level uint32
		ok    func(b []byte) bool
	}{
		{"delayed start", windows.SERVICE_CONFIG_DELAYED_AUTO_START_INFO, func(b []byte) bool {
			return *(*uint32)(unsafe.Pointer(&b[0])) != 0
		}},
		{"restricted SID", windows.SERVICE_CONFIG_SERVICE_SID_INFO, func(b []byte) bool {
			return *(*uint32)(unsafe.Pointer(&b[0])) == windows.SERVICE_SID_TYPE_RESTRICTED
		}},
		{"privileges", windows.SERVICE_CONFIG_REQUIRED_PRIVILEGES_INFO, func(b []byte) bool {
			list := *(**uint16)(unsafe.Pointer(&b[0]))
			return list != nil && windows.UTF16PtrToString(list) == privilege && *(*uint16)(unsafe.Add(unsafe.Pointer(list), 2*(len(privilege)+1))) == 0
		}},
		{"recovery", windows.SERVICE_CONFIG_FAILURE_ACTIONS, func(b []byte) bool {
			return (*windows.SERVICE_FAILURE_ACTIONS)(unsafe.Pointer(&b[0])).ActionsCount == uint32(len(recoveryActions()))
		}},
	} {
		buf := make([]byte, 8<<10)
		var n uint32
		if err := windows.QueryServiceConfig2(s.Handle, l.level, &buf[0], uint32(len(buf)), &n); err != nil {
			out = append(out, l.name+" (cannot be read: "+err.Error()+")")
		} else if !l.ok(buf) {
			out = append(out, l.name)
		}
	}
	return out
}

// delayed starts the service some minutes after the system, when the disks and
// the network are there and nobody waits for the desktop any more.
func delayed(s *mgr.Service) error {
	on := uint32(1)
	return named("delayed start", windows.ChangeServiceConfig2(s.Handle, windows.SERVICE_CONFIG_DELAYED_AUTO_START_INFO, (*byte)(unsafe.Pointer(&on))))
}

// restrictSID makes the token of the service write-restricted: it may write
// only where its own SID was granted access, even if Users or Everyone may.
func restrictSID(s *mgr.Service) error {
	kind := uint32(windows.SERVICE_SID_TYPE_RESTRICTED)
	return named("restricted SID", windows.ChangeServiceConfig2(s.Handle, windows.SERVICE_CONFIG_SERVICE_SID_INFO, (*byte)(unsafe.Pointer(&kind))))
}

// privilege is the only one that the service keeps.
const privilege = "SeChangeNotifyPrivilege"

// dropPrivileges leaves the service the one privilege that everybody has:
// passing through directories. In particular not SeImpersonatePrivilege, which
// service accounts have by default and which turns a caught connection into
// SYSTEM. Identifying a pipe's client does not need it.
func dropPrivileges(s *mgr.Service) error {
	list, err := windows.UTF16FromString(privilege)
	if err != nil {
		return err
	}
	list = append(list, 0) // a list of strings ends with an empty one
	info := struct{ privileges *uint16 }{&list[0]}
	return named("privileges", windows.ChangeServiceConfig2(s.Handle, windows.SERVICE_CONFIG_REQUIRED_PRIVILEGES_INFO, (*byte)(unsafe.Pointer(&info))))
}

// recoveryActions restart a service that ended without being asked to, ever
// more slowly; the last one goes on.
func recoveryActions() []mgr.RecoveryAction {
	return []mgr.RecoveryAction{
		{Type: mgr.ServiceRestart, Delay: 5 * time.Second},
		{Type: mgr.ServiceRestart, Delay: 30 * time.Second},
		{Type: mgr.ServiceRestart, Delay: 5 * time.Minute},
	}
}

// recovery sets the actions, and begins anew after a day without trouble.
func recovery(s *mgr.Service) error {
	const day = 24 * 60 * 60
	return errors.Join(
		named("recovery", s.SetRecoveryActions(recoveryActions(), day)),
		named("recovery after an error exit", s.SetRecoveryActionsOnNonCrashFailures(true)),
	)
}

func named(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

func classifySystem(err error) error {
	switch {
	case errors.Is(err, windows.ERROR_SERVICE_DOES_NOT_EXIST):
		return ErrNotInstalled
	case errors.Is(err, windows.ERROR_SERVICE_EXISTS):
		return ErrExists
	case errors.Is(err, windows.ERROR_SERVICE_MARKED_FOR_DELETE):
		return ErrMarkedForDeletion
	case errors.Is(err, windows.ERROR_SERVICE_ALREADY_RUNNING):
		return errRuns
	case errors.Is(err, windows.ERROR_ACCESS_DENIED):
		return fmt.Errorf("%w: %w", ErrAccess, err)
	}
	return err
}
