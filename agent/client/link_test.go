package client

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"licenseagent.example/agent/api"
)

// counted is a server that knows on which connection each request came.
type counted struct {
	client *Client
	srv    *http.Server

	mu    sync.Mutex
	conns []string // of each request, with its path
	open  map[net.Conn]bool
	hang  bool // hang up instead of answering, once
}

type connKey struct{}

func newCounted(t *testing.T) *counted {
	t.Helper()
	dir, err := os.MkdirTemp("", "agent")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s := &counted{client: &Client{Socket: socket}, open: map[net.Conn]bool{}}
	names := map[net.Conn]string{}
	s.srv = &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c := r.Context().Value(connKey{}).(net.Conn)
			s.mu.Lock()
			if names[c] == "" {
				names[c] = string(rune('a' + len(names)))
			}
			s.conns = append(s.conns, names[c]+" "+r.URL.Path)
			hang := s.hang
			s.hang = false
			s.mu.Unlock()
			if hang {
				panic(http.ErrAbortHandler)
			}
			w.Write([]byte("{}"))
		}),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
		ConnState: func(c net.Conn, state http.ConnState) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.open[c] = state != http.StateClosed
		},
	}
	go s.srv.Serve(ln)
	t.Cleanup(func() { s.srv.Close() })
	t.Cleanup(s.client.Close)
	return s
}

func (s *counted) asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.conns)
}

// hangUp closes every kept connection, as an agent does that is started anew.
func (s *counted) hangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.open {
		c.Close()
	}
}

// A kept connection is used again, one that the agent closed is replaced
// without the program hearing of it.
func TestKeptConnections(t *testing.T) {
	s := newCounted(t)
	for range 2 {
		if _, err := s.client.Status(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	s.hangUp()
	if _, err := s.client.Status(t.Context()); err != nil {
		t.Errorf("after the agent hung up: %v", err)
	}
	s.client.Close()
	if _, err := s.client.Status(t.Context()); err != nil {
		t.Errorf("after Close: %v", err)
	}
	want := []string{"a /v1/status", "a /v1/status", "b /v1/status", "c /v1/status"}
	if got := s.asked(); !slices.Equal(got, want) {
		t.Errorf("asked %q, want %q", got, want)
	}
}

// A question that changes nothing is asked again when the agent hangs up on a
// kept connection, also one with a body; what happens on a new one is told.
func TestQuestionsAreRepeated(t *testing.T) {
	s := newCounted(t)
	if _, err := s.client.Status(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	s.hang = true
	s.mu.Unlock()
	if _, err := s.client.Simulate(t.Context(), api.SimulateRequest{}); err != nil {
		t.Errorf("not asked again: %v", err)
	}
	want := []string{"a /v1/status", "a /v1/simulate", "b /v1/simulate"}
	if got := s.asked(); !slices.Equal(got, want) {
		t.Errorf("asked %q, want %q", got, want)
	}
}

// What changes something goes over a connection of its own and is never sent
// twice: nobody could say whether the first was carried out.
func TestActionsAreNotRepeated(t *testing.T) {
	s := newCounted(t)
	if _, err := s.client.Status(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	s.hang = true
	s.mu.Unlock()
	if _, err := s.client.Renew(t.Context(), api.KeyRequest{}); code(err) != api.CodeAgentAnswer {
		t.Errorf("an agent that hangs up: %v", err)
	}
	want := []string{"a /v1/status", "b /v1/renew"}
	if got := s.asked(); !slices.Equal(got, want) {
		t.Errorf("asked %q, want %q", got, want)
	}
	// A check changes nothing, and is sent again only when its connection was a kept one.
	s.mu.Lock()
	s.hang = true
	s.mu.Unlock()
	s.client.Close()
	if _, err := s.client.Status(t.Context()); code(err) != api.CodeAgentAnswer {
		t.Errorf("an agent that hangs up on a new connection: %v", err)
	}
}

// Many programs' goroutines at once, and callers that give up.
func TestLinksAtOnce(t *testing.T) {
	s := newCounted(t)
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			for n := range 20 {
				ctx, cancel := context.WithCancel(context.Background())
				if (i+n)%7 == 0 {
					cancel()
				}
				if _, err := s.client.Status(ctx); err != nil && !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
				cancel()
			}
		})
	}
	wg.Wait()
	s.client.links.mu.Lock()
	defer s.client.links.mu.Unlock()
	if n := len(s.client.links.kept); n == 0 || n > maxLinks {
		t.Errorf("%d connections are kept", n)
	}
}

// A kept connection is given up when nobody uses it.
func TestIdleLinkIsClosed(t *testing.T) {
	s := newCounted(t)
	if _, err := s.client.Status(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.client.links.kept[0].idle.Reset(time.Millisecond)       // in place of linkIdle
	for began := time.Now(); ; time.Sleep(time.Millisecond) { // polls
		s.mu.Lock()
		left := 0
		for _, open := range s.open {
			if open {
				left++
			}
		}
		s.mu.Unlock()
		if left == 0 {
			break
		}
		if time.Since(began) > 20*time.Second {
			t.Fatal("it stays open")
		}
	}
	if _, err := s.client.Status(t.Context()); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}
