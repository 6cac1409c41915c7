package localapi

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"licenseagent.example/agent/api"
)

// Nothing of a crowd is left in the queue; without a queue most of it are refused.
func TestQueueOfACrowd(t *testing.T) {
	const n = 200
	r, got := crowd(t, patient(), n)
	if got[http.StatusOK] != n {
		t.Errorf("answers by status: %v", got)
	}
	if l := r.server.limiter.Load(); l.waiting != 0 || len(l.queues) != 0 || len(l.ready) != 0 {
		t.Errorf("%d wait, in %d queues, %d are ready", l.waiting, len(l.queues), len(l.ready))
	}
	none := patient()
	none.Queue = -1
	if _, got := crowd(t, none, n); got[http.StatusOK] > Default().PerUser {
		t.Errorf("control: without a queue %d were answered", got[http.StatusOK])
	}
}

// occupy takes a place until the connection is closed.
func occupy(t *testing.T, r *rig) net.Conn {
	t.Helper()
	c, before := r.dial(), len(r.fake.names())
	if _, err := io.WriteString(c, "GET /v1/events?since=99&wait=50s HTTP/1.1\r\nHost: license-agent\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return len(r.fake.names()) > before })
	return c
}

// waits is how many are in the queue.
func waits(r *rig) int {
	l := r.server.limiter.Load()
	if l == nil {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.waiting
}

// Who would be one too many in the queue is told so at once, and who has waited
// as long as a request may last is told so then.
func TestQueueHasEnds(t *testing.T) {
	r := start(t, Config{Identify: oneUser, Limits: Limits{PerUser: 1, Queue: 8, QueuePerUser: 2, Request: time.Minute}})
	occupy(t, r)
	conns := []net.Conn{r.dial(), r.dial()}
	eventually(t, func() bool { return waits(r) == 2 })
	if status, body := r.call("GET", api.PathStatus, ""); status != http.StatusTooManyRequests || errorCode(t, body) != api.CodeBusy {
		t.Errorf("the third got %d %s", status, body)
	}
	l := r.server.limiter.Load()
	l.mu.Lock()
	for _, a := range l.queues["uid:1000"] {
		a.patience.Reset(0) // the minute is over
	}
	l.mu.Unlock()
	for _, c := range conns {
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close() //nolint:errcheck // the status line was all
		if resp.StatusCode != http.StatusTooManyRequests {
			t.Errorf("after waiting in vain: %d", resp.StatusCode)
		}
	}
	if n := waits(r); n != 0 {
		t.Errorf("%d still wait", n)
	}
}

// The place that becomes free goes to the user who has the fewest, although
// another one has queued before: a user cannot queue in front of the others.
func TestQueueServesWhoHasLeast(t *testing.T) {
	var mu sync.Mutex
	user := "uid:1"
	r := start(t, Config{Limits: Limits{PerUser: 3, Total: 4, Reserve: 1, Request: time.Minute}, Identify: func(net.Conn) (Caller, error) {
		mu.Lock()
		defer mu.Unlock()
		return Caller{User: user}, nil
	}})
	held := []net.Conn{occupy(t, r), occupy(t, r), occupy(t, r)} // all places that are not the administrators'
	var greedy []net.Conn
	for range 5 {
		greedy = append(greedy, r.dial())
	}
	eventually(t, func() bool { return waits(r) == 5 })
	mu.Lock()
	user = "uid:2"
	mu.Unlock()
	honest := r.dial()
	eventually(t, func() bool { return waits(r) == 6 })
	held[0].Close() //nolint:errcheck // it gives up its place
	if status, err := ask(honest, bufio.NewReader(honest)); err != nil || status != http.StatusOK {
		t.Errorf("the user without a place got %d %v", status, err)
	}
	honest.Close() //nolint:errcheck // it gives up its place
	for i, c := range greedy {
		if status, err := ask(c, bufio.NewReader(c)); err != nil || status != http.StatusOK {
			t.Errorf("number %d in the queue got %d %v", i, status, err)
		}
		c.Close() //nolint:errcheck // it gives up its place
	}
}

// Those who wait for a place when the end begins are answered all the same.
func TestShutdownAnswersWhoWaits(t *testing.T) {
	r := start(t, Config{Identify: oneUser, Limits: Limits{PerUser: 2, Header: time.Minute, Request: time.Minute}})
	const callers = 12
	var conns []net.Conn
	for range callers {
		conns = append(conns, r.dial())
	}
	eventually(t, func() bool { return waits(r) == callers-2 })
	r.server.patience = time.Minute
	ended := make(chan error, 1)
	go func() { ended <- r.server.Shutdown(t.Context()) }()
	eventually(t, func() bool { return r.server.closing.Load() })
	for i, c := range conns {
		if status, err := ask(c, bufio.NewReader(c)); err != nil || status != http.StatusOK {
			t.Errorf("caller %d: %d %v", i, status, err)
		}
		c.Close() //nolint:errcheck // the answer was all
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// Whatever callers take, the agent has descriptors of its own left.
func TestLimitsFitTheDescriptors(t *testing.T) {
	for _, n := range []int{256, 512, 1024, 4096, 1 << 20} {
		l := For(n)
		if taken := l.Total + l.Queue + 2*l.Seats; n-taken < ownFiles {
			t.Errorf("%d descriptors: %d for callers", n, taken)
		}
		if l.QueuePerUser > l.Queue || l.SeatsPerUser > l.Seats || l.Queue < 1 || l.Seats < 1 {
			t.Errorf("%d descriptors: %+v", n, l)
		}
	}
	if l, d := For(1<<20), Default(); l != d {
		t.Errorf("with enough descriptors %+v instead of %+v", l, d)
	}
}
