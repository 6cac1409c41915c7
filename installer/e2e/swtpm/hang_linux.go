package swtpm

import (
	"syscall"
	"testing"
)

// Hang lets the chip take commands and answer none, until Resume.
func (p *TPM) Hang(t testing.TB) { p.signal(t, syscall.SIGSTOP) }

// Resume ends Hang; what was asked meanwhile is answered.
func (p *TPM) Resume(t testing.TB) { p.signal(t, syscall.SIGCONT) }

func (p *TPM) signal(t testing.TB, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}
