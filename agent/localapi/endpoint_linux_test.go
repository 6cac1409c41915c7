package localapi

import (
	"net"
	"path/filepath"
	"testing"
	"time"
)

// endpoint is where the servers of the tests listen: a Unix socket.
func endpoint(t testing.TB) (net.Listener, string) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	return ln, socket
}

func dial(socket string) (net.Conn, error) { return net.DialTimeout("unix", socket, 2*time.Second) }

// finish says that nothing more is sent; the answer can still be read.
func finish(c net.Conn) {
	if half, ok := c.(*net.UnixConn); ok {
		_ = half.CloseWrite()
	}
}
