package embed

import (
	"context"
	"sync"

	"licenseagent.example/agent/api"
	"licenseagent.example/agent/seats"
)

// Seat is one of the concurrent uses that a license allows, taken by this
// program for itself or for one of its named users.
type Seat struct {
	Info  api.Seat
	Count api.SeatCount

	held *seats.Held
	lost chan struct{}
	once sync.Once
}

// Seat takes a seat. user names whom it is for; several seats of one user are
// one, and "" is the program itself. When all are taken it waits until ctx ends:
// give ctx a deadline. Errors are those of Verdict, and *api.Error with the
// codes seats-taken and not-licensed.
//
// Only this program is counted: one process owns the state, so that there is
// nobody else. Named users are what makes a difference here, such as the
// sessions of a server.
func (a *Agent) Seat(ctx context.Context, product, issuer, user string) (*Seat, error) {
	held, answer, err := a.daemon.TakeSeat(ctx, seats.Claim{Account: "embedded", User: user, PID: a.pid, Birth: "this"},
		api.SeatRequest{Product: product, Issuer: issuer}, a.lang)
	if err != nil {
		return nil, a.named(err)
	}
	s := &Seat{Info: answer.Seat, Count: answer.Count, held: held, lost: make(chan struct{})}
	held.OnLost(func() { s.once.Do(func() { close(s.lost) }) })
	return s, nil
}

// Lost is closed when the license does not run any more.
func (s *Seat) Lost() <-chan struct{} { return s.lost }

// Close gives the seat back. Closing twice is no error.
func (s *Seat) Close() error {
	s.held.End()
	return nil
}

// Seats lists who holds seats.
func (a *Agent) Seats() api.Seats { return a.daemon.Seats() }
