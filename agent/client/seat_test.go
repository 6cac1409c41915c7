package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"licenseagent.example/activation/activationtest"
	"licenseagent.example/agent/api"
)

// desk is an agent's side of seats that tests steer: it grants each request and
// hands the connection out.
type desk struct {
	t     *testing.T
	total int64

	mu     sync.Mutex
	asked  []api.SeatRequest
	refuse []string // codes for the next requests; "hang up" closes without an answer
	held   chan net.Conn
}

func newDesk(t *testing.T, w *world) *desk {
	d := &desk{t: t, total: 3, held: make(chan net.Conn, 16)}
	w.seat = d.serve
	return d
}

func (d *desk) serve(rw http.ResponseWriter, r *http.Request) {
	var q api.SeatRequest
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		d.t.Error(err)
	}
	d.mu.Lock()
	d.asked = append(d.asked, q)
	code := ""
	if len(d.refuse) > 0 {
		code, d.refuse = d.refuse[0], d.refuse[1:]
	}
	d.mu.Unlock()
	switch code {
	case "":
		d.grant(rw, `{"seat":{"id":"s","issuer":"acme","product":"studio","account":"uid:1","since":1},"count":{"issuer":"acme","product":"studio","total":`+strconv.FormatInt(d.total, 10)+`,"used":1,"waiting":0,"peak":1}}`)
	case "hang up":
		c, _, err := rw.(http.Hijacker).Hijack()
		if err != nil {
			d.t.Error(err)
			return
		}
		c.Close()
	default:
		rw.Header().Set("Connection", "close")
		rw.WriteHeader(api.Lookup(code).HTTP)
		json.NewEncoder(rw).Encode(api.ErrorBody{Error: *api.NewError(code, api.English)})
	}
}

func (d *desk) grant(rw http.ResponseWriter, body string) {
	c, _, err := rw.(http.Hijacker).Hijack()
	if err != nil {
		d.t.Error(err)
		return
	}
	fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	d.held <- c
}

func (d *desk) requests() []api.SeatRequest {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]api.SeatRequest(nil), d.asked...)
}

// ended waits until the program has closed its end.
func ended(t *testing.T, c net.Conn) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(20 * time.Second)) // only so that a failure ends
	if n, err := c.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("read %d bytes, %v; want the end", n, err)
	}
}

func TestSeat(t *testing.T) {
	w := newWorld(t)
	d := newDesk(t, w)
	s, err := w.checker.Seat(t.Context(), "studio", SeatOptions{User: "alice", Wait: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if !s.Verdict.Runs || s.Verdict.Seats != 3 || s.Info.ID != "s" || s.Count.Used != 1 || s.Err() != nil {
		t.Errorf("%+v", s)
	}
	if q := d.requests(); len(q) != 1 || q[0] != (api.SeatRequest{Product: "studio", Issuer: "acme", User: "alice", WaitMS: 2000}) {
		t.Errorf("asked %+v", q)
	}
	c := <-d.held
	for range 2 { // the second time changes nothing
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	ended(t, c)
	select {
	case <-s.Lost():
		t.Error("a seat that was given back is not lost")
	default:
	}
}

// The agent is started anew: the program keeps its seat and notices nothing.
func TestSeatIsTakenUpAgain(t *testing.T) {
	w := newWorld(t)
	d := newDesk(t, w)
	s, err := w.checker.Seat(t.Context(), "studio", SeatOptions{Wait: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	d.mu.Lock()
	d.refuse = []string{"hang up", api.CodeBusy}
	d.mu.Unlock()
	(<-d.held).Close()
	again := <-d.held
	if q := d.requests(); len(q) != 4 || q[3].WaitMS != 0 || q[3].Product != "studio" {
		t.Errorf("asked %+v", q)
	}
	if s.Err() != nil {
		t.Error(s.Err())
	}
	again.Close()
	last := <-d.held
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	ended(t, last)
}

// What an agent that came back refuses is lost, with the reason.
func TestSeatIsLost(t *testing.T) {
	for _, c := range []string{api.CodeSeatsTaken, api.CodeNotLicensed, api.CodeNotActivated} {
		w := newWorld(t)
		d := newDesk(t, w)
		s, err := w.checker.Seat(t.Context(), "studio", SeatOptions{})
		if err != nil {
			t.Fatal(err)
		}
		d.mu.Lock()
		d.refuse = []string{c}
		d.mu.Unlock()
		(<-d.held).Close()
		<-s.Lost()
		if code(s.Err()) != c {
			t.Errorf("%v, want %s", s.Err(), c)
		}
		if s.Close() != nil {
			t.Error("closing a lost seat")
		}
	}
}

// A seat is worth nothing without a verified license: whoever grants one
// without it gets the connection back.
func TestSeatStandsOnACheck(t *testing.T) {
	w := newWorld(t)
	d := newDesk(t, w)
	d.total = 4
	if _, err := w.checker.Seat(t.Context(), "studio", SeatOptions{}); code(err) != api.CodeUntrusted || cause(err) != "seats" {
		t.Errorf("more seats than the license has: %v", err)
	}
	ended(t, <-d.held)
	d.total = 3
	w.mu.Lock()
	w.reply = func([]byte, string) any { return wire([]byte("{}"), []byte("{}"), []byte("{}")) }
	w.mu.Unlock()
	if _, err := w.checker.Seat(t.Context(), "studio", SeatOptions{}); code(err) != api.CodeUntrusted {
		t.Errorf("a fake agent: %v", err)
	}
	ended(t, <-d.held)
	w.mu.Lock()
	w.reply = nil
	w.mu.Unlock()
	w.machine.Clock.Advance(400 * day)
	if _, err := w.checker.Seat(t.Context(), "studio", SeatOptions{}); code(err) != api.CodeNotLicensed || cause(err) == "" {
		t.Errorf("an ended license: %v", err)
	}
	ended(t, <-d.held)
	far := w.newChecker(activationtest.NewMachine("far away"))
	w.machine.Clock.Advance(-400 * day)
	if _, err := far.Seat(t.Context(), "studio", SeatOptions{}); code(err) != api.CodeWrongDevice {
		t.Errorf("another machine: %v", err)
	}
	ended(t, <-d.held)
}

func TestSeatRefusals(t *testing.T) {
	w := newWorld(t)
	d := newDesk(t, w)
	for _, c := range []string{api.CodeSeatsTaken, api.CodeNotLicensed, api.CodeNotActivated, api.CodeAmbiguous, api.CodeBadRequest} {
		d.mu.Lock()
		d.refuse = []string{c}
		d.mu.Unlock()
		_, err := w.checker.Seat(t.Context(), "studio", SeatOptions{})
		var e *api.Error
		if !errors.As(err, &e) || e.Code != c || e.Message == "" || e.Hint == "" {
			t.Errorf("%s: %v", c, err)
		}
	}
	// Busy is for a moment: the program does not hear of it.
	d.mu.Lock()
	d.refuse = []string{api.CodeBusy, api.CodeBusy}
	d.mu.Unlock()
	s, err := w.checker.Seat(t.Context(), "studio", SeatOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	// An agent that is started anew while a program waits in its queue.
	d.mu.Lock()
	d.refuse = []string{"hang up"}
	d.mu.Unlock()
	s, err = w.checker.Seat(t.Context(), "studio", SeatOptions{Wait: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
}

// An agent is started anew while a program waits for a seat: it is sent away, then
// nobody listens, and it goes on with what is left of its time. The clock is read
// before the first attempt and after each that failed.
func TestSeatWaitsForARestart(t *testing.T) {
	for _, c := range []struct {
		name  string
		first string // what the first attempt meets; "" nobody
		back  bool   // the agent comes back after an attempt that found nobody
		tick  time.Duration
		want  string
		reads int
		waits []int64
	}{
		{"hung up on", "hang up", true, time.Second, "", 3, []int64{60000, 58000}},
		{"told busy", api.CodeBusy, true, time.Second, "", 3, []int64{60000, 58000}},
		{"no agent comes back", "hang up", false, 20 * time.Second, api.CodeNotRunning, 4, []int64{60000}},
		{"no agent at all", "", true, time.Second, api.CodeNotRunning, 2, nil},
	} {
		w := newWorld(t)
		d := newDesk(t, w)
		d.refuse = []string{c.first}
		ln := w.ln
		w.seat = func(rw http.ResponseWriter, r *http.Request) {
			if len(d.requests()) == 0 {
				ln.Close() // removes the socket
			}
			d.serve(rw, r)
		}
		if c.first == "" {
			ln.Close()
		}
		k := w.newChecker(w.machine)
		reads, clock := 0, k.Clock
		k.Clock = func() (int64, time.Duration) {
			wall, _ := clock()
			if len(d.requests()) > 1 {
				return wall, 0 // the seat was granted: its check reads the clock too
			}
			if reads++; reads == 3 && c.back {
				w.listen(w.client.Socket)
			}
			return wall, time.Duration(reads) * c.tick
		}
		s, err := k.Seat(t.Context(), "studio", SeatOptions{Wait: time.Minute})
		if code(err) != c.want || reads != c.reads {
			t.Errorf("%s: %v after %d readings of the clock; want %q, %d", c.name, err, reads, c.want, c.reads)
		}
		var waits []int64
		for _, q := range d.requests() {
			waits = append(waits, q.WaitMS)
		}
		if !slices.Equal(waits, c.waits) {
			t.Errorf("%s: waited %v, want %v", c.name, waits, c.waits)
		}
		if err == nil {
			s.Close()
		}
	}
}

// Whatever is at the other end, taking a seat ends with a typed error and in time.
func TestSeatFromBadEndpoints(t *testing.T) {
	w := newWorld(t)
	release := make(chan struct{})
	defer close(release)
	for _, c := range []struct {
		name, want string
		serve      func(net.Conn)
	}{
		{"never answers", api.CodeTimeout, func(net.Conn) { <-release }},
		{"half an answer, then silence", api.CodeTimeout, func(c net.Conn) {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"seat\"")
			<-release
		}},
		{"half an answer, then the end", api.CodeAgentAnswer, func(c net.Conn) {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"seat\"")
		}},
		{"the end at once", api.CodeAgentAnswer, func(net.Conn) {}},
		{"ten MiB", api.CodeAgentAnswer, func(c net.Conn) {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 10485760\r\n\r\n")
			io.WriteString(c, strings.Repeat("x", 10<<20))
		}},
		{"headers without end", api.CodeAgentAnswer, func(c net.Conn) {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nA: "+strings.Repeat("x", 10<<20))
		}},
		{"no length", api.CodeAgentAnswer, func(c net.Conn) { io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n{}") }},
		{"not HTTP", api.CodeAgentAnswer, func(c net.Conn) { io.WriteString(c, "yes\r\n\r\n") }},
		{"an empty object", api.CodeAgentAnswer, func(c net.Conn) { io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}") }},
		{"no count", api.CodeAgentAnswer, func(c net.Conn) {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 24\r\n\r\n{\"seat\":{\"id\":\"seat-1\"}}")
		}},
		{"an error without a body", api.CodeAgentAnswer, func(c net.Conn) { io.WriteString(c, "HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n") }},
	} {
		w.seat = func(rw http.ResponseWriter, _ *http.Request) {
			conn, _, err := rw.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			c.serve(conn)
			conn.Close()
		}
		w.client.Timeout = 20 * time.Second // only a call that must end by time has little of it
		if c.want == api.CodeTimeout {
			w.client.Timeout = 200 * time.Millisecond
		}
		done := make(chan error, 1)
		go func() {
			_, err := w.checker.Seat(t.Context(), "studio", SeatOptions{})
			done <- err
		}()
		select {
		case err := <-done:
			if code(err) != c.want {
				t.Errorf("%s: %v, want %s", c.name, err, c.want)
			}
		case <-time.After(time.Minute):
			t.Fatalf("%s: hangs", c.name)
		}
	}
	w.seat = func(http.ResponseWriter, *http.Request) { <-release }
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := w.checker.Seat(ctx, "studio", SeatOptions{Wait: time.Hour}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	w.client = &Client{Socket: "/nonexistent/agent.sock"}
	if _, err := w.newChecker(w.machine).Seat(t.Context(), "studio", SeatOptions{}); code(err) != api.CodeNotRunning {
		t.Errorf("not running: %v", err)
	}
}
