package ipc

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestDialRefusals(t *testing.T) {
	dir := shortDir(t)
	path := filepath.Join(dir, "agent.sock")
	go echo(listen(t, path, Options{}))
	must(t, os.WriteFile(dir+"/file", nil, 0o644))
	leaveStale(t, dir+"/stale")
	must(t, os.Mkdir(dir+"/open", 0o755))
	go echo(listen(t, dir+"/open/agent.sock", Options{}))
	must(t, os.Chmod(dir+"/open", 0o777))
	must(t, os.Symlink(path, dir+"/link.sock"))
	for _, test := range []struct {
		name, path string
		opts       DialOptions
		want       error
	}{
		{"right", path, DialOptions{}, nil},
		{"relative", "agent.sock", DialOptions{}, ErrPath},
		{"abstract", "@agent", DialOptions{}, ErrPath},
		{"missing", dir + "/none", DialOptions{}, ErrNotRunning},
		{"missing directory", dir + "/none/agent.sock", DialOptions{}, ErrNotRunning},
		{"below a file", dir + "/file/agent.sock", DialOptions{}, ErrNotRunning},
		{"a file", dir + "/file", DialOptions{}, ErrNotSocket},
		{"a link", dir + "/link.sock", DialOptions{}, ErrNotSocket},
		{"leftover", dir + "/stale", DialOptions{}, ErrNotRunning},
		{"directory that anybody may write", dir + "/open/agent.sock", DialOptions{}, ErrForeignOwner},
	} {
		c, err := Dial(t.Context(), test.path, test.opts)
		if !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
		if c != nil {
			c.Close()
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Dial(ctx, path, DialOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// Links above the socket that root or we made are followed, as /var/run is.
func TestDialFollowsTrustedLinks(t *testing.T) {
	dir := shortDir(t)
	must(t, os.Mkdir(dir+"/run", 0o755))
	must(t, os.Mkdir(dir+"/var", 0o755))
	must(t, os.Symlink("../run", dir+"/var/run"))
	must(t, os.Symlink(dir+"/var", dir+"/v"))
	must(t, os.Symlink("loop", dir+"/loop"))
	go echo(listen(t, dir+"/run/agent.sock", Options{}))
	c, err := Dial(t.Context(), dir+"/v/run/agent.sock", DialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if _, err := Dial(t.Context(), dir+"/loop/agent.sock", DialOptions{}); !errors.Is(err, unix.ELOOP) {
		t.Errorf("loop: %v", err)
	}
}

// The kernel does not wait for a place in a full queue of callers; Dial does, as
// long as it may.
func TestDialWaitsForAPlaceInTheQueue(t *testing.T) {
	path := shortDir(t) + "/agent.sock"
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(fd)
	must(t, unix.Bind(fd, &unix.SockaddrUnix{Name: path}))
	must(t, unix.Listen(fd, 0))
	fill, err := net.Dial("unix", path)
	must(t, err)
	defer fill.Close()
	if _, err := net.Dial("unix", path); !errors.Is(err, unix.EAGAIN) {
		t.Fatalf("control: the queue is not full: %v", err)
	}
	pauses := 0
	c, err := connect(t.Context(), path, func(context.Context) bool {
		if pauses++; pauses == 3 {
			taken, _, err := unix.Accept(fd)
			must(t, err)
			unix.Close(taken)
		}
		return true
	})
	must(t, err)
	defer c.Close()
	if pauses != 3 {
		t.Errorf("%d pauses", pauses)
	}
	ctx, cancel := context.WithTimeout(t.Context(), fullPause)
	defer cancel()
	if _, err := Dial(ctx, path, DialOptions{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("still full at the deadline: %v", err)
	}
}

// TestForeignServers needs a second user: whose socket is believed.
func TestForeignServers(t *testing.T) {
	secondUser(t)
	const nobody, somebody = 65534, 65533
	dir := shortDir(t) // in /tmp: sticky, so not only root could have made it
	chain := func(name string, owner int) string {
		d := filepath.Join(dir, name)
		must(t, os.Mkdir(d, 0o755))
		must(t, os.Chown(d, owner, owner))
		return d + "/agent.sock"
	}
	owned := chain("owned", nobody)
	serveAs(t, owned, nobody)

	planted := chain("planted", 0)
	must(t, os.Chmod(dir+"/planted", 0o777))
	serveAs(t, planted, nobody)
	must(t, os.Chmod(dir+"/planted", 0o755))

	// The socket file says root, the process behind it is somebody else: only
	// the kernel's record of the listener tells.
	dressed := chain("dressed", nobody)
	serveAs(t, dressed, nobody)
	must(t, os.Chown(dressed, 0, 0))
	must(t, os.Chown(dir+"/dressed", 0, 0))

	below := chain("below", nobody)
	must(t, os.Mkdir(dir+"/below/deep", 0o755))
	go echo(listen(t, dir+"/below/deep/agent.sock", Options{}))

	for _, test := range []struct {
		name, path string
		expect     []uint32
		want       error
	}{
		{"a user's directory in /tmp", owned, nil, ErrForeignOwner},
		{"the same, expected", owned, []uint32{nobody}, nil},
		{"the same, another expected", owned, []uint32{somebody}, ErrForeignOwner},
		{"planted in our directory", planted, nil, ErrForeignOwner},
		{"a listener in borrowed clothes", dressed, nil, ErrForeignOwner},
		{"ours below a directory of somebody else", dir + "/below/deep/agent.sock", nil, ErrForeignOwner},
		{"not running in such a directory", below, nil, ErrForeignOwner},
	} {
		c, err := Dial(t.Context(), test.path, DialOptions{ExpectOwner: test.expect})
		if !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
		if c != nil {
			c.Close()
		}
	}
}

// The service account's directory below directories that are root's alone is
// believed without being named, as /run/license-agent is.
func TestRootMadeDirectoryNamesItsOwner(t *testing.T) {
	secondUser(t)
	dir, err := os.MkdirTemp("/run", "ipc-test-")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755))
	must(t, os.Chown(dir, 65534, 65534))
	serveAs(t, dir+"/agent.sock", 65534)
	c, err := Dial(t.Context(), dir+"/agent.sock", DialOptions{})
	must(t, err)
	c.Close()
	// An explicit expectation is stricter.
	if _, err := Dial(t.Context(), dir+"/agent.sock", DialOptions{ExpectOwner: []uint32{65533}}); !errors.Is(err, ErrForeignOwner) {
		t.Errorf("another owner expected: %v", err)
	}
}
