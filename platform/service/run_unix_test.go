//go:build !windows

package service

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	mode = "SERVICE_TEST_MODE"
	// quickExit keeps the race detector from sleeping a second at exit.
	quickExit = "GORACE=atexit_sleep_ms=0"
)

// TestMain lets this binary be the service that the tests start.
func TestMain(m *testing.M) {
	switch os.Getenv(mode) {
	case "":
		os.Exit(m.Run())
	case "run":
		err := Run("license-agent-test", func(ctx context.Context, ready func()) error {
			Status("two licenses")
			ready()
			<-ctx.Done()
			return ctx.Err()
		})
		exit(err)
	case "hang": // does not end when asked: the second signal must end it
		exit(Run("x", func(ctx context.Context, ready func()) error {
			ready()
			select {}
		}))
	case "fail":
		exit(Run("x", func(context.Context, func()) error { return errBroken }))
	case "watchdog":
		every, kick := Watchdog()
		kick()
		fmt.Print(every)
	case "sockets":
		if os.Getenv("LISTEN_PID") == "" { // as systemd sets it between fork and exec
			os.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid()))
		}
		sockets, kept := Handed()
		for _, f := range sockets {
			fmt.Println(f.Name(), f.Fd())
		}
		for _, f := range kept["h-1"] {
			fmt.Println("kept", f.Name(), f.Fd())
		}
		sockets, _ = Handed()
		fmt.Print(len(sockets), os.Getenv("LISTEN_FDS"))
	}
	os.Exit(0)
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// manager is what systemd is to a unit of Type=notify.
func manager(t *testing.T, helper string, env ...string) (*exec.Cmd, *net.UnixConn) {
	t.Helper()
	dir, err := os.MkdirTemp("", "svc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetReadDeadline(time.Now().Add(time.Minute)) // only so that a failure ends
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(append(os.Environ(), mode+"="+helper, "NOTIFY_SOCKET="+socket, quickExit), env...)
	cmd.Stderr = os.Stderr
	return cmd, c
}

func heard(t *testing.T, c *net.UnixConn) string {
	t.Helper()
	b := make([]byte, 256)
	n, err := c.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

func TestRunUnderAManager(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		cmd, c := manager(t, "run")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		said := []string{heard(t, c), heard(t, c)}
		cmd.Process.Signal(sig)
		said = append(said, heard(t, c))
		if diff := cmp.Diff([]string{"STATUS=two licenses", "READY=1", "STOPPING=1"}, said); diff != "" {
			t.Error(diff)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v: exit %v", sig, err)
		}
	}
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	cmd, c := manager(t, "hang")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if got := heard(t, c); got != "READY=1" {
		t.Fatalf("said %q", got)
	}
	cmd.Process.Signal(syscall.SIGTERM)
	if got := heard(t, c); got != "STOPPING=1" {
		t.Fatalf("said %q", got)
	}
	// "STOPPING=1" is sent just before the signal gets its usual effect back, so
	// the signal is repeated until the process has ended; with pauses, because a
	// flood while the handler changes crashes the race detector's runtime.
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		select {
		case err := <-done:
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
				t.Errorf("ended by %v", err)
			}
			return
		case <-again.C:
			cmd.Process.Signal(syscall.SIGTERM)
		}
	}
}

func TestRunReportsFailure(t *testing.T) {
	cmd, c := manager(t, "fail")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Run(); err == nil || !strings.Contains(stderr.String(), "broken") {
		t.Errorf("exit %v, said %q", err, stderr.String())
	}
	if got := heard(t, c); got != "STOPPING=1" {
		t.Errorf("said %q", got)
	}
}

func TestWatchdog(t *testing.T) {
	cmd, c := manager(t, "watchdog", "WATCHDOG_USEC=60000000")
	out, err := cmd.Output()
	if err != nil || string(out) != "30s" {
		t.Errorf("%q, %v", out, err)
	}
	if got := heard(t, c); got != "WATCHDOG=1" {
		t.Errorf("said %q", got)
	}
	for name, env := range map[string]string{"none": "X=", "another process's": "WATCHDOG_PID=1", "nonsense": "WATCHDOG_USEC=soon"} {
		cmd, _ := manager(t, "watchdog", env)
		if name == "another process's" {
			cmd.Env = append(cmd.Env, "WATCHDOG_USEC=60000000")
		}
		if out, err := cmd.Output(); err != nil || string(out) != "0s" {
			t.Errorf("%s: %q, %v", name, out, err)
		}
	}
}

func TestSockets(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	run := func(env ...string) string {
		cmd, _ := manager(t, "sockets", env...)
		cmd.ExtraFiles = []*os.File{r, w}
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	if got := run("LISTEN_FDS=2", "LISTEN_FDNAMES=agent:other"); got != "agent 3\nother 4\n0" {
		t.Errorf("got %q", got)
	}
	if got := run("LISTEN_FDS=2", "LISTEN_FDNAMES=agent:kept-h-1"); got != "agent 3\nkept kept-h-1 4\n0" {
		t.Errorf("with one that was kept: %q", got)
	}
	if got := run("LISTEN_FDS=2", "LISTEN_PID=1"); got != "0" {
		t.Errorf("sockets of another process: %q", got)
	}
	if got := run(); got != "0" {
		t.Errorf("no sockets: %q", got)
	}
}

func TestNoEventLog(t *testing.T) {
	l, err := OpenLog("x")
	if !errors.Is(err, ErrNoEventLog) || !errors.Is(l.Write(EventStarted, "x"), ErrNoEventLog) || l.Close() != nil {
		t.Errorf("%v", err)
	}
}

func TestAccessIsNamed(t *testing.T) {
	if err := classify(&os.PathError{Op: "open", Path: "/etc/x", Err: syscall.EACCES}); !errors.Is(err, ErrAccess) || !strings.Contains(err.Error(), "/etc/x") {
		t.Errorf("%v", err)
	}
}
