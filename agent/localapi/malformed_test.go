package localapi

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"licenseagent.example/docs/promise"
)

// P34, the part about requests: whatever arrives, the agent neither dies nor
// keeps anything of it. Each piece is an honest request with some bytes cut
// off, doubled or changed; the connection is closed in the middle of it. The
// honest request is answered before and after. The control switches the time
// limits off: then requests that never end are kept for ever.
func TestP34MalformedRequests(t *testing.T) {
	count := promise.Size(3000, 1_000_000, 10_000_000)
	r := start(t, Config{})
	if status, _ := r.call("GET", "/v1/status", ""); status != 200 {
		t.Fatalf("control before: %d", status)
	}
	honest := []string{
		"GET /v1/status HTTP/1.1\r\nHost: license-agent\r\n\r\n",
		"POST /v1/check HTTP/1.1\r\nHost: license-agent\r\nContent-Type: application/json\r\nContent-Length: 84\r\n\r\n" + bodies()["/v1/check"],
		"GET /v1/events?since=1&wait=0s HTTP/1.1\r\nHost: license-agent\r\n\r\n",
	}
	runtime.GC() // what other tests of this process have left is not the server's
	base, used := runtime.NumGoroutine(), uint64(0)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range count {
		if i%500 == 0 {
			used = max(used, inUse())
		}
		b := []byte(honest[i%len(honest)])
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
		c, err := dial(r.socket)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		_, _ = c.Write(b) // the other side may have closed already
		finish(c)
		if _, err := io.Copy(io.Discard, c); err != nil {
			if ne, ok := err.(net.Error); ok && ne.Timeout() {
				t.Fatalf("no answer and no end to %q", b)
			}
		}
		c.Close()
	}
	if status, _ := r.call("GET", "/v1/status", ""); status != 200 {
		t.Errorf("control after: %d", status)
	}
	eventually(t, func() bool { return runtime.NumGoroutine() <= base+4 })
	used = max(used, inUse())
	const limit = 64 << 20
	if used > limit {
		t.Errorf("%d MiB in use, at most %d", used>>20, limit>>20)
	}
	const halves = 20
	if n := dropped(t, Limits{Header: 100 * time.Millisecond}, halves, 20*time.Second); n != halves {
		t.Errorf("%d of %d requests that never end were ended", n, halves)
	}
	kept := halves - dropped(t, Limits{Header: time.Hour, Request: time.Hour, Idle: time.Hour}, halves, 500*time.Millisecond)
	if kept == 0 {
		t.Error("control: without time limits no request is kept for ever")
	}
	promise.Reached(t, "P34", fmt.Sprintf("%d malformed requests: 0 deaths, 0 hangs, goroutines back to base, at most %d MiB in use; %d of %d requests that never end are ended", count, used>>20, halves, halves),
		fmt.Sprintf("time limits off: %d of %d requests that never end are kept", kept, halves))
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
