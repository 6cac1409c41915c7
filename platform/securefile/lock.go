package securefile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Lock is held by the one agent that owns a state directory. The operating
// system releases it when the process ends in whatever way, so a crash leaves
// nothing to clean up.
type Lock struct{ f *os.File }

// Lock takes the instance lock of the directory or returns at once: an *Error
// that is ErrLocked and names the process that holds it as far as it is known.
// The lock file is never removed, because removing and creating it again would
// let two processes hold locks on two files of one name.
func (d *Dir) Lock() (*Lock, error) {
	full := filepath.Join(d.path, LockName)
	if fi, err := d.root.Lstat(LockName); err == nil {
		if err := regular(full, fi); err != nil {
			return nil, err
		}
	}
	f, err := openRetry(func() (*os.File, error) {
		return d.create(LockName, PrivateFile, false)
	})
	if err != nil {
		return nil, &Error{Path: full, Err: err}
	}
	if err := d.lock(full, f); err != nil {
		f.Close()
		return nil, err
	}
	return &Lock{f: f}, nil
}

func (d *Dir) lock(full string, f *os.File) error {
	named, err := d.root.Lstat(LockName)
	if err != nil {
		return &Error{Path: full, Err: err}
	}
	if err := regular(full, named); err != nil {
		return err
	}
	opened, err := f.Stat()
	if err != nil {
		return &Error{Path: full, Err: err}
	}
	if !os.SameFile(named, opened) {
		return &Error{Path: full, Err: ErrChanged}
	}
	if err := inspectFile(full, f, opened, d.public); err != nil {
		return err
	}
	if err := lockFile(f); err != nil {
		if !errors.Is(err, ErrLocked) {
			return &Error{Path: full, Err: err}
		}
		e := &Error{Path: d.path, Err: ErrLocked, Next: "stop the other agent, or give this one its own --instance"}
		if pid := holder(f); pid != 0 {
			e.Found = fmt.Sprintf("process %d", pid)
		}
		return e
	}
	// Only a hint for the message above, so a failure to write it is no error.
	if f.Truncate(0) == nil {
		f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return nil
}

// holder reads the process id that the holder wrote, 0 when there is none.
func holder(f *os.File) int {
	b := make([]byte, 16)
	n, err := f.ReadAt(b, 0)
	if err != nil && err != io.EOF {
		return 0 // Windows refuses to read what another process has locked
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b[:n])))
	if err != nil || pid < 0 {
		return 0
	}
	return pid
}

// Unlock releases the lock.
func (l *Lock) Unlock() error { return l.f.Close() }
