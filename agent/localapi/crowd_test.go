package localapi

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"licenseagent.example/agent/api"
)

// oneUser is everybody who calls.
func oneUser(net.Conn) (Caller, error) { return Caller{User: "uid:1000"}, nil }

// patient are the shipped limits with time to connect everybody before
// the first one asks, which takes seconds over pipes on a busy machine.
func patient() Limits { return Limits{Header: time.Minute, Request: time.Minute} }

// crowd starts a server, connects n times as one user, and asks on all
// connections when all have been accepted. It counts the answers by status.
func crowd(t *testing.T, limits Limits, n int) (*rig, map[int]int) {
	t.Helper()
	var accepted atomic.Int64
	r := start(t, Config{Limits: limits, Identify: func(c net.Conn) (Caller, error) {
		accepted.Add(1)
		return oneUser(c)
	}})
	var conns []net.Conn
	for range n {
		conns = append(conns, r.dial())
	}
	eventually(t, func() bool { return accepted.Load() == int64(n) })
	got := map[int]int{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, c := range conns {
		wg.Go(func() {
			status, err := ask(c, bufio.NewReader(c))
			c.Close() //nolint:errcheck // the answer was all
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				status = 0
			}
			got[status]++
		})
	}
	wg.Wait()
	return r, got
}

// A job of 500 processes that ask at the same moment gets 500 answers from an
// agent with 32 places per user; without the queue most of them do not.
func TestCrowdOfOneUser(t *testing.T) {
	const n = 500
	r, got := crowd(t, patient(), n)
	if got[http.StatusOK] != n {
		t.Errorf("answers by status: %v", got)
	}
	eventually(t, func() bool { n, users := r.server.limiter.Load().open(); return n == 0 && users == 0 })
}

// A request that waits for its turn when the end begins gets the turn. It used
// to be told "busy", because the context of the server ended its wait.
func TestShutdownAnswersWhoWaitsForATurn(t *testing.T) {
	f := newFake()
	f.block = make(chan struct{})
	r := start(t, Config{Licenses: f, Limits: Limits{Running: 1, Request: time.Minute}})
	const callers = 5
	answers := make(chan string, callers)
	for range callers {
		go func() {
			status, body := r.call("GET", api.PathFiles, "")
			answers <- fmt.Sprint(status, " ", body)
		}()
	}
	eventually(t, func() bool {
		r.server.gate.mu.Lock()
		defer r.server.gate.mu.Unlock()
		return r.server.gate.waiting == callers-1
	})
	ended := make(chan error, 1)
	go func() { ended <- r.server.Shutdown(t.Context()) }()
	<-r.server.ctx.Done()
	close(f.block)
	for range callers {
		if a := <-answers; a[:3] != "200" {
			t.Errorf("answered %s", a)
		}
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
