package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"

	"licenseagent.example/agent/api"
)

// causeSeats stands behind an untrusted answer that counts more seats than the
// license has.
const causeSeats = "seats"

// SeatOptions says for whom a seat is, and how long to wait for one.
type SeatOptions struct {
	// User counts a named user instead of this process: several programs of one
	// account that name the same user share one seat.
	User string
	// Wait is how long to stand in the queue when all seats are taken, at most
	// an hour, also while the agent is started anew; 0 answers at once.
	Wait time.Duration
}

// Seat is one of the concurrent uses that a license allows on this machine. It
// ends with Close or with this process, whatever way that ends; the program
// sends no heartbeat. A restart of the agent does not end it: the seat is taken
// up again by itself.
type Seat struct {
	// Verdict is what was verified when the seat was taken.
	Verdict Verdict
	// Info and Count are the agent's words: who holds the seat, how many are used.
	Info  api.Seat
	Count api.SeatCount

	checker *Checker
	request api.SeatRequest
	lost    chan struct{}
	ended   chan struct{} // the goroutine has ended

	mu     sync.Mutex
	conn   net.Conn
	closed bool
	err    error
}

const (
	// resumeFor is how long an agent may take to be started anew before the
	// seat is lost to the program. The agent keeps it for the process anyway.
	resumeFor = 10 * time.Second
	// resumePause is the first pause between two attempts; it doubles up to a second.
	resumePause = 50 * time.Millisecond
)

// Seat takes a seat and then checks the license as Check does, so that a held
// seat always stands on a verified verdict that runs. Errors are those of Check
// and *api.Error with the codes seats-taken (all are taken, also after Wait),
// not-licensed (the answer is genuine and says no) and busy. ctx bounds taking
// the seat only; Close gives it back.
func (k *Checker) Seat(ctx context.Context, product string, o SeatOptions) (*Seat, error) {
	c := k.asker()
	s := &Seat{
		checker: k, lost: make(chan struct{}), ended: make(chan struct{}),
		request: api.SeatRequest{Product: product, Issuer: k.Anchor.Issuer, User: o.User, WaitMS: o.Wait.Milliseconds()},
	}
	ctx, cancel := context.WithTimeout(ctx, o.Wait+c.timeout())
	defer cancel()
	_, began := k.clock()
	for first := true; ; first = false {
		conn, err := s.take(ctx)
		if err == nil {
			s.conn = conn
			go s.hold()
			return s, nil
		}
		// An agent that is started anew sends those who wait away, and then nobody
		// listens for a moment. Who finds nobody at first need not wait.
		_, now := k.clock()
		left := o.Wait - (now - began)
		restarts := left > 0 && (codeIs(err, api.CodeAgentAnswer) || !first && codeIs(err, api.CodeNotRunning))
		if !codeIs(err, api.CodeBusy) && !restarts || !rest(ctx, resumePause) {
			return nil, err
		}
		s.request.WaitMS = max(0, left.Milliseconds())
	}
}

// take is one attempt: seat, then check.
func (s *Seat) take(ctx context.Context) (net.Conn, error) {
	c := s.checker.asker()
	conn, answer, err := c.takeSeat(ctx, s.request)
	if err != nil {
		return nil, err
	}
	v, err := s.checker.Check(ctx, s.request.Product)
	switch {
	case err != nil:
	case !v.Runs:
		err = c.failBy(api.CodeNotLicensed, v.Reason, errors.New(v.Reason))
	case answer.Count.Total > v.Seats:
		err = c.failBy(api.CodeUntrusted, causeSeats, fmt.Errorf("the agent counts %d seats, the license has %d", answer.Count.Total, v.Seats))
	}
	if err != nil {
		conn.Close() //nolint:errcheck // it is given back; there is nobody to tell
		return nil, err
	}
	s.mu.Lock()
	s.Verdict, s.Info, s.Count = v, answer.Seat, answer.Count
	s.mu.Unlock()
	return conn, nil
}

// Lost is closed when the seat is gone although nobody called Close: the license
// does not run any more, or no agent came back. Err says why.
func (s *Seat) Lost() <-chan struct{} { return s.lost }

// Err is why the seat was lost; nil while it is held and after Close.
func (s *Seat) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Close gives the seat back. When it returns, the agent has been told, unless
// no agent runs. Closing twice is no error.
func (s *Seat) Close() error {
	s.mu.Lock()
	s.closed = true
	conn := s.conn
	s.mu.Unlock()
	if conn != nil {
		conn.Close() //nolint:errcheck // the agent sees the end either way
		<-s.ended
	}
	return nil
}

// hold waits for the end of the connection and takes the seat up again when
// that was not wanted.
func (s *Seat) hold() {
	defer close(s.ended)
	for {
		s.conn.Read(make([]byte, 1)) //nolint:errcheck // the agent sends nothing: whatever comes is the end
		s.conn.Close()               //nolint:errcheck // it has ended
		s.mu.Lock()
		s.conn = nil
		closed := s.closed
		s.mu.Unlock()
		if closed {
			return
		}
		conn, err := s.resume()
		s.mu.Lock()
		closed, s.conn = s.closed, conn
		switch {
		case closed && conn != nil:
			s.conn = nil
			conn.Close() //nolint:errcheck // given back
		case !closed && err != nil:
			s.err = err
			close(s.lost)
		}
		s.mu.Unlock()
		if closed || err != nil {
			return
		}
	}
}

// resume asks for the same seat again while an agent is being started. After
// Close it still does, to give back what the agent keeps for this process.
func (s *Seat) resume() (net.Conn, error) {
	s.request.WaitMS = 0
	ctx, cancel := context.WithTimeout(context.Background(), resumeFor)
	defer cancel()
	for wait := resumePause; ; wait = min(2*wait, time.Second) {
		conn, err := s.take(ctx)
		if err == nil {
			return conn, nil
		}
		again := codeIs(err, api.CodeNotRunning) || codeIs(err, api.CodeBusy) || codeIs(err, api.CodeTimeout) || hungUp(err)
		if !again || !rest(ctx, wait) {
			return nil, err
		}
	}
}

// takeSeat sends the request on a connection of its own and returns it open.
func (c *Client) takeSeat(ctx context.Context, q api.SeatRequest) (conn net.Conn, out api.SeatAnswer, err error) {
	c.once.Do(c.prepare)
	if c.setup != nil {
		return nil, out, c.fail(api.CodeConfig, c.setup)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(q.WaitMS)*time.Millisecond+c.timeout())
	defer cancel()
	body, err := json.Marshal(q)
	if err != nil {
		return nil, out, c.fail(api.CodeBadRequest, err)
	}
	l, err := c.connect(ctx)
	if err != nil {
		return nil, out, c.transport(err)
	}
	var raw []byte
	ends, _, err := c.exchange(ctx, l, http.MethodPost, c.request(http.MethodPost, api.PathSeats, "", body), &raw)
	if err == nil && (ends || readSeat(raw, &out) != nil) {
		err = c.fail(api.CodeAgentAnswer, errors.New("not the answer to a request for a seat"))
	}
	if err == nil {
		err = l.conn.SetDeadline(time.Time{})
	}
	if err != nil {
		l.conn.Close() //nolint:errcheck // it is given up
		return nil, out, err
	}
	return l.conn, out, nil
}

// readSeat reads the answer to a request for a seat. A count that is missing is
// none, or an agent could hold more seats than the license has by not counting them.
func readSeat(raw []byte, out *api.SeatAnswer) error {
	m, err := readMembers(raw)
	if err == nil && (m.object("seat").word("id") == "" || !m.object("count").has("total")) {
		err = errNoObject
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, out)
}

// hungUp says whether the other side closed before it had answered.
func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

func codeIs(err error, code string) bool {
	var e *api.Error
	return errors.As(err, &e) && e.Code == code
}

// rest waits; false when ctx ended.
func rest(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
