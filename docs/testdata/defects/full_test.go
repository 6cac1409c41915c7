package ipc

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The kernel refuses at once when an agent's queue of callers is full. That passes,
// so that a caller has until its deadline.
func TestFullQueue(t *testing.T) {
	path := shortDir(t) + "/agent.sock"
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(fd)
	must(t, unix.Bind(fd, &unix.SockaddrUnix{Name: path}))
	must(t, unix.Listen(fd, 0))
	fill, err := net.Dial("unix", path)
	must(t, err)
	defer fill.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Dial(ctx, path, DialOptions{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("before the deadline: %v", err)
	}
}
