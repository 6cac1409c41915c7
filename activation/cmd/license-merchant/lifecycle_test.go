package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	mathrand "math/rand/v2"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"licenseagent.example/activation"
	"licenseagent.example/activation/license"
	"licenseagent.example/activation/merchant"
	"licenseagent.example/activation/protocol"
	"licenseagent.example/fingerprint"
)

// shop is a data directory made by the commands, with its service on loopback.
type shop struct {
	t      *testing.T
	app    *app
	svc    *merchant.Service
	url    string
	anchor license.Anchor
}

// command runs one command line and returns its standard output.
func (s *shop) command(args ...string) string {
	s.t.Helper()
	var out, errs bytes.Buffer
	a := *s.app
	a.stdout, a.stderr = &out, &errs
	if code := a.run(context.Background(), append(args, "--dir", s.app.dir)); code != exitOK {
		s.t.Fatalf("%v: exit %d\n%s", args, code, errs.String())
	}
	return out.String()
}

func openShop(t *testing.T) *shop {
	t.Helper()
	ctx := context.Background()
	s := &shop{t: t, app: &app{
		stdin: strings.NewReader(""), env: func(string) string { return "" }, now: time.Now, rand: rand.Reader,
		dir: filepath.Join(t.TempDir(), "shop"), output: "text",
	}}
	s.command("init", "--issuer", "vendor.example", "--tls", "loopback")
	db, err := merchant.OpenSQLite(ctx, s.app.path("merchant.db"))
	check(t, err)
	s.svc, err = merchant.New(ctx, merchant.Options{DB: db, KeyDir: s.app.path("keys"), Clock: time.Now, Rand: rand.Reader})
	check(t, err)
	cert, err := tls.LoadX509KeyPair(s.app.path("tls/server.pem"), s.app.path("tls/server.key"))
	check(t, err)
	srv := httptest.NewUnstartedServer(nil)
	srv.Config, srv.TLS = s.svc.Server(), &tls.Config{Certificates: []tls.Certificate{cert}}
	srv.StartTLS()
	t.Cleanup(func() {
		srv.Close()
		s.svc.Close()
		check(t, db.Close())
	})
	s.url = srv.URL
	s.command("keys", "anchor", "--url", srv.URL)
	text, err := os.ReadFile(s.app.path("anchor.json"))
	check(t, err)
	s.anchor, err = license.ParseAnchor(text)
	check(t, err)
	return s
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// agent is the real life cycle on a machine of its own, over the real client.
func (s *shop) agent(store activation.StateStore, signer license.Signer, serial string) *activation.Lifecycle {
	s.t.Helper()
	client, err := protocol.NewClient(protocol.Config{Base: s.anchor.Merchant, Roots: s.anchor.TLSRoots, Proxy: "direct", Now: time.Now, Rand: mathrand.Float64})
	check(s.t, err)
	part := func(k fingerprint.Kind, text string) fingerprint.Component {
		return fingerprint.Component{Kind: k, State: fingerprint.OK, Values: []fingerprint.Value{{Text: text}}}
	}
	device := fingerprint.Device{
		MAC: part(fingerprint.MAC, "3C:7C:3F:10:20:30"), Disk: part(fingerprint.Disk, "WD-"+serial), Board: part(fingerprint.Board, "PF3N"+serial),
		CPU: part(fingerprint.CPU, "BFEBFBFF000906EA"), Env: fingerprint.Environment{Kind: fingerprint.Physical},
	}
	start := time.Now()
	l, err := activation.New(activation.Config{
		Store: store, Anchors: []license.Anchor{s.anchor}, Device: signer, Rand: rand.Reader, AgentVersion: "test/1",
		Issuer:  func(string) (activation.Issuer, error) { return client, nil },
		Observe: func() fingerprint.Device { return device },
		Clock: func() activation.Reading {
			return activation.Reading{Wall: time.Now().Unix(), Boot: int64(time.Since(start) / time.Second), BootID: "boot"}
		},
	})
	check(s.t, err)
	return l
}

func newKey(t *testing.T) license.Signer {
	t.Helper()
	seed := make([]byte, 32)
	_, err := rand.Read(seed)
	check(t, err)
	signer, err := license.NewEd25519Signer(seed)
	check(t, err)
	return signer
}

// TestLifeCycle holds the two sides of the protocol together: the agent's life
// cycle, the HTTPS client, the service and the commands.
func TestLifeCycle(t *testing.T) {
	s := openShop(t)
	ctx := context.Background()
	file := filepath.Join(t.TempDir(), "code")
	s.command("codes", "add", "--product", "painter", "--out", file)
	text, err := os.ReadFile(file)
	check(t, err)
	code := strings.TrimSpace(string(text))
	id := strings.Fields(strings.SplitAfter(s.command("codes", "list"), "\n")[1])[0]

	store, signer := activation.NewMemory(), newKey(t)
	l := s.agent(store, signer, "A77120031")
	var phases []string
	note := func(h activation.Held, err error) {
		t.Helper()
		check(t, err)
		phases = append(phases, string(h.Verdict.Phase))
	}
	_, err = l.Activate(ctx, activation.ActivateOptions{Code: "00000-00000-00000-00000-00000"})
	var refused *activation.RefusedError
	if !errors.As(err, &refused) || refused.Code != string(protocol.CodeUnknownCode) {
		t.Fatalf("a wrong code: %v", err)
	}
	held, err := l.Activate(ctx, activation.ActivateOptions{Code: strings.ToLower(code)})
	note(held, err)
	key := held.Key
	note(l.Renew(ctx, key))
	s.command("codes", "freeze", id)
	note(l.Renew(ctx, key))
	s.command("codes", "unfreeze", id)
	note(l.Renew(ctx, key))

	// The same device without network: one file each way.
	request, err := l.OfflineRequest(license.RequestRenew, activation.RequestOptions{Key: key})
	check(t, err)
	ask := filepath.Join(t.TempDir(), "f.req")
	check(t, os.WriteFile(ask, request, 0o600))
	answer := s.command("answer", ask)
	note(l.Import([]byte(answer)))
	if _, err := l.Import([]byte(answer)); !errors.Is(err, activation.ErrAlreadyImported) {
		t.Errorf("second import: %v", err)
	}

	// A copy of the whole state on the same machine shows itself at once.
	state, err := store.Load()
	check(t, err)
	copied := activation.NewMemory()
	check(t, copied.Apply(activation.Change{Put: state.Records, KeySets: state.KeySets, Clock: &state.Clock}))
	note(l.Renew(ctx, key))
	twin := s.agent(copied, signer, "A77120031")
	h, err := twin.Renew(ctx, key)
	note(h, err)
	if !h.Contested {
		t.Error("the copy is not contested")
	}
	h, err = l.Renew(ctx, key)
	note(h, err)
	if !h.Contested {
		t.Error("the original is not contested")
	}
	h, err = l.Rebind(ctx, key, code)
	note(h, err)
	if h.Contested {
		t.Error("the re-bind did not settle it")
	}

	// The state on another machine is refused there.
	moved := s.agent(copied, signer, "B99999999")
	if _, err := moved.Renew(ctx, key); !errors.As(err, &refused) || errors.Is(err, activation.ErrUnreachable) {
		t.Errorf("renewal on another machine: %v", err)
	}
	want := []string{"active", "active", "suspended", "active", "active", "active", "active", "active", "active"}
	if diff := cmp.Diff(want, phases); diff != "" {
		t.Errorf("phases (-want +got):\n%s", diff)
	}
	if !strings.Contains(s.command("audit", "verify"), "chain intact") {
		t.Error("the audit chain is broken")
	}
}
