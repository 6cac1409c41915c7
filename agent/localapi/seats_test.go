package localapi

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"licenseagent.example/agent/api"
)

// takeSeat asks for a seat on a new connection and leaves it open.
func (r *rig) takeSeat(body string) (net.Conn, int, string) {
	r.t.Helper()
	c := r.dial()
	status, answer := postSeat(r.t, c, body)
	return c, status, answer
}

func postSeat(t testing.TB, c net.Conn, body string) (int, string) {
	t.Helper()
	text := "POST /v1/seats HTTP/1.1\r\nHost: license-agent\r\nContent-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	c.SetReadDeadline(time.Now().Add(20 * time.Second)) // only so that a failure ends
	resp, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: "POST"})
	if err != nil {
		return 0, err.Error()
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// used is how many seats are taken.
func (r *rig) used() (n int64) {
	for _, c := range r.fake.Seats().Counts {
		n += c.Used
	}
	return n
}

// hungUp says whether the agent closed the connection.
func hungUp(t *testing.T, c net.Conn) bool {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	n, err := c.Read(make([]byte, 1))
	return n == 0 && err != nil && !errors.Is(err, os.ErrDeadlineExceeded) // a reset when something was sent
}

func TestSeatIsTheConnection(t *testing.T) {
	r := start(t, Config{})
	c, status, body := r.takeSeat(`{"product":"painter"}`)
	var a api.SeatAnswer
	if err := json.Unmarshal([]byte(body), &a); err != nil || status != 200 || a.Count.Used != 1 || a.Seat.Product != "painter" || a.Seat.Account != "0" {
		t.Fatalf("%d %s %v", status, body, err)
	}
	_, list := r.call("GET", api.PathHolders, "")
	if !strings.Contains(list, `"id":"`+a.Seat.ID+`"`) {
		t.Errorf("the list is %s", list)
	}
	if n, _ := r.server.limiter.Load().open(); n > 2 {
		t.Errorf("%d connections are counted among the ordinary ones", n)
	}
	c.Close()
	eventually(t, func() bool { return r.used() == 0 && r.server.held.connections() == 0 })
}

func TestSeatQueue(t *testing.T) {
	f := newFake()
	f.total = 1
	r := start(t, Config{Licenses: f})
	first, status, _ := r.takeSeat(`{"product":"p","user":"a"}`)
	if status != 200 {
		t.Fatal(status)
	}
	refused, status, body := r.takeSeat(`{"product":"p","user":"b"}`)
	if status != http.StatusConflict || errorCode(t, body) != api.CodeSeatsTaken {
		t.Errorf("all taken: %d %s", status, body)
	}
	if !hungUp(t, refused) {
		t.Error("the connection of a refusal stays open")
	}
	second, status, _ := r.takeSeat(`{"product":"p","user":"a"}`)
	if status != 200 {
		t.Errorf("the same user again: %d", status)
	}
	if _, status, _ := r.takeSeat(`{"product":"p","user":"b","wait_ms":20}`); status != http.StatusConflict {
		t.Errorf("after the wait: %d", status)
	}
	got := make(chan int)
	for _, user := range []string{"c", "d"} {
		c := r.dial()
		go func() {
			status, _ := postSeat(t, c, `{"product":"p","user":"`+user+`","wait_ms":60000}`)
			got <- status
			c.Close()
		}()
	}
	eventually(t, func() bool { n := f.table.Counts(); return n[f.table.Holders()[0].Key].Waiting == 2 })
	gives := r.dial() // one that gives up waiting leaves no hole
	text := `{"product":"p","user":"e","wait_ms":60000}`
	fmt.Fprintf(gives, "POST /v1/seats HTTP/1.1\r\nHost: license-agent\r\nContent-Length: %d\r\n\r\n%s", len(text), text)
	eventually(t, func() bool { n := f.table.Counts(); return n[f.table.Holders()[0].Key].Waiting == 3 })
	gives.Close()
	eventually(t, func() bool { n := f.table.Counts(); return n[f.table.Holders()[0].Key].Waiting == 2 })
	for _, h := range f.table.Holders() {
		if h.User != "a" {
			t.Errorf("%s holds the only seat", h.User)
		}
	}
	first.Close()
	second.Close()
	for range 2 {
		if status := <-got; status != 200 {
			t.Errorf("a waiting one got %d", status)
		}
	}
	eventually(t, func() bool { return r.used() == 0 })
}

// Whatever is sent on a seat's connection ends it.
func TestSeatConnectionIsSilent(t *testing.T) {
	r := start(t, Config{})
	c, _, _ := r.takeSeat(`{"product":"p"}`)
	if _, err := io.WriteString(c, "GET /v1/status HTTP/1.1\r\n"); err != nil {
		t.Fatal(err)
	}
	if !hungUp(t, c) {
		t.Error("not closed")
	}
	c = r.dial() // two requests at once
	body := `{"product":"p"}`
	fmt.Fprintf(c, "POST /v1/seats HTTP/1.1\r\nHost: license-agent\r\nContent-Length: %d\r\n\r\n%sGET /v1/status HTTP/1.1\r\n\r\n", len(body), body)
	b, _ := io.ReadAll(c) // a reset says the same as an end
	if strings.Contains(string(b), "phase") {
		t.Errorf("a second request was answered: %q", b)
	}
	eventually(t, func() bool { return r.used() == 0 })
}

// A hundred holders of one user are no reason to refuse this or another user's
// check; the bound of their own holds.
func TestSeatsAreCountedApart(t *testing.T) {
	r := start(t, Config{Limits: Limits{PerUser: 4, Total: 12, Reserve: 2, Seats: 120, SeatsPerUser: 100}})
	for i := range 100 {
		var status int
		eventually(t, func() bool { // the connection before leaves the ordinary count a moment later
			_, status, _ = r.takeSeat(fmt.Sprintf(`{"product":"p","user":"u%d"}`, i))
			return status != http.StatusTooManyRequests
		})
		if status != 200 {
			t.Fatalf("holder %d: %d", i, status)
		}
	}
	if _, status, body := r.takeSeat(`{"product":"p","user":"one more"}`); status != http.StatusTooManyRequests || errorCode(t, body) != api.CodeBusy {
		t.Errorf("over the bound: %d %s", status, body)
	}
	if status, body := r.call("POST", api.PathCheck, bodies()[api.PathCheck]); status != 200 {
		t.Errorf("a check beside: %d %s", status, body)
	}
	_, text := r.call("GET", api.PathMetrics, "")
	for _, want := range []string{"license_agent_seat_connections 100", `license_agent_seats{issuer="acme",product="p",state="used"} 100`} {
		if !strings.Contains(text, want) {
			t.Errorf("metrics without %s", want)
		}
	}
}

func TestSeatRequests(t *testing.T) {
	r := start(t, Config{})
	for _, c := range []struct {
		name, body, code string
		status           int
	}{
		{"no product", `{}`, api.CodeBadRequest, 400},
		{"unknown member", `{"product":"p","heartbeat":1}`, api.CodeBadRequest, 400},
		{"negative wait", `{"product":"p","wait_ms":-1}`, api.CodeBadRequest, 400},
		{"longest wait", `{"product":"p","wait_ms":3600000}`, "", 200},
		{"longer wait", `{"product":"p","wait_ms":3600001}`, api.CodeBadRequest, 400},
		{"fraction", `{"product":"p","wait_ms":1.5}`, api.CodeBadRequest, 400},
		{"longest user", `{"product":"p","user":"` + strings.Repeat("u", 128) + `"}`, "", 200},
		{"longer user", `{"product":"p","user":"` + strings.Repeat("u", 129) + `"}`, api.CodeBadRequest, 400},
		{"user in two lines", `{"product":"p","user":"a\nb"}`, api.CodeBadRequest, 400},
		{"user with an escape", `{"product":"p","user":"\u001b[2J"}`, api.CodeBadRequest, 400},
		{"chinese user", `{"product":"p","user":"王芳"}`, "", 200},
		{"two objects", `{"product":"p"}{}`, api.CodeBadRequest, 400},
		{"too large", `{"product":"` + strings.Repeat("p", 17<<10) + `"}`, api.CodeTooLarge, 413},
	} {
		_, status, body := r.takeSeat(c.body)
		if status != c.status || c.code != "" && errorCode(t, body) != c.code {
			t.Errorf("%s: %d %s", c.name, status, body)
		}
	}
	if status, _ := r.raw("POST /v1/seats HTTP/1.1\r\nHost: license-agent\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"); status != 400 {
		t.Errorf("chunks: %d", status)
	}
	r.fake.err = &api.Error{Code: api.CodeNotLicensed, Cause: "entitlement-ended"}
	if _, status, body := r.takeSeat(`{"product":"p"}`); status != 403 || errorCode(t, body) != api.CodeNotLicensed || !strings.Contains(body, "entitlement-ended") {
		t.Errorf("does not run: %d %s", status, body)
	}
}

// Named users are shown to administrators and to their own account.
func TestHoldersMaskUsers(t *testing.T) {
	var who atomic.Pointer[Caller]
	r := start(t, Config{Identify: func(net.Conn) (Caller, error) { return *who.Load(), nil }})
	who.Store(&Caller{User: "uid:1000", PID: 77})
	if _, status, _ := r.takeSeat(`{"product":"p","user":"alice"}`); status != 200 {
		t.Fatal(status)
	}
	for _, c := range []struct {
		who   Caller
		shown bool
	}{{Caller{User: "uid:1000"}, true}, {Caller{User: "uid:1001"}, false}, {Caller{User: "uid:0", Admin: true}, true}} {
		who.Store(&c.who)
		_, list := r.call("GET", api.PathHolders, "")
		if strings.Contains(list, "alice") != c.shown || !strings.Contains(list, `"pid":77`) {
			t.Errorf("%+v sees %s", c.who, list)
		}
	}
}

// A license that does not run any more takes its seats with it.
func TestLostSeatClosesTheConnection(t *testing.T) {
	r := start(t, Config{})
	c, _, _ := r.takeSeat(`{"product":"p"}`)
	r.fake.table.Revise(nil)
	if !hungUp(t, c) {
		t.Error("not closed")
	}
	eventually(t, func() bool { return r.used() == 0 })
}

// The end of the agent lets go of seats without giving them back: the next run
// takes them up.
func TestShutdownKeepsSeats(t *testing.T) {
	kept := map[string]bool{}
	r := start(t, Config{Keep: func(h Holding) func() {
		kept[h.Held.ID] = true
		return func() { delete(kept, h.Held.ID) }
	}})
	c, _, _ := r.takeSeat(`{"product":"p","user":"a"}`)
	waiting := r.dial()
	r.fake.total = 1
	text := `{"product":"p","user":"b","wait_ms":60000}`
	fmt.Fprintf(waiting, "POST /v1/seats HTTP/1.1\r\nHost: license-agent\r\nContent-Length: %d\r\n\r\n%s", len(text), text)
	eventually(t, func() bool { return r.server.held.connections() == 2 })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := r.server.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	if !hungUp(t, c) {
		t.Error("the connection stays open although this process ends")
	}
	if r.used() != 1 || len(kept) != 1 {
		t.Errorf("%d seats used, %d kept; want one each", r.used(), len(kept))
	}
	// Whose time in the queue is not over is not told that it is: busy means again.
	if resp, err := http.ReadResponse(bufio.NewReader(waiting), nil); err == nil {
		body, err := io.ReadAll(resp.Body)
		if err == nil && errorCode(t, string(body)) != api.CodeBusy {
			t.Errorf("one that waited was told %s", body)
		}
	}
}

// Whatever stands in a request for a seat, the answer is a seat or a known
// error, and no seat stays behind.
func FuzzSeatRequest(f *testing.F) {
	for _, body := range []string{`{"product":"painter","user":"alice","wait_ms":0}`, `{"product":""}`, `{"product":"p","user":"\u0000"}`, `{}`, `[]`, `{"product":"p"}x`, "\xff"} {
		f.Add(body)
	}
	s := whole(f)
	l := s.cfg.Licenses.(*fake)
	f.Fuzz(func(t *testing.T, body string) {
		r, err := http.NewRequest("POST", "http://license-agent/v1/seats", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.RequestURI = "/v1/seats"
		if strings.Contains(body, "wait_ms") {
			ctx, cancel := context.WithCancel(r.Context())
			cancel() // nobody waits here
			r = r.WithContext(ctx)
		}
		w := served(s, r, Caller{User: "uid:1000"})
		if w.Body.Len() > 0 {
			var e api.ErrorBody
			if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || e.Error.Message == "" || e.Error.Code == api.CodeInternal {
				t.Fatalf("answer %d %q to %q", w.Code, w.Body.String(), body)
			}
		}
		if n := len(l.table.Holders()); n != 0 || s.held.connections() != 0 {
			t.Fatalf("%d seats stay behind after %q", n, body)
		}
	})
}
