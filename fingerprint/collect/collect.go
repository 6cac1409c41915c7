// Package collect observes this machine for the agent: package probe decides
// the values, each part within a time limit, and gopsutil and ghw are asked
// now and then whether they see the same. A disagreement is recorded in the
// device's notes and changes nothing: both libraries are known to be wrong in
// places (see crosscheck.go). It is not stable API.
package collect

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"licenseagent.example/fingerprint"
	"licenseagent.example/fingerprint/probe"
)

// Default limits.
const (
	// DefaultTimeout bounds one part. A healthy machine needs less than a
	// millisecond; a disk in error recovery can hold a read for 30 s.
	DefaultTimeout = 5 * time.Second
	// DefaultCrossTimeout bounds one source of the cross-check. The first WMI
	// query after a Windows start takes seconds.
	DefaultCrossTimeout = 20 * time.Second
)

// Collector observes one machine. The zero value observes this one with the
// default limits. Its methods may be called from several goroutines; a
// Collector must not be copied after use.
type Collector struct {
	// Host is the machine to read.
	Host probe.Host
	// Timeout bounds each part of Collect; 0 means DefaultTimeout.
	Timeout time.Duration
	// CrossTimeout bounds each source of CrossCheck; 0 means DefaultCrossTimeout.
	CrossTimeout time.Duration
	// Executable is the program that Windows' CrossCheck starts with the
	// argument CrossCheckCommand; empty means this program.
	Executable string

	network  slot[fingerprint.Component]
	disks    slot[fingerprint.Component]
	firmware slot[probe.Firmware]
	cross    slot[facts]

	mu    sync.Mutex
	env   *fingerprint.Environment // of the last complete read
	notes []string                 // of the last cross-check

	// Readers that tests replace by ones that hang or panic; nil means Host.
	readNetwork, readDisks func() fingerprint.Component
	readFirmware           func() probe.Firmware
	gather                 func(context.Context) facts
}

// Collect returns one observation. It always returns: a part that does not
// answer in time is unreadable, with the reason, and its read is left behind
// until the system lets go of it; no second one is started meanwhile.
func (c *Collector) Collect(ctx context.Context) fingerprint.Device {
	ctx, cancel := context.WithTimeout(ctx, orDefault(c.Timeout, DefaultTimeout))
	defer cancel()
	network, disks := c.network.start(orElse(c.readNetwork, c.Host.Network)), c.disks.start(orElse(c.readDisks, c.Host.Disks))
	firmware := c.firmware.start(orElse(c.readFirmware, c.Host.Firmware))

	mac, err := network.wait(ctx)
	if err != nil {
		mac = unreadable(fingerprint.MAC, err)
	}
	disk, err := disks.wait(ctx)
	if err != nil {
		disk = unreadable(fingerprint.Disk, err)
	}
	f, err := firmware.wait(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		c.env = &f.Env
	} else {
		f.Board, f.CPU = unreadable(fingerprint.Board, err), unreadable(fingerprint.CPU, err)
		f.Env = fingerprint.Environment{Kind: fingerprint.Physical, Reason: "not known: " + err.Error()}
		if c.env != nil { // the class of machine does not change under a running program
			f.Env = *c.env
		}
	}
	f.Notes = append(slices.Clip(f.Notes), c.notes...)
	return probe.Assemble(mac, disk, f)
}

// CrossCheck asks gopsutil and ghw what they see, compares it with a fresh
// observation and returns the disagreements in words, serials masked. They also
// stand in the notes of later observations until the next CrossCheck. It is
// meant for the start of a program and once a day: it costs some hundred times
// what Collect costs, and on Windows a process.
func (c *Collector) CrossCheck(ctx context.Context) []string {
	device := c.Collect(ctx)
	ctx, cancel := context.WithTimeout(ctx, 2*orDefault(c.CrossTimeout, DefaultCrossTimeout))
	defer cancel()
	f, err := c.cross.start(func() facts {
		if c.gather != nil {
			return c.gather(ctx)
		}
		return c.second(ctx)
	}).wait(ctx)
	if err != nil {
		f = facts{Errors: []string{err.Error()}}
	}
	notes := compare(device, f)
	c.setNotes(notes)
	return slices.Clone(notes) // the caller's to change while Collect reads them
}

// setNotes remembers what the cross-check found.
func (c *Collector) setNotes(notes []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.notes = notes
}

// unreadable is the observation of a part that gave no answer.
func unreadable(k fingerprint.Kind, err error) fingerprint.Component {
	return fingerprint.Component{Kind: k, State: fingerprint.Unreadable, Reason: err.Error()}
}

// slot runs one kind of read at a time.
type slot[T any] struct {
	mu   sync.Mutex
	last *run[T]
}

// run is one read under way or done.
type run[T any] struct {
	done  chan struct{}
	value T
	err   error
}

// start starts f, or joins the run of an earlier caller that has not ended: a
// device that blocks must cost one goroutine, not one per attempt.
func (s *slot[T]) start(f func() T) *run[T] {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last != nil {
		select {
		case <-s.last.done:
		default:
			return s.last
		}
	}
	r := &run[T]{done: make(chan struct{})}
	s.last = r
	go func() {
		defer close(r.done)
		defer func() {
			if p := recover(); p != nil {
				r.err = fmt.Errorf("the reader failed: %v", p)
			}
		}()
		r.value = f()
	}()
	return r
}

// wait returns the result, or an error when ctx ends first or the read panicked.
func (r *run[T]) wait(ctx context.Context) (T, error) {
	var zero T
	select {
	case <-r.done:
	default:
		select {
		case <-r.done:
		case <-ctx.Done():
			return zero, fmt.Errorf("no answer in time: %w", ctx.Err())
		}
	}
	if r.err != nil {
		return zero, r.err
	}
	return r.value, nil
}

// orDefault returns d, or its default where it is not set.
func orDefault(d, otherwise time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return otherwise
}

// orElse returns f, or its default where it is not set.
func orElse[T any](f, otherwise func() T) func() T {
	if f != nil {
		return f
	}
	return otherwise
}
