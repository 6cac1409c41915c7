package ipc

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"

	"golang.org/x/sys/windows"
)

// Process is a handle of the process that made a connection. While it is open
// the process id cannot come to mean another process. The number comes from the
// pipe's client, who can arrange for another one: what really holds the pipe is
// told by its end, which the kernel brings about when the process ends.
type Process struct {
	PID    int
	handle windows.Handle
	closed windows.Handle // event

	mu      sync.Mutex
	waiting int
	done    bool
}

// ProcessOf opens the process on the other side of a connection accepted by a
// listener of this package.
func ProcessOf(c net.Conn) (*Process, error) {
	own, ok := c.(*conn)
	if !ok || own.id.PID <= 0 {
		return nil, ErrNoIdentity
	}
	return openProcess(own.id.PID)
}

// FindProcess opens the process that had this number and this Birth earlier in
// the same boot. ErrNoProcess when it has ended, whoever has the number now.
func FindProcess(pid int, birth string) (*Process, error) {
	if pid <= 0 || birth == "" {
		return nil, fmt.Errorf("%w: %d", ErrNoProcess, pid)
	}
	p, err := openProcess(pid)
	if err != nil {
		return nil, fmt.Errorf("%w: %d: %w", ErrNoProcess, pid, err)
	}
	if p.Birth() != birth || !p.Alive() {
		p.Close()
		return nil, fmt.Errorf("%w: %d is another process now", ErrNoProcess, pid)
	}
	return p, nil
}

func openProcess(pid int) (*Process, error) {
	h, err := windows.OpenProcess(windows.SYNCHRONIZE|windows.PROCESS_QUERY_LIMITED_INFORMATION, false, uint32(pid))
	if err != nil {
		return nil, fmt.Errorf("ipc: process %d: %w", pid, err)
	}
	closed, err := windows.CreateEvent(nil, 1, 0, nil)
	if err != nil {
		windows.CloseHandle(h)
		return nil, fmt.Errorf("ipc: process %d: %w", pid, err)
	}
	return &Process{PID: pid, handle: h, closed: closed}, nil
}

// ProcessFromFile is for service managers that keep handles; Windows has none.
func ProcessFromFile(int, *os.File) (*Process, error) { return nil, ErrUnsupported }

// Adopt is for service managers that keep connections; Windows has none.
func Adopt(*os.File) (net.Conn, error) { return nil, ErrUnsupported }

// File is nil: there is nobody to keep it.
func (*Process) File() *os.File { return nil }

// Wait returns nil when the process has ended, whatever way, and an error when
// Close was called before. It takes a thread.
func (p *Process) Wait() error {
	p.mu.Lock()
	if p.done {
		p.mu.Unlock()
		return os.ErrClosed
	}
	p.waiting++
	p.mu.Unlock()
	which, err := windows.WaitForMultipleObjects([]windows.Handle{p.handle, p.closed}, false, windows.INFINITE)
	p.mu.Lock()
	p.waiting--
	p.free()
	p.mu.Unlock()
	if err == nil && which != windows.WAIT_OBJECT_0 {
		err = os.ErrClosed
	}
	return err
}

// Alive reports whether the process still runs.
func (p *Process) Alive() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done {
		return false
	}
	which, err := windows.WaitForSingleObject(p.handle, 0)
	return err == nil && which == uint32(windows.WAIT_TIMEOUT)
}

// Birth tells this process from every other one that had or will have the same
// number: the time of its creation (GetProcessTimes); "" when that is not told.
func (p *Process) Birth() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var created, ended, kernel, user windows.Filetime
	if p.done || windows.GetProcessTimes(p.handle, &created, &ended, &kernel, &user) != nil {
		return ""
	}
	return "created:" + strconv.FormatInt(created.Nanoseconds(), 10)
}

// Close releases the handle and ends Wait.
func (p *Process) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done {
		return os.ErrClosed
	}
	p.done = true
	err := windows.SetEvent(p.closed)
	p.free()
	return err
}

// free closes the handles when nobody waits on them any more; mu is held.
func (p *Process) free() {
	if p.done && p.waiting == 0 && p.handle != 0 {
		windows.CloseHandle(p.handle)
		windows.CloseHandle(p.closed)
		p.handle = 0
	}
}

// Descriptors is how many files this process may have open.
func Descriptors() int { return maxDescriptors }
