package localapi

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"licenseagent.example/agent/api"
	"licenseagent.example/agent/seats"
	"licenseagent.example/platform/ipc"
)

// Holding is what keeps a seat in the hand of its caller.
type Holding struct {
	Held *seats.Held
	// Conn is the connection that is the seat; nil for a holder that an earlier
	// run of the agent knew and whose connection ended with it.
	Conn net.Conn
	// Process ends the seat although somebody else still has the connection, as
	// a child does; nil where the kernel does not name it.
	Process *ipc.Process
}

// holdings are the seats that this server keeps, apart from the connections
// that the limiter counts: a program may hold one as long as it runs.
type holdings struct {
	mu     sync.Mutex
	users  map[string]int
	open   map[io.Closer]string // what keeps a seat or asks for one → user
	gone   bool                 // the server ends: what ends now is taken up by the next one
	ending sync.WaitGroup
}

// begin counts a connection that asks for a seat; false over the limit.
func (h *holdings) begin(c io.Closer, user string, l Limits) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.open) >= l.Seats || h.users[user] >= l.SeatsPerUser {
		return false
	}
	return h.add(c, user)
}

// resume counts what an earlier run of the agent has let in, without a limit.
func (h *holdings) resume(c io.Closer, user string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.add(c, user)
}

func (h *holdings) add(c io.Closer, user string) bool {
	if h.gone {
		return false
	}
	h.open[c] = user
	h.users[user]++
	h.ending.Add(1)
	return true
}

func (h *holdings) end(c io.Closer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	user := h.open[c]
	delete(h.open, c)
	if h.users[user]--; h.users[user] == 0 {
		delete(h.users, user)
	}
	h.ending.Done()
}

func (h *holdings) connections() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.open)
}

// shut lets go of everything without ending a seat, and waits until all know.
func (h *holdings) shut() {
	h.mu.Lock()
	h.gone = true
	for c := range h.open {
		c.Close() //nolint:errcheck // it is given up; there is nobody to tell
	}
	h.mu.Unlock()
	h.ending.Wait()
}

func (h *holdings) isShut() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.gone
}

// seat takes a seat and keeps it until the caller is gone. The connection
// leaves the limiter before anything can wait, so that a hundred holders of one
// user do not keep the hundred-and-first from asking.
func (s *Server) seat(x *exchange) error {
	x.w.Header()["Connection"] = []string{"close"}       // of every refusal
	a, _ := x.r.Context().Value(callerKey{}).(*accepted) // callerOf has found it
	if !s.held.begin(a.Conn, x.caller.User, s.limits) {
		return &api.Error{Code: api.CodeBusy}
	}
	defer s.held.end(a.Conn)
	a.leave()
	q, c, process, err := s.claim(x, a.Conn)
	if process != nil {
		defer process.Close() //nolint:errcheck // it is at its end
	}
	if err != nil {
		return err
	}
	wait := time.Duration(q.WaitMS) * time.Millisecond
	x.extend(wait)
	ctx, cancel := context.WithTimeout(x.r.Context(), wait)
	defer cancel()
	held, answer, err := s.cfg.Licenses.TakeSeat(ctx, c, q, x.lang())
	if errors.Is(err, seats.ErrTaken) && s.ctx.Err() != nil {
		return &api.Error{Code: api.CodeBusy} // not refused: the caller's time is not over, and the next run has a queue
	}
	if err != nil {
		return err
	}
	h := Holding{Held: held, Conn: a.Conn, Process: process}
	defer s.giveBack(held, s.cfg.Keep(h))
	b, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	raw, rest, err := http.NewResponseController(x.w).Hijack()
	if err != nil {
		return err
	}
	defer raw.Close() //nolint:errcheck // it is at its end
	x.counts.add(http.StatusOK)
	if raw.SetDeadline(time.Time{}) != nil || rest.Reader.Buffered() > 0 {
		return nil // gone, or something was sent behind the request
	}
	text := "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(b)) + "\r\n\r\n"
	if _, err := raw.Write(append([]byte(text), b...)); err == nil {
		h.last()
	}
	return nil
}

// claim reads the request and asks the kernel for the process, in the user's turn.
func (s *Server) claim(x *exchange, c net.Conn) (q api.SeatRequest, out seats.Claim, process *ipc.Process, err error) {
	if !s.gate.enter(x.r.Context(), x.caller.User) {
		return q, out, nil, &api.Error{Code: api.CodeBusy}
	}
	defer s.gate.leave()
	if err = x.decode(&q, s.limits.Body); err != nil {
		return q, out, nil, err
	}
	if q.Product == "" || q.WaitMS < 0 || q.WaitMS > api.MaxSeatWaitMS || !plainUser(q.User) {
		return q, out, nil, &api.Error{Code: api.CodeBadRequest}
	}
	out = seats.Claim{Account: x.caller.User, User: q.User, PID: x.caller.PID}
	if s.cfg.Process != nil {
		if process, err = s.cfg.Process(c); err == nil {
			out.Birth = process.Birth()
		} // else the end of the connection decides alone
	}
	return q, out, process, nil
}

// plainUser says whether a named user can be shown in one line.
func plainUser(s string) bool {
	if len(s) > api.MaxSeatUser || !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if unicode.IsControl(r) {
			return false
		}
	}
	return true
}

// giveBack ends a seat, except at the end of this server.
func (s *Server) giveBack(h *seats.Held, forget func()) {
	if !s.held.isShut() {
		forget()
		h.End()
	}
}

// last returns when the holder is gone: the connection ended, or something was
// sent on it although nothing may be, or the process ended, or the license does
// not run any more.
func (h Holding) last() {
	if h.Conn == nil {
		h.Held.OnLost(func() { h.Process.Close() }) //nolint:errcheck // ends Wait
		h.Process.Wait()                            //nolint:errcheck // an error means that it was closed
		return
	}
	h.Held.OnLost(func() { h.Conn.Close() }) //nolint:errcheck // Read returns either way
	if h.Process != nil {
		go func() {
			if h.Process.Wait() == nil {
				h.Conn.Close() //nolint:errcheck // Read returns either way
			}
		}()
	}
	h.Conn.Read(make([]byte, 1)) //nolint:errcheck // whatever comes is the end
}

// Hold takes up the seat of a holder that an earlier run of the agent knew. It
// returns at once; the seat is kept until the holder is gone.
func (s *Server) Hold(h Holding) {
	var by io.Closer = h.Conn
	if h.Conn == nil {
		by = h.Process
	}
	if h.Conn == nil && h.Process == nil || !s.held.resume(by, h.Held.Account) {
		h.Held.End()
		return
	}
	if h.Conn != nil {
		h.Held.Attached()
	}
	forget := s.cfg.Keep(h)
	go func() {
		defer s.held.end(by)
		h.last()
		if h.Process != nil {
			h.Process.Close() //nolint:errcheck // it is at its end
		}
		s.giveBack(h.Held, forget)
	}()
}

// holders lists who holds seats. Named users are shown to administrators and to
// the account itself; the rest is what ps(1) shows to everybody.
func (s *Server) holders(x *exchange) error {
	list := s.cfg.Licenses.Seats()
	for i := range list.Seats {
		if !x.caller.Admin && list.Seats[i].Account != x.caller.User {
			list.Seats[i].User = ""
		}
	}
	return x.reply(list)
}

// seatCode names what went wrong with a seat; "" for other errors.
func seatCode(err error) string {
	switch {
	case errors.Is(err, seats.ErrTaken):
		return api.CodeSeatsTaken
	case errors.Is(err, seats.ErrNoLicense):
		return api.CodeNotLicensed
	case errors.Is(err, seats.ErrTooMany):
		return api.CodeBusy
	}
	return ""
}
