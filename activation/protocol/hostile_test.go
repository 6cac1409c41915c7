package protocol

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"licenseagent.example/activation"
	"licenseagent.example/activation/protocol/protocoltest"
	"licenseagent.example/docs/promise"
)

// endpoint serves a behaviour over good TLS.
func endpoint(t *testing.T, ca *authority, serve func(w io.Writer) error) animal {
	t.Helper()
	cfg := &tls.Config{Certificates: []tls.Certificate{ca.issue(t)}}
	c := newCageFunc(t, cfg, serve)
	return animal{hosts: map[string]*cage{goodHost + ":443": c}, watch: c}
}

// allocated is how many bytes a call allocates: an upper bound of what it can
// add to the memory of the process.
func allocated(call func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	call()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestP23HostileEndpoint: whatever the endpoint does, the call ends with a
// classified error and bounded memory.
func TestP23HostileEndpoint(t *testing.T) {
	const limit = 8 << 20
	ca := newAuthority(t)
	request := sealed(t)
	list := protocoltest.Behaviours(ContentAnswer, "https://"+goodHost+PathActivations)
	var worst uint64
	times := promise.Size(1, 100)
	for i := range len(list) * times {
		b := list[i%len(list)]
		t.Run(b.Name, func(t *testing.T) {
			a := endpoint(t, ca, b.Serve)
			c := a.client(t, ca.pem())
			want := activation.ErrAnswer
			if b.Silent {
				want = activation.ErrUnreachable
				c.cfg.Attempt = 100 * time.Millisecond // these only end by the client's patience
			}
			var err error
			n := allocated(func() { _, err = c.Send(context.Background(), request, "k") })
			if !errors.Is(err, want) {
				t.Errorf("want %v, got %v", want, err)
			}
			if n > limit {
				t.Errorf("%d bytes allocated, at most %d", n, limit)
			}
			if err != nil && (len(err.Error()) > 400 || strings.Contains(err.Error(), "xxxx") || strings.Contains(err.Error(), "CANARY")) {
				t.Errorf("the error repeats what the endpoint or the request said: %.200q", err)
			}
			worst = max(worst, n)
		})
	}
	// Control: the same call without a limit for the body.
	i := slices.IndexFunc(list, func(b protocoltest.Behaviour) bool { return b.Name == "64 MiB announced" })
	c := endpoint(t, ca, list[i].Serve).client(t, ca.pem())
	c.most = 1 << 30
	c.cfg.Attempt, c.cfg.Overall = time.Hour, time.Hour // under Wine and load 64 MiB have taken more than 20 s
	control := allocated(func() {
		if _, err := c.Send(context.Background(), request, "k"); !errors.Is(err, activation.ErrAnswer) {
			t.Errorf("control: %v", err)
		}
	})
	if control < limit {
		t.Errorf("the control allocated only %d bytes: this test cannot fail", control)
	}
	promise.Reached(t, "P23", fmt.Sprintf("%d hostile endpoints x %d: at most %.1f MiB allocated, all ended with a classified error", len(list), times, float64(worst)/(1<<20)),
		fmt.Sprintf("the same client without its limit for the body: %.0f MiB for 64 MiB announced", float64(control)/(1<<20)))
}

// newCageFunc is a cage whose reply is a behaviour; it then waits for the
// client to leave.
func newCageFunc(t *testing.T, cfg *tls.Config, serve func(w io.Writer) error) *cage {
	t.Helper()
	return newCage(t, func(raw net.Conn) (net.Conn, error) {
		s := tls.Server(raw, cfg)
		if err := s.Handshake(); err != nil {
			return nil, err
		}
		req, err := http.ReadRequest(bufio.NewReader(s))
		if err != nil {
			return nil, err
		}
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			return nil, err
		}
		if err := serve(s); err != nil {
			return nil, err
		}
		return s, nil
	}, "")
}
