package localapi

import (
	"bufio"
	"io"
	"net/http"
	"testing"
)

// A caller that was accepted before the end began, and asks while it goes on,
// gets an answer.
func TestAcceptedBeforeTheEnd(t *testing.T) {
	r := start(t, Config{})
	c := r.dial()
	eventually(t, func() bool {
		l := r.server.limiter.Load()
		if l == nil {
			return false
		}
		n, _ := l.open()
		return n == 1
	})
	ended := make(chan error, 1)
	go func() { ended <- r.server.Shutdown(t.Context()) }()
	<-r.server.ctx.Done()
	if _, err := io.WriteString(c, "GET /v1/version HTTP/1.1\r\nHost: license-agent\r\n\r\n"); err != nil {
		t.Fatalf("hung up: %v", err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatalf("hung up: %v", err)
	}
	resp.Body.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
