package localapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"licenseagent.example/agent/api"
	"licenseagent.example/docs/promise"
)

// abused is what a series of malformed requests has done to a server.
type abused struct {
	panics int // net/http catches them: the log alone tells
	hung   int // 1 ends the series
	more   int // goroutines beyond those of before
	used   uint64
	behind int // requests whose body was understood nevertheless
}

// crashes counts the panics that the server logs.
type crashes struct {
	slog.Handler
	n *atomic.Int64
}

func (c crashes) Enabled(context.Context, slog.Level) bool { return true }

func (c crashes) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, "panic serving") {
		c.n.Add(1)
	}
	return nil
}

// honest is one good request for each route.
func honest() (requests []string) {
	table := (&Server{}).table()
	for _, path := range slices.Sorted(maps.Keys(table)) {
		target, body := path, bodies()[path]
		switch path {
		case api.PathEvents:
			target += "?since=1&wait=0s"
		case api.PathFiles, api.PathWhy:
			target += "?issuer=acme&product=painter"
		}
		text := table[path].method + " " + target + " HTTP/1.1\r\nHost: license-agent\r\n"
		if body != "" {
			text += fmt.Sprintf("Content-Type: application/json\r\nContent-Length: %d\r\n", len(body))
		}
		requests = append(requests, text+"\r\n"+body)
	}
	return requests
}

// answered fails when an honest request is not answered: what is spoiled of it
// would then be turned away before anything has read it. Each route with a body
// has to reach what answers it.
func answered(t *testing.T) (routes int) {
	t.Helper()
	r := start(t, Config{})
	for _, text := range honest() {
		if status, body := r.raw(text); status != http.StatusOK {
			t.Errorf("an honest request is answered %d %s: %q", status, body, text)
		}
		routes++
	}
	if reached := behindBody(r.fake.names()); reached != len(bodies()) {
		t.Errorf("%d of %d requests with a body came behind it", reached, len(bodies()))
	}
	return routes
}

// behindBody counts the calls that a request makes only after its body was read.
func behindBody(names []string) (n int) {
	for _, name := range names {
		switch name {
		case "check", "simulate", "seat", "activate", "renew", "release", "rebind", "request", "import":
			n++
		}
	}
	return n
}

// spoil changes an honest request in one to four places.
func spoil(rng *rand.Rand, honest string) []byte {
	b := []byte(honest)
	for range 1 + rng.IntN(4) {
		at := rng.IntN(len(b))
		switch rng.IntN(4) {
		case 0:
			b[at] = byte(rng.IntN(256))
		case 1:
			b = b[:max(at, 1)]
		case 2:
			b = append(b[:at:at], append([]byte(strings.Repeat(string(b[at]), 1+rng.IntN(200))), b[at:]...)...)
		default:
			b = append(b[:at:at], b[min(at+rng.IntN(9), len(b)):]...)
		}
		if len(b) == 0 {
			b = []byte{0}
		}
	}
	return b
}

// abuse sends count malformed requests to a server. Each is an honest one with
// some bytes cut off, doubled or changed; the connection is closed in the middle
// of it. An honest request is answered before and after. patience is for an answer,
// settle for the goroutines to end.
func abuse(t *testing.T, count int, patience, settle time.Duration, change func(*Server)) (a abused) {
	t.Helper()
	var panics atomic.Int64
	r := startWith(t, Config{Log: slog.New(crashes{slog.DiscardHandler, &panics})}, change)
	if status, _ := r.call("GET", "/v1/version", ""); status != 200 {
		t.Fatalf("control before: %d", status)
	}
	requests := honest()
	runtime.GC() // what other tests of this process have left is not the server's
	base := runtime.NumGoroutine()
	rng := rand.New(rand.NewPCG(1, 2))
	for i := 0; i < count && a.hung == 0; i++ {
		if i%500 == 0 {
			a.used = max(a.used, inUse())
			a.behind += behindBody(r.fake.forget())
		}
		b := spoil(rng, requests[i%len(requests)])
		c, err := dial(r.socket)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(patience))
		_, _ = c.Write(b) // the other side may have closed already
		finish(c)
		var ne net.Error
		if _, err := io.Copy(io.Discard, c); errors.As(err, &ne) && ne.Timeout() {
			t.Logf("no answer and no end to %q", b)
			a.hung++
		}
		c.Close()
	}
	if status, _ := r.call("GET", "/v1/version", ""); status != 200 {
		t.Errorf("control after: %d", status)
	}
	a.used = max(a.used, inUse())
	a.behind += behindBody(r.fake.forget())
	a.panics = int(panics.Load())
	for deadline := time.Now().Add(settle); runtime.NumGoroutine() > base+4 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond) // polls
	}
	a.more = max(0, runtime.NumGoroutine()-base-4)
	return a
}

const (
	mostInUse = 64 << 20
	long      = 20 * time.Second
)

func (a abused) harmless() bool {
	return a.panics == 0 && a.hung == 0 && a.more == 0 && a.used <= mostInUse
}

// P34, the part about requests: whatever arrives, the agent neither dies nor
// keeps anything of it. The controls plant each fault that this looks for into
// the server, and switch the time limits off: then requests that never end are
// kept for ever.
func TestP34MalformedRequests(t *testing.T) {
	count := promise.Size(3000, 1_000_000, 10_000_000)
	routes := answered(t)
	a := abuse(t, count, long, long, func(*Server) {})
	if !a.harmless() {
		t.Errorf("%d panics, %d hangs, %d goroutines more, %d MiB in use, at most %d", a.panics, a.hung, a.more, a.used>>20, mostInUse>>20)
	}
	if a.behind == 0 {
		t.Error("no request came behind its body: they are all turned away too early")
	}
	planted := faults(t)
	const halves = 20
	if n := dropped(t, Limits{Header: 100 * time.Millisecond}, halves, 20*time.Second); n != halves {
		t.Errorf("%d of %d requests that never end were ended", n, halves)
	}
	kept := halves - dropped(t, Limits{Header: time.Hour, Request: time.Hour, Idle: time.Hour}, halves, 500*time.Millisecond)
	if kept == 0 {
		t.Error("control: without time limits no request is kept for ever")
	}
	promise.Reached(t, "P34", fmt.Sprintf("%d malformed requests to %d of %d routes, the body of %d understood: 0 panics, 0 hangs, goroutines back to base, at most %d MiB in use; %d of %d requests that never end are ended", count, routes, len((&Server{}).table()), a.behind, a.used>>20, halves, halves),
		fmt.Sprintf("%s; time limits off: %d of %d requests that never end are kept", planted, kept, halves))
}

// faults runs malformed requests against servers that panic, keep a
// goroutine, keep memory or never answer where the request is not the honest
// one, and says what was seen of it.
func faults(t *testing.T) string {
	t.Helper()
	stop := make(chan struct{})
	var mu sync.Mutex
	var kept [][]byte
	plant := func(count int, patience, settle time.Duration, fault func()) abused {
		return abuse(t, count, patience, settle, func(s *Server) {
			s.guard = func(r *http.Request) bool {
				if r.URL.Path != "/v1/version" {
					fault()
				}
				return foreign(r)
			}
		})
	}
	// What is kept or never answered stays so: how long one waits decides nothing.
	const short = 500 * time.Millisecond
	crash := plant(600, long, long, func() { panic("planted") })
	leak := plant(600, long, short, func() { go func() { <-stop }() })
	bloat := plant(600, long, long, func() {
		mu.Lock()
		defer mu.Unlock()
		kept = append(kept, make([]byte, 1<<20))
	})
	kept = nil
	// A pipe of Windows has no half to close: there the goroutines tell of it.
	stuck := plant(60, short, short, func() { <-stop })
	close(stop)
	// Behind the body: what only a request meets whose JSON was understood.
	deep := abuse(t, 600, long, long, func(s *Server) {
		s.cfg.Licenses.(*fake).fault = func(name string) {
			if behindBody([]string{name}) > 0 {
				panic("planted")
			}
		}
	})
	if deep.panics == 0 {
		t.Errorf("control: a planted panic behind the body is not seen: %+v", deep)
	}
	if crash.panics == 0 || leak.more == 0 || bloat.used <= mostInUse || stuck.hung+stuck.more == 0 {
		t.Errorf("control: planted faults are not seen: a panic %+v, a goroutine %+v, memory %+v, no answer %+v", crash, leak, bloat, stuck)
	}
	return fmt.Sprintf("planted in the server and seen with 600 requests each: %d panics, %d panics behind the body, %d goroutines kept, %d MiB kept, an answer that never comes", crash.panics, deep.panics, leak.more, bloat.used>>20)
}

// inUse is the memory that this process uses now, client included. What was taken
// from the system would be the most that any test of this process ever needed.
func inUse() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse + m.MSpanInuse + m.MCacheInuse + m.GCSys + m.OtherSys
}

// dropped sends requests that never end and counts those that the server ends
// within patience.
func dropped(t *testing.T, l Limits, n int, patience time.Duration) (ended int) {
	t.Helper()
	r := start(t, Config{Limits: l})
	var all []net.Conn
	for range n {
		c, err := dial(r.socket)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, "GET /v1/status HTTP/1.1\r\nHost: li"); err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	deadline := time.Now().Add(patience)
	for _, c := range all {
		_ = c.SetReadDeadline(deadline)
		_, err := io.Copy(io.Discard, c)
		var ne net.Error
		if !errors.As(err, &ne) || !ne.Timeout() {
			ended++
		}
	}
	return ended
}
