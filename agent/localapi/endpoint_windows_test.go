package localapi

import (
	"context"
	"crypto/rand"
	"net"
	"testing"
	"time"

	"licenseagent.example/platform/ipc"
)

// endpoint is where the servers of the tests listen: a named pipe.
func endpoint(t testing.TB) (net.Listener, string) {
	t.Helper()
	name := `\\.\pipe\license-agent-test-` + rand.Text()
	ln, err := ipc.Listen(name, ipc.Options{})
	if err != nil {
		t.Fatal(err)
	}
	// Some systems let the first client connect to the instance that only
	// reserves the name. This one does, and goes.
	if c, err := dial(name); err == nil {
		c.Close()
	}
	return ln, name
}

func dial(name string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return ipc.Dial(ctx, name, ipc.DialOptions{})
}

// finish says that nothing more is sent. A pipe has no half that could be closed.
func finish(c net.Conn) { c.Close() }
