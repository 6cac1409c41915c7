package localapi

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"licenseagent.example/docs/promise"
	"licenseagent.example/platform/ipc"
)

// disguised is the seam at platform/ipc: connections keep what the kernel says
// of the process at the other end, and get the account that a test wants it to
// have. Wine knows one account only.
type disguised struct {
	net.Listener
	as func(pid int) ipc.Identity
}

func (d disguised) Accept() (net.Conn, error) {
	c, err := d.Listener.Accept()
	if err != nil {
		return nil, err
	}
	id, _ := ipc.IdentityFrom(c)
	return &masked{c, d.as(id.PID)}, nil
}

type masked struct {
	net.Conn
	id ipc.Identity
}

func (m *masked) PeerIdentity() ipc.Identity { return m.id }

// helper starts this test binary again.
func helper(mode, pipe string, env ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), "LOCALAPI_HELPER="+mode, "LOCALAPI_SOCKET="+pipe), env...)
	cmd.Stderr = os.Stderr
	return cmd
}

// helperServer is for systems where descriptors can be made scarce.
func helperServer() { os.Exit(1) }

// serving runs a server on a pipe whose callers are who as says.
func serving(t *testing.T, cfg Config, as func(pid int) ipc.Identity) (s *Server, pipe string) {
	t.Helper()
	cfg.Licenses, cfg.Now = newFake(), time.Now
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ln, pipe := endpoint(t)
	done := make(chan error, 1)
	go func() { done <- s.Serve(disguised{ln, as}) }()
	t.Cleanup(func() {
		if err := s.Shutdown(t.Context()); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
		<-done
	})
	return s, pipe
}

// token is an identity as platform/ipc makes it of a client's token; its tests
// hold the two together.
func token(sid string, elevated, privileged bool) ipc.Identity {
	return ipc.Identity{System: ipc.SystemWindows, SID: sid, Elevated: elevated, Privileged: privileged}
}

const (
	firstSID  = "S-1-5-21-1-2-3-1001"
	secondSID = "S-1-5-21-1-2-3-1002"
)

// P30: who may do what over the pipe, by another process, for each kind of
// token. The control believes everybody to be an administrator.
func TestP30MatrixOfTokens(t *testing.T) {
	people := []struct {
		name  string
		id    ipc.Identity
		admin bool
	}{
		{"SYSTEM", token("S-1-5-18", true, true), true},
		{"elevated administrator", token(firstSID, true, true), true},
		{"the agent's own service account", token("S-1-5-80-1-2-3-4-5", false, true), true},
		{"administrator filtered by UAC", token(firstSID, false, false), false},
		{"user", token(secondSID, false, false), false},
		{"another service", token("S-1-5-80-9-9-9-9-9", false, false), false},
		{"guest", token("S-1-5-21-1-2-3-501", false, false), false},
	}
	ask := func(identify func(net.Conn) (Caller, error)) (cells int, wrong []string) {
		for _, who := range people {
			s, pipe := serving(t, Config{Identify: identify}, func(int) ipc.Identity { return who.id })
			n, bad := judge(t, s, helper("matrix", pipe), who.name, who.admin)
			cells, wrong = cells+n, append(wrong, bad...)
		}
		return cells, wrong
	}
	cells, wrong := ask(FromKernel(nil))
	for _, cell := range wrong {
		t.Error(cell)
	}
	_, open := ask(root)
	if len(open) == 0 {
		t.Error("control: with everybody an administrator every cell is right")
	}
	promise.Reached(t, "P30", fmt.Sprintf("%d cells (routes × methods × %d kinds of token, as data) asked over a pipe by another process, all as the access table says", cells, len(people)),
		fmt.Sprintf("identity not asked: %d cells wrong", len(open)))
}

// A caller that the kernel cannot name gets no answer at all.
func TestAnonymousTokenIsRefused(t *testing.T) {
	_, pipe := serving(t, Config{Identify: FromKernel(nil)}, func(int) ipc.Identity { return token("S-1-5-7", false, false) })
	c, err := dial(pipe)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, "GET /v1/status HTTP/1.1\r\nHost: license-agent\r\n\r\n")
	b, _ := io.ReadAll(c)
	if strings.Contains(string(b), " 200 ") {
		t.Errorf("answered %q", b)
	}
}

// P32: one account floods a pipe with idle connections, half-sent headers and
// requests; another one must not notice. The control lets one user take all the
// places, and then the other one gets none.
func TestP32FloodOfThePipe(t *testing.T) {
	idle, slow, asks := promise.Size(300, 2000), promise.Size(100, 900), promise.Size(40, 400)
	run32 := func(t *testing.T, capState string, l Limits, asks int) (honest report) {
		flooder := 0
		started := make(chan struct{})
		_, pipe := serving(t, Config{Identify: FromKernel(nil), Limits: l}, func(pid int) ipc.Identity {
			<-started
			if pid == flooder {
				return token(firstSID, false, false)
			}
			return token(secondSID, false, false)
		})
		cmd := helper("flood", pipe, "LOCALAPI_IDLE="+strconv.Itoa(idle), "LOCALAPI_SLOW="+strconv.Itoa(slow))
		c := starting(t, cmd)
		flooder = cmd.Process.Pid
		close(started)
		c.ready(t)
		out, err := helper("honest", pipe, "LOCALAPI_ASKS="+strconv.Itoa(asks), "LOCALAPI_CAP="+capState).Output()
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(out, &honest); err != nil {
			t.Fatal(err)
		}
		c.end(t)
		return honest
	}
	honest := run32(t, "on", Limits{}, asks)
	if honest.Failures != 0 || honest.Requests == 0 {
		t.Errorf("the other user: %d of %d requests failed", honest.Failures, honest.Requests)
	}
	hour := time.Hour
	bad := run32(t, "off", Limits{PerUser: 1 << 30, QueuePerUser: 1 << 30, Queue: -1, Header: hour, Idle: hour}, 2)
	if bad.Failures == 0 {
		t.Errorf("control: without a limit for each user %d of %d requests failed", bad.Failures, bad.Requests)
	}
	promise.Reached(t, "P32", fmt.Sprintf("%d idle and %d half-sent connections plus requests without pause by one account over a pipe: other account %d/%d failures, p99 %v",
		idle, slow, honest.Failures, honest.Requests, honest.P99.Round(10*time.Microsecond)),
		fmt.Sprintf("without a limit for each user: %d of %d requests fail", bad.Failures, bad.Requests))
}
