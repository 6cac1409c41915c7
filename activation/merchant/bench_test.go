package merchant

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sort"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"licenseagent.example/activation/license"
	"licenseagent.example/activation/protocol"
)

// loadClients is how many requests are under way at a time: more than the
// cores, because most of the time of a request is spent waiting for the disk.
const loadClients = 32

// newTLSClient opens a TLS 1.3 connection for every request, as agents do that
// call once a day, and resumes none.
func newTLSClient(srv *httptest.Server) *http.Client { return clientFor(srv.Certificate()) }

func clientFor(cert *x509.Certificate) *http.Client {
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true, DisableCompression: true,
		TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13},
	}}
}

// spread runs n pieces of work on loadClients goroutines and reports the rate
// and the 99th percentile.
func spread(b *testing.B, n int, work func(worker int) error) {
	b.Helper()
	var next atomic.Int64
	took := make([]time.Duration, n)
	var wg sync.WaitGroup
	b.ResetTimer()
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
					b.Error(err)
					return
				}
				took[i] = time.Since(begin)
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	sort.Slice(took, func(i, j int) bool { return took[i] < took[j] })
	b.ReportMetric(float64(n)/time.Since(start).Seconds(), "req/s")
	b.ReportMetric(float64(took[n/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[n*99/100].Microseconds())/1000, "p99-ms")
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

// follow moves the chain without verifying: the load generator shares the
// machine with the service and must stay cheap.
func (d *device) follow(answer []byte) error {
	a, err := protocol.DecodeAnswer(answer)
	if err != nil {
		return err
	}
	var e struct{ Payload string }
	if err := json.Unmarshal(a.License, &e); err != nil {
		return err
	}
	payload, err := base64.StdEncoding.DecodeString(e.Payload)
	if err != nil {
		return err
	}
	var c license.Claims
	if err := json.Unmarshal(payload, &c); err != nil {
		return err
	}
	d.license, d.seq, d.head = c.ID, c.Seq, c.Head
	return nil
}

// BenchmarkRenewalsNewTLS is the daily case: each renewal on a TLS 1.3
// connection of its own, durable in SQLite before it is answered.
// BenchmarkEchoNewTLS is the same exchange without a license service in it;
// the ratio of the two says what the service costs.
func BenchmarkRenewalsNewTLS(b *testing.B) {
	bed := newBed(b)
	srv, _ := bed.serve()
	client := newTLSClient(srv)
	devices := activated(b, bed)
	spread(b, b.N, func(w int) error {
		d := devices[w]
		answer, err := post(client, srv.URL+protocol.PathRenewals, d.request(license.RequestRenew, ""), protocol.ContentEnvelope)
		if err != nil {
			return err
		}
		return d.follow(answer)
	})
}

// activated is one device per worker, all on one code.
func activated(b *testing.B, bed *bed) []*device {
	b.Helper()
	code, _ := bed.code(func(s *CodeSpec) { s.Devices = loadClients })
	var devices []*device
	for i := range loadClients {
		d := bed.device(i)
		must0(b, d.activate(code))
		devices = append(devices, d)
	}
	return devices
}

// BenchmarkEchoNewTLS answers a renewal's bytes with as many bytes as a license
// answer has, over the same TLS, doing nothing else.
func BenchmarkEchoNewTLS(b *testing.B) {
	bed := newBed(b)
	d := activated(b, bed)[0]
	request := d.request(license.RequestRenew, "")
	a, err := bed.svc.Process(context.Background(), request, "", "")
	must0(b, err)
	answer := must(protocol.EncodeAnswer(a))(b)
	srv := tlsServer(b, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			b.Error(err)
		}
		if _, err := w.Write(answer); err != nil {
			b.Error(err)
		}
	})})
	client := newTLSClient(srv)
	spread(b, b.N, func(int) error {
		_, err := post(client, srv.URL, request, protocol.ContentEnvelope)
		return err
	})
}

// BenchmarkActivationsNewTLS activates a new device each time.
func BenchmarkActivationsNewTLS(b *testing.B) {
	bed := newBed(b)
	srv, _ := bed.serve()
	client := newTLSClient(srv)
	code, _ := bed.code(func(s *CodeSpec) { s.Devices = 1_000_000_000 })
	requests := make(chan []byte, b.N)
	for i := range b.N {
		requests <- bed.device(i).request(license.RequestActivate, code)
	}
	spread(b, b.N, func(int) error {
		_, err := post(client, srv.URL+protocol.PathActivations, <-requests, protocol.ContentEnvelope)
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
