package ipc

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// file gives the descriptor of a socket as systemd would hand it over.
func file(t *testing.T, s interface{ File() (*os.File, error) }) *os.File {
	t.Helper()
	f, err := s.File()
	must(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

func TestFromFile(t *testing.T) {
	path := filepath.Join(shortDir(t), "agent.sock")
	unit, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	must(t, err)
	unit.SetUnlinkOnClose(false)
	f := file(t, unit)
	unit.Close() // as when only the service manager's descriptor is left
	l, err := FromFile(f, Options{})
	must(t, err)
	if l.Addr().String() != path {
		t.Errorf("Addr = %s", l.Addr())
	}
	go echo(l)
	c, err := Dial(t.Context(), path, DialOptions{})
	must(t, err)
	if got, err := ask(c); err != nil || !strings.HasPrefix(got, "true uid:") {
		t.Errorf("answer %q, %v", got, err)
	}
	c.Close()
	l.Close()
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("closing an adopted listener removed the socket: %v", err)
	}
	// A caller who comes while the agent restarts waits in the queue.
	early, err := net.Dial("unix", path)
	must(t, err)
	defer early.Close()
	again, err := FromFile(f, Options{})
	must(t, err)
	defer again.Close()
	go echo(again)
	if got, err := ask(early); err != nil || !strings.HasPrefix(got, "true uid:") {
		t.Errorf("early caller: %q, %v", got, err)
	}
}

func TestFromFileRefusals(t *testing.T) {
	dir := shortDir(t)
	regular, err := os.Create(dir + "/file")
	must(t, err)
	defer regular.Close()
	tcp, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	must(t, err)
	defer tcp.Close()
	abstract, err := net.ListenUnix("unix", &net.UnixAddr{Name: "@" + dir, Net: "unix"})
	must(t, err)
	defer abstract.Close()
	datagram, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: dir + "/dgram", Net: "unixgram"})
	must(t, err)
	defer datagram.Close()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	bound := os.NewFile(uintptr(fd), "bound")
	defer bound.Close()
	must(t, unix.Bind(fd, &unix.SockaddrUnix{Name: dir + "/bound"}))
	for _, test := range []struct {
		name string
		f    *os.File
		want error
	}{
		{"a file", regular, ErrNotSocket},
		{"a TCP listener", file(t, tcp), ErrNotSocket},
		{"an abstract socket", file(t, abstract), ErrPath},
		{"a datagram socket", file(t, datagram), ErrNotSocket},
		{"bound but not listening", bound, ErrNotSocket},
	} {
		if l, err := FromFile(test.f, Options{}); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, %v, want %v", test.name, l, err, test.want)
		}
	}
}

// A connection for which the kernel names nobody is closed and reported, and
// the next caller is served.
func TestNoIdentityIsRefused(t *testing.T) {
	refused := make(chan error, 1)
	inner, err := net.ListenUnix("unix", &net.UnixAddr{Name: shortDir(t) + "/s", Net: "unix"})
	must(t, err)
	l := &listener{inner: inner, addr: inner.Addr().(*net.UnixAddr), opts: Options{Refused: func(err error) { refused <- err }}}
	defer l.Close()
	// No way is known to make the kernel report nobody for a stream socket, so
	// the question itself is put to a connection that is closed.
	c, err := net.DialUnix("unix", nil, l.addr)
	must(t, err)
	defer c.Close()
	accepted, err := inner.AcceptUnix()
	must(t, err)
	accepted.Close()
	if id, err := peer(accepted, 0); !errors.Is(err, ErrNoIdentity) || id.Known() {
		t.Errorf("peer of a closed connection: %+v, %v", id, err)
	}
	l.opts.refuse(ErrNoIdentity)
	if err := <-refused; !errors.Is(err, ErrNoIdentity) {
		t.Error(err)
	}
	Options{}.refuse(ErrNoIdentity) // nobody listens: no panic
}

// Callers who hang up before they are accepted do no harm.
func TestHangUpBeforeAccept(t *testing.T) {
	path := shortDir(t) + "/s"
	l := listen(t, path, Options{})
	for range 50 {
		c, err := net.Dial("unix", path)
		must(t, err)
		c.Close()
	}
	go echo(l)
	c, err := Dial(t.Context(), path, DialOptions{})
	must(t, err)
	defer c.Close()
	if got, err := ask(c); err != nil || !strings.HasPrefix(got, "true uid:") {
		t.Errorf("%q, %v", got, err)
	}
}

// Many supplementary groups: the kernel's list is longer than the first buffer.
func TestManyGroups(t *testing.T) {
	secondUser(t)
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	got, err := peerGroups(pair[0])
	must(t, err)
	mine, err := os.Getgroups()
	must(t, err)
	if len(got) != len(mine) {
		t.Errorf("%d groups, want %d", len(got), len(mine))
	}
	if _, err := peerGroups(-1); !errors.Is(err, unix.EBADF) {
		t.Errorf("no descriptor: %v", err)
	}
	path := shortDir(t) + "/s"
	l := listen(t, path, Options{})
	cmd := helper(t, "connect", path, 65534)
	cmd.SysProcAttr.Credential.Groups = nil
	for gid := range uint32(500) {
		cmd.SysProcAttr.Credential.Groups = append(cmd.SysProcAttr.Credential.Groups, 10000+gid)
	}
	must(t, cmd.Start())
	c, err := l.Accept()
	must(t, err)
	defer c.Close()
	must(t, cmd.Wait())
	id, _ := IdentityFrom(c)
	if len(id.Groups) != 500 || !id.Admin([]uint32{10499}) || id.Admin([]uint32{10500}) {
		t.Errorf("%d groups", len(id.Groups))
	}
}
