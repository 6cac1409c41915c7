package installer

import (
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// What the caller has left open, such as the lock of a bundle's scripts, is not
// handed on to the programs that start the service.
func TestDescriptorsAreKept(t *testing.T) {
	lock := filepath.Join(t.TempDir(), "lock")
	fd, err := unix.Open(lock, unix.O_CREAT|unix.O_RDWR, 0o600) // as a shell opens it
	must(t, err)
	defer unix.Close(fd) //nolint:errcheck // nothing was written
	if out, err := command(t.Context(), "readlink", "/proc/self/fd/"+strconv.Itoa(fd)); err == nil {
		t.Errorf("the program has %s", out)
	}
	if out, err := command(t.Context(), "readlink", "/proc/self/fd/1"); err != nil {
		t.Errorf("control: %v %s", err, out)
	}
}
