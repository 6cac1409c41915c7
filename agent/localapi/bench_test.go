package localapi

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"licenseagent.example/agent/api"
)

// Each benchmark reports its median as p50-µs beside ns/op; the table in
// docs/performance.md is made of ratios between lines of one run. The load
// generator writes ready bytes and reads up to the announced length, so that
// what is measured is the server.

// percentile is the p-th percentile of times; it sorts them.
func percentile(times []time.Duration, p int) time.Duration {
	slices.Sort(times)
	return times[min(len(times)-1, len(times)*p/100)]
}

// roundTrip sends a ready request and reads one answer with Content-Length.
func roundTrip(c net.Conn, br *bufio.Reader, request []byte) (int, error) {
	if _, err := c.Write(request); err != nil {
		return 0, err
	}
	length, ok := -1, false
	for {
		line, err := br.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		switch {
		case bytes.HasPrefix(line, []byte("HTTP/1.1 200")):
			ok = true
		case bytes.HasPrefix(line, []byte("Content-Length: ")):
			if length, err = strconv.Atoi(string(bytes.TrimSpace(line[len("Content-Length: "):]))); err != nil {
				return 0, err
			}
		case len(line) == 2:
			if !ok || length < 0 {
				return 0, io.ErrUnexpectedEOF
			}
			_, err := br.Discard(length)
			return length, err
		}
	}
}

// kept measures one connection that stays open; fresh one connection per request.
func kept(b *testing.B, socket string, request []byte) {
	b.Helper()
	c, err := net.Dial("unix", socket)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	br := bufio.NewReaderSize(c, 32<<10)
	times := make([]time.Duration, 0, 1<<16)
	b.ReportAllocs()
	for b.Loop() {
		began := time.Now()
		if _, err := roundTrip(c, br, request); err != nil {
			b.Fatal(err)
		}
		if len(times) < cap(times) {
			times = append(times, time.Since(began))
		}
	}
	b.ReportMetric(float64(percentile(times, 50).Nanoseconds())/1e3, "p50-µs")
	b.ReportMetric(float64(percentile(times, 99).Nanoseconds())/1e3, "p99-µs")
}

func fresh(b *testing.B, socket string, request []byte) {
	b.Helper()
	times := make([]time.Duration, 0, 1<<16)
	br := bufio.NewReaderSize(nil, 32<<10)
	for b.Loop() {
		began := time.Now()
		c, err := net.Dial("unix", socket)
		if err != nil {
			b.Fatal(err)
		}
		br.Reset(c)
		if _, err := roundTrip(c, br, request); err != nil {
			b.Fatal(err)
		}
		c.Close()
		if len(times) < cap(times) {
			times = append(times, time.Since(began))
		}
	}
	b.ReportMetric(float64(percentile(times, 50).Nanoseconds())/1e3, "p50-µs")
}

// many measures throughput with 16 kept connections.
func many(b *testing.B, socket string, request []byte) {
	b.Helper()
	const connections = 16
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	var mu sync.Mutex
	var slowest []time.Duration
	b.ResetTimer()
	for range connections {
		wg.Go(func() {
			c, err := net.Dial("unix", socket)
			if err != nil {
				b.Error(err)
				return
			}
			defer c.Close()
			br := bufio.NewReaderSize(c, 32<<10)
			times := make([]time.Duration, 0, 1<<12)
			for left.Add(-1) >= 0 {
				began := time.Now()
				if _, err := roundTrip(c, br, request); err != nil {
					b.Error(err)
					return
				}
				if len(times) < cap(times) {
					times = append(times, time.Since(began))
				}
			}
			mu.Lock()
			slowest = append(slowest, times...)
			mu.Unlock()
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
	if len(slowest) > 0 {
		b.ReportMetric(float64(percentile(slowest, 99).Nanoseconds())/1e3, "p99-µs")
	}
}

// bareEcho answers each request of known size with a fixed answer: the cost of
// the socket and nothing else.
func bareEcho(b *testing.B, request, answer []byte) string {
	b.Helper()
	socket := filepath.Join(b.TempDir(), "e")
	ln, err := net.Listen("unix", socket)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				buf := make([]byte, len(request))
				for {
					if _, err := io.ReadFull(c, buf); err != nil {
						return
					}
					if _, err := c.Write(answer); err != nil {
						return
					}
				}
			}()
		}
	}()
	return socket
}

// httpEcho is net/http as it comes, writing a body of the same size.
func httpEcho(b *testing.B, size int) string {
	b.Helper()
	socket := filepath.Join(b.TempDir(), "h")
	ln, err := net.Listen("unix", socket)
	if err != nil {
		b.Fatal(err)
	}
	body := bytes.Repeat([]byte("x"), size)
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > 0 {
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				return
			}
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body)
	})}
	go func() { _ = srv.Serve(ln) }()
	b.Cleanup(func() { srv.Close() })
	return socket
}

// signer answers checks with a real signature over a message of the size of a
// proof and envelopes of their usual sizes.
type signer struct {
	*fake
	key             ed25519.PrivateKey
	license, keyset []byte
	verdict         []byte
}

func (s *signer) Check(product, _ string, nonce []byte, _ string) (Checked, error) {
	message := make([]byte, 0, 512)
	message = append(message, "DSSEv1 48 application/vnd.license-agent.proof.v1+json 300 "...)
	message = append(message, product...)
	message = append(message, nonce...)
	message = message[:360]
	signature := ed25519.Sign(s.key, message)
	proof := base64.StdEncoding.AppendEncode(nil, message)
	proof = base64.StdEncoding.AppendEncode(proof, signature)
	return Checked{License: s.license, KeySet: s.keyset, Proof: proof, Verdict: s.verdict}, nil
}

func newSigner(b *testing.B) *signer {
	b.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	f := newFake()
	verdict, err := json.Marshal(f.license(api.English).Verdict)
	if err != nil {
		b.Fatal(err)
	}
	return &signer{fake: f, verdict: verdict, key: key, license: bytes.Repeat([]byte("l"), 2000), keyset: bytes.Repeat([]byte("k"), 1200)}
}

func statusRequest() []byte {
	return []byte("GET /v1/status HTTP/1.1\r\nHost: license-agent\r\n\r\n")
}

func checkRequest() []byte {
	body := bodies()[api.PathCheck]
	return []byte("POST /v1/check HTTP/1.1\r\nHost: license-agent\r\nContent-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body)
}

// size is the body length of one answer of the rig.
func size(b *testing.B, r *benchRig, request []byte) int {
	b.Helper()
	c, err := net.Dial("unix", r.socket)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	n, err := roundTrip(c, bufio.NewReaderSize(c, 32<<10), request)
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// benchRig is a server with the shipped limits whose callers are 16 users, so
// that no cap is in the way of the generator.
type benchRig struct{ socket string }

func benchStart(b *testing.B, l Licenses) *benchRig {
	b.Helper()
	s, err := New(Config{Licenses: l, Identify: root, Now: time.Now})
	if err != nil {
		b.Fatal(err)
	}
	socket := filepath.Join(b.TempDir(), "s")
	ln, err := net.Listen("unix", socket)
	if err != nil {
		b.Fatal(err)
	}
	go func() { _ = s.Serve(ln) }()
	b.Cleanup(func() { _ = s.http.Close() })
	return &benchRig{socket: socket}
}

func benchmark(b *testing.B, measure func(*testing.B, string, []byte)) {
	for _, c := range []struct {
		name    string
		request []byte
	}{{"status", statusRequest()}, {"check", checkRequest()}} {
		r := benchStart(b, newSigner(b))
		n := size(b, r, c.request)
		answer := []byte("HTTP/1.1 200 OK\r\nContent-Length: " + strconv.Itoa(n) + "\r\n\r\n" + strings.Repeat("x", n))
		b.Run(c.name+"/bare-echo", func(b *testing.B) { measure(b, bareEcho(b, c.request, answer), c.request) })
		b.Run(c.name+"/http-echo", func(b *testing.B) { measure(b, httpEcho(b, n), c.request) })
		b.Run(c.name+"/agent", func(b *testing.B) { measure(b, r.socket, c.request) })
	}
}

func BenchmarkKept(b *testing.B)  { benchmark(b, kept) }
func BenchmarkFresh(b *testing.B) { benchmark(b, fresh) }
func BenchmarkMany(b *testing.B)  { benchmark(b, many) }
