package localapi

import (
	"bufio"
	"net/http"
	"testing"
	"time"
)

// A caller that was accepted before the end began gets its answer, although it
// asks afterwards. http.Server.Shutdown alone hangs up on it.
func TestShutdownAnswersWhoWasAccepted(t *testing.T) {
	r := start(t, Config{})
	const callers = 8
	asks := make([]func() error, 0, callers)
	answers := make(chan error, callers)
	for range callers {
		c := r.dial()
		asks = append(asks, func() error {
			_, err := c.Write([]byte("GET /v1/version HTTP/1.1\r\nHost: license-agent\r\n\r\n"))
			return err
		})
		go func() {
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err == nil {
				resp.Body.Close() //nolint:errcheck // the status line was all
			}
			answers <- err
		}()
	}
	l := r.server.limiter.Load
	eventually(t, func() bool { return l() != nil && l().silent() == callers })
	r.server.patience, r.server.limits.Header = time.Minute, time.Minute
	ended := make(chan error, 1)
	go func() { ended <- r.server.Shutdown(t.Context()) }()
	eventually(t, func() bool { return r.server.closing.Load() })
	for _, ask := range asks {
		if err := ask(); err != nil {
			t.Errorf("ask: %v", err)
		}
	}
	for range callers {
		if err := <-answers; err != nil {
			t.Errorf("no answer: %v", err)
		}
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A caller that says nothing does not hold up the end for ever.
func TestShutdownDoesNotWaitForTheSilent(t *testing.T) {
	r := start(t, Config{Limits: Limits{}})
	c := r.dial()
	eventually(t, func() bool { l := r.server.limiter.Load(); return l != nil && l.silent() == 1 })
	ended := make(chan struct{})
	go func() { r.server.drain(t.Context()); close(ended) }()
	<-ended // within drainFor, or the test's own time ends
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}
