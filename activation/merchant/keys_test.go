package merchant

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"licenseagent.example/activation/license"
	"licenseagent.example/activation/protocol"
)

func TestInitOnce(t *testing.T) {
	b := newBed(t)
	if _, err := b.svc.InitKeys(context.Background(), InitOptions{Issuer: "other.example", RootDir: t.TempDir(), Roots: 1, Threshold: 1}); !errors.Is(err, ErrInitialised) {
		t.Errorf("second init: %v", err)
	}
	b.close()
	b.open()
	if b.svc.Issuer() != "vendor.example" {
		t.Errorf("issuer after a restart: %q", b.svc.Issuer())
	}
	if diff := cmp.Diff(b.anchor, must(b.svc.Anchor(context.Background()))(t)); diff != "" {
		t.Errorf("anchor after a restart:\n%s", diff)
	}
}

func TestBeforeInit(t *testing.T) {
	dir := t.TempDir()
	must0(t, os.Mkdir(filepath.Join(dir, "keys"), 0o700))
	b := &bed{t: t, dir: dir, clock: newFakeClock()}
	b.open()
	defer b.close()
	_, err := b.svc.Process(context.Background(), b.device(1).request(license.RequestActivate, "X"), "", "")
	wantCode(t, "request before init", err, protocol.CodeUnavailable)
	if _, _, err := b.svc.AddCodes(context.Background(), CodeSpec{Product: "x"}, 1); !errors.Is(err, ErrNotInitialised) {
		t.Errorf("codes before init: %v", err)
	}
	if _, err := b.svc.Anchor(context.Background()); !errors.Is(err, ErrNotInitialised) {
		t.Errorf("anchor before init: %v", err)
	}
	if _, err := b.svc.InitKeys(context.Background(), InitOptions{Issuer: "v", RootDir: dir, Roots: 1, Threshold: 2}); !errors.Is(err, ErrRoots) {
		t.Errorf("2 of 1: %v", err)
	}
}

// TestRotation follows a key through its life: announced, in use, replaced, taken back.
func TestRotation(t *testing.T) {
	b := newBed(t)
	ctx := context.Background()
	code, _ := b.code()
	d := b.device(1)
	must0(t, d.activate(code))
	old := signerOf(t, d.set, license.UseLicense)
	if _, err := b.svc.RotateKeys(ctx, []string{t.TempDir()}, DefaultLead); !errors.Is(err, ErrRoots) {
		t.Fatalf("rotation without root keys: %v", err)
	}
	p := must(b.svc.RotateKeys(ctx, b.rootDirs(), DefaultLead))(t)
	if p.Version != 2 || len(p.Keys) != 6 {
		t.Fatalf("published %+v", p)
	}
	b.clock.Add((DefaultLead - 1) * time.Second)
	must0(t, d.renew())
	held := *d.claims
	b.clock.Add(time.Second)
	must0(t, d.renew()) // signed by the new key: OpenLicense in take verified it
	p = must(b.svc.PublishKeys(ctx, b.rootDirs(), []string{old}))(t)
	if diff := cmp.Diff([]string{old}, p.Revoked); diff != "" {
		t.Errorf("revoked (-want +got):\n%s", diff)
	}
	must0(t, d.renew())
	if d.set.Version != 3 || !d.set.KeyRevoked(old) || held.KeySet != 2 {
		t.Errorf("key set %d, revoked %v, old license paired with %d", d.set.Version, d.set.Revoked, held.KeySet)
	}
	if _, err := b.svc.PublishKeys(ctx, b.rootDirs(), []string{old}); !errors.Is(err, ErrNotFound) {
		t.Errorf("revoked twice: %v", err)
	}
	// A retired key leaves the set once nothing signed by it can still run.
	b.clock.Add(keySetLife*time.Second + time.Second)
	p = must(b.svc.PublishKeys(ctx, b.rootDirs(), nil))(t)
	if len(p.Keys) != 3 {
		t.Errorf("%d keys after a year, want the 3 in use", len(p.Keys))
	}
}

// signerOf is the key id of a use in a set that holds one.
func signerOf(t *testing.T, ks *license.KeySet, use string) string {
	t.Helper()
	for _, k := range ks.Keys {
		if k.Use == use {
			return k.ID
		}
	}
	t.Fatalf("no key of use %s", use)
	return ""
}

func TestExpiredKeySet(t *testing.T) {
	b := newBed(t)
	code, _ := b.code()
	d := b.device(1)
	must0(t, d.activate(code))
	b.clock.Add((keySetLife - 1) * time.Second)
	must0(t, d.renew())
	b.clock.Add(time.Second)
	seq := must(b.svc.Device(context.Background(), d.license))(t).Seq
	wantCode(t, "renewal", d.renew(), protocol.CodeKeysExpired)
	wantCode(t, "release", d.do(license.RequestRelease, ""), protocol.CodeKeysExpired)
	after := must(b.svc.Device(context.Background(), d.license))(t)
	if after.Seq != seq || after.Status != "active" {
		t.Errorf("a refusal changed the seat: %+v", after)
	}
	must(b.svc.PublishKeys(context.Background(), b.rootDirs(), nil))(t)
	must0(t, d.renew())
}

func TestRevokedLicensesTravelInTheKeySet(t *testing.T) {
	b := newBed(t)
	code, info := b.code()
	d := b.device(1)
	must0(t, d.activate(code))
	must0(t, b.svc.Revoke(context.Background(), info.ID, "stolen"))
	must(b.svc.PublishKeys(context.Background(), b.rootDirs(), nil))(t)
	must0(t, d.renew())
	if d.state() != license.NoticeRevoked || !d.set.LicenseRevoked(d.license) {
		t.Errorf("told %s, revoked in the key set: %v", d.state(), d.set.RevokedLic)
	}
}

func TestKeyFiles(t *testing.T) {
	dir := t.TempDir()
	if _, err := createKey(dir, "root-1.pem", rand.Reader); err != nil {
		t.Fatal(err)
	}
	if _, err := createKey(dir, "root-1.pem", rand.Reader); !errors.Is(err, os.ErrExist) {
		t.Errorf("a key was overwritten: %v", err)
	}
	path := filepath.Join(dir, "root-1.pem")
	if runtime.GOOS != "windows" {
		if mode := must(os.Stat(path))(t).Mode().Perm(); mode != PrivateFile {
			t.Errorf("mode %04o", mode)
		}
	}
	must(loadKey(path))(t)
	must0(t, os.WriteFile(filepath.Join(dir, "root-2.pem"), []byte("not a key"), 0o600))
	if _, err := loadRoots([]string{dir}); !errors.Is(err, ErrKeyFile) {
		t.Errorf("a damaged root key was passed over: %v", err)
	}
	if _, err := secret(filepath.Join(dir, "lookup.key"), rand.Reader, false); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing secret: %v", err)
	}
	made := must(secret(filepath.Join(dir, "lookup.key"), rand.Reader, true))(t)
	if diff := cmp.Diff(made, must(secret(filepath.Join(dir, "lookup.key"), rand.Reader, true))(t)); diff != "" {
		t.Error("the secret changed")
	}
	must0(t, os.WriteFile(filepath.Join(dir, "short.key"), []byte("abcd"), 0o600))
	if _, err := secret(filepath.Join(dir, "short.key"), rand.Reader, false); !errors.Is(err, ErrKeyFile) {
		t.Errorf("a short secret: %v", err)
	}
}

// Whatever holds a secret is read by one function: nobody else may be able to
// read it, it is read whole or not at all, and no error shows what it holds.
func TestReadSecret(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "secret")
	for mode := range os.FileMode(0o1000) {
		if mode&0o400 == 0 {
			continue // root could read it all the same
		}
		must0(t, os.WriteFile(path, []byte("CANARY"), 0o600))
		must0(t, os.Chmod(path, mode))
		got, err := ReadSecret(path)
		private := mode&0o077 == 0 || runtime.GOOS == "windows"
		if private && (err != nil || string(got) != "CANARY") {
			t.Errorf("mode %04o: %q, %v", mode, got, err)
		}
		if !private && (got != nil || !errors.Is(err, ErrKeyFile) || !strings.Contains(err.Error(), path)) {
			t.Errorf("mode %04o: %q, %v", mode, got, err)
		}
		must0(t, os.Remove(path))
	}
	if _, err := ReadSecret(path); !errors.Is(err, ErrKeyFile) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	for size, want := range map[int]error{maxSecret: nil, maxSecret + 1: ErrKeyFile} {
		must0(t, os.WriteFile(path, bytes.Repeat([]byte("CANARY"), size/6+1)[:size], 0o600))
		if got, err := ReadSecret(path); !errors.Is(err, want) || err == nil && len(got) != size || err != nil && strings.Contains(err.Error(), "CANARY") {
			t.Errorf("%d bytes: %d, %v", size, len(got), err)
		}
	}
	// What a link leads to is what counts: secrets are handed over as links.
	must0(t, os.WriteFile(path, []byte("x"), 0o600))
	must0(t, os.Symlink("secret", filepath.Join(dir, "link")))
	must(ReadSecret(filepath.Join(dir, "link")))(t)
	must0(t, os.Chmod(path, 0o644))
	if _, err := ReadSecret(filepath.Join(dir, "link")); runtime.GOOS != "windows" && !errors.Is(err, ErrKeyFile) {
		t.Errorf("a link to an open file: %v", err)
	}
}

// TestAuditChain damages the trail in every way and expects to be told.
func TestAuditChain(t *testing.T) {
	for name, damage := range map[string]string{
		"changed":   `UPDATE audit SET detail = '{}' WHERE seq = 3`,
		"dropped":   `DELETE FROM audit WHERE seq = 4`,
		"beheaded":  `DELETE FROM audit WHERE seq = 1`,
		"truncated": `DELETE FROM audit WHERE seq > 5`,
		"reordered": `UPDATE audit SET seq = CASE seq WHEN 2 THEN -3 WHEN 3 THEN -2 END WHERE seq IN (2, 3)`,
		"re-dated":  `UPDATE audit SET at = at - 1 WHERE seq = 2`,
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			b.code()
			if n := must(b.svc.VerifyAudit(context.Background()))(t); n < 6 {
				t.Fatalf("only %d rows", n)
			}
			must(b.db.write.Exec(damage))(t)
			if name == "reordered" {
				must(b.db.write.Exec(`UPDATE audit SET seq = -seq WHERE seq < 0`))(t)
			}
			if _, err := b.svc.VerifyAudit(context.Background()); !errors.Is(err, ErrAudit) {
				t.Errorf("not noticed: %v", err)
			}
		})
	}
}

func TestNewerDatabase(t *testing.T) {
	b := newBed(t)
	must(b.db.write.Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, '1')`))(t)
	_, err := openDatabase(b.dir, b.dsn)
	if !errors.Is(err, ErrNewer) {
		t.Errorf("a newer database was opened: %v", err)
	}
}

// TestDurability holds the settings of SQLite that P27 stands on.
func TestDurability(t *testing.T) {
	b := newBed(t)
	if b.dsn != "" {
		return // PostgreSQL is durable by default
	}
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "10000"} {
		for name, db := range map[string]*sql.DB{"write": b.db.write, "read": b.db.read} {
			var got string
			must0(t, db.QueryRow("PRAGMA "+pragma).Scan(&got))
			if got != want {
				t.Errorf("%s: %s = %s, want %s", name, pragma, got, want)
			}
		}
	}
	if _, err := b.db.read.Exec(`DELETE FROM audit`); err == nil {
		t.Error("the reading handle writes")
	}
	if runtime.GOOS != "windows" {
		for _, f := range []string{"merchant.db", "merchant.db-wal", "merchant.db-shm"} {
			if mode := must(os.Stat(filepath.Join(b.dir, f)))(t).Mode().Perm(); mode != PrivateFile {
				t.Errorf("%s has mode %04o", f, mode)
			}
		}
	}
}

// TestTwoProcesses: commands change the database while the service runs.
func TestTwoProcesses(t *testing.T) {
	b := newBed(t)
	other := &bed{t: t, dir: b.dir, clock: b.clock, dsn: b.dsn}
	other.open()
	defer other.close()
	code, info := other.code()
	d := b.device(1)
	must0(t, d.activate(code))
	must0(t, other.svc.Freeze(context.Background(), info.ID, ""))
	must0(t, d.renew())
	if d.state() != license.NoticeSuspended {
		t.Errorf("told %s", d.state())
	}
	done := make(chan error, 2)
	for _, s := range []*Service{b.svc, other.svc} {
		go func() {
			var err error
			for range 50 {
				err = errors.Join(err, s.change(context.Background(), func(t *tx) error { return t.audit("test", "tick", "both", nil) }))
			}
			done <- err
		}()
	}
	must0(t, errors.Join(<-done, <-done))
	if got := len(b.actions("both")); got != 100 {
		t.Errorf("%d rows of 100", got)
	}
}
