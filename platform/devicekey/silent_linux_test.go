package devicekey

import (
	"crypto/rand"
	"errors"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"licenseagent.example/installer/e2e/swtpm"
)

// silence is a place whose time runs out at once after it was told so, and never
// before.
func silence(tpm *swtpm.TPM) (p Places, hung *atomic.Bool) {
	over := make(chan time.Time)
	close(over)
	hung = new(atomic.Bool)
	return Places{TPM: tpm.Socket, after: func(time.Duration) <-chan time.Time {
		if hung.Load() {
			return over
		}
		return nil
	}}, hung
}

// A chip that takes commands and does not answer: signing and counting end, closing
// too, and when the chip comes back the same key goes on.
func TestSilentChip(t *testing.T) {
	tpm := swtpm.New(t)
	p, hung := silence(tpm)
	k := mustOpen(t, p, stateDir(t))
	had, err := k.Count()
	if err != nil {
		t.Fatal(err)
	}

	tpm.Hang(t)
	hung.Store(true)
	if _, err := k.Sign([]byte("one")); !errors.Is(err, ErrChip) {
		t.Errorf("signing: %v", err)
	}
	hung.Store(false) // who waited now would wait for ever
	if _, err := k.Bump(); !errors.Is(err, ErrChip) {
		t.Errorf("counting: %v", err)
	}
	if err := k.Close(); !errors.Is(err, ErrChip) {
		t.Errorf("closing: %v", err)
	}
	tpm.Resume(t)
	k.chip.turns.busy <- struct{}{} // what was asked last has ended
	<-k.chip.turns.busy
	for k.chip.turns.late.Load() != nil {
		runtime.Gosched()
	}
	if !verifies(t, k, "two") {
		t.Error("the signature afterwards does not verify")
	}
	if n, err := k.Count(); err != nil || n != had {
		t.Errorf("the counter was %d and is %d, %v", had, n, err)
	}
}

// A start on a chip that does not answer ends too, and makes no lesser key.
func TestSilentChipAtTheStart(t *testing.T) {
	tpm, dir, fresh := swtpm.New(t), stateDir(t), stateDir(t)
	p, hung := silence(tpm)
	mustOpen(t, p, dir).Close() //nolint:errcheck // returns none
	tpm.Hang(t)
	hung.Store(true)
	if _, err := p.Open(dir, rand.Reader); !errors.Is(err, ErrChip) {
		t.Errorf("opening: %v", err)
	}
	if _, err := p.Open(fresh, rand.Reader); !errors.Is(err, ErrChip) {
		t.Errorf("making: %v", err)
	}
	if left, err := os.ReadDir(fresh); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
