package terminal

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// pty opens a pseudo terminal: what a person types goes into keyboard, and what
// the terminal shows comes out of it (pty(7)).
func pty(t *testing.T) (keyboard, screen *os.File) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatalf("this test needs /dev/ptmx: %v", err)
	}
	t.Cleanup(func() { keyboard.Close() })
	if err := unix.IoctlSetPointerInt(int(keyboard.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(keyboard.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	screen, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { screen.Close() })
	return keyboard, screen
}

// shown reads what the terminal displays until it has displayed the text. The
// kernel echoes in a work queue of its own, so the reader has to wait for it.
func shown(t *testing.T, keyboard *os.File, until string) string {
	t.Helper()
	const patience = 10_000 // milliseconds
	fds := []unix.PollFd{{Fd: int32(keyboard.Fd()), Events: unix.POLLIN}}
	var all strings.Builder
	buf := make([]byte, 4096)
	for !strings.Contains(all.String(), until) {
		n, err := unix.Poll(fds, patience)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			t.Fatalf("the terminal showed %q and never %q: %v", all.String(), until, err)
		}
		n, err = unix.Read(int(keyboard.Fd()), buf)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(buf[:n])
	}
	return all.String()
}

func TestSecretIsNotShown(t *testing.T) {
	keyboard, screen := pty(t)
	var out bytes.Buffer
	type result struct {
		text string
		err  error
	}
	done := make(chan result)
	prompted := make(chan struct{})
	go func() {
		text, err := ReadSecret(screen, signalling{&out, prompted}, "Code: ")
		done <- result{text, err}
	}()
	<-prompted // echo is off before the prompt appears
	if _, err := keyboard.WriteString("SECRET-1234\n"); err != nil {
		t.Fatal(err)
	}
	r := <-done
	if r.err != nil || r.text != "SECRET-1234" {
		t.Errorf("got %q, %v", r.text, r.err)
	}
	if !strings.HasPrefix(out.String(), "Code: ") {
		t.Errorf("prompt %q", out.String())
	}
	// Afterwards echo is on again: the control. What is typed is shown in order,
	// so the secret would stand before it.
	if _, err := keyboard.WriteString("VISIBLE\n"); err != nil {
		t.Fatal(err)
	}
	if s := shown(t, keyboard, "VISIBLE"); strings.Contains(s, "SECRET") {
		t.Errorf("the terminal showed %q", s)
	}
}

// signalling closes a channel at the first write.
type signalling struct {
	w    *bytes.Buffer
	once chan struct{}
}

func (s signalling) Write(b []byte) (int, error) {
	select {
	case <-s.once:
	default:
		close(s.once)
	}
	return s.w.Write(b)
}

func TestFilesAreNoTerminals(t *testing.T) {
	f, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if Is(f) {
		t.Error("/dev/null is a terminal")
	}
	if _, err := ReadSecret(f, &bytes.Buffer{}, "x"); !errors.Is(err, ErrNotTerminal) {
		t.Errorf("got %v", err)
	}
	_, screen := pty(t)
	if !Is(screen) {
		t.Error("a pseudo terminal is none")
	}
}
