package merchant

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"licenseagent.example/activation/license"
	"licenseagent.example/activation/merchant/merchanttest"
	"licenseagent.example/activation/protocol"
	"licenseagent.example/fingerprint"
)

// fakeClock is a clock that only tests move.
type fakeClock struct {
	mu  sync.Mutex
	now time.Time
}

func newFakeClock() *fakeClock { return &fakeClock{now: time.Unix(1_800_000_000, 0)} }

func (c *fakeClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fakeClock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func (c *fakeClock) set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = t
}

// bed is a merchant service in a temporary directory.
type bed struct {
	t      testing.TB
	dir    string
	clock  *fakeClock
	db     *Database
	svc    *Service
	anchor license.Anchor
	dsn    string // of a PostgreSQL schema of its own, "" for SQLite
	opts   func(*Options)
}

func newBed(t testing.TB) *bed { t.Helper(); return newBedWith(t, nil) }

// newBedWith changes the options of the service, also when it is opened again.
func newBedWith(t testing.TB, opts func(*Options)) *bed {
	t.Helper()
	b := &bed{t: t, dir: t.TempDir(), clock: newFakeClock(), opts: opts}
	for _, d := range []string{"keys", "root"} {
		must0(t, os.MkdirAll(filepath.Join(b.dir, d), 0o700))
	}
	b.schema()
	b.open()
	b.anchor = must(b.svc.InitKeys(context.Background(), InitOptions{Issuer: "vendor.example", RootDir: filepath.Join(b.dir, "root"), Roots: 3, Threshold: 2}))(t)
	t.Cleanup(b.close)
	return b
}

// schema makes the bed stand on PostgreSQL when there is one: the same tests, in
// a schema of their own.
func (b *bed) schema() {
	b.t.Helper()
	b.dsn = merchanttest.Schema(b.t)
}

func openDatabase(dir, dsn string) (*Database, error) {
	if dsn != "" {
		return OpenPostgres(context.Background(), dsn)
	}
	return OpenSQLite(context.Background(), filepath.Join(dir, "merchant.db"))
}

func (b *bed) open() {
	b.t.Helper()
	b.db = must(openDatabase(b.dir, b.dsn))(b.t)
	b.svc = b.service(b.db)
}

// service is one more instance on a database.
func (b *bed) service(db *Database) *Service {
	b.t.Helper()
	o := Options{DB: db, KeyDir: filepath.Join(b.dir, "keys"), Clock: b.clock.Now, Rand: rand.Reader}
	if b.opts != nil {
		b.opts(&o)
	}
	return must(New(context.Background(), o))(b.t)
}

func (b *bed) close() {
	b.svc.Close()
	must0(b.t, b.db.Close())
}

func (b *bed) rootDirs() []string { return []string{filepath.Join(b.dir, "root")} }

// code makes one code; change adjusts what it is for.
func (b *bed) code(change ...func(*CodeSpec)) (string, CodeInfo) {
	b.t.Helper()
	spec := CodeSpec{
		Product: "painter", Edition: "pro", Devices: 1, Seats: 5, Features: []string{"export", "batch"},
		Limits: map[string]int64{"max-projects": 100}, Policy: "balanced",
	}
	for _, c := range change {
		c(&spec)
	}
	codes, infos, err := b.svc.AddCodes(context.Background(), spec, 1)
	if err != nil {
		b.t.Fatal(err)
	}
	return codes[0], infos[0]
}

// hardware makes the string of a machine of its own.
func hardware(n int) string {
	return fmt.Sprintf("%s|WD-WMAM9X%06d|PF3N%06dX|BFEBFBFF000906EA", fmt.Sprintf("3C:7C:3F:%02X:%02X:%02X", n>>16&255, n>>8&255, n&255), n, n)
}

// device is the client side of the chain, as an honest agent keeps it.
type device struct {
	t       testing.TB
	bed     *bed
	signer  license.Signer
	print   string
	states  map[fingerprint.Kind]fingerprint.State
	license string
	seq     int64
	head    string
	claims  *license.Claims
	notice  *license.Notice
	set     *license.KeySet
}

func (b *bed) device(n int) *device {
	b.t.Helper()
	return &device{t: b.t, bed: b, signer: must(throwaway(rand.Reader))(b.t), print: hardware(n)}
}

// copied is a clone: the same key, state and hardware.
func (d *device) copied() *device {
	c := *d
	return &c
}

func nonce() string {
	var n [32]byte
	if _, err := rand.Read(n[:]); err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(n[:])
}

// request seals a request of a kind at the present chain position.
func (d *device) request(kind, code string, change ...func(*license.Request)) []byte {
	d.t.Helper()
	r := license.Request{
		V: 1, Kind: kind, Issuer: "vendor.example", Product: "painter", Code: code,
		Device: license.DeviceID(d.signer.Public()), Key: d.signer.Public(), Seq: d.seq, Head: d.head, Nonce: nonce(),
		Fingerprint: d.print, Env: fingerprint.Physical, Time: d.bed.clock.Now().Unix(), Agent: "test/1",
	}
	if kind != license.RequestActivate {
		r.License = d.license
	}
	for _, k := range []fingerprint.Kind{fingerprint.MAC, fingerprint.Disk, fingerprint.Board, fingerprint.CPU} {
		state := fingerprint.OK
		if s, ok := d.states[k]; ok {
			state = s
		}
		r.Parts = append(r.Parts, license.ObservedPart{Kind: k, State: state})
	}
	for _, c := range change {
		c(&r)
	}
	return must(license.SealRequest(r, d.signer))(d.t)
}

// take verifies an answer as an agent does and moves the chain.
func (d *device) take(a protocol.Answer) {
	d.t.Helper()
	d.set = must(license.OpenKeySet(d.bed.anchor, nil, a.KeySet))(d.t)
	d.claims, d.notice = nil, nil
	if len(a.License) > 0 {
		d.claims = must(d.set.OpenLicense(a.License))(d.t)
		d.license, d.seq, d.head = d.claims.ID, d.claims.Seq, d.claims.Head
	}
	if len(a.Notice) > 0 {
		d.notice = must(d.set.OpenNotice(a.Notice))(d.t)
		d.seq, d.head = d.notice.Seq, d.notice.Head
	}
}

// do sends a request and takes the answer.
func (d *device) do(kind, code string, change ...func(*license.Request)) error {
	d.t.Helper()
	a, err := d.bed.svc.Process(context.Background(), d.request(kind, code, change...), kind, "")
	if err == nil {
		d.take(a)
	}
	return err
}

func (d *device) activate(code string) error {
	d.t.Helper()
	return d.do(license.RequestActivate, code)
}
func (d *device) renew() error { d.t.Helper(); return d.do(license.RequestRenew, "") }

func (d *device) state() string {
	if d.notice == nil {
		return "license"
	}
	return d.notice.State
}

// codeOf is the code of a refusal, "" for none.
func codeOf(t testing.TB, err error) protocol.Code {
	t.Helper()
	var r *Refusal
	switch {
	case err == nil:
		return ""
	case errors.As(err, &r):
		return r.Code
	}
	t.Fatalf("want a refusal, got %v", err)
	return ""
}

func wantCode(t testing.TB, what string, err error, want protocol.Code) {
	t.Helper()
	if got := codeOf(t, err); got != want {
		t.Errorf("%s: refused with %q, want %q", what, got, want)
	}
}

// actions lists the audit trail, after checking the chain.
func (b *bed) actions(subject string) []string {
	b.t.Helper()
	must(b.svc.VerifyAudit(context.Background()))(b.t)
	var list []string
	for _, r := range must(b.svc.Audit(context.Background(), subject, 0, 1000))(b.t) {
		list = append(list, r.Action)
	}
	return list
}

// serve starts the service on loopback with a certificate of its own and
// returns a client that trusts only that.
func (b *bed) serve() (*httptest.Server, *protocol.Client) {
	b.t.Helper()
	srv := tlsServer(b.t, b.svc.Server())
	return srv, must(protocol.NewClient(protocol.Config{
		Base: srv.URL, Roots: pemOf(srv.Certificate().Raw), Proxy: "direct",
		Now: time.Now, Rand: func() float64 { return 0 },
	}))(b.t)
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func must0(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
