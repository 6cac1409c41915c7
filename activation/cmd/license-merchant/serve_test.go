package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"database/sql"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"licenseagent.example/activation/koogallery"
	"licenseagent.example/activation/merchant"
	"licenseagent.example/activation/merchant/admin"
	"licenseagent.example/activation/merchant/hsm"
)

// clientCertificate makes an authority and a certificate for a person, as PEM
// files, and returns the authority's file.
func clientCertificate(t *testing.T, dir string) (ca, cert, key string) {
	t.Helper()
	newKey := func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		check(t, err)
		return k
	}
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		check(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
		return path
	}
	root, leaf := newKey(), newKey()
	authority := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "people"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, authority, authority, root.Public(), root)
	check(t, err)
	ca = write("people.pem", "CERTIFICATE", der)
	person := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "ann"}, NotBefore: authority.NotBefore, NotAfter: authority.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err = x509.CreateCertificate(rand.Reader, person, authority, leaf.Public(), root)
	check(t, err)
	cert = write("ann.pem", "CERTIFICATE", der)
	der, err = x509.MarshalPKCS8PrivateKey(leaf)
	check(t, err)
	return ca, cert, write("ann.key", "PRIVATE KEY", der)
}

// With client_ca set a token alone opens nothing: the connection needs a
// certificate of that authority.
func TestAdminAsksForACertificate(t *testing.T) {
	s := openShop(t)
	dir := t.TempDir()
	ca, cert, key := clientCertificate(t, dir)
	_, strangerCert, strangerKey := clientCertificate(t, t.TempDir())
	pair, err := loadPair(s.app.path("tls/server.pem"), s.app.path("tls/server.key"))
	check(t, err)
	server, in, err := s.app.listenAdmin(s.svc, config{Admin: adminSection{Listen: "127.0.0.1:0", ClientCA: ca}}, pair, slog.New(slog.DiscardHandler))
	check(t, err)
	done := make(chan error, 1)
	go func() { done <- server.ServeTLS(in, "", "") }()
	t.Cleanup(func() {
		check(t, server.Close())
		<-done
	})
	tokenFile := filepath.Join(dir, "token")
	s.command("tokens", "add", "--name", "ann", "--role", "viewer", "--out", tokenFile)
	run := func(extra ...string) (int, string) {
		var out bytes.Buffer
		a := *s.app
		a.stdout, a.stderr, a.remote = &out, &out, remote{}
		code := a.run(context.Background(), append([]string{"health", "--server", "https://" + in.Addr().String(), "--ca", s.app.path("tls/ca.pem"), "--token-file", tokenFile}, extra...))
		return code, out.String()
	}
	if code, text := run("--client-cert", cert, "--client-key", key); code != exitOK || !strings.Contains(text, "nothing is wrong") {
		t.Errorf("with the certificate: %d %s", code, text)
	}
	if code, text := run(); code != exitUnreachable {
		t.Errorf("without a certificate: %d %s", code, text)
	}
	if code, text := run("--client-cert", strangerCert, "--client-key", strangerKey); code != exitUnreachable {
		t.Errorf("with a stranger's certificate: %d %s", code, text)
	}
	if code, _ := run("--client-cert", cert); code != exitUsage {
		t.Errorf("a certificate without its key: %d", code)
	}
	check(t, os.WriteFile(tokenFile, []byte("lmt_wrong\n"), 0o600))
	if code, text := run("--client-cert", cert, "--client-key", key); code != exitPermission || !strings.Contains(text, string(admin.CodeNoToken)) {
		t.Errorf("the certificate without a token: %d %s", code, text)
	}
	if _, _, err := s.app.listenAdmin(s.svc, config{Admin: adminSection{Listen: "127.0.0.1:0", ClientCA: key}}, pair, nil); err == nil {
		t.Error("a file without a certificate is an authority")
	}
}

// A renewed certificate is taken up while the service runs; one that cannot be
// read leaves the old one in use, and is told.
func TestCertificateIsTakenUp(t *testing.T) {
	s := openShop(t)
	pair, err := loadPair(s.app.path("tls/server.pem"), s.app.path("tls/server.key"))
	check(t, err)
	before := pair.ends()
	renewed := filepath.Join(t.TempDir(), "tls")
	check(t, createTLS(renewed, []string{"localhost"}, time.Now().AddDate(1, 0, 0)))
	replace := func(name string, text []byte) {
		check(t, os.WriteFile(s.app.path("tls/"+name), text, 0o600))
		later := time.Now().Add(time.Minute)
		check(t, os.Chtimes(s.app.path("tls/"+name), later, later))
	}
	cert, err := os.ReadFile(filepath.Join(renewed, "server.pem"))
	check(t, err)
	key, err := os.ReadFile(filepath.Join(renewed, "server.key"))
	check(t, err)

	replace("server.pem", cert) // the key is still the old one
	if _, err := pair.reload(); err == nil || !pair.ends().Equal(before) {
		t.Fatalf("a certificate without its key: %v, ends %s", err, pair.ends())
	}
	var log bytes.Buffer
	ctx, stop := context.WithCancel(context.Background())
	stop() // one round
	watchService(ctx, s.svc, pair, slog.New(slog.NewTextHandler(&log, nil)))
	if !strings.Contains(log.String(), "the old one stays in use") {
		t.Errorf("log: %s", log.String())
	}
	replace("server.key", key)
	if changed, err := pair.reload(); err != nil || !changed || !pair.ends().After(before) {
		t.Errorf("the new pair: %v %v, ends %s", changed, err, pair.ends())
	}
	if changed, err := pair.reload(); err != nil || changed {
		t.Errorf("nothing new: %v %v", changed, err)
	}
	check(t, os.Remove(s.app.path("tls/server.pem")))
	if _, err := pair.reload(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	served, err := pair.get(nil)
	check(t, err)
	if !served.Leaf.NotAfter.Equal(pair.ends()) {
		t.Error("another certificate is served")
	}
}

// A certificate that ends tomorrow is told by the command, with the next step.
func TestHealthTellsOfTheCertificate(t *testing.T) {
	s := openShop(t)
	if text := s.command("health"); !strings.Contains(text, "nothing is wrong") {
		t.Fatal(text)
	}
	late := *s.app
	late.now = func() time.Time { return time.Now().AddDate(2, 0, -1) }
	var out bytes.Buffer
	late.stdout, late.stderr = &out, &out
	if code := late.run(context.Background(), []string{"health", "--dir", s.app.dir}); code != exitOK || !strings.Contains(out.String(), "certificate-expires-soon") || !strings.Contains(out.String(), "next: Renew it") {
		t.Errorf("%d %s", code, out.String())
	}
	out.Reset()
	late.env = func(name string) string { return map[string]string{"LANG": "zh_CN.UTF-8"}[name] }
	if code := late.run(context.Background(), []string{"health", "--dir", s.app.dir}); code != exitOK || !strings.Contains(out.String(), "证书") {
		t.Errorf("%d %s", code, out.String())
	}
}

// What a running service met stands in the database: the command shows it with
// what it is about, and closes it once somebody has put it right.
func TestHealthSettle(t *testing.T) {
	s := openShop(t)
	db, err := sql.Open("sqlite", s.app.path("merchant.db"))
	check(t, err)
	defer db.Close() //nolint:errcheck // its test is over
	_, err = db.Exec(`INSERT INTO problems (code, subject, detail, since) VALUES ('foreign-code', '…0007', '92020001', 1)`)
	check(t, err)
	text := s.command("health")
	for _, want := range []string{"foreign-code", "…0007", "next: Compare the seller", "then: license-merchant health settle foreign-code …0007"} {
		if !strings.Contains(text, want) {
			t.Errorf("health does not say %q: %s", want, text)
		}
	}
	if text := s.command("health", "settle", "foreign-code", "…0007", "--reason", "buyer told"); !strings.Contains(text, "nothing is wrong") {
		t.Errorf("settled: %s", text)
	}
	if text := s.command("audit", "list", "--subject", "…0007"); !strings.Contains(text, "problem.settle") || !strings.Contains(text, "buyer told") {
		t.Errorf("the audit log says %s", text)
	}
}

// What the documents leave open is chosen in the configuration, and a choice
// that there is not is named.
func TestMarketSettings(t *testing.T) {
	s := openShop(t)
	var said bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&said, nil))
	write := func(text string) config {
		t.Helper()
		check(t, os.WriteFile(s.app.path(configName), []byte("marketplace = \"simulated\"\n[koogallery]\n"+text+"\n[[koogallery.product]]\nproduct = \"painter\"\n"), 0o600))
		c, err := s.app.loadConfig()
		check(t, err)
		return c
	}
	o, _, err := s.app.market(write("times = \"+08:00\"\nuploads = \"unsigned\"\ncalendar = \"-03:00\"\nunknown_status = \"frozen\""), log)
	check(t, err)
	client, ok := o.Market.(*koogallery.Client)
	if !ok || !client.UnsignedUploads || client.Zone.String() != "+08:00" || o.Zone.String() != "+08:00" || o.Calendar.String() != "-03:00" || o.UnknownStatus != merchant.UnknownStatusFrozen {
		t.Errorf("%+v %+v", o, client)
	}
	for range 3 {
		client.Unknown("heartbeat", "grace_time")
	}
	client.Unknown("heartbeat", "other")
	if n := strings.Count(said.String(), `"member":"grace_time"`); n != 1 || !strings.Contains(said.String(), `"member":"other"`) {
		t.Errorf("a member that is met three times is said %d times: %s", n, said.String())
	}
	if o, _, err = s.app.market(write(""), log); err != nil || o.Zone != nil || o.Market.(*koogallery.Client).UnsignedUploads {
		t.Errorf("without settings: %+v %v", o, err)
	}
	for text, name := range map[string]string{
		"times = \"Beijing\"": "koogallery.times", "calendar = \"8\"": "koogallery.calendar", "uploads = \"signed\"": "koogallery.uploads", "heartbeat = 3": "koogallery.heartbeat",
	} {
		if _, _, err := s.app.market(write(text), log); exitCode(t.Context(), err) != exitUsage || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// The next step after a certificate for another name says which names it has.
func TestHintForAnotherName(t *testing.T) {
	many := make([]string, namesShown+2)
	for i := range many {
		many[i] = fmt.Sprintf("n%d.example", i)
	}
	for name, c := range map[string]struct {
		names []string
		want  string
	}{
		"one":  {many[:1], "is for n0.example. Give"},
		"many": {many, "n7.example and 2 more. Give"},
		"none": {nil, "names no host at all: renew it with h in it"},
	} {
		err := x509.HostnameError{Certificate: &x509.Certificate{DNSNames: c.names}, Host: "h"}
		if _, _, hint := explain(fmt.Errorf("%w: %w", admin.ErrUnreachable, err)); !strings.Contains(hint, c.want) {
			t.Errorf("%s: %s", name, hint)
		}
	}
}

// Every error that a command can end with has a code, a sentence and a next
// step of its own.
func TestErrorsHaveCodes(t *testing.T) {
	for _, c := range []struct {
		err  error
		code string
		exit int
	}{
		{&admin.Error{Code: admin.CodeForbidden, Message: "m", Hint: "h"}, "role-too-weak", exitPermission},
		{&admin.Error{Code: "from-a-newer-version", Message: "m", Hint: "h"}, "from-a-newer-version", exitRefused},
		{admin.ErrUnreachable, "unreachable", exitUnreachable},
		{merchant.ErrUnavailable, "unavailable", exitUnreachable},
		{merchant.ErrBackup, "backup-unusable", exitRefused},
		{merchant.ErrAudit, "audit-broken", exitRefused},
		{merchant.ErrState, "wrong-state", exitRefused},
		{usage("x"), "usage", exitUsage},
		{hsm.ErrNotBuilt, "built-without-pkcs11", exitUsage},
		{merchant.ErrKeyStore, "key-store-unavailable", exitUnreachable},
		{fmt.Errorf("%w: %w", merchant.ErrUnavailable, merchant.ErrKeyStore), "key-store-unavailable", exitUnreachable},
		{errEmptyDatabase, "empty-database", exitRefused},
		{errKeysElsewhere, "keys-elsewhere", exitRefused},
		{errDeclined, "not-confirmed", exitUsage},
	} {
		code, message, hint := explain(c.err)
		if code != c.code || message == "" || hint == "" || exitCode(context.Background(), c.err) != c.exit {
			t.Errorf("%v: %s %q %q exit %d", c.err, code, message, hint, exitCode(context.Background(), c.err))
		}
	}
}

// A port that is taken is named, with what to do.
func TestPortTaken(t *testing.T) {
	s := openShop(t)
	other, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer other.Close() //nolint:errcheck // its test is over
	pair, err := loadPair(s.app.path("tls/server.pem"), s.app.path("tls/server.key"))
	check(t, err)
	address := other.Addr().String()
	err = s.app.serve(t.Context(), s.svc, config{Listen: address}, serveOptions{}, pair, slog.New(slog.DiscardHandler), nil)
	code, message, hint := explain(err)
	if code != "address-taken" || !strings.Contains(message, address) || !strings.Contains(hint, "--listen") || exitCode(t.Context(), err) != exitUnreachable {
		t.Errorf("%v: %s %q %q exit %d", err, code, message, hint, exitCode(t.Context(), err))
	}
}
