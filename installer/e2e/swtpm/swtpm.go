// Package swtpm starts software TPMs (swtpm(8)) for tests: a chip in a process,
// whose memory is a folder. It is imported by tests only.
package swtpm

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// TPM is one chip. Its memory outlives Stop.
type TPM struct {
	Socket string // commands of the TPM, or QEMU's control channel
	dir    string
	args   []string
	cmd    *exec.Cmd
}

// New makes a chip that answers commands on a Unix socket and switches it on.
// It is switched off, and forgotten, when the test ends.
func New(t testing.TB) *TPM {
	return start(t, func(p *TPM) []string {
		return []string{"--server", "type=unixio,path=" + p.Socket, "--flags", "not-need-init,startup-clear"}
	})
}

// ForQEMU makes a chip for QEMU's "-tpmdev emulator". QEMU switches it off when
// it ends: call Start again before the next boot.
func ForQEMU(t testing.TB) *TPM {
	return start(t, func(p *TPM) []string { return []string{"--ctrl", "type=unixio,path=" + p.Socket} })
}

func start(t testing.TB, args func(*TPM) []string) *TPM {
	t.Helper()
	if _, err := exec.LookPath("swtpm"); err != nil {
		t.Fatal("swtpm is missing; install it (Debian: swtpm) or run: make tools")
	}
	dir, err := os.MkdirTemp("", "swtpm") // short: it becomes part of a socket's name
	if err != nil {
		t.Fatal(err)
	}
	p := &TPM{Socket: filepath.Join(dir, "s"), dir: filepath.Join(dir, "state")}
	if err := os.Mkdir(p.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	p.args = append([]string{"socket", "--tpm2", "--tpmstate", "dir=" + p.dir}, args(p)...)
	t.Cleanup(func() {
		p.Stop()
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	p.Start(t)
	return p
}

// Start switches the chip on, if it is off.
func (p *TPM) Start(t testing.TB) {
	t.Helper()
	if p.cmd != nil && p.answers() {
		return
	}
	p.Stop()
	if err := os.Remove(p.Socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	p.cmd = exec.Command("swtpm", p.args...)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if p.answers() {
			return
		}
		if time.Now().After(end) {
			t.Fatal("swtpm does not answer")
		}
	}
}

// answers asks whether somebody listens: the name is there before that.
func (p *TPM) answers() bool {
	c, err := net.Dial("unix", p.Socket)
	if err != nil {
		return false
	}
	return c.Close() == nil
}

// Stop cuts the chip's power.
func (p *TPM) Stop() {
	if p.cmd == nil {
		return
	}
	p.cmd.Process.Kill() //nolint:errcheck // it may have ended by itself
	p.cmd.Wait()         //nolint:errcheck // killed
	p.cmd = nil
	os.Remove(p.Socket) //nolint:errcheck // it may have removed it
}
