//go:build linux

package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"licenseagent.example/activation/license"
	"licenseagent.example/activation/merchant"
	"licenseagent.example/activation/protocol/protocoltest"
)

// vendor is a real merchant service behind TLS on loopback. Its clock runs
// with the machine's unless the test moves it.
type vendor struct {
	t      testing.TB
	svc    *merchant.Service
	roots  string
	keys   string // directory of the online keys
	anchor license.Anchor

	mu     sync.Mutex
	clock  func() time.Time
	before func(path string) bool  // false: the request is lost
	after  func(path string) bool  // false: the reply is lost
	turned *protocoltest.Behaviour // what answers in the merchant's place; nil: the merchant
}

func check0(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func value[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		check0(t, err)
		return v
	}
}

// quickDir is a directory in memory where the system has one: a killed process
// loses nothing there either, and thousands of syncs cost little.
func quickDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "license-agent-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// newVendor starts a merchant service whose terms suit a test that sees one
// hardware many times. now nil: the machine's clock.
func newVendor(t testing.TB, now func() time.Time) *vendor {
	t.Helper()
	return newVendorOn(t, now, nil)
}

// newVendorOn changes the terms; nil: not.
func newVendorOn(t testing.TB, now func() time.Time, change func(*merchant.Terms)) *vendor {
	t.Helper()
	if now == nil {
		now = time.Now
	}
	v := &vendor{t: t, clock: now}
	dir := quickDir(t)
	v.roots, v.keys = filepath.Join(dir, "root"), filepath.Join(dir, "keys")
	for _, d := range []string{"keys", "root"} {
		check0(t, os.Mkdir(filepath.Join(dir, d), 0o700))
	}
	db := value(merchant.OpenSQLite(t.Context(), filepath.Join(dir, "merchant.db")))(t)
	t.Cleanup(func() { _ = db.Close() })
	terms := merchant.DefaultTerms()
	terms.PopularAt = 1_000_000
	if change != nil {
		change(&terms)
	}
	v.svc = value(merchant.New(context.Background(), merchant.Options{
		DB: db, KeyDir: v.keys, Clock: v.now, Rand: rand.Reader, Terms: terms,
	}))(t)
	t.Cleanup(v.svc.Close)
	v.anchor = value(v.svc.InitKeys(t.Context(), merchant.InitOptions{Issuer: "acme", RootDir: v.roots, Roots: 1, Threshold: 1}))(t)
	server := httptest.NewUnstartedServer(nil)
	server.Config = v.svc.Server()
	server.Config.Handler = v.lossy(server.Config.Handler)
	cert := loopbackCertificate(t)
	server.TLS = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}}
	server.StartTLS()
	t.Cleanup(server.Close)
	v.anchor.Merchant = server.URL
	v.anchor.TLSRoots = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]}))
	return v
}

func (v *vendor) now() time.Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.clock()
}

// hooks says what befalls requests and replies from now on; nil: nothing.
func (v *vendor) hooks(before, after func(path string) bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.before, v.after = before, after
}

// lossy is the network between agent and merchant: it loses requests before
// they are executed, and replies afterwards, as a broken connection does.
func (v *vendor) lossy(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v.mu.Lock()
		before, after, turned := v.before, v.after, v.turned
		v.mu.Unlock()
		if turned != nil {
			takeOver(w, r, turned)
			return
		}
		if before != nil && !before(r.URL.Path) {
			panic(http.ErrAbortHandler)
		}
		reply := httptest.NewRecorder()
		next.ServeHTTP(reply, r)
		if after != nil && !after(r.URL.Path) {
			panic(http.ErrAbortHandler)
		}
		for k, list := range reply.Header() {
			w.Header()[k] = list
		}
		w.WriteHeader(reply.Code)
		_, _ = w.Write(reply.Body.Bytes())
	})
}

// code makes a code for one device, and names the order it belongs to.
func (v *vendor) code() (code, order string) {
	v.t.Helper()
	codes, infos, err := v.svc.AddCodes(context.Background(), merchant.CodeSpec{Product: "painter", Edition: "pro", Devices: 1, Seats: 1, Policy: "balanced"}, 1)
	check0(v.t, err)
	return codes[0], infos[0].ID
}

// newest is the seat that a code was redeemed for last.
func (v *vendor) newest(order string) merchant.DeviceInfo {
	v.t.Helper()
	list := value(v.svc.Devices(context.Background(), order, 1))(v.t)
	if len(list) != 1 {
		v.t.Fatal("a code was acknowledged as redeemed and the merchant knows no seat")
	}
	return list[0]
}

// forks counts the seats that were ever contested, from the audit trail.
func (v *vendor) forks() int {
	v.t.Helper()
	n := 0
	for after := int64(0); ; {
		rows := value(v.svc.Audit(context.Background(), "", after, 1000))(v.t)
		for _, r := range rows {
			after = max(after, r.Seq)
			if r.Action == "seat.contested" {
				n++
			}
		}
		if len(rows) < 1000 {
			return n
		}
	}
}

// claims verifies what an agent holds, as a program does.
func (v *vendor) claims(licenseEnv, keySetEnv []byte) (*license.Claims, error) {
	ks, err := license.OpenKeySet(v.anchor, nil, keySetEnv)
	if err != nil {
		return nil, err
	}
	return ks.OpenLicense(licenseEnv)
}

func loopbackCertificate(t testing.TB) tls.Certificate {
	t.Helper()
	key := value(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(240 * time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der := value(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))(t)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// home prepares a directory for one instance: the vendor's anchor, and an
// SMBIOS table, because a micro-VM has none. It returns the directory.
func (v *vendor) home(name string) string {
	v.t.Helper()
	dir := filepath.Join(quickDir(v.t), name)
	v.furnish(dir)
	return dir
}

func (v *vendor) furnish(dir string) {
	v.t.Helper()
	anchors := filepath.Join(dir, "license-agent", "etc", "anchors")
	check0(v.t, os.MkdirAll(anchors, 0o755))
	check0(v.t, os.WriteFile(filepath.Join(anchors, "acme.json"), value(v.anchor.Encode())(v.t), 0o644))
	check0(v.t, os.WriteFile(filepath.Join(dir, "smbios.bin"), smbios("SN-7Q4W-0042", "BN-9K2M-0077"), 0o644))
}

// copyTree copies regular files and directories with their modes.
func copyTree(t testing.TB, from, to string) {
	t.Helper()
	for _, e := range value(os.ReadDir(from))(t) {
		src, dst := filepath.Join(from, e.Name()), filepath.Join(to, e.Name())
		info := value(e.Info())(t)
		switch {
		case e.IsDir():
			check0(t, os.MkdirAll(dst, info.Mode().Perm()))
			copyTree(t, src, dst)
		case info.Mode().IsRegular():
			check0(t, os.WriteFile(dst, value(os.ReadFile(src))(t), info.Mode().Perm()))
		}
	}
}

// lockedBuffer collects what a process says.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.b.Len() < 1<<20 {
		l.b.WriteString(line + "\n")
	}
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
