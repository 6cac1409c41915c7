package ipc

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// shortDir is a directory with a short name that other users may pass: socket
// paths are limited to 107 bytes.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ipc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func listen(t testing.TB, path string, opts Options) net.Listener {
	t.Helper()
	l, err := Listen(path, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// echo answers each line with the caller's identity as the kernel gave it.
func echo(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			lines := bufio.NewScanner(c)
			for lines.Scan() {
				id, ok := IdentityFrom(c)
				fmt.Fprintf(c, "%v %s %v\n", ok, id.Subject(), id.Groups)
			}
		}()
	}
}

func ask(c net.Conn) (string, error) {
	if _, err := io.WriteString(c, "who\n"); err != nil {
		return "", err
	}
	return bufio.NewReader(c).ReadString('\n')
}

func TestListenDialIdentity(t *testing.T) {
	path := filepath.Join(shortDir(t), "agent.sock")
	l := listen(t, path, Options{})
	go echo(l)
	if l.Addr().String() != path {
		t.Errorf("Addr = %s", l.Addr())
	}
	fi, err := os.Lstat(path)
	if err != nil || fi.Mode()&os.ModeSocket == 0 || fi.Mode().Perm() != SocketMode {
		t.Errorf("socket: %v, %v", fi.Mode(), err)
	}
	c, err := Dial(t.Context(), path, DialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got, err := ask(c)
	if want := fmt.Sprintf("true uid:%d ", os.Geteuid()); err != nil || !strings.HasPrefix(got, want) {
		t.Errorf("answer %q, %v, want %q", got, err, want)
	}
	if _, ok := IdentityFrom(c); ok {
		t.Error("the client's side has an identity of its own")
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("left over: %v, %v", entries, err)
	}
	l.Close()
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("after Close: %v", err)
	}
	if _, err := Dial(t.Context(), path, DialOptions{}); !errors.Is(err, ErrNotRunning) {
		t.Errorf("Dial after Close = %v", err)
	}
}

func TestMode(t *testing.T) {
	path := filepath.Join(shortDir(t), "agent.sock")
	listen(t, path, Options{Mode: 0o660})
	if fi, err := os.Lstat(path); err != nil || fi.Mode().Perm() != 0o660 {
		t.Errorf("%v, %v", fi.Mode(), err)
	}
}

// leaveStale makes a socket whose listener is gone.
func leaveStale(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
}

func TestListenRefusals(t *testing.T) {
	for _, test := range []struct {
		name    string
		prepare func(t *testing.T, dir string) string // returns the path to listen on
		opts    Options
		want    error
	}{
		{"relative", func(*testing.T, string) string { return "agent.sock" }, Options{}, ErrPath},
		{"not clean", func(_ *testing.T, d string) string { return d + "/../" + filepath.Base(d) + "/agent.sock" }, Options{}, ErrPath},
		{"abstract", func(*testing.T, string) string { return "@agent" }, Options{}, ErrPath},
		{"too long", func(_ *testing.T, d string) string { return d + "/" + strings.Repeat("x", MaxPath) }, Options{}, ErrPath},
		{"no directory", func(_ *testing.T, d string) string { return d + "/none/agent.sock" }, Options{}, ErrDirectory},
		{"directory is a file", func(t *testing.T, d string) string {
			must(t, os.WriteFile(d+"/file", nil, 0o644))
			return d + "/file/agent.sock"
		}, Options{}, ErrDirectory},
		{"directory is a link", func(t *testing.T, d string) string {
			must(t, os.Mkdir(d+"/real", 0o755))
			must(t, os.Symlink("real", d+"/link"))
			return d + "/link/agent.sock"
		}, Options{}, ErrDirectory},
		{"directory writable by the group", func(t *testing.T, d string) string {
			must(t, os.Chmod(d, 0o775))
			return d + "/agent.sock"
		}, Options{}, ErrDirectory},
		{"directory writable by all", func(t *testing.T, d string) string {
			must(t, os.Chmod(d, 0o777))
			return d + "/agent.sock"
		}, Options{}, ErrDirectory},
		{"directory sticky and writable by all", func(t *testing.T, d string) string {
			must(t, os.Chmod(d, 0o777|os.ModeSticky))
			return d + "/agent.sock"
		}, Options{}, ErrDirectory},
		{"name is a file", func(t *testing.T, d string) string {
			must(t, os.WriteFile(d+"/agent.sock", []byte("precious"), 0o600))
			return d + "/agent.sock"
		}, Options{Exclusive: true}, ErrNotSocket},
		{"name is a link to a socket", func(t *testing.T, d string) string {
			leaveStale(t, d+"/other")
			must(t, os.Symlink("other", d+"/agent.sock"))
			return d + "/agent.sock"
		}, Options{Exclusive: true}, ErrNotSocket},
		{"leftover without the lock", func(t *testing.T, d string) string {
			leaveStale(t, d+"/agent.sock")
			return d + "/agent.sock"
		}, Options{}, ErrStale},
		{"somebody listens", func(t *testing.T, d string) string {
			listen(t, d+"/agent.sock", Options{})
			return d + "/agent.sock"
		}, Options{Exclusive: true}, ErrInUse},
		{"somebody listens and never accepts", func(t *testing.T, d string) string {
			full(t, d+"/agent.sock")
			return d + "/agent.sock"
		}, Options{Exclusive: true}, ErrInUse},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := shortDir(t)
			path := test.prepare(t, dir)
			before := tree(t, dir)
			l, err := Listen(path, test.opts)
			if !errors.Is(err, test.want) {
				t.Errorf("Listen = %v, want %v", err, test.want)
			}
			if l != nil {
				l.Close()
			}
			if after := tree(t, dir); after != before {
				t.Errorf("the refusal changed the directory:\n%s\n%s", before, after)
			}
		})
	}
}

// full makes a listener whose queue is full.
func full(t *testing.T, path string) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	must(t, unix.Bind(fd, &unix.SockaddrUnix{Name: path}))
	must(t, unix.Listen(fd, 0))
	for range 16 {
		c, err := net.Dial("unix", path)
		if err != nil {
			return
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Fatal("the queue does not fill up")
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// tree lists names and modes below a directory.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var out strings.Builder
	must(t, filepath.Walk(dir, func(path string, fi os.FileInfo, err error) error {
		if err == nil {
			fmt.Fprintf(&out, "%s %v %d\n", path, fi.Mode(), fi.Size())
		}
		return err
	}))
	return out.String()
}

func TestStaleSocketIsReplacedUnderTheLock(t *testing.T) {
	path := filepath.Join(shortDir(t), "agent.sock")
	leaveStale(t, path)
	go echo(listen(t, path, Options{Exclusive: true}))
	c, err := Dial(t.Context(), path, DialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

// Closing an old listener must not remove the socket of its successor.
func TestCloseLeavesTheSuccessorAlone(t *testing.T) {
	path := filepath.Join(shortDir(t), "agent.sock")
	old := listen(t, path, Options{})
	must(t, os.Remove(path))
	go echo(listen(t, path, Options{}))
	old.Close()
	old.Close()
	c, err := Dial(t.Context(), path, DialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

func TestListenInForeignDirectory(t *testing.T) {
	secondUser(t)
	dir := shortDir(t)
	must(t, os.Chown(dir, 65534, 65534))
	if _, err := Listen(dir+"/agent.sock", Options{}); !errors.Is(err, ErrDirectory) || !strings.Contains(err.Error(), "65534") {
		t.Errorf("%v", err)
	}
}

// Who is refused a path is told what is wrong with it, and not what is right.
func TestRefusedPathNamesItsReason(t *testing.T) {
	for path, reason := range map[string]string{
		"agent.sock": "use an absolute path", "/x//agent.sock": `and "//"`, "/x/../agent.sock": `without ".."`,
		"/" + strings.Repeat("x", MaxPath): fmt.Sprintf("at most %d bytes, it has %d", MaxPath, MaxPath+1),
	} {
		l, err := Listen(path, Options{})
		if err == nil {
			l.Close()
		}
		if !errors.Is(err, ErrPath) || !strings.Contains(err.Error(), reason) {
			t.Errorf("%s: %v, want %q", path, err, reason)
		}
	}
}
