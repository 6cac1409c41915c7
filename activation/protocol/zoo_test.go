package protocol

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"licenseagent.example/activation"
	"licenseagent.example/activation/license"
	"licenseagent.example/docs/promise"
	"licenseagent.example/fingerprint"
)

const goodHost = "merchant.test"

// sealed is an activation as an agent would send it.
func sealed(t testing.TB) []byte {
	t.Helper()
	return sealedAs(t, func(r *license.Request) { r.Kind, r.Code = license.RequestActivate, "CANARY-CODE" })
}

// renewal is the request of every day.
func renewal(t testing.TB) []byte {
	t.Helper()
	return sealedAs(t, func(r *license.Request) {
		r.Kind, r.License, r.Seq, r.Head = license.RequestRenew, "lic-1", 1, r.Nonce
	})
}

func sealedAs(t testing.TB, kind func(*license.Request)) []byte {
	t.Helper()
	seed := make([]byte, 32)
	must(rand.Read(seed))(t)
	s := must(license.NewEd25519Signer(seed))(t)
	r := license.Request{
		V: 1, Issuer: "vendor.example", Product: "painter", Device: license.DeviceID(s.Public()), Key: s.Public(),
		Nonce: base64.StdEncoding.EncodeToString(seed), Fingerprint: "|||", Env: fingerprint.Physical, Agent: "test/1",
	}
	kind(&r)
	return must(license.SealRequest(r, s))(t)
}

// authority is a test CA.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB, change ...func(*x509.Certificate)) *authority {
	t.Helper()
	a := &authority{key: must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	for _, f := range change {
		f(c)
	}
	der := must(x509.CreateCertificate(rand.Reader, c, c, a.key.Public(), a.key))(t)
	a.cert = must(x509.ParseCertificate(der))(t)
	return a
}

func (a *authority) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}))
}

// issue makes a server certificate that is good for goodHost unless changed.
func (a *authority) issue(t testing.TB, change ...func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	return tls.Certificate{Certificate: [][]byte{a.sign(t, key.Public(), change...), a.cert.Raw}, PrivateKey: key}
}

func (a *authority) sign(t testing.TB, public any, change ...func(*x509.Certificate)) []byte {
	t.Helper()
	c := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: goodHost}, DNSNames: []string{goodHost},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, f := range change {
		f(c)
	}
	return must(x509.CreateCertificate(rand.Reader, c, a.cert, public, a.key))(t)
}

// cage is one listener of the zoo: it counts what reaches the application
// behind its TLS, and answers whatever comes with a fixed reply.
type cage struct {
	addr string
	got  atomic.Int64
}

func newCage(t testing.TB, serve func(c net.Conn) (net.Conn, error), reply string) *cage {
	t.Helper()
	ln := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	c := &cage{addr: ln.Addr().String()}
	var wg sync.WaitGroup
	t.Cleanup(func() { ln.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			raw, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer raw.Close()
				conn, err := serve(raw)
				if err != nil {
					return
				}
				buf := make([]byte, 64<<10)
				n, err := conn.Read(buf)
				c.got.Add(int64(n))
				if err == nil {
					_, _ = io.WriteString(conn, reply) // the client may have left, that is the point
				}
			})
		}
	})
	return c
}

// secure is the usual cage: TLS with this configuration.
func secure(t testing.TB, cfg *tls.Config, reply string) *cage {
	return newCage(t, func(c net.Conn) (net.Conn, error) {
		s := tls.Server(c, cfg)
		return s, s.Handshake()
	}, reply)
}

const goodReply = "HTTP/1.1 200 OK\r\nContent-Type: " + ContentAnswer + "\r\nContent-Length: 26\r\nConnection: close\r\n\r\n" + `{"license":{},"keyset":{}}`

func redirect(to string) string {
	return "HTTP/1.1 307 Temporary Redirect\r\nLocation: " + to + "\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
}

// animal is one bad set-up: who listens where, and who must stay at 0 bytes.
type animal struct {
	name   string
	hosts  map[string]*cage // what each host:port leads to
	watch  *cage
	proxy  string
	immune bool // no client can send anything here, defended or not
}

func zoo(t *testing.T, ca *authority) []animal {
	other := newAuthority(t)
	one := func(name string, cfg *tls.Config) animal {
		c := secure(t, cfg, goodReply)
		return animal{name: name, hosts: map[string]*cage{goodHost + ":443": c}, watch: c}
	}
	cert := func(c tls.Certificate) *tls.Config { return &tls.Config{Certificates: []tls.Certificate{c}} }
	noCA := newAuthority(t, func(c *x509.Certificate) { c.IsCA, c.DNSNames = false, []string{goodHost} })
	late := newAuthority(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	rsaKey := must(rsa.GenerateKey(rand.Reader, 2048))(t)
	rsaCert := tls.Certificate{Certificate: [][]byte{ca.sign(t, rsaKey.Public())}, PrivateKey: rsaKey}
	weak := cert(rsaCert)
	weak.MaxVersion, weak.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA}
	old := cert(ca.issue(t))
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	list := []animal{
		one("self-signed", cert(tls.Certificate{Certificate: [][]byte{other.cert.Raw}, PrivateKey: other.key})),
		one("other authority", cert(other.issue(t))),
		one("other name", cert(ca.issue(t, func(c *x509.Certificate) { c.DNSNames = []string{"merchant.example"} }))),
		one("name only in CN", cert(ca.issue(t, func(c *x509.Certificate) { c.DNSNames = nil }))),
		one("expired", cert(ca.issue(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }))),
		one("not yet valid", cert(ca.issue(t, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }))),
		one("for clients only", cert(ca.issue(t, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }))),
		one("issued by a certificate that is no authority", cert(noCA.issue(t))),
		one("authority expired", cert(late.issue(t))),
		one("TLS 1.1", old),
		one("no forward secrecy", weak),
	}
	ip := secure(t, cert(ca.issue(t)), goodReply)
	list = append(list, animal{name: "address instead of the name", hosts: map[string]*cage{"192.0.2.1:443": ip}, watch: ip})
	swapped := secure(t, &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		c := ca.issue(t, func(c *x509.Certificate) { c.DNSNames = []string{"neighbour.test"} })
		return &c, nil
	}}, goodReply)
	list = append(list, animal{name: "server name swapped", hosts: map[string]*cage{goodHost + ":443": swapped}, watch: swapped})
	plain := newCage(t, func(c net.Conn) (net.Conn, error) { return c, nil }, redirectless)
	httpFront := secure(t, cert(ca.issue(t)), redirect("http://"+goodHost+"/v1/activations"))
	list = append(list, animal{name: "redirect to http", hosts: map[string]*cage{goodHost + ":443": httpFront, goodHost + ":80": plain}, watch: plain})
	evil := secure(t, cert(ca.issue(t, func(c *x509.Certificate) { c.DNSNames = []string{"evil.test"} })), goodReply)
	hostFront := secure(t, cert(ca.issue(t)), redirect("https://evil.test/v1/activations"))
	list = append(list, animal{name: "redirect to another host", hosts: map[string]*cage{goodHost + ":443": hostFront, "evil.test:443": evil}, watch: evil})
	// A proxy that opens the tunnel and sits in it with a certificate of its own.
	mitm := newCage(t, func(c net.Conn) (net.Conn, error) {
		buf := make([]byte, 4096)
		if _, err := c.Read(buf); err != nil {
			return nil, err
		}
		if _, err := io.WriteString(c, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
			return nil, err
		}
		s := tls.Server(c, cert(other.issue(t)))
		return s, s.Handshake()
	}, goodReply)
	list = append(list, animal{name: "proxy in the middle", hosts: map[string]*cage{"proxy.test:3128": mitm}, watch: mitm, proxy: "http://proxy.test:3128"})
	cut := newCage(t, func(c net.Conn) (net.Conn, error) {
		buf := make([]byte, 4096)
		_, err := c.Read(buf)
		return nil, errors.Join(io.ErrUnexpectedEOF, err)
	}, "")
	list = append(list, animal{name: "handshake cut off", hosts: map[string]*cage{goodHost + ":443": cut}, watch: cut, immune: true})
	noTLS := newCage(t, func(c net.Conn) (net.Conn, error) { return &hello{Conn: c}, nil }, goodReply)
	list = append(list, animal{name: "no TLS at all", hosts: map[string]*cage{goodHost + ":443": noTLS}, watch: noTLS, immune: true})
	return list
}

const redirectless = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

// hello hides the client's greeting from the count: its handshake bytes hold
// nothing of the request.
type hello struct{ net.Conn }

func (h *hello) Read(p []byte) (int, error) {
	n, err := h.Conn.Read(p)
	if n > 0 && p[0] == 0x16 { // TLS handshake record
		return 0, err
	}
	return n, err
}

// client reaches the cages by name.
func (a animal) client(t *testing.T, roots string) *Client {
	t.Helper()
	proxy := a.proxy
	if proxy == "" {
		proxy = "direct"
	}
	host := goodHost
	if _, ok := a.hosts["192.0.2.1:443"]; ok {
		host = "192.0.2.1"
	}
	return must(NewClient(Config{
		Base: "https://" + host, Roots: roots, Proxy: proxy, Now: time.Now, Rand: func() float64 { return 0 },
		Sleep: func(context.Context, time.Duration) error { return nil },
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			c := a.hosts[address]
			if c == nil {
				return nil, fmt.Errorf("nobody at %s", address)
			}
			return (&net.Dialer{}).DialContext(ctx, network, c.addr)
		},
	}))(t)
}

// TestP22OnlyTheRightServer: nothing of a request leaves for a server that is
// not the right one. CVE-2025-40801 is a licensing SDK without this.
func TestP22OnlyTheRightServer(t *testing.T) {
	ca := newAuthority(t)
	request := sealed(t)
	animals := zoo(t, ca)
	for _, a := range animals {
		t.Run(a.name, func(t *testing.T) {
			for _, request := range [][]byte{request, renewal(t)} {
				_, err := a.client(t, ca.pem()).Send(context.Background(), request, "k")
				if err == nil {
					t.Fatal("accepted")
				}
				if !errors.Is(err, activation.ErrUnreachable) && !errors.Is(err, activation.ErrAnswer) {
					t.Errorf("the error has no class: %v", err)
				}
				if n := a.watch.got.Load(); n != 0 {
					t.Errorf("%d bytes were sent: %v", n, err)
				}
				if strings.Contains(err.Error(), "CANARY") {
					t.Errorf("the error tells the code: %v", err)
				}
			}
		})
	}
	// The right server is reached, so the zoo does not refuse everything.
	good := secure(t, &tls.Config{Certificates: []tls.Certificate{ca.issue(t)}}, goodReply)
	right := animal{hosts: map[string]*cage{goodHost + ":443": good}, watch: good}
	must(right.client(t, ca.pem()).Send(context.Background(), request, "k"))(t)
	must(right.client(t, ca.pem()).Send(context.Background(), renewal(t), "k"))(t)
	// Control: a client without the defences talks to nearly all of them.
	reached := 0
	for _, a := range animals {
		c := a.client(t, ca.pem())
		tr := c.http.Transport.(*http.Transport)
		tr.TLSClientConfig.InsecureSkipVerify = true
		tr.TLSClientConfig.MinVersion = tls.VersionTLS10
		tr.TLSClientConfig.CipherSuites = []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}
		c.http.CheckRedirect = nil
		_, err := c.Send(context.Background(), request, "k")
		if a.watch.got.Load() > 0 {
			reached++
		} else if !a.immune {
			t.Errorf("%s: the control did not get through (%v): this case cannot fail", a.name, err)
		}
	}
	promise.Reached(t, "P22", fmt.Sprintf("%d bad TLS set-ups, for activations and renewals: 0 bytes of request sent", len(animals)), fmt.Sprintf("checks off: request reached %d of %d", reached, len(animals)))
}
