package ipc

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
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

func TestProcessOf(t *testing.T) {
	path := filepath.Join(shortDir(t), "agent.sock")
	l := listen(t, path, Options{})
	cmd := helper(t, "connect", path, os.Geteuid())
	in, err := cmd.StdinPipe()
	must(t, err)
	must(t, cmd.Start())
	c, err := l.Accept()
	must(t, err)
	defer c.Close()
	p, err := ProcessOf(c)
	must(t, err)
	defer p.Close()
	byPID, err := openByPID(c.(*conn).id)
	must(t, err)
	defer unix.Close(byPID)
	self, err := os.Executable()
	must(t, err)
	if exe, err := p.Executable(); err != nil || exe != self || p.PID != cmd.Process.Pid || !p.Alive() || !alive(byPID) {
		t.Errorf("process %d, %q, %v", p.PID, exe, err)
	}
	wrong := c.(*conn).id
	wrong.UID++
	if fd, err := openByPID(wrong); !errors.Is(err, ErrNoIdentity) {
		t.Errorf("another user's process: %d, %v", fd, err)
	}
	in.Close()
	must(t, cmd.Wait())
	if p.Alive() || alive(byPID) {
		t.Error("still alive after its end")
	}
	if exe, err := p.Executable(); err == nil {
		t.Errorf("program of an ended process: %q", exe)
	}
	if _, err := openByPID(c.(*conn).id); !errors.Is(err, unix.ESRCH) {
		t.Errorf("openByPID of an ended process: %v", err)
	}
	if _, err := ProcessOf(wrapped{c}); !errors.Is(err, ErrNoIdentity) {
		t.Errorf("a connection that is not ours: %v", err)
	}
}

// helper runs this binary again in a mode of TestMain, as another user if it
// may.
func helper(t testing.TB, mode, arg string, uid int) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "IPC_TEST_MODE="+mode, "IPC_TEST_ARG="+arg, "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = os.Stderr
	if uid != os.Geteuid() {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid), Groups: []uint32{4242}}}
	}
	return cmd
}

func TestMain(m *testing.M) {
	arg := os.Getenv("IPC_TEST_ARG")
	var err error
	switch os.Getenv("IPC_TEST_MODE") {
	case "":
		os.Exit(m.Run())
	case "connect":
		var c net.Conn
		if c, err = net.Dial("unix", arg); err == nil {
			io.Copy(io.Discard, os.Stdin)
			c.Close()
		}
	case "hostile":
		err = connectUnderHostileNames(arg)
	case "serve":
		err = serveUntilEOF(arg)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// otherUser is the uid of the helpers: nobody where this test may change user,
// and else its own.
func otherUser() int {
	if os.Geteuid() == 0 {
		return 65534
	}
	return os.Geteuid()
}

// TestHostileNames: whatever a caller names its own end of the connection, the
// identity is the one the kernel knows.
func TestHostileNames(t *testing.T) {
	dir := shortDir(t)
	path := filepath.Join(dir, "agent.sock")
	playground := filepath.Join(dir, "c")
	must(t, os.Mkdir(playground, 0o777))
	must(t, os.Chmod(playground, 0o777))
	l := listen(t, path, Options{})
	uid := otherUser()
	want := fmt.Sprintf("uid:%d", uid)
	var wg sync.WaitGroup
	remotes := map[string]bool{}
	wg.Go(func() {
		for range hostileCount {
			c, err := l.Accept()
			if err != nil {
				t.Error(err)
				return
			}
			remotes[c.RemoteAddr().String()] = true
			id, ok := IdentityFrom(c)
			if !ok || id.Subject() != want || id.Admin(nil) != (uid == os.Geteuid()) {
				t.Errorf("caller named %q is %+v, %v", c.RemoteAddr(), id, ok)
			}
			if os.Geteuid() == 0 && (len(id.Groups) != 1 || id.Groups[0] != 4242 || !id.Admin([]uint32{4242})) {
				t.Errorf("groups %v", id.Groups)
			}
			c.Close()
		}
	})
	if out, err := helper(t, "hostile", dir, uid).Output(); err != nil {
		l.Close()
		t.Errorf("helper: %v %s", err, out)
	}
	wg.Wait()
	if len(remotes) < hostileCount*9/10 {
		t.Errorf("only %d different names arrived", len(remotes))
	}
}

// hostileCount is the number that the promise names.
const hostileCount = 1000

func connectUnderHostileNames(dir string) error {
	pieces := []string{";uid=0;", "uid=0", "pid=1;uid=0;socket=x;", "@", "root", "\n", "\x01", "%00", "é", "' OR 1=1", ";gid=0", "{\"uid\":0}"}
	for i := range hostileCount {
		name := fmt.Sprintf("%s/c/%d%s%s", dir, i, pieces[i%len(pieces)], pieces[(i/len(pieces))%len(pieces)])
		if i%3 == 0 {
			name = "@" + strings.ReplaceAll(name, "/", ";uid=0;")
		}
		name = strings.ReplaceAll(name[:min(len(name), MaxPath)], "\x00", "")
		c, err := net.DialUnix("unix", &net.UnixAddr{Name: name, Net: "unix"}, &net.UnixAddr{Name: dir + "/agent.sock", Net: "unix"})
		if err != nil {
			return fmt.Errorf("%q: %w", name, err)
		}
		io.Copy(io.Discard, c) // until the server has looked and closed
		c.Close()
	}
	return nil
}

func serveUntilEOF(path string) error {
	l, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	defer l.Close()
	if err := os.Chmod(path, 0o666); err != nil {
		return err
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
		}
	}()
	fmt.Println("ready")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// serveAs starts a listener of another user and returns when it listens.
func serveAs(t *testing.T, path string, uid int) {
	t.Helper()
	cmd := helper(t, "serve", path, uid)
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("helper said %q, %v", line, err)
	}
}

// TestForeignServers needs a second user: whose socket is believed.
func TestForeignServers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to act as two users")
	}
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
	if os.Geteuid() != 0 {
		t.Skip("needs root to make a directory in /run for another user")
	}
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

func TestListenInForeignDirectory(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to make a directory of another user")
	}
	dir := shortDir(t)
	must(t, os.Chown(dir, 65534, 65534))
	if _, err := Listen(dir+"/agent.sock", Options{}); !errors.Is(err, ErrDirectory) || !strings.Contains(err.Error(), "65534") {
		t.Errorf("%v", err)
	}
}
