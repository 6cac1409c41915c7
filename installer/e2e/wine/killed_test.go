//go:build e2e && windows

package wine

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

// TestKilledWhileStartingAChild ends the program at many moments of its life, in
// one of which it starts the child that asks WMI. Nothing may go on holding the
// program: the next upgrade could not replace it, and would want a restart.
func TestKilledWhileStartingAChild(t *testing.T) {
	const moments = 150
	program := copyTo(t, "E2E_NEW_EXE", "killed")
	cut := 0
	for n := range moments {
		cmd := exec.Command(program, "fingerprint", "--cross-check")
		must(t, cmd.Start())
		over := make(chan error, 1)
		go func() { over <- cmd.Wait() }()
		select {
		case <-time.After(time.Duration(n) * time.Millisecond): // the moment is what is tried
			cmd.Process.Kill() //nolint:errcheck // it may have ended
			if err := <-over; err != nil {
				cut++
			}
		case err := <-over:
			must(t, err)
		}
		until(t, "the program is let go of", func() bool {
			to := program + ".moved"
			f, err := os.OpenFile(program, os.O_WRONLY, 0)
			if err != nil {
				return false
			}
			must(t, f.Close())
			must(t, os.Rename(program, to))
			must(t, os.Rename(to, program))
			return true
		})
	}
	if cut < 20 {
		t.Errorf("only %d of %d were cut off: the moments show nothing", cut, moments)
	}
	t.Logf("%d of %d cut off", cut, moments)
}
