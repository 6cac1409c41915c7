package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"licenseagent.example/activation/merchant"
)

// listenAdmin makes the listener of the admin interface.
func (a *app) listenAdmin(svc *merchant.Service, c config, cert *keyPair, log *slog.Logger) (*http.Server, net.Listener, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: cert.get}
	if c.Admin.ClientCA != "" {
		text, err := os.ReadFile(a.path(c.Admin.ClientCA))
		if err != nil {
			return nil, nil, err
		}
		conf.ClientCAs, conf.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
		if !conf.ClientCAs.AppendCertsFromPEM(text) {
			return nil, nil, usage("admin.client_ca: there is no certificate in %s", a.path(c.Admin.ClientCA))
		}
	}
	s, err := a.adminServer(svc, log)
	if err != nil {
		return nil, nil, err
	}
	in, err := net.Listen("tcp", c.Admin.Listen)
	if err != nil {
		return nil, nil, err
	}
	server := s.HTTP()
	server.TLSConfig = conf
	return server, in, nil
}

// keyPair is a TLS certificate that is read again when its file changes, so
// that renewing it needs no restart.
type keyPair struct {
	certFile, keyFile string

	mu      sync.Mutex
	pair    tls.Certificate
	changed time.Time
}

func loadPair(certFile, keyFile string) (*keyPair, error) {
	p := &keyPair{certFile: certFile, keyFile: keyFile}
	if _, err := p.reload(); err != nil {
		return nil, fmt.Errorf("%w: %w", errNoCertificate, err)
	}
	return p, nil
}

// reload reads the files if they changed; it says whether they did. What cannot
// be read leaves the pair as it is.
func (p *keyPair) reload() (bool, error) {
	info, err := os.Stat(p.certFile)
	if err != nil {
		return false, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if info.ModTime().Equal(p.changed) {
		return false, nil
	}
	pair, err := tls.LoadX509KeyPair(p.certFile, p.keyFile)
	if err != nil {
		return false, err
	}
	p.pair, p.changed = pair, info.ModTime()
	return true, nil
}

// get is tls.Config.GetCertificate.
func (p *keyPair) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	pair := p.pair
	return &pair, nil
}

func (p *keyPair) ends() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pair.Leaf.NotAfter
}

// watchEvery is how often the service looks after itself.
const watchEvery = time.Minute

// watchService looks for what can go wrong without a request, and takes a
// renewed certificate up.
func watchService(ctx context.Context, svc *merchant.Service, cert *keyPair, log *slog.Logger) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		if _, err := cert.reload(); err != nil && !errors.Is(err, os.ErrNotExist) {
			log.Error("the TLS certificate cannot be read again; the old one stays in use", "error", err)
		}
		svc.WatchCertificate(cert.ends())
		svc.Check(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
