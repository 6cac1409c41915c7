package localapi

import (
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
// control is the honest request, which is answered before and after.
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
	base := runtime.NumGoroutine()
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range count {
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
		c, err := net.Dial("unix", r.socket)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		_, _ = c.Write(b) // the other side may have closed already
		if half, ok := c.(*net.UnixConn); ok {
			_ = half.CloseWrite()
		}
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
	promise.Reached(t, "P34", fmt.Sprintf("%d malformed requests: 0 deaths, 0 hangs, goroutines back to base; 3 fuzz targets over requests", count),
		"the honest request is answered before and after")
}
