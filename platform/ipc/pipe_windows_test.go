package ipc

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/Microsoft/go-winio"
	"golang.org/x/sys/windows"

	"licenseagent.example/docs/promise"
)

// pipe gives a name of its own to each test.
func pipe(t testing.TB) string {
	t.Helper()
	return pipePrefix + fmt.Sprintf("license-agent-test-%d-%s", os.Getpid(), strings.ReplaceAll(t.Name(), "/", "-"))
}

// listenPipe listens and makes the connection that some systems need before the
// listener's first instance is out of the way: they let a client connect to the
// instance that only reserves the name. It is closed at once and harms nobody.
func listenPipe(t testing.TB, path string, opts Options) net.Listener {
	t.Helper()
	l, err := Listen(path, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	if c, err := winio.DialPipe(path, nil); err == nil {
		c.Close()
	}
	return l
}

func serve(l net.Listener) {
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
				fmt.Fprintf(c, "%v %s %d %v\n", ok, id.Subject(), id.PID, id.Admin(nil))
			}
		}()
	}
}

func TestPipeListenDialIdentity(t *testing.T) {
	path := pipe(t)
	go serve(listenPipe(t, path, Options{}))
	self, err := ownToken()
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		c, err := Dial(t.Context(), path, DialOptions{})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(c, "who")
		got, err := bufio.NewReader(c).ReadString('\n')
		if want := fmt.Sprintf("true %s %d true\n", self.sid, os.Getpid()); err != nil || got != want {
			t.Errorf("answer %q, %v, want %q", got, err, want)
		}
		c.Close()
	}
}

// hostile is how often a caller claims to be somebody else.
const hostile = 1000

// P29: whatever a caller writes, it is who the kernel says. The control believes
// the caller, as the service did that parsed the peer's name (CVE-2019-7304).
func TestCallerIsWhoTheKernelSays(t *testing.T) {
	path := pipe(t)
	claimed := make(chan string, 8)
	l := listenPipe(t, path, Options{})
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				line, _ := bufio.NewReader(c).ReadString('\n')
				claimed <- strings.TrimSuffix(line, "\n")
				id, _ := IdentityFrom(c)
				fmt.Fprintf(c, "%s %d\n", id.Subject(), id.PID)
			}()
		}
	}()
	self, err := ownToken()
	if err != nil {
		t.Fatal(err)
	}
	claims := []string{"S-1-5-18", "uid:0", "sid=S-1-5-18;elevated=true", `NT AUTHORITY\SYSTEM`, "uid=0;", "\x00S-1-5-18", "S-1-5-80-1-2-3-4-5"}
	right, believed := 0, 0
	for i := range hostile {
		c, err := Dial(t.Context(), path, DialOptions{})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(c, claims[i%len(claims)])
		got, err := bufio.NewReader(c).ReadString('\n')
		c.Close()
		if err == nil && got == fmt.Sprintf("%s %d\n", self.sid, os.Getpid()) {
			right++
		}
		if <-claimed == claims[i%len(claims)] {
			believed++
		}
	}
	if right != hostile || believed != hostile {
		t.Errorf("%d of %d are who they are; control: %d claims arrived", right, hostile, believed)
	}
	promise.Reached(t, "P29", fmt.Sprintf("%d of %d callers of the pipe that claim to be somebody else are the account and process of their token", right, hostile),
		fmt.Sprintf("believing what they write: %d of %d are somebody else", believed, hostile))
}

// A client that does not let itself be identified is refused and reported.
// Where the system identifies it all the same, it is answered as who it is. In
// no case is it served as somebody unknown.
func TestAnonymousClientIsNeverServedUnknown(t *testing.T) {
	path := pipe(t)
	refused := make(chan error, 8)
	go serve(listenPipe(t, path, Options{Refused: func(err error) { refused <- err }}))
	c, err := winio.DialPipeAccessImpLevel(t.Context(), path, PipeClientAccess, winio.PipeImpLevelAnonymous)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintln(c, "who")
	answer, err := bufio.NewReader(c).ReadString('\n')
	if err == nil {
		if !strings.HasPrefix(answer, "true S-1-5-21-") {
			t.Errorf("answered %q", answer)
		}
		return
	}
	if err := <-refused; !errors.Is(err, ErrNoIdentity) {
		t.Errorf("reported %v", err)
	}
}

func TestSecondListenerIsRefused(t *testing.T) {
	path := pipe(t)
	listenPipe(t, path, Options{})
	if l, err := Listen(path, Options{}); !errors.Is(err, ErrInUse) {
		t.Errorf("%v, %v", l, err)
	}
}

func TestPipeDescriptorIsSet(t *testing.T) {
	path := pipe(t)
	service := ServiceSID("license-agent")
	self, err := ownToken()
	if err != nil {
		t.Fatal(err)
	}
	for _, sid := range []string{service, self.sid} {
		sd, err := windows.SecurityDescriptorFromString(pipeDescriptor(self, sid))
		if err != nil {
			t.Fatalf("%s: %v", pipeDescriptor(self, sid), err)
		}
		if text := sd.String(); !strings.Contains(text, "0x12019b") || !strings.HasPrefix(text, "O:"+self.sid+"D:P") {
			t.Errorf("Windows reads the descriptor as %s", text)
		}
	}
	go serve(listenPipe(t, path, Options{}))
	c, err := Dial(t.Context(), path, DialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	h, err := handle(c)
	if err != nil {
		t.Fatal(err)
	}
	sd, err := windows.GetSecurityInfo(h, windows.SE_KERNEL_OBJECT, windows.DACL_SECURITY_INFORMATION)
	if err != nil {
		t.Fatal(err)
	}
	if text := sd.String(); strings.Count(text, "(A;") != 3 || !strings.Contains(text, "0x12019b;;;BU)") {
		t.Errorf("the pipe has %s", text)
	}
}

func TestForeignPipeIsRefused(t *testing.T) {
	path := pipe(t)
	go serve(listenPipe(t, path, Options{}))
	self, err := ownToken()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		expect []string
		want   error
	}{
		{"this user's own", nil, nil},
		{"expected", []string{self.sid}, nil},
		{"another expected", []string{"S-1-5-21-9-9-9-1001"}, ErrForeignOwner},
	} {
		c, err := Dial(t.Context(), path, DialOptions{ExpectSID: test.expect})
		if !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
		if c != nil {
			c.Close()
		}
	}
}

func TestPipeNames(t *testing.T) {
	for _, path := range []string{"", "agent", `\\server\pipe\agent`, pipePrefix, pipePrefix + `a\b`, pipePrefix + "a/b", `C:\pipe`, pipePrefix + strings.Repeat("x", 256)} {
		if l, err := Listen(path, Options{}); !errors.Is(err, ErrPath) {
			t.Errorf("Listen(%q) = %v, %v", path, l, err)
		}
		if c, err := Dial(t.Context(), path, DialOptions{}); !errors.Is(err, ErrPath) {
			t.Errorf("Dial(%q) = %v, %v", path, c, err)
		}
	}
	if _, err := Dial(t.Context(), pipe(t), DialOptions{}); !errors.Is(err, ErrNotRunning) {
		t.Errorf("nobody listens: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Dial(ctx, pipe(t), DialOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := FromFile(os.Stdin, Options{}); !errors.Is(err, ErrUnsupported) {
		t.Errorf("FromFile: %v", err)
	}
}

// After impersonation the thread is the process again.
func TestThreadIsTurnedBack(t *testing.T) {
	path := pipe(t)
	l := listenPipe(t, path, Options{})
	done := make(chan error, 1)
	go func() {
		// As clientToken does: a goroutine that moves to another thread between
		// these calls finds no token there. Never unlocked, so that the thread ends
		// with this goroutine whatever was found.
		runtime.LockOSThread()
		c, err := l.Accept()
		if err == nil {
			h, e := handle(c.(*conn).Conn)
			if e == nil {
				_, reverted, e2 := impersonated(h)
				var tok windows.Token
				e = errors.Join(e2, errIf(!reverted, "not reverted"),
					errIf(windows.OpenThreadToken(windows.CurrentThread(), windows.TOKEN_QUERY, true, &tok) == nil, "the thread still has a client's token"))
			}
			done <- e
			c.Close()
			return
		}
		done <- err
	}()
	c, err := Dial(t.Context(), path, DialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func errIf(bad bool, text string) error {
	if bad {
		return errors.New(text)
	}
	return nil
}
