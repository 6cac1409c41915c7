package localapi

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"licenseagent.example/agent/api"
)

// ask sends one status request on an open connection.
func ask(c net.Conn, br *bufio.Reader) (int, error) {
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return 0, err
	}
	if _, err := io.WriteString(c, "GET /v1/status HTTP/1.1\r\nHost: license-agent\r\n\r\n"); err != nil {
		return 0, err
	}
	resp, err := http.ReadResponse(br, nil)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// claimed hands out identities by order of connection: tests choose who calls.
func claimed(who func(n int64) Caller) func(net.Conn) (Caller, error) {
	var n atomic.Int64
	return func(net.Conn) (Caller, error) { return who(n.Add(1) - 1), nil }
}

// A user over his cap with all connections in use is told so; another user is not touched.
func TestCapPerUser(t *testing.T) {
	f := newFake()
	limits := Limits{PerUser: 3, Total: 10, Reserve: 2, Queue: -1}
	var other atomic.Bool
	r := start(t, Config{Licenses: f, Limits: limits, Identify: func(net.Conn) (Caller, error) {
		if other.Load() {
			return Caller{User: "uid:2"}, nil
		}
		return Caller{User: "uid:1"}, nil
	}})
	var waiting []net.Conn
	for range 3 { // busy connections: a poll each
		c := r.dial()
		if _, err := io.WriteString(c, "GET /v1/events?since=99&wait=30s HTTP/1.1\r\nHost: license-agent\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		waiting = append(waiting, c)
	}
	eventually(t, func() bool { return len(f.names()) == 3 })
	status, body := r.call("GET", api.PathStatus, "")
	if status != http.StatusTooManyRequests || errorCode(t, body) != api.CodeBusy {
		t.Errorf("fourth connection: %d %s", status, body)
	}
	other.Store(true)
	if status, body := r.call("GET", api.PathStatus, ""); status != 200 {
		t.Errorf("another user: %d %s", status, body)
	}
	other.Store(false)
	waiting[0].Close()
	eventually(t, func() bool { n, _ := r.server.limiter.Load().open(); return n < 4 })
	eventually(t, func() bool { status, _ := r.call("GET", api.PathStatus, ""); return status == 200 })
}

// Kept connections on which nothing happens make room for new ones of the same user.
func TestIdleConnectionsMakeRoom(t *testing.T) {
	r := start(t, Config{Limits: Limits{PerUser: 3, Total: 10, Reserve: 2}})
	for i := range 20 {
		c := r.dial()
		if status, err := ask(c, bufio.NewReader(c)); err != nil || status != 200 {
			t.Fatalf("connection %d: %d %v", i, status, err)
		}
		eventually(t, func() bool { n, _ := r.server.limiter.Load().open(); return n == min(i+1, 3) && idle(r) == n })
	}
}

func idle(r *rig) int {
	l := r.server.limiter.Load()
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, conns := range l.users {
		for a := range conns {
			if a.state.idle.Load() {
				n++
			}
		}
	}
	return n
}

// Many users together cannot take the places that are kept for administrators.
func TestReserveForAdministrators(t *testing.T) {
	var admin atomic.Bool
	who := claimed(func(n int64) Caller {
		if admin.Load() {
			return Caller{User: "uid:0", Admin: true}
		}
		return Caller{User: fmt.Sprint("uid:", 1000+n)}
	})
	r := start(t, Config{Limits: Limits{PerUser: 3, Total: 6, Reserve: 2, Queue: -1}, Identify: who})
	for range 4 {
		c := r.dial()
		if _, err := io.WriteString(c, "GET /v1/events?since=99&wait=30s HTTP/1.1\r\nHost: license-agent\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, func() bool { return len(r.fake.names()) == 4 })
	if status, _ := r.call("GET", api.PathStatus, ""); status != http.StatusTooManyRequests {
		t.Errorf("a fifth user got %d", status)
	}
	admin.Store(true)
	if status, _ := r.call("GET", api.PathStatus, ""); status != 200 {
		t.Errorf("the administrator got %d", status)
	}
}

func TestConnectionWithoutIdentityIsClosed(t *testing.T) {
	for name, identify := range map[string]func(net.Conn) (Caller, error){
		"error": func(net.Conn) (Caller, error) { return Caller{User: "uid:0", Admin: true}, io.EOF },
		"empty": func(net.Conn) (Caller, error) { return Caller{Admin: true}, nil },
	} {
		r := start(t, Config{Identify: identify})
		status, body := r.call("GET", api.PathStatus, "")
		if status != http.StatusForbidden || errorCode(t, body) != api.CodeNoIdentity {
			t.Errorf("%s: %d %s", name, status, body)
		}
		if len(r.fake.names()) != 0 {
			t.Errorf("%s: it was served", name)
		}
	}
}

// Slow headers are cut off; nobody else notices.
func TestSlowHeadersAreCutOff(t *testing.T) {
	r := start(t, Config{Limits: Limits{Header: 50 * time.Millisecond}})
	var slow []net.Conn
	for range 20 {
		c := r.dial()
		if _, err := io.WriteString(c, "GET /v1/status HTTP/1.1\r\nHost: lic"); err != nil {
			t.Fatal(err)
		}
		slow = append(slow, c)
	}
	if status, _ := r.call("GET", api.PathStatus, ""); status != 200 {
		t.Errorf("an honest request got %d", status)
	}
	for _, c := range slow {
		if err := c.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(c)
		if ne, ok := err.(net.Error); ok && ne.Timeout() {
			t.Fatal("the connection was kept open")
		}
		if strings.Contains(string(b), "200 OK") {
			t.Errorf("half a request was answered: %q", b)
		}
	}
	eventually(t, func() bool { n, _ := r.server.limiter.Load().open(); return n == 1 }) // the honest one
}

// A body that was announced and never comes is cut off as well.
func TestSlowBodyIsCutOff(t *testing.T) {
	r := start(t, Config{Limits: Limits{Request: 50 * time.Millisecond}})
	c := r.dial()
	if _, err := io.WriteString(c, "POST /v1/check HTTP/1.1\r\nHost: license-agent\r\nContent-Length: 100\r\n\r\n{"); err != nil {
		t.Fatal(err)
	}
	if err := c.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(c); err != nil {
		if ne, ok := err.(net.Error); ok && ne.Timeout() {
			t.Error("the connection was kept open")
		}
	}
}

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatal("it did not happen within 20 s")
		}
		time.Sleep(time.Millisecond) // polls
	}
}
