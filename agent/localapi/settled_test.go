package localapi

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// piped is a listener in memory: connections wait in it as in a socket's queue.
type piped struct {
	queue  chan net.Conn
	closed chan struct{}
}

func (p piped) Accept() (net.Conn, error) {
	select {
	case c := <-p.queue:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}
func (p piped) Close() error   { close(p.closed); return nil }
func (p piped) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// No request is looked at before the licenses are settled; a server that is
// stopped before that ends all the same.
func TestNothingIsAnsweredUntilSettled(t *testing.T) {
	for _, stopped := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake()
			f.settled = make(chan struct{})
			s, err := New(Config{Licenses: f, Identify: root, Now: time.Now})
			if err != nil {
				t.Fatal(err)
			}
			ln := piped{make(chan net.Conn, 1), make(chan struct{})}
			mine, theirs := net.Pipe()
			ln.queue <- theirs
			served, answer := make(chan error, 1), make(chan int, 1)
			go func() { served <- s.Serve(ln) }()
			go func() {
				_, _ = io.WriteString(mine, "GET /v1/status HTTP/1.1\r\nHost: license-agent\r\nConnection: close\r\n\r\n")
				r, err := http.ReadResponse(bufio.NewReader(mine), nil)
				if err != nil {
					answer <- 0
					return
				}
				_, _ = io.Copy(io.Discard, r.Body)
				answer <- r.StatusCode
			}()
			synctest.Wait() // everything stands still
			if calls := f.names(); len(calls) != 0 || len(answer) != 0 || len(ln.queue) != 1 {
				t.Errorf("before it is settled: calls %v, %d answers, %d in the queue", calls, len(answer), len(ln.queue))
			}
			if !stopped {
				close(f.settled)
				if got := <-answer; got != http.StatusOK {
					t.Errorf("afterwards: status %d", got)
				}
			}
			mine.Close()
			if err := errors.Join(s.Shutdown(context.Background()), <-served); err != nil {
				t.Error(err)
			}
			if stopped {
				if calls := f.names(); len(calls) != 0 {
					t.Errorf("stopped before it is settled: calls %v", calls)
				}
			}
		})
	}
}
