package protocol

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"licenseagent.example/activation"
	"licenseagent.example/activation/protocol/protocoltest"
	"licenseagent.example/docs/promise"
)

// TestP23Patience: an endpoint that says too little or nothing is left after
// the promised half minute with the patience that is shipped. The network is in
// memory, so the time is virtual.
func TestP23Patience(t *testing.T) {
	const limit = 30 * time.Second
	cases := map[string]func(t *testing.T, cfg *tls.Config, c net.Conn){
		"a connection that says nothing": func(_ *testing.T, _ *tls.Config, c net.Conn) { _, _ = io.Copy(io.Discard, c) },
		"no connection":                  nil,
	}
	silent := map[string]func(io.Writer) error{
		"a byte a second": func(w io.Writer) error {
			_, err := io.WriteString(w, "HTTP/1.1 200 OK\r\nContent-Type: "+ContentAnswer+"\r\nContent-Length: 1000\r\n\r\n")
			for err == nil {
				time.Sleep(time.Second) // stands for a slow service
				_, err = io.WriteString(w, " ")
			}
			return err
		},
	}
	for _, b := range protocoltest.Behaviours(ContentAnswer, "") {
		if b.Silent {
			silent[b.Name] = b.Serve
		}
	}
	for name, serve := range silent {
		cases[name] = func(t *testing.T, cfg *tls.Config, raw net.Conn) {
			c := tls.Server(raw, cfg)
			must(c.Read(make([]byte, 64<<10)))(t) // the request
			go func() { _, _ = io.Copy(io.Discard, c) }()
			_ = serve(c) // the client leaves, that is the point
		}
	}
	patience := func(t *testing.T, serve func(*testing.T, *tls.Config, net.Conn), change func(*Config)) (took time.Duration, attempts int) {
		synctest.Test(t, func(t *testing.T) {
			ca := newAuthority(t)
			server := &tls.Config{Certificates: []tls.Certificate{ca.issue(t)}}
			cfg := Config{
				Base: "https://" + goodHost, Roots: ca.pem(), Proxy: "direct", Now: time.Now, Rand: func() float64 { return 0.99 },
				Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
					attempts++
					if serve == nil {
						ctx, cancel := context.WithTimeout(ctx, 10*time.Second) // as the dialer that is shipped
						defer cancel()
						<-ctx.Done()
						return nil, ctx.Err()
					}
					near, far := net.Pipe()
					go func() {
						defer far.Close()
						serve(t, server, far)
					}()
					return near, nil
				},
			}
			change(&cfg)
			c := must(NewClient(cfg))(t)
			began := time.Now()
			if _, err := c.Send(t.Context(), sealed(t), "k"); !errors.Is(err, activation.ErrUnreachable) {
				t.Errorf("want %v, got %v", activation.ErrUnreachable, err)
			}
			took = time.Since(began)
			time.Sleep(limit) // polls: virtual time, until the last dial has ended too
		})
		return took, attempts
	}
	var longest, control time.Duration
	for name, serve := range cases {
		t.Run(name, func(t *testing.T) {
			took, attempts := patience(t, serve, func(*Config) {})
			if took > limit || attempts < 2 {
				t.Errorf("%v and %d attempts, want at most %v and at least 2", took, attempts, limit)
			}
			longest = max(longest, took)
			took, _ = patience(t, serve, func(c *Config) { c.Overall = time.Hour })
			control = max(control, took)
		})
	}
	if control <= limit {
		t.Errorf("control: without a bound for the call it takes %v: this test cannot fail", control)
	}
	promise.Reached(t, "P23", fmt.Sprintf("%d silent endpoints: each call ends within %v (virtual time)", len(cases), longest),
		fmt.Sprintf("with a bound for each attempt only: %v", control.Round(time.Second)))
}
