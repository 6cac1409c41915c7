package store

import (
	"errors"
	"syscall"
	"testing"
)

// smallDisk mounts a file system of its own with three MiB.
func smallDisk(t *testing.T) string {
	t.Helper()
	needRoot(t, "mount a small file system")
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=3m,mode=0755"); err != nil {
		t.Fatalf("this proof needs to mount a tmpfs of 3 MiB: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// full says that an error is that of a full disk.
func full(err error) bool { return errors.Is(err, syscall.ENOSPC) }

// spare is how much of a disk must be free so that nothing but the store fails.
const spare = 0
