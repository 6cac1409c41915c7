package clock

import (
	"errors"
	"testing"
	"time"
)

func TestNow(t *testing.T) {
	c := New()
	before := time.Now().Unix()
	r := c.Now()
	after := time.Now().Unix()
	if r.Wall < before || r.Wall > after {
		t.Errorf("Wall = %d, want %d to %d", r.Wall, before, after)
	}
	if r.Boot <= 0 {
		t.Errorf("Boot = %d", r.Boot)
	}
	if r.BootID == "" {
		t.Error("no boot id on a machine that has one")
	}
	if again := New().Now(); again.BootID != r.BootID {
		t.Errorf("boot id changed within a boot: %q, %q", r.BootID, again.BootID)
	}
}

// The time since boot never goes back, whatever the resolution is, and moves.
func TestSinceBootMoves(t *testing.T) {
	c := New()
	first := c.SinceBoot()
	last := first
	for last == first {
		now := c.SinceBoot()
		if now < last {
			t.Fatalf("went back from %v to %v", last, now)
		}
		last = now
	}
	for range 10000 {
		now := c.SinceBoot()
		if now < last {
			t.Fatalf("went back from %v to %v", last, now)
		}
		last = now
	}
}

func TestParseVMGenID(t *testing.T) {
	blob := make([]byte, 4096)
	for name, b := range map[string][]byte{"empty": nil, "short": blob[:vmgenidOffset+15], "zero": blob} {
		if id, err := parseVMGenID(b); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%s: %q, %v", name, id, err)
		}
	}
	for i := range 16 {
		blob[vmgenidOffset+i] = byte(i + 1)
	}
	blob[vmgenidOffset-1], blob[vmgenidOffset+16] = 0xee, 0xee
	if id, err := parseVMGenID(blob); err != nil || id != "0102030405060708090a0b0c0d0e0f10" {
		t.Errorf("%q, %v", id, err)
	}
}

// Whatever this machine is, the answer is an id or an error, and stable.
func TestVMGenerationID(t *testing.T) {
	a, errA := VMGenerationID()
	b, errB := VMGenerationID()
	if a != b || (errA == nil) != (errB == nil) || (a == "") == (errA == nil) {
		t.Errorf("%q, %v and %q, %v", a, errA, b, errB)
	}
}

func BenchmarkNow(b *testing.B) {
	c := New()
	for b.Loop() {
		c.Now()
	}
}
