package ipc

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"licenseagent.example/docs/promise"
)

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

// TestHostileNames: whatever a caller names its own end of the connection, the
// identity is the one the kernel knows.
func TestHostileNames(t *testing.T) {
	secondUser(t)
	dir := shortDir(t)
	path := filepath.Join(dir, "agent.sock")
	playground := filepath.Join(dir, "c")
	must(t, os.Mkdir(playground, 0o777))
	must(t, os.Chmod(playground, 0o777))
	l := listen(t, path, Options{})
	const uid = 65534
	want := fmt.Sprintf("uid:%d", uid)
	var wg sync.WaitGroup
	remotes := map[string]bool{}
	right, fooled := 0, 0
	wg.Go(func() {
		for range hostileCount {
			c, err := l.Accept()
			if err != nil {
				t.Error(err)
				return
			}
			remotes[c.RemoteAddr().String()] = true
			id, ok := IdentityFrom(c)
			if strings.Contains(c.RemoteAddr().String(), "uid=0") {
				fooled++ // a service that reads the name sees root
			}
			if ok && id.Subject() == want {
				right++
			}
			if !ok || id.Subject() != want || id.Admin(nil) {
				t.Errorf("caller named %q is %+v, %v", c.RemoteAddr(), id, ok)
			}
			if len(id.Groups) != 1 || id.Groups[0] != 4242 || !id.Admin([]uint32{4242}) {
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
	if fooled < hostileCount/2 {
		t.Errorf("control: only %d names would fool a service that reads them", fooled)
	}
	promise.Reached(t, "P29", fmt.Sprintf("%d of %d callers with hostile socket names are %s", right, hostileCount, want),
		fmt.Sprintf("identity read from the name: %d would be root", fooled))
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
