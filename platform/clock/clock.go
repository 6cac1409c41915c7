// Package clock reads the clocks of the machine.
//
// The agent counts how long a license may still be used, and whoever owns the
// machine can set its clock. Three readings together leave little room: the
// wall clock, the time since boot, and an id that tells one boot from the next.
// The time since boot must include suspend: Go's own monotonic clock stops
// while a Linux or Windows machine sleeps (Go issues 24595 and 35482), and a
// laptop that sleeps each night would gain a third of its license.
//
// Apart from the commands, this is the only package that asks for the current
// time; everything else is given a Reading, which makes every rule about time
// testable without waiting.
//
// It is not part of the stable API.
package clock

import (
	"encoding/hex"
	"errors"
	"fmt"
	"time"
)

// ErrUnsupported is returned when the operating system offers no such value.
var ErrUnsupported = errors.New("clock: not available on this machine")

// Reading is what the clocks say at one moment.
type Reading struct {
	Wall   int64  // seconds since 1970-01-01 UTC, as set by whoever may set it
	Boot   int64  // seconds since boot, suspend included; nobody can set it back
	BootID string // differs from boot to boot; "" when it could not be read
}

// Clock reads the clocks; New makes it. It is a plain value and may be copied
// and used by several goroutines.
type Clock struct {
	bootID string
	boot   func() time.Duration
}

// New reads the boot id once: it cannot change while this process lives, and
// readings must be cheap.
func New() Clock {
	c := Clock{boot: bootClock()}
	// An unreadable id is not an error for the caller: it only means that the
	// time since boot cannot be compared with the one before a restart.
	if id, err := bootID(); err == nil {
		c.bootID = id
	}
	return c
}

// Now reads wall clock and time since boot.
func (c Clock) Now() Reading {
	return Reading{
		Wall:   time.Now().Unix(),
		Boot:   int64(c.SinceBoot() / time.Second),
		BootID: c.bootID,
	}
}

// SinceBoot is the time since boot with the resolution of the operating
// system, suspend included. It suits measuring how long something took as well
// as comparing with Reading.Boot. In a Linux time namespace it has the
// namespace's offset (time_namespaces(7)).
func (c Clock) SinceBoot() time.Duration { return c.boot() }

// VMGenerationID is an identifier that the hypervisor changes when the machine
// was restored from a snapshot or cloned, and keeps over reboot and live
// migration (Microsoft, Virtual Machine Generation ID, 2012). It needs the
// rights of an administrator on most systems: Linux hands the value to its
// random generator and not to programs, so there it is read from QEMU's fw_cfg
// file, if the kernel shows one. ErrUnsupported or a permission error is the
// normal answer and means "unknown", never "changed".
func VMGenerationID() (string, error) { return vmGenerationID() }

// vmgenidOffset is where QEMU puts the identifier in its fw_cfg file
// (docs/specs/vmgenid in QEMU: the first 40 bytes are left to the firmware).
const vmgenidOffset = 40

// parseVMGenID takes the identifier out of QEMU's fw_cfg file.
func parseVMGenID(b []byte) (string, error) {
	if len(b) < vmgenidOffset+16 {
		return "", fmt.Errorf("%w: generation id of %d bytes", ErrUnsupported, len(b))
	}
	id := b[vmgenidOffset : vmgenidOffset+16]
	for _, c := range id {
		if c != 0 {
			return hex.EncodeToString(id), nil
		}
	}
	return "", fmt.Errorf("%w: generation id is zero", ErrUnsupported)
}
