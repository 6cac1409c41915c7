package service

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/svc"
	"golang.org/x/sys/windows/svc/mgr"
)

// TestMain lets this binary be the service that the test below installs:
// run NAME DIRECTORY. It says in files what it has lived through. As parent WHAT
// it starts a child, see there.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "parent" {
		parent(os.Args[2] == "tied")
	}
	if len(os.Args) == 4 && os.Args[1] == "run" {
		mark := func(what string) { os.WriteFile(filepath.Join(os.Args[3], what), nil, 0o600) }
		err := Run(os.Args[2], func(ctx context.Context, ready func()) error {
			mark("started")
			ready()
			<-ctx.Done()
			mark("asked to stop")
			return ctx.Err()
		})
		if err != nil {
			mark("error " + strings.Map(func(r rune) rune {
				if strings.ContainsRune(`\/:*?"<>|`, r) {
					return '-'
				}
				return r
			}, err.Error()))
			os.Exit(1)
		}
		mark("ended")
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// marks lists what the service has said.
func marks(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, ", ")
}

// copyOf this binary lies in a directory whose name has a space and letters
// beyond ASCII.
func copyOf(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "Program Files é")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	exe := filepath.Join(dir, "license-agent.exe")
	if err := os.WriteFile(exe, b, 0o755); err != nil {
		t.Fatal(err)
	}
	return exe
}

// until asks again and again, for at most half a minute, until what is seen is
// what is wanted.
func until(t *testing.T, want string, see func() string) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for see() != want {
		if time.Now().After(deadline) {
			t.Fatalf("saw %q, want %q", see(), want)
		}
		time.Sleep(20 * time.Millisecond) // polls
	}
}

// The life of a service with the real manager: installed, started, stopped,
// started again, removed while it runs.
func TestLifeWithTheManager(t *testing.T) {
	dir := t.TempDir()
	name := fmt.Sprintf("license-agent-test-%d", os.Getpid())
	c, err := NewControl(Definition{
		Name: name, DisplayName: "License Agent (test)", Description: "Test of the service package.",
		Executable: copyOf(t), Arguments: []string{"run", name, dir},
		User: "LocalSystem", // the virtual account could not read the temporary directory
	})
	if err != nil {
		t.Fatal(err)
	}
	state := func() string {
		s, err := c.State()
		return fmt.Sprint(s, " ", err)
	}
	if _, err := c.State(); !errors.Is(err, ErrNotInstalled) {
		t.Fatalf("before: %v", err)
	}
	// A manager may lack some of the restrictions; it must say so, and what was
	// installed must work.
	if err := c.Install(); err != nil && !errors.Is(err, ErrNotHardened) {
		t.Fatal(err)
	} else if err != nil {
		t.Logf("this manager does not know all restrictions: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	t.Cleanup(func() { c.manager.Uninstall() })
	if err := c.Install(); !errors.Is(err, ErrExists) {
		t.Errorf("second Install: %v", err)
	}
	checkCommandLine(t, name)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	until(t, "running <nil>", state)
	until(t, "started", func() string { return marks(t, dir) })
	if err := c.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	until(t, "stopped <nil>", state)
	until(t, "asked to stop, ended, started", func() string { return marks(t, dir) })

	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	until(t, "running <nil>", state)
	if err := c.Uninstall(ctx); err != nil { // stops it first
		t.Fatal(err)
	}
	if _, err := c.State(); !errors.Is(err, ErrNotInstalled) {
		t.Errorf("after: %v", err)
	}
	if err := c.Uninstall(ctx); !errors.Is(err, ErrNotInstalled) {
		t.Errorf("second Uninstall: %v", err)
	}
}

// checkCommandLine reads the stored command line back: the program in quotes.
func checkCommandLine(t *testing.T, name string) {
	t.Helper()
	m, err := mgr.Connect()
	if err != nil {
		t.Fatal(err)
	}
	defer m.Disconnect()
	s, err := m.OpenService(name)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var size uint32
	buf := make([]byte, 8192)
	q := (*windows.QUERY_SERVICE_CONFIG)(unsafe.Pointer(&buf[0]))
	if err := windows.QueryServiceConfig(s.Handle, q, uint32(len(buf)), &size); err != nil {
		t.Fatal(err)
	}
	line := windows.UTF16PtrToString(q.BinaryPathName)
	if !strings.HasPrefix(line, `"`) || !strings.Contains(line, `Program Files é\license-agent.exe" run `+name) {
		t.Errorf("command line %s", line)
	}
}

// Started from a console, Run finds out from the manager that it is no service.
func TestRunFromAConsole(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "run", "license-agent-test", dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	until(t, "started", func() string { return marks(t, dir) })
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
}

// The handler's words to the manager, without a manager.
func TestExecute(t *testing.T) {
	for _, test := range []struct {
		name     string
		main     Main
		stop     svc.Cmd
		want     []svc.State
		specific bool
		code     uint32
	}{
		{"stopped", func(ctx context.Context, ready func()) error {
			ready()
			<-ctx.Done()
			return nil
		}, svc.Stop, []svc.State{svc.StartPending, svc.Running, svc.StopPending}, false, 0},
		{"shut down", func(ctx context.Context, ready func()) error {
			ready()
			<-ctx.Done()
			return nil
		}, svc.Shutdown, []svc.State{svc.StartPending, svc.Running, svc.StopPending}, false, 0},
		{"failed", func(context.Context, func()) error { return errBroken }, 0, []svc.State{svc.StartPending, svc.StopPending}, true, exitFailed},
	} {
		requests, changes := make(chan svc.ChangeRequest), make(chan svc.Status, 16)
		if test.stop != 0 {
			go func() {
				requests <- svc.ChangeRequest{Cmd: svc.Interrogate, CurrentStatus: svc.Status{State: svc.Running, CheckPoint: 77}}
				requests <- svc.ChangeRequest{Cmd: test.stop}
			}()
		}
		specific, code := (&handler{main: test.main}).Execute(nil, requests, changes)
		if specific != test.specific || code != test.code {
			t.Errorf("%s: %v, %d", test.name, specific, code)
		}
		close(changes)
		var states []svc.State
		interrogated := false
		for s := range changes {
			if s.CheckPoint == 77 {
				interrogated = true
				continue
			}
			states = append(states, s.State)
			if s.State == svc.Running && s.Accepts != svc.AcceptStop|svc.AcceptShutdown {
				t.Errorf("%s: accepts %v", test.name, s.Accepts)
			}
		}
		// Asked before it was ready, it may go from starting to stopping.
		if diff := cmp.Diff(test.want, states); diff != "" && !(test.stop != 0 && cmp.Equal(states, []svc.State{svc.StartPending, svc.StopPending})) {
			t.Errorf("%s: %s", test.name, diff)
		}
		if interrogated != (test.stop != 0) {
			t.Errorf("%s: interrogated %v", test.name, interrogated)
		}
	}
}

func TestClassifyWindows(t *testing.T) {
	for in, want := range map[error]error{
		windows.ERROR_SERVICE_DOES_NOT_EXIST:    ErrNotInstalled,
		windows.ERROR_SERVICE_EXISTS:            ErrExists,
		windows.ERROR_SERVICE_MARKED_FOR_DELETE: ErrMarkedForDeletion,
		windows.ERROR_SERVICE_ALREADY_RUNNING:   errRuns,
		windows.ERROR_ACCESS_DENIED:             ErrAccess,
		windows.ERROR_DISK_FULL:                 windows.ERROR_DISK_FULL,
	} {
		if got := classify(fmt.Errorf("wrapped: %w", in)); !errors.Is(got, want) {
			t.Errorf("%v: %v, want %v", in, got, want)
		}
	}
}

func TestEventLog(t *testing.T) {
	l, err := OpenLog("license-agent-test")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []Event{EventStarted, EventNoContact, EventFailed} {
		if err := l.Write(e, "test"); err != nil {
			t.Errorf("event %d: %v", e, err)
		}
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}
