package service

import (
	"errors"
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/svc/mgr"
)

// harden takes away what the service does not need, after the library has
// created it. All settings are tried; the errors of those that the manager
// refused are returned together.
func harden(def Definition) error {
	m, err := mgr.Connect()
	if err != nil {
		return err
	}
	defer m.Disconnect()
	s, err := m.OpenService(def.Name)
	if err != nil {
		return err
	}
	defer s.Close()
	return errors.Join(
		quotePath(s, def), restrictSID(s), dropPrivileges(s), recovery(s),
	)
}

// quotePath stores the command line with the program in quotes, always: an
// unquoted path with a space makes Windows try C:\Program.exe first.
func quotePath(s *mgr.Service, def Definition) error {
	line, err := windows.UTF16PtrFromString(commandLine(def.Executable, def.Arguments))
	if err != nil {
		return err
	}
	err = windows.ChangeServiceConfig(s.Handle, windows.SERVICE_NO_CHANGE, windows.SERVICE_NO_CHANGE,
		windows.SERVICE_NO_CHANGE, line, nil, nil, nil, nil, nil, nil)
	return named("command line", err)
}

// restrictSID makes the token of the service write-restricted: it may write
// only where its own SID was granted access, even if Users or Everyone may.
func restrictSID(s *mgr.Service) error {
	kind := uint32(windows.SERVICE_SID_TYPE_RESTRICTED)
	return named("restricted SID", windows.ChangeServiceConfig2(s.Handle, windows.SERVICE_CONFIG_SERVICE_SID_INFO, (*byte)(unsafe.Pointer(&kind))))
}

// dropPrivileges leaves the service the one privilege that everybody has:
// passing through directories. In particular not SeImpersonatePrivilege, which
// service accounts have by default and which turns a caught connection into
// SYSTEM. Identifying a pipe's client does not need it.
func dropPrivileges(s *mgr.Service) error {
	list, err := windows.UTF16FromString("SeChangeNotifyPrivilege")
	if err != nil {
		return err
	}
	list = append(list, 0) // a list of strings ends with an empty one
	info := struct{ privileges *uint16 }{&list[0]}
	return named("privileges", windows.ChangeServiceConfig2(s.Handle, windows.SERVICE_CONFIG_REQUIRED_PRIVILEGES_INFO, (*byte)(unsafe.Pointer(&info))))
}

// recovery restarts a service that ended without being asked to, ever more
// slowly, and forgets after a day without trouble.
func recovery(s *mgr.Service) error {
	actions := []mgr.RecoveryAction{
		{Type: mgr.ServiceRestart, Delay: 5 * time.Second},
		{Type: mgr.ServiceRestart, Delay: 30 * time.Second},
		{Type: mgr.ServiceRestart, Delay: 5 * time.Minute},
	}
	const day = 24 * 60 * 60
	return errors.Join(
		named("recovery", s.SetRecoveryActions(actions, day)),
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
	case errors.Is(err, windows.ERROR_ACCESS_DENIED):
		return fmt.Errorf("%w: %w", ErrAccess, err)
	}
	return err
}
