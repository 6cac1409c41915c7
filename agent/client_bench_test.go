package agent

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"licenseagent.example/activation/activationtest"
	"licenseagent.example/agent/api"
	"licenseagent.example/agent/client"
	"licenseagent.example/agent/localapi"
	"licenseagent.example/platform/ipc"
	"licenseagent.example/store"
)

// listenReal serves a daemon as the product does: callers and their processes
// as the kernel says.
func listenReal(b *testing.B, d *Daemon) string {
	b.Helper()
	socket := filepath.Join(b.TempDir(), "s")
	ln, err := ipc.Listen(socket, ipc.Options{})
	if err != nil {
		b.Fatal(err)
	}
	s, err := localapi.New(localapi.Config{Licenses: d, Now: time.Now, Identify: localapi.FromKernel(nil), Process: ipc.ProcessOf})
	if err != nil {
		b.Fatal(err)
	}
	go func() { _ = s.Serve(ln) }()
	b.Cleanup(func() { _ = s.Shutdown(context.Background()) })
	return socket
}

// BenchmarkClientCheck is what a Go program waits for a verdict that it has
// verified itself. "cached" is the second and every later check; "uncached"
// verifies key set and license and compares the device as well, on a new
// connection. The agent's bare check beside them believes everything.
func BenchmarkClientCheck(b *testing.B) {
	r := start(b, nil)
	r.activate()
	socket := listenReal(b, r.daemon)
	checker := func() *client.Checker {
		began := time.Now()
		return &client.Checker{
			Anchor: r.merchant.Anchor(), Client: &client.Client{Socket: socket}, Observe: r.machine.Device,
			Clock: func() (int64, time.Duration) { return r.machine.Clock.Wall(), time.Since(began) },
		}
	}
	check := func(k *client.Checker) {
		if v, err := k.Check(context.Background(), "painter"); err != nil || !v.Runs {
			b.Fatalf("%+v %v", v, err)
		}
	}
	body := `{"product":"painter","issuer":"acme","nonce":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}`
	bare := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: license-agent\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", api.PathCheck, len(body), body)
	for _, pace := range []struct {
		suffix string
		busy   time.Duration
	}{{"", 0}, {"-apart", apart}} {
		b.Run("bare"+pace.suffix, func(b *testing.B) {
			measure(b, socket, []byte(bare), func(ask func()) { medianOf(b, pace.busy, ask) })
		})
		b.Run("cached"+pace.suffix, func(b *testing.B) {
			k := checker()
			defer k.Client.Close()
			check(k)
			medianOf(b, pace.busy, func() { check(k) })
		})
	}
	b.Run("uncached", func(b *testing.B) {
		medianOf(b, 0, func() {
			k := checker()
			check(k)
			k.Client.Close()
		})
	})
}

// apart is how long a program does something else between two questions. Asked
// without a pause, the agent's thread is still awake when the next one comes; the
// client, which has a signature to verify meanwhile, finds it asleep. A program
// that is not a benchmark finds it asleep either way.
const apart = 300 * time.Microsecond

// medianOf reports how long f takes, after the caller has been busy for a while.
func medianOf(b *testing.B, busy time.Duration, f func()) {
	b.Helper()
	var times []time.Duration
	b.ReportAllocs()
	for b.Loop() {
		for began := time.Now(); time.Since(began) < busy; {
			continue
		}
		began := time.Now()
		f()
		times = append(times, time.Since(began))
	}
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)/2].Nanoseconds())/1e3, "p50-µs")
	b.ReportMetric(float64(times[len(times)*99/100].Nanoseconds())/1e3, "p99-µs")
}

// BenchmarkSeat takes a seat and gives it back, each on a connection of its own
// and with the process asked of the kernel and the journal on disk. The echo
// beside it answers as much on as many new connections.
func BenchmarkSeat(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "state")
	if err := os.Mkdir(dir, 0o700); err != nil {
		b.Fatal(err)
	}
	j, _, err := store.OpenJournal(dir, "boot")
	if err != nil {
		b.Fatal(err)
	}
	defer j.Close()
	r := start(b, func(c *Config) { c.SeatLog = SeatLog{Append: j.Append, Replace: j.Replace} })
	r.merchant.AddCode("SEATS", activationtest.Offer{Product: "mesher", Seats: 1000})
	if _, err := r.daemon.Activate(context.Background(), api.ActivateRequest{Code: "SEATS"}, api.English); err != nil {
		b.Fatal(err)
	}
	socket := listenReal(b, r.daemon)
	var programs atomic.Int64
	turn := func(b *testing.B, socket, path string) {
		programs.Store(0)
		b.SetParallelism(4)
		b.RunParallel(func(pb *testing.PB) {
			body := fmt.Sprintf(`{"product":"mesher","user":"u%d"}`, programs.Add(1))
			request := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: license-agent\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body)
			br := bufio.NewReader(nil)
			for pb.Next() {
				c, err := net.Dial("unix", socket)
				if err != nil {
					b.Error(err)
					return
				}
				br.Reset(c)
				if _, err := io.WriteString(c, request); err != nil {
					b.Error(err)
				}
				resp, err := http.ReadResponse(br, nil)
				if err != nil || resp.StatusCode != http.StatusOK {
					b.Errorf("%+v %v", resp, err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				c.Close()
			}
		})
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "seats/s")
	}
	b.Run("echo", func(b *testing.B) { turn(b, echoServer(b, 250), api.PathSeats) })
	b.Run("take-and-return", func(b *testing.B) { turn(b, socket, api.PathSeats) })
	for _, c := range r.daemon.Seats().Counts {
		if c.Peak > 64 {
			b.Errorf("%+v", c)
		}
	}
}
