//go:build !windows

package installer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// lockFolder is /run, where only root may write and nothing lives over a boot. An
// image without it is one that nothing else changes.
func (t Target) lockFolder() (string, error) {
	folder := t.at("/run")
	if fi, err := os.Lstat(folder); err != nil || !fi.IsDir() {
		return "", nil // an image without one
	}
	return folder, nil
}

// holdFile makes a file and locks it by flock(2). The file is removed by whoever
// held it, so what was locked is of use only if it still has its name: otherwise
// the next caller would lock another file of that name.
func holdFile(folder, name string) (*os.File, error) {
	full := filepath.Join(folder, name)
	for {
		f, err := os.OpenFile(full, os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o600)
		if err != nil {
			return nil, err
		}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			f.Close()
			if errors.Is(err, unix.EWOULDBLOCK) {
				return nil, ErrBusy
			}
			return nil, fmt.Errorf("lock %s: %w", full, err)
		}
		mine, err := f.Stat()
		if err != nil {
			f.Close()
			return nil, err
		}
		if named, err := os.Lstat(full); err == nil && os.SameFile(mine, named) {
			return f, nil
		}
		f.Close()
	}
}

// letGo removes the file while it is still locked.
func letGo(f *os.File) {
	os.Remove(f.Name()) //nolint:errcheck // the next run takes the file that is there
	f.Close()           //nolint:errcheck // nothing was written
}
