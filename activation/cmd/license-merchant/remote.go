package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"licenseagent.example/activation/merchant"
	"licenseagent.example/activation/merchant/admin"
)

// remote says which service the commands talk to. Without a server it is the
// one of the data directory, in this process: the same interface, without a
// network and without a token, because whoever can open the database and the
// key directory has all that a token could give.
type remote struct {
	server    string
	tokenFile string
	ca        string
	cert, key string
}

func (r *remote) flags(root *cobra.Command, env func(string) string) {
	f := root.PersistentFlags()
	f.StringVar(&r.server, "server", env("LICENSE_MERCHANT_SERVER"), "https://host:port of serve --admin; without it the data directory (environment LICENSE_MERCHANT_SERVER)")
	f.StringVar(&r.tokenFile, "token-file", env("LICENSE_MERCHANT_TOKEN_FILE"), "file with your token for --server, mode 0600 (environment LICENSE_MERCHANT_TOKEN_FILE)")
	f.StringVar(&r.ca, "ca", env("LICENSE_MERCHANT_CA"), "PEM file of the authority that certified --server, if it is no public one (environment LICENSE_MERCHANT_CA)")
	f.StringVar(&r.cert, "client-cert", env("LICENSE_MERCHANT_CLIENT_CERT"), "PEM file of your client certificate, if --server asks for one (environment LICENSE_MERCHANT_CLIENT_CERT)")
	f.StringVar(&r.key, "client-key", env("LICENSE_MERCHANT_CLIENT_KEY"), "PEM file of its key (environment LICENSE_MERCHANT_CLIENT_KEY)")
}

// withAPI gives a command the admin interface.
func (a *app) withAPI(ctx context.Context, do func(c *admin.Client) error) error {
	if a.remote.server == "" {
		return a.withService(ctx, func(svc *merchant.Service, c config) error {
			if cert, err := loadPair(a.path(c.TLS.Certificate), a.path(c.TLS.Key)); err == nil {
				svc.WatchCertificate(cert.ends())
			}
			s, err := a.adminServer(svc, nil)
			if err != nil {
				return err
			}
			return do(&admin.Client{Base: "http://local", Lang: a.lang(), Transport: s.Local()})
		})
	}
	u, err := url.Parse(a.remote.server)
	if err != nil || u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" {
		return usage("--server is https://host:port, not %q", a.remote.server)
	}
	if a.remote.tokenFile == "" {
		return usage("--server needs --token-file")
	}
	token, err := secretLine(a.remote.tokenFile, "the token of an operator")
	if err != nil {
		return err
	}
	transport, err := a.remote.transport()
	if err != nil {
		return err
	}
	defer transport.CloseIdleConnections()
	return do(&admin.Client{Base: "https://" + u.Host, Token: token, Lang: a.lang(), Transport: transport})
}

func (a *app) adminServer(svc *merchant.Service, log *slog.Logger) (*admin.Server, error) {
	return admin.New(admin.Options{Service: svc, Rand: a.rand, Clock: a.now, Log: log, Program: "license-merchant " + build().Version})
}

// transport is HTTPS with the certificates given.
func (r *remote) transport() (*http.Transport, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if r.ca != "" {
		text, err := os.ReadFile(r.ca)
		if err != nil {
			return nil, err
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(text) {
			return nil, usage("--ca: there is no certificate in %s", r.ca)
		}
	}
	if r.cert != "" || r.key != "" {
		pair, err := tls.LoadX509KeyPair(r.cert, r.key)
		if err != nil {
			return nil, usage("--client-cert and --client-key: %v", err)
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: conf, TLSHandshakeTimeout: 10 * time.Second, ForceAttemptHTTP2: true,
	}, nil
}

// namesShown is how many names of a certificate a hint lists.
const namesShown = 8

// unreachableHint is the next step when --server did not answer as it should.
func unreachableHint(err error) string {
	var other x509.HostnameError
	if !errors.As(err, &other) {
		return "Check --server and --ca, and that the service runs with --admin."
	}
	names := slices.Clone(other.Certificate.DNSNames)
	for _, ip := range other.Certificate.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		return fmt.Sprintf("The certificate of the service names no host at all: renew it with %s in it.", other.Host)
	}
	list := strings.Join(names[:min(len(names), namesShown)], ", ")
	if len(names) > namesShown {
		list += fmt.Sprintf(" and %d more", len(names)-namesShown)
	}
	return fmt.Sprintf("The certificate of the service is for %s. Give one of these names to --server, and let it lead to the address of --admin here (your own DNS, or the hosts file); or renew the certificate with %s in it.", list, other.Host)
}

// maxLine is how many bytes the file of a token or of a PIN may have.
const maxLine = 4096

// secretLine reads a file whose only line is a secret. what says which one.
func secretLine(path, what string) (string, error) {
	text, err := merchant.ReadSecret(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", usage("%s: no such file; it should hold %s", path, what)
	}
	if err != nil {
		return "", err
	}
	line := strings.TrimSpace(string(text))
	if line == "" || len(text) > maxLine {
		return "", usage("%s: want one line of at most %d bytes, %s", path, maxLine, what)
	}
	return line, nil
}

// lang is the language of the sentences that a service answers with.
func (a *app) lang() string {
	for _, name := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		if v := a.env(name); v != "" {
			if strings.HasPrefix(v, "zh") {
				return "zh-CN"
			}
			return ""
		}
	}
	return ""
}
