package ipc

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// caller starts a process that connects and returns the agent's end.
func caller(t *testing.T) (net.Conn, *exec.Cmd) {
	t.Helper()
	path := filepath.Join(shortDir(t), "agent.sock")
	l := listen(t, path, Options{})
	cmd := helper(t, "connect", path, os.Geteuid())
	_, err := cmd.StdinPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	c, err := l.Accept()
	must(t, err)
	t.Cleanup(func() { c.Close() })
	return c, cmd
}

// A killed process is noticed through its handle, without asking again.
func TestProcessWait(t *testing.T) {
	c, cmd := caller(t)
	p, err := ProcessOf(c)
	must(t, err)
	defer p.Close()
	ended := make(chan error, 1)
	go func() { ended <- p.Wait() }()
	select {
	case err := <-ended:
		t.Fatalf("a living process has ended: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	must(t, cmd.Process.Kill())
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("Wait: %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("not noticed")
	}
}

func TestProcessCloseEndsWait(t *testing.T) {
	c, _ := caller(t)
	p, err := ProcessOf(c)
	must(t, err)
	ended := make(chan error, 1)
	go func() { ended <- p.Wait() }()
	must(t, p.Close())
	if err := <-ended; err == nil {
		t.Error("Wait says that a living process has ended")
	}
	if p.Alive() || p.Birth() != "" {
		t.Error("a closed handle answers")
	}
}

// The same process is found again by number and birth, another one is not.
func TestFindProcess(t *testing.T) {
	c, cmd := caller(t)
	p, err := ProcessOf(c)
	must(t, err)
	defer p.Close()
	birth := p.Birth()
	if birth == "" {
		t.Fatal("no birth")
	}
	again, err := FindProcess(p.PID, birth)
	must(t, err)
	defer again.Close()
	if again.Birth() != birth || again.PID != cmd.Process.Pid {
		t.Errorf("found %d %q", again.PID, again.Birth())
	}
	for _, wrong := range []struct {
		pid   int
		birth string
	}{{p.PID, birth + "0"}, {os.Getpid(), birth}, {p.PID, ""}, {0, birth}, {-1, birth}} {
		if _, err := FindProcess(wrong.pid, wrong.birth); !errors.Is(err, ErrNoProcess) {
			t.Errorf("%v: %v", wrong, err)
		}
	}
	must(t, cmd.Process.Kill())
	must(t, again.Wait())
	if _, err := FindProcess(p.PID, birth); !errors.Is(err, ErrNoProcess) {
		t.Errorf("an ended process: %v", err)
	}
}

// The birth of kernels without pidfs: the time of the start.
func TestStartOf(t *testing.T) {
	mine := startOf(os.Getpid())
	ticks, err := strconv.ParseUint(strings.TrimPrefix(mine, "start:"), 10, 64)
	if err != nil || ticks == 0 || mine != startOf(os.Getpid()) || mine == startOf(1) {
		t.Errorf("%q %v, process 1: %q", mine, err, startOf(1))
	}
	if got := startOf(1 << 30); got != "" {
		t.Errorf("no such process: %q", got)
	}
}

// A service manager keeps descriptors while the agent is started anew.
func TestAdopt(t *testing.T) {
	c, cmd := caller(t)
	p, err := ProcessOf(c)
	must(t, err)
	birth, pid := p.Birth(), p.PID
	kept := duplicate(t, c.(*conn).UnixConn)
	handle := duplicate(t, p.File())
	c.Close()
	p.Close()

	back, err := Adopt(kept)
	must(t, err)
	defer back.Close()
	if id, ok := IdentityFrom(back); !ok || id.PID != pid || int(id.UID) != os.Geteuid() {
		t.Errorf("identity %+v %v", id, ok)
	}
	again, err := ProcessFromFile(pid, handle)
	must(t, err)
	defer again.Close()
	if again.Birth() != birth || !again.Alive() {
		t.Errorf("birth %q, want %q", again.Birth(), birth)
	}
	must(t, cmd.Process.Kill())
	must(t, again.Wait())
	if n, err := back.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("read %d %v", n, err)
	}

	file, err := os.Open(os.DevNull)
	must(t, err)
	if _, err := Adopt(file); err == nil {
		t.Error("a file was adopted")
	}
}

func duplicate(t *testing.T, c syscall.Conn) *os.File {
	t.Helper()
	fd := -1
	must(t, control(c, func(from int) (err error) {
		fd, err = unix.FcntlInt(uintptr(from), unix.F_DUPFD_CLOEXEC, 0)
		return err
	}))
	return os.NewFile(uintptr(fd), "kept")
}
