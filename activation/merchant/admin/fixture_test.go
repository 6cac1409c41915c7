package admin

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"licenseagent.example/activation/license"
	"licenseagent.example/activation/merchant"
	"licenseagent.example/activation/merchant/merchanttest"
	"licenseagent.example/activation/protocol"
	"licenseagent.example/fingerprint"
)

// desk is a merchant service with its admin interface on loopback.
type desk struct {
	t      *testing.T
	dir    string
	dsn    string // of a PostgreSQL schema of its own, "" for SQLite
	svc    *merchant.Service
	server *Server
	http   *httptest.Server
	mu     sync.Mutex
	now    time.Time
	log    bytes.Buffer
	tokens map[merchant.Role]string
}

func (d *desk) clock() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.now
}

func (d *desk) pass(by time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.now = d.now.Add(by)
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	ctx := context.Background()
	d := &desk{t: t, dir: t.TempDir(), now: time.Unix(1_800_000_000, 0), tokens: map[merchant.Role]string{}}
	for _, name := range []string{"keys", "root"} {
		check(t, os.Mkdir(filepath.Join(d.dir, name), 0o700))
	}
	d.dsn = merchanttest.Schema(t)
	db, err := d.open(ctx)
	check(t, err)
	log := slog.New(slog.NewJSONHandler(&d.log, nil))
	d.svc, err = merchant.New(ctx, merchant.Options{DB: db, KeyDir: filepath.Join(d.dir, "keys"), Clock: d.clock, Rand: rand.Reader, Log: log})
	check(t, err)
	_, err = d.svc.InitKeys(ctx, merchant.InitOptions{Issuer: "vendor.example", RootDir: filepath.Join(d.dir, "root"), Roots: 1, Threshold: 1})
	check(t, err)
	for _, role := range merchant.Roles() {
		d.tokens[role], _, err = d.svc.AddToken(ctx, string(role)+".person", role, 86400)
		check(t, err)
	}
	d.server, err = New(Options{Service: d.svc, Rand: rand.Reader, Clock: d.clock, Log: log, Program: "test"})
	check(t, err)
	d.http = httptest.NewServer(d.server)
	t.Cleanup(func() {
		d.http.Close()
		d.svc.Close()
		check(t, db.Close())
	})
	return d
}

// open makes the database: on PostgreSQL when there is one.
func (d *desk) open(ctx context.Context) (*merchant.Database, error) {
	if d.dsn != "" {
		return merchant.OpenPostgres(ctx, d.dsn)
	}
	return merchant.OpenSQLite(ctx, filepath.Join(d.dir, "merchant.db"))
}

// raw opens the database beside the service, as somebody does who has got at it.
func (d *desk) raw() *sql.DB {
	d.t.Helper()
	driver, name := "sqlite", filepath.Join(d.dir, "merchant.db")
	if d.dsn != "" {
		driver, name = "pgx", d.dsn
	}
	db, err := sql.Open(driver, name)
	check(d.t, err)
	d.t.Cleanup(func() { check(d.t, db.Close()) })
	return db
}

// stored is everything that the database holds: its files, or the rows of its tables.
func (d *desk) stored() []byte {
	d.t.Helper()
	var all []byte
	if d.dsn == "" {
		for _, file := range []string{"merchant.db", "merchant.db-wal"} {
			b, err := os.ReadFile(filepath.Join(d.dir, file))
			check(d.t, err)
			all = append(all, b...)
		}
		return all
	}
	db := d.raw()
	var tables string
	check(d.t, db.QueryRow(`SELECT string_agg(tablename, ' ') FROM pg_tables WHERE schemaname = current_schema()`).Scan(&tables))
	for _, table := range strings.Fields(tables) {
		var rows sql.NullString
		check(d.t, db.QueryRow(`SELECT string_agg(x::text, ' ') FROM `+table+` x`).Scan(&rows))
		all = append(all, rows.String...)
	}
	return all
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// call sends one request with a token and returns status and body.
func (d *desk) call(token, method, path, body string, header ...string) (int, string) {
	d.t.Helper()
	r, err := http.NewRequest(method, d.http.URL+path, strings.NewReader(body))
	check(d.t, err)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	check(d.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	check(d.t, err)
	return resp.StatusCode, string(text)
}

// get asks as a viewer and decodes.
func (d *desk) get(path string, out any) {
	d.t.Helper()
	status, text := d.call(d.tokens[merchant.RoleViewer], "GET", path, "")
	if status != 200 {
		d.t.Fatalf("GET %s: %d %s", path, status, text)
	}
	check(d.t, json.Unmarshal([]byte(text), out))
}

func codeIn(t *testing.T, text string) protocol.Code {
	t.Helper()
	var p protocol.Problem
	if err := json.Unmarshal([]byte(text), &p); err != nil || p.Error.Message == "" || p.Error.Hint == "" || p.Error.RequestID == "" {
		t.Errorf("not a whole problem: %s", text)
	}
	return p.Error.Code
}

// device activates a machine of its own and returns its license and a signed
// renewal.
func (d *desk) device(code string, n int) (id string, renewal []byte) {
	d.t.Helper()
	seed := bytes.Repeat([]byte{byte(n)}, 32)
	signer, err := license.NewEd25519Signer(seed)
	check(d.t, err)
	request := func(kind, code, id string, seq int64, head string) []byte {
		nonce := make([]byte, 32)
		_, err := rand.Read(nonce)
		check(d.t, err)
		r := license.Request{
			V: 1, Kind: kind, Issuer: "vendor.example", Product: "painter", Code: code, License: id, Device: license.DeviceID(signer.Public()), Key: signer.Public(),
			Seq: seq, Head: head, Nonce: base64.StdEncoding.EncodeToString(nonce), Fingerprint: fmt.Sprintf("3C:7C:3F:00:00:%02X|WD-%06d|PF3N%06dX|BFEBFBFF000906EA", n, n, n),
			Env: fingerprint.Physical, Time: d.clock().Unix(), Agent: "test/1",
		}
		for _, k := range []fingerprint.Kind{fingerprint.MAC, fingerprint.Disk, fingerprint.Board, fingerprint.CPU} {
			r.Parts = append(r.Parts, license.ObservedPart{Kind: k, State: fingerprint.OK})
		}
		env, err := license.SealRequest(r, signer)
		check(d.t, err)
		return env
	}
	a, err := d.svc.Process(context.Background(), request(license.RequestActivate, code, "", 0, ""), "", "")
	check(d.t, err)
	anchor, err := d.svc.Anchor(context.Background())
	check(d.t, err)
	set, err := license.OpenKeySet(anchor, nil, a.KeySet)
	check(d.t, err)
	c, err := set.OpenLicense(a.License)
	check(d.t, err)
	return c.ID, request(license.RequestRenew, "", c.ID, c.Seq, c.Head)
}

// codes makes codes as support would.
func (d *desk) codes(n int, change ...func(*NewCodes)) []MadeCode {
	d.t.Helper()
	in := NewCodes{CodeSpec: merchant.CodeSpec{Product: "painter", Devices: 2, Seats: 1, Policy: "balanced"}, Count: n}
	for _, c := range change {
		c(&in)
	}
	body, err := json.Marshal(in)
	check(d.t, err)
	status, text := d.call(d.tokens[merchant.RoleSupport], "POST", PathCodes, string(body))
	if status != 200 {
		d.t.Fatalf("codes: %d %s", status, text)
	}
	var made MadeCodes
	check(d.t, json.Unmarshal([]byte(text), &made))
	return made.Codes
}
