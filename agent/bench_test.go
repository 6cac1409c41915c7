package agent

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"licenseagent.example/agent/api"
	"licenseagent.example/agent/localapi"
)

// BenchmarkCheckWithProof is the whole way of a check on the shipped code: the
// socket, the access table, the life cycle, a fresh signature, the answer. The
// echo beside it is net/http on the same kind of socket with an answer of the
// same size. Status is beside both.
func BenchmarkCheckWithProof(b *testing.B) {
	r := start(b, nil)
	r.activate()
	socket := filepath.Join(b.TempDir(), "s")
	ln, err := net.Listen("unix", socket)
	if err != nil {
		b.Fatal(err)
	}
	s, err := localapi.New(localapi.Config{
		Licenses: r.daemon, Now: time.Now,
		Identify: func(net.Conn) (localapi.Caller, error) { return localapi.Caller{User: "uid:1000"}, nil },
	})
	if err != nil {
		b.Fatal(err)
	}
	go func() { _ = s.Serve(ln) }()
	b.Cleanup(func() { _ = s.Shutdown(context.Background()) })

	body := `{"product":"painter","nonce":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}`
	check := []byte("POST " + api.PathCheck + " HTTP/1.1\r\nHost: license-agent\r\nContent-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body)
	status := []byte("GET " + api.PathStatus + " HTTP/1.1\r\nHost: license-agent\r\n\r\n")
	size := measure(b, socket, check, nil)
	echo := echoServer(b, size)
	b.Run("http-echo", func(b *testing.B) { repeat(b, echo, check) })
	b.Run("check", func(b *testing.B) { repeat(b, socket, check) })
	b.Run("status", func(b *testing.B) { repeat(b, socket, status) })
	b.Run("lifecycle-only", func(b *testing.B) {
		nonce := make([]byte, 32)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := r.daemon.Check("painter", "", nonce, api.English); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func echoServer(b *testing.B, size int) string {
	b.Helper()
	socket := filepath.Join(b.TempDir(), "e")
	ln, err := net.Listen("unix", socket)
	if err != nil {
		b.Fatal(err)
	}
	body := bytes.Repeat([]byte("x"), size)
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(size))
		_, _ = w.Write(body)
	})}
	go func() { _ = srv.Serve(ln) }()
	b.Cleanup(func() { srv.Close() })
	return socket
}

// repeat measures one kept connection.
func repeat(b *testing.B, socket string, request []byte) {
	measure(b, socket, request, func(ask func()) { medianOf(b, 0, ask) })
}

// measure opens a connection and lets f ask over it; without f it asks once and
// returns the length of the body.
func measure(b *testing.B, socket string, request []byte, f func(ask func())) int {
	b.Helper()
	c, err := net.Dial("unix", socket)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	br := bufio.NewReaderSize(c, 64<<10)
	size := 0
	ask := func() {
		if _, err := c.Write(request); err != nil {
			b.Fatal(err)
		}
		for {
			line, err := br.ReadSlice('\n')
			if err != nil {
				b.Fatal(err)
			}
			if n, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
				if size, err = strconv.Atoi(string(bytes.TrimSpace(n))); err != nil {
					b.Fatal(err)
				}
			}
			if len(line) == 2 {
				break
			}
		}
		if _, err := br.Discard(size); err != nil {
			b.Fatal(err)
		}
	}
	if f == nil {
		ask()
		return size
	}
	f(ask)
	return size
}
