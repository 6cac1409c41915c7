package merchant

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// unzip and zip let a test change what is in a backup.
func unzip(t *testing.T, b []byte) string {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(b))
	must0(t, err)
	return string(must(io.ReadAll(r))(t))
}

func zip(t *testing.T, text string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	must(w.Write([]byte(text)))(t)
	must0(t, w.Close())
	return out.Bytes()
}

// content is every table of a bed, as its backup shows it.
func content(t *testing.T, b *bed) string {
	t.Helper()
	text := unzip(t, b.backup())
	lines := strings.Split(text, "\n")
	return strings.Join(lines[1:len(lines)-2], "\n") // without head and end
}

// What comes out of a restore is what went into the backup, row by row and file
// by file; the codes still work, the audit chain is whole.
func TestBackupHoldsEverything(t *testing.T) {
	b := newBed(t)
	ctx := context.Background()
	b.fleet(5)
	unused, _ := b.code()
	must(b.svc.RotateKeys(ctx, b.rootDirs(), 0))(t)
	_, _, err := b.svc.AddToken(ctx, "ann", RoleSupport, 3600)
	must0(t, err)
	r := b.restored(b.backup())
	if diff := cmp.Diff(content(t, b), content(t, r)); diff != "" {
		t.Errorf("restored differs (-before +after):\n%s", diff)
	}
	must(r.svc.VerifyAudit(ctx))(t)
	must0(t, r.device(9).activate(unused))
	for _, name := range []string{"lookup.key", "popular.key"} {
		info := must(os.Stat(filepath.Join(r.dir, "keys", name)))(t)
		if info.Mode().Perm() != PrivateFile {
			t.Errorf("%s has mode %o", name, info.Mode().Perm())
		}
	}
}

// A backup made while the service works is of one instant: it restores, and the
// audit chain in it is whole.
func TestBackupWhileServing(t *testing.T) {
	b := newBed(t)
	devices := b.fleet(4)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				for _, d := range devices {
					if err := d.renew(); err != nil {
						t.Error(err)
						return
					}
				}
				b.code()
			}
		}
	}()
	var last []byte
	for range 5 {
		last = b.backup()
	}
	close(stop)
	<-done
	r := b.restored(last)
	must(r.svc.VerifyAudit(context.Background()))(t)
}

// Without keys nothing of the key directory is in it.
func TestBackupWithoutKeys(t *testing.T) {
	b := newBed(t)
	var out bytes.Buffer
	info := must(b.svc.Backup(context.Background(), &out, false))(t)
	secret := must(os.ReadFile(filepath.Join(b.dir, "keys", "lookup.key")))(t)
	if text := unzip(t, out.Bytes()); info.Files != 0 || strings.Contains(text, `"file"`) || strings.Contains(text, strings.TrimSpace(string(secret))) {
		t.Error("a backup without keys holds some")
	}
}

// Damaged, shortened, foreign and newer files are refused, and leave a database
// that a whole backup can still be restored into.
func TestBadBackups(t *testing.T) {
	b := newBed(t)
	b.fleet(2)
	good := b.backup()
	text := unzip(t, good)
	lines := strings.SplitAfter(text, "\n")
	cut := strings.Join(lines[:len(lines)-2], "")
	codes := strings.Index(text, `{"table":"codes"`)
	bad := map[string][]byte{
		"nothing":             nil,
		"no gzip":             []byte("hello"),
		"cut gzip":            good[:len(good)/2],
		"no end":              zip(t, cut),
		"changed value":       zip(t, strings.Replace(text, `"painter"`, `"printer"`, 1)),
		"dropped row":         zip(t, strings.Replace(text, lines[len(lines)-3], "", 1)),
		"row without table":   zip(t, lines[0]+"[1,2]\n"),
		"other JSON":          zip(t, "{}\n"),
		"newer format":        zip(t, strings.Replace(text, `backup":1`, `backup":2`, 1)),
		"newer schema":        zip(t, strings.Replace(text, `"schema":`, `"schema":9`, 1)),
		"unknown table":       zip(t, text[:codes]+`{"table":"sqlite_master","columns":["name"]}`+"\n"+text[codes:]),
		"a column with a way": zip(t, text[:codes]+`{"table":"codes","columns":["id) VALUES (1); --"]}`+"\n"+text[codes:]),
		"a file with a way":   zip(t, lines[0]+`{"file":"../root.key","data":"AAAA"}`+"\n"+strings.Join(lines[1:], "")),
		"a fraction":          zip(t, text[:codes]+`{"table":"codes","columns":["id"]}`+"\n[1.5]\n"+text[codes:]),
	}
	r := &bed{t: t, dir: t.TempDir(), clock: b.clock, anchor: b.anchor}
	must0(t, os.MkdirAll(filepath.Join(r.dir, "keys"), 0o700))
	r.schema()
	for name, file := range bad {
		_, err := r.restore(file)
		if !errors.Is(err, ErrBackup) && !errors.Is(err, ErrNewer) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(filepath.Join(r.dir, "root.key")); err == nil {
			t.Fatalf("%s: a file outside the key directory", name)
		}
	}
	info := must(r.restore(good))(t)
	if info.Rows == 0 || info.Files < 5 || info.Issuer != "vendor.example" || info.Created != b.clock.Now().Unix() {
		t.Errorf("the good one: %+v", info)
	}
	if _, err := r.restore(good); !errors.Is(err, ErrInitialised) {
		t.Errorf("over a full database: %v", err)
	}
}

// Key files go into the key directory and nowhere else, with the mode of a
// secret, and never over a key that is there.
func TestKeyFilesOfABackup(t *testing.T) {
	dir := t.TempDir()
	keys := filepath.Join(dir, "keys")
	must0(t, os.Mkdir(keys, 0o700))
	for _, name := range []string{"", ".", "..", "../x", "a/b", "/etc/x", "keys/../../x"} {
		if err := writeBackupKey(keys, backupFile{name, []byte("k")}); err == nil {
			t.Errorf("%q was written", name)
		}
	}
	for range 2 { // the second time after an interrupted restore
		must0(t, writeBackupKey(keys, backupFile{"lookup.key", []byte("k")}))
	}
	info := must(os.Stat(filepath.Join(keys, "lookup.key")))(t)
	if info.Mode().Perm() != PrivateFile {
		t.Errorf("mode %o", info.Mode().Perm())
	}
	if err := writeBackupKey(keys, backupFile{"lookup.key", []byte("other")}); !errors.Is(err, ErrKeyFile) {
		t.Errorf("over another key: %v", err)
	}
	if got := must(os.ReadFile(filepath.Join(keys, "lookup.key")))(t); string(got) != "k" {
		t.Errorf("the key is %q now", got)
	}
	if list := must(os.ReadDir(dir))(t); len(list) != 1 {
		t.Errorf("something was written beside the key directory: %v", list)
	}
}

// Every table comes after those it refers to, and none is left out.
func TestTablesInOrder(t *testing.T) {
	b := newBed(t)
	ctx := context.Background()
	conn := must(b.db.read.Conn(ctx))(t)
	defer conn.Close()
	at := map[string]int{}
	for i, name := range must(b.db.tables(ctx, conn))(t) {
		if _, twice := at[name]; twice {
			t.Errorf("%s twice", name)
		}
		at[name] = i + 1
	}
	for _, name := range []string{"settings", "codes", "activations", "answers", "idempotency", "audit", "tips", "keys", "keysets", "popular", "tokens"} {
		if at[name] == 0 {
			t.Errorf("%s is not in a backup", name)
		}
	}
	if at["codes"] > at["activations"] {
		t.Error("activations come before the codes that they refer to")
	}
	if at["goose_db_version"] != 0 {
		t.Error("the version of the schema is restored over the one that the program wrote")
	}
}

// Tables of any size are written whole: around the number of rows of one
// statement, and with so many columns that fewer rows fit.
func TestRowsOfARestore(t *testing.T) {
	b := newBed(t)
	ctx := context.Background()
	for _, n := range []int{0, 1, insertAtOnce - 1, insertAtOnce, insertAtOnce + 1, 2*insertAtOnce + 3} {
		tx := must(b.db.write.BeginTx(ctx, nil))(t)
		in := must(newInserter(tx, backupTable{"popular", []string{"value", "device"}}, []string{"popular"}))(t)
		for i := range n {
			must0(t, in.add(ctx, []byte(`["v`+strings.Repeat("x", i)+`","d"]`)))
		}
		must0(t, in.flush(ctx))
		var got int
		must0(t, tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM popular WHERE device = 'd'`).Scan(&got))
		must0(t, tx.Rollback())
		if got != n {
			t.Errorf("%d rows of %d", got, n)
		}
	}
}
