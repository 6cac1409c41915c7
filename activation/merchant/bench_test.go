package merchant

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"licenseagent.example/activation/license"
	"licenseagent.example/activation/protocol"
	"licenseagent.example/docs/promise"
)

// loadClients is how many requests are under way at a time: more than the
// cores, because most of the time of a request is spent waiting for the disk.
const loadClients = 32

// dialer opens a TLS 1.3 connection for every request, as agents do that call
// once a day, and resumes none. It writes HTTP by hand: the load generator
// shares the machine with the service, and net/http's client costs half as much
// again as everything else here.
type dialer struct {
	address string
	conf    *tls.Config
}

// Without curves it agrees on keys by Go's own choice, X25519MLKEM768.
func newDialer(srv *httptest.Server, curves ...tls.CurveID) *dialer {
	pool := x509.NewCertPool()
	pool.AddCert(srv.Certificate())
	return &dialer{address: srv.Listener.Addr().String(), conf: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13, ServerName: "127.0.0.1", CurvePreferences: curves}}
}

// post sends one request on a connection of its own and returns the body of the
// answer.
func (d *dialer) post(path string, body []byte) ([]byte, error) {
	conn, err := tls.Dial("tcp", d.address, d.conf)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if conn.ConnectionState().DidResume {
		return nil, errors.New("the connection was resumed")
	}
	request := fmt.Appendf(make([]byte, 0, len(body)+256), "POST %s HTTP/1.1\r\nHost: load\r\nConnection: close\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", path, protocol.ContentEnvelope, len(body))
	if _, err := conn.Write(append(request, body...)); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(conn)
	if err != nil {
		return nil, err
	}
	head, answer, ok := bytes.Cut(text, []byte("\r\n\r\n"))
	if !ok || !bytes.HasPrefix(head, []byte("HTTP/1.1 200 ")) {
		return nil, fmt.Errorf("answered %.200s", text)
	}
	return answer, nil
}

// newTLSClient is net/http's client for tests that do not count.
func newTLSClient(srv *httptest.Server) *http.Client { return clientFor(srv.Certificate()) }

func clientFor(cert *x509.Certificate) *http.Client {
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true, DisableCompression: true,
		TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13},
	}}
}

// load is what a number of requests at a time achieved.
type load struct {
	rate     float64 // per second
	p50, p99 time.Duration
}

// spread reports a load as a benchmark does.
func spread(b *testing.B, n int, work func(worker int) error) {
	b.Helper()
	b.ResetTimer()
	l := drive(b, n, work)
	b.StopTimer()
	b.ReportMetric(l.rate, "req/s")
	b.ReportMetric(float64(l.p50.Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(l.p99.Microseconds())/1000, "p99-ms")
}

// drive runs n pieces of work on loadClients goroutines.
func drive(t testing.TB, n int, work func(worker int) error) load {
	t.Helper()
	// As license-merchant serve does; the exchange without a database as well.
	defer (&Database{postgres: os.Getenv("MERCHANT_TEST_POSTGRES") != ""}).TuneRuntime(os.Getenv)()
	var next atomic.Int64
	took := make([]time.Duration, n)
	var wg sync.WaitGroup
	start := time.Now()
	for w := range loadClients {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				begin := time.Now()
				if err := work(w); err != nil {
					t.Error(err)
					return
				}
				took[i] = time.Since(begin)
			}
		})
	}
	wg.Wait()
	rate := float64(n) / time.Since(start).Seconds()
	slices.Sort(took)
	return load{rate, took[n/2], took[n*99/100]}
}

func post(c *http.Client, url string, body []byte, contentType string) ([]byte, error) {
	resp, err := c.Post(url, contentType, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d: %s", resp.StatusCode, text)
	}
	return text, err
}

// follow moves the chain without verifying or parsing: the load generator shares
// the machine with the service and must stay cheap.
func (d *device) follow(answer []byte) error {
	payload, err := base64.StdEncoding.DecodeString(between(string(answer), `"payload":"`, `"`))
	if err != nil {
		return err
	}
	text := string(payload)
	if d.license == "" {
		d.license = between(text, `"lic":"`, `"`)
	}
	d.head = between(text, `"head":"`, `"`)
	d.seq, err = strconv.ParseInt(between(text, `"seq":`, `,`), 10, 64)
	return err
}

// between is what stands after one mark and before the next, "" if nothing does.
func between(text, after, before string) string {
	_, rest, _ := strings.Cut(text, after)
	found, _, _ := strings.Cut(rest, before)
	return found
}

// BenchmarkRenewalsNewTLS is the daily case: each renewal on a TLS 1.3
// connection of its own, durable in the database before it is answered.
// BenchmarkEchoNewTLS is the same exchange without a license service in it;
// the ratio of the two says what the service costs.
func BenchmarkRenewalsNewTLS(b *testing.B) {
	spread(b, b.N, renewals(b, protocol.RenewalCurves()...))
}

// renewals is the work of BenchmarkRenewalsNewTLS.
func renewals(t testing.TB, curves ...tls.CurveID) func(worker int) error {
	bed := newBed(t)
	srv, _ := bed.serve()
	client := newDialer(srv, curves...)
	devices := activated(t, bed)
	return func(w int) error {
		d := devices[w]
		answer, err := client.post(protocol.PathRenewals, d.request(license.RequestRenew, ""))
		if err != nil {
			return err
		}
		return d.follow(answer)
	}
}

// P27: the rate is written down and decides nothing, because it depends on what
// else the machine does; load generator and service share its processors. The
// control, the same bytes over the same TLS without a service, says what this
// machine could do at most.
func TestP27Rate(t *testing.T) {
	n := promise.Size(200, 20_000)
	service := drive(t, n, renewals(t, protocol.RenewalCurves()...))
	hybrid := drive(t, n, renewals(t))
	bare := drive(t, n, echoes(t, protocol.RenewalCurves()...))
	kind := "SQLite"
	if os.Getenv("MERCHANT_TEST_POSTGRES") != "" {
		kind = "PostgreSQL"
	}
	promise.Reached(t, "P27", fmt.Sprintf("%s: %d renewals, each durable and on a TLS 1.3 connection of its own, from %d clients on the same machine: %.0f/s with the key exchange of renewals, X25519, p50 %v, p99 %v; %.0f/s with that of everything else, X25519MLKEM768, p99 %v",
		kind, n, loadClients, service.rate, service.p50.Round(time.Millisecond), service.p99.Round(time.Millisecond), hybrid.rate, hybrid.p99.Round(time.Millisecond)),
		fmt.Sprintf("no license service, the same bytes: %.0f/s, p99 %v", bare.rate, bare.p99.Round(time.Millisecond)))
}

// activated is one device per worker, all on one code.
func activated(t testing.TB, bed *bed) []*device {
	t.Helper()
	code, _ := bed.code(func(s *CodeSpec) { s.Devices = loadClients })
	var devices []*device
	for i := range loadClients {
		d := bed.device(i)
		must0(t, d.activate(code))
		devices = append(devices, d)
	}
	return devices
}

// BenchmarkEchoNewTLS answers a renewal's bytes with as many bytes as a license
// answer has, over the same TLS, doing nothing else.
func BenchmarkEchoNewTLS(b *testing.B) { spread(b, b.N, echoes(b, protocol.RenewalCurves()...)) }

// echoes is the work of BenchmarkEchoNewTLS.
func echoes(t testing.TB, curves ...tls.CurveID) func(worker int) error {
	bed := newBed(t)
	d := activated(t, bed)[0]
	request := d.request(license.RequestRenew, "")
	a, err := bed.svc.Process(context.Background(), request, "", "")
	must0(t, err)
	answer := must(protocol.EncodeAnswer(a))(t)
	srv := tlsServer(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Error(err)
		}
		if _, err := w.Write(answer); err != nil {
			t.Error(err)
		}
	})})
	client := newDialer(srv, curves...)
	return func(int) error {
		_, err := client.post("/", request)
		return err
	}
}

// BenchmarkActivationsNewTLS activates a new device each time.
func BenchmarkActivationsNewTLS(b *testing.B) {
	bed := newBed(b)
	srv, _ := bed.serve()
	client := newDialer(srv)
	code, _ := bed.code(func(s *CodeSpec) { s.Devices = 1_000_000_000 })
	requests := make(chan []byte, b.N)
	for i := range b.N {
		requests <- bed.device(i).request(license.RequestActivate, code)
	}
	spread(b, b.N, func(int) error {
		_, err := client.post(protocol.PathActivations, <-requests)
		return err
	})
}

// BenchmarkRenewal is a renewal without network, one at a time: the latency of
// one durable commit.
func BenchmarkRenewal(b *testing.B) {
	bed := newBed(b)
	d := activated(b, bed)[0]
	for b.Loop() {
		must0(b, d.renew())
	}
}
