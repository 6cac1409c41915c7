package koogallery

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener in memory.
type pipes struct {
	conns chan net.Conn
	ended context.Context
	end   context.CancelFunc
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.ended.Done():
		return nil, net.ErrClosed
	}
}

func (p pipes) Close() error {
	p.end()
	return nil
}

func (p pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 2} }

func (p pipes) dial() (net.Conn, error) {
	ours, theirs := net.Pipe()
	p.conns <- theirs
	return ours, nil
}

// A host that swallows connections, or accepts them and says nothing, is left
// for the other one within the bounds that production uses; one that has the
// request is not, whatever becomes of its answer.
func TestSwallowedConnectionsMoveToTheOtherHost(t *testing.T) {
	mute := func(_ context.Context, _, _ string) (net.Conn, error) {
		ours, _ := net.Pipe() // nobody reads at the other end
		return ours, nil
	}
	swallowing := (&net.Dialer{ControlContext: func(ctx context.Context, _, _ string, _ syscall.RawConn) error {
		<-ctx.Done()
		return ctx.Err()
	}}).DialContext
	for _, c := range []struct {
		name  string
		first func(ctx context.Context, network, address string) (net.Conn, error) // how the first host is reached
		both  bool                                                                 // the second one likewise
		hung  bool                                                                 // the first one takes the request and never answers
		moved bool
		took  time.Duration // at most
	}{
		{name: "swallows connections", first: swallowing, moved: true, took: connectTimeout},
		{name: "says nothing", first: mute, moved: true, took: connectTimeout},
		{name: "both swallow", first: swallowing, both: true, took: 2 * connectTimeout},
		{name: "keeps the request", hung: true, took: CallTimeout},
	} {
		t.Run(c.name, func(t *testing.T) {
			var hosts []string
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				line := pipes{conns: make(chan net.Conn)}
				line.ended, line.end = context.WithCancel(context.Background())
				server := &httptest.Server{Listener: line, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					hosts = append(hosts, r.Host)
					if c.hung {
						<-release
					}
					fmt.Fprint(w, `{"error_code":"92020000","data":{"status":"ALIVE"}}`)
				})}}
				server.StartTLS()
				defer server.Close()
				defer close(release)
				roots := x509.NewCertPool()
				roots.AddCert(server.Certificate())
				client := newHTTPClient(roots, RequestTimeout, func(ctx context.Context, network, address string) (net.Conn, error) {
					if c.first != nil && (c.both || address == "127.0.0.1:1") {
						return c.first(ctx, network, "127.0.0.1:1")
					}
					return line.dial()
				})
				defer client.CloseIdleConnections()
				market := Client{Host: "127.0.0.1:1", Fallback: "127.0.0.1:2", HTTP: client, Now: time.Now}
				ctx, cancel := context.WithTimeout(t.Context(), CallTimeout)
				defer cancel()
				start := time.Now()
				_, err := market.Heartbeat(ctx, "PL1")
				if took := time.Since(start); took > c.took {
					t.Errorf("after %s, want at most %s", took, c.took)
				}
				if c.moved != (err == nil) || !c.moved && !errors.Is(err, ErrUnavailable) {
					t.Errorf("err %v, want the other host asked: %v", err, c.moved)
				}
			})
			want := "[]"
			if c.moved {
				want = "[127.0.0.1:2]"
			} else if c.hung {
				want = "[127.0.0.1:1]"
			}
			if fmt.Sprint(hosts) != want {
				t.Errorf("asked were %v, want %s", hosts, want)
			}
		})
	}
}
