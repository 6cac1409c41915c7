package protocol

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"licenseagent.example/activation"
	"licenseagent.example/docs/promise"
)

// behaviour is one way in which a hostile or broken endpoint answers. It gets
// the connection after the request was read and writes what it likes until the
// client goes away.
type behaviour struct {
	name  string
	serve func(w io.Writer) error
	want  error // class of the error
}

const okHead = "HTTP/1.1 200 OK\r\nContent-Type: " + ContentAnswer + "\r\n"

// forever repeats a piece until writing fails, which is when the client left.
func forever(w io.Writer, piece string) error {
	for {
		if _, err := io.WriteString(w, piece); err != nil {
			return err
		}
	}
}

func say(text string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	}
}

func bomb() string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	zeros := make([]byte, 1<<20)
	for range 64 {
		_, _ = z.Write(zeros) // into memory
	}
	_ = z.Close()
	return b.String()
}

func behaviours() []behaviour {
	kilobyte := strings.Repeat("x", 1<<10)
	zip := bomb()
	return []behaviour{
		{"endless body", func(w io.Writer) error {
			return errors.Join(say(okHead+"Connection: close\r\n\r\n")(w), forever(w, kilobyte))
		}, activation.ErrAnswer},
		{"endless chunks", func(w io.Writer) error {
			return errors.Join(say(okHead+"Transfer-Encoding: chunked\r\n\r\n")(w), forever(w, "400\r\n"+kilobyte+"\r\n"))
		}, activation.ErrAnswer},
		{"64 MiB announced", func(w io.Writer) error {
			return errors.Join(say(okHead+"Content-Length: 67108864\r\n\r\n")(w), forever(w, kilobyte))
		}, activation.ErrAnswer},
		{"decompression bomb", say(okHead + fmt.Sprintf("Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n", len(zip)) + zip), activation.ErrAnswer},
		{"endless headers", func(w io.Writer) error {
			return errors.Join(say(okHead)(w), forever(w, "X-Y: "+kilobyte+"\r\n"))
		}, activation.ErrAnswer},
		{"endless status line", func(w io.Writer) error { return errors.Join(say("HTTP/1.1 200 ")(w), forever(w, kilobyte)) }, activation.ErrAnswer},
		{"endless interim replies", func(w io.Writer) error { return forever(w, "HTTP/1.1 103 Early Hints\r\n\r\n") }, activation.ErrAnswer},
		{"drip", func(w io.Writer) error {
			// One byte, then silence until the client leaves.
			return say(okHead + "Content-Length: 1000\r\n\r\n{")(w)
		}, activation.ErrUnreachable},
		{"silence", func(io.Writer) error { return nil }, activation.ErrUnreachable},
		{"login page", say("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 13\r\n\r\n<html></html>"), activation.ErrAnswer},
		{"redirect to itself", say(redirect("https://" + goodHost + PathActivations)), activation.ErrAnswer},
		{"deep JSON", say(okHead + "Content-Length: 200000\r\n\r\n" + strings.Repeat("[", 200000)), activation.ErrAnswer},
		{"nonsense", say("SSH-2.0-OpenSSH_9.9\r\n"), activation.ErrAnswer},
		{"switching protocols", say("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"), activation.ErrAnswer},
		{"no content", say("HTTP/1.1 204 No Content\r\n\r\n"), activation.ErrAnswer},
		{"empty object", say(okHead + "Content-Length: 2\r\n\r\n{}"), activation.ErrAnswer},
		{"refusal without form", say("HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nno"), activation.ErrAnswer},
		{"error that never ends", func(w io.Writer) error {
			return errors.Join(say("HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n")(w), forever(w, kilobyte))
		}, activation.ErrAnswer},
	}
}

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
	list := behaviours()
	var worst uint64
	times := promise.Size(1, 100)
	for i := range len(list) * times {
		b := list[i%len(list)]
		t.Run(b.name, func(t *testing.T) {
			a := endpoint(t, ca, b.serve)
			c := a.client(t, ca.pem())
			if errors.Is(b.want, activation.ErrUnreachable) {
				c.cfg.Attempt = 100 * time.Millisecond // these only end by the client's patience
			}
			var err error
			n := allocated(func() { _, err = c.Send(context.Background(), request, "k") })
			if !errors.Is(err, b.want) {
				t.Errorf("want %v, got %v", b.want, err)
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
	// Control: a client that reads what it is given.
	a := endpoint(t, ca, list[2].serve)
	c := a.client(t, ca.pem())
	control := allocated(func() {
		resp, err := c.http.Get("https://" + goodHost)
		must0(t, err)
		defer resp.Body.Close()
		must(io.ReadAll(resp.Body))(t)
	})
	if control < limit {
		t.Errorf("the control allocated only %d bytes: this test cannot fail", control)
	}
	promise.Reached(t, "P23", fmt.Sprintf("%d hostile endpoints x %d: at most %.1f MiB allocated, all ended with a classified error", len(list), times, float64(worst)/(1<<20)),
		fmt.Sprintf("reading everything: %.0f MiB", float64(control)/(1<<20)))
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
