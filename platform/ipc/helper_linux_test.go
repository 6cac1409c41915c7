package ipc

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// secondUser fails a test that needs to act as two users where this process may
// be only one: a test that is left out would pass without showing anything.
func secondUser(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test acts as two users and needs root: run it with sudo")
	}
}

// helper runs this binary again in a mode of TestMain, as another user if it
// may.
func helper(t testing.TB, mode, arg string, uid int) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "IPC_TEST_MODE="+mode, "IPC_TEST_ARG="+arg, "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = os.Stderr
	if uid != os.Geteuid() {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid), Groups: []uint32{4242}}}
	}
	return cmd
}

func TestMain(m *testing.M) {
	arg := os.Getenv("IPC_TEST_ARG")
	var err error
	switch os.Getenv("IPC_TEST_MODE") {
	case "":
		os.Exit(m.Run())
	case "connect":
		var c net.Conn
		if c, err = net.Dial("unix", arg); err == nil {
			io.Copy(io.Discard, os.Stdin)
			c.Close()
		}
	case "hostile":
		err = connectUnderHostileNames(arg)
	case "serve":
		err = serveUntilEOF(arg)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func serveUntilEOF(path string) error {
	l, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	defer l.Close()
	if err := os.Chmod(path, 0o666); err != nil {
		return err
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
		}
	}()
	fmt.Println("ready")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// serveAs starts a listener of another user and returns when it listens.
func serveAs(t *testing.T, path string, uid int) {
	t.Helper()
	cmd := helper(t, "serve", path, uid)
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("helper said %q, %v", line, err)
	}
}
