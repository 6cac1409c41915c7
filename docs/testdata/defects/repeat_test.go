package client_test

import (
	"context"
	"net"
	"net/http"
	"path/filepath"
	"testing"

	"licenseagent.example/agent/api"
	"licenseagent.example/agent/client"
)

type usedKey struct{}

// An agent that takes a second request on a kept connection and hangs up, as one
// does that is started anew, is asked again, because the question changes nothing.
func TestRepeatedOnKeptConnection(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "agent.sock")
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if used := r.Context().Value(usedKey{}).(*bool); *used {
				panic(http.ErrAbortHandler)
			} else {
				*used = true
			}
			_, _ = w.Write([]byte("{}"))
		}),
		ConnContext: func(ctx context.Context, _ net.Conn) context.Context {
			return context.WithValue(ctx, usedKey{}, new(bool))
		},
	}
	go srv.Serve(ln) //nolint:errcheck // until the end
	defer srv.Close()
	c := &client.Client{Socket: socket}
	defer c.Close()
	if _, err := c.Status(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Simulate(t.Context(), api.SimulateRequest{}); err != nil {
		t.Errorf("not asked again: %v", err)
	}
}
