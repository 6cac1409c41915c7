package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	bolt "go.etcd.io/bbolt"

	"licenseagent.example/activation"
)

// goldenState is what testdata/schema-1 holds, value for value.
func goldenState() activation.State {
	return activation.State{
		Records: []activation.Record{
			{Key: activation.Key{Issuer: "acme.example"}, Pending: &activation.Pending{
				Kind: "activate", Nonce: "bm9uY2U=", Request: []byte(`{"payload":"request"}`), IdemKey: "idem-1", At: 1_770_000_000, Offline: true, Boot: 70, BootID: "3f2b",
			}},
			{
				Key: activation.Key{Issuer: "acme.example", Product: "Größer"}, License: []byte(`{"payload":"license"}`), Notice: []byte(`{"payload":"notice"}`),
				Seq: 41, Head: "aGVhZA==", Contact: 1_770_000_100, Contested: true, Worse: activation.Worse{Reads: 2, First: 1_770_000_200, Last: 1_770_000_300, Blind: 1_770_000_250},
				Days: []string{"2026-02-01", "2026-02-02"}, NextTry: 1_770_000_400, Failures: 3, LastError: "merchant unreachable", UsedNonce: []string{"bjE=", "bjI="},
			},
		},
		KeySets: map[string][]byte{"acme.example": []byte(`{"payload":"keyset"}`)},
		Clock:   activation.ClockState{HighWater: 1_770_000_500, Boot: 77, BootID: "3f2b", Provisional: 1_770_000_600, Ticked: true, Every: 300, Slack: 12, Offset: 5, Count: 9},
	}
}

// A state of every schema version loads for ever, from the database and from
// the mirror alone. UPDATE_GOLDEN=1 writes the files of the current version, once.
func TestGolden(t *testing.T) {
	if os.Getenv("UPDATE_GOLDEN") == "1" {
		writeGolden(t)
	}
	for version := 1; version <= schemaVersion; version++ {
		from := filepath.Join("testdata", fmt.Sprint("schema-", version))
		files := map[string][]byte{
			fileDB: mustRead(t, filepath.Join(from, fileDB)), fileMirror: mustRead(t, filepath.Join(from, fileMirror)),
		}
		for _, only := range []string{"both", fileDB, fileMirror} {
			dir := newDir(t)
			lay(t, dir, files)
			for name := range files {
				if only != "both" && only != name {
					os.Remove(filepath.Join(dir, name))
				}
			}
			s := mustOpen(t, dir, options())
			if diff := cmp.Diff(goldenState(), mustLoad(t, s)); diff != "" {
				t.Errorf("schema %d from %s: %s", version, only, diff)
			}
			if st := s.Stats(); st.Schema != schemaVersion || len(st.Quarantine) != 0 {
				t.Errorf("schema %d from %s: %+v", version, only, st)
			}
		}
	}
}

func writeGolden(t *testing.T) {
	t.Helper()
	dir, to := newDir(t), filepath.Join("testdata", fmt.Sprint("schema-", schemaVersion))
	s := mustOpen(t, dir, options())
	st := goldenState()
	mustApply(t, s, activation.Change{Put: st.Records, KeySets: st.KeySets, Clock: &st.Clock})
	mustClose(t, s)
	if err := os.MkdirAll(to, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{fileDB, fileMirror} {
		if _, err := os.Stat(filepath.Join(to, name)); err == nil {
			t.Fatalf("%s exists: a golden file of a published schema is never rewritten", name)
		}
		if err := os.WriteFile(filepath.Join(to, name), mustRead(t, filepath.Join(dir, name)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// The stored form is the JSON of activation's types: a change of their fields
// is a change of the schema.
func TestSchemaIsThisListOfFields(t *testing.T) {
	want := map[string]string{
		"Record": "key license,omitempty notice,omitempty seq head pending,omitempty contact contested worse days,omitempty " +
			"calendar,omitempty next_try failures last_error,omitempty used_nonce,omitempty",
		"Pending":    "kind nonce request idem at offline boot,omitempty boot_id,omitempty",
		"Worse":      "reads first last blind,omitempty",
		"ClockState": "hw boot boot_id prov,omitempty ticked every,omitempty slack,omitempty off,omitempty count,omitempty",
		"Key":        "issuer product",
	}
	for _, v := range []any{activation.Record{}, activation.Pending{}, activation.Worse{}, activation.ClockState{}, activation.Key{}} {
		typ := reflect.TypeOf(v)
		var tags []string
		for i := range typ.NumField() {
			tags = append(tags, typ.Field(i).Tag.Get("json"))
		}
		if got := strings.Join(tags, " "); got != want[typ.Name()] {
			t.Errorf("activation.%s is stored as\n  %s\nand schema %d says\n  %s\nRaise the schema version, write a migration and golden files, and change FORMAT.md. (Before the first release: change this list and renew the golden files.)",
				typ.Name(), got, schemaVersion, want[typ.Name()])
		}
	}
}

func TestNewerSchemaIsRefused(t *testing.T) {
	for _, file := range []string{fileDB, fileMirror} {
		dir := filled(t, 2, options())
		if file == fileDB {
			edit(t, dir, func(tx *bolt.Tx) {
				tx.Bucket([]byte(bucketMeta)).Put([]byte("schema"), schemaLine(schemaVersion+1, "0123456789abcdef"))
			})
		} else {
			s := mustOpen(t, dir, options())
			img := s.img
			img.schema = schemaVersion + 1
			if err := s.writeMirror(img); err != nil {
				t.Fatal(err)
			}
			s.leave()
			mustWrite(t, filepath.Join(dir, fileDB), []byte("damaged"))
		}
		before := mustRead(t, filepath.Join(dir, file))
		_, err := Open(dir, options())
		if !errors.Is(err, ErrNewerSchema) || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), fmt.Sprint(schemaVersion+1)) {
			t.Errorf("%s: %v", file, err)
		}
		if string(mustRead(t, filepath.Join(dir, file))) != string(before) || len(mustBad(t, dir)) != 0 {
			t.Errorf("%s: something was touched", file)
		}
	}
}

func TestSchemaLine(t *testing.T) {
	line := schemaLine(12, "0123456789abcdef")
	if v, id, err := parseSchema(line); v != 12 || id != "0123456789abcdef" || err != nil {
		t.Errorf("%d %s %v", v, id, err)
	}
	for i := range line {
		for bit := range 8 {
			b := []byte(string(line))
			b[i] ^= 1 << bit
			if _, _, err := parseSchema(b); !errors.Is(err, errSchema) {
				t.Errorf("flipped bit %d of byte %d: %q is believed", bit, i, b)
			}
		}
	}
	for _, s := range []string{"", " ", "x", "license-agent-store 1 id 00000000"} {
		if _, _, err := parseSchema([]byte(s)); !errors.Is(err, errSchema) {
			t.Errorf("%q is believed", s)
		}
	}
	for _, version := range []int{0, -1} {
		if _, _, err := parseSchema(schemaLine(version, "id")); !errors.Is(err, errSchema) {
			t.Errorf("version %d is believed", version)
		}
	}
}

// Migrations go one step at a time and stop at the first that fails.
func TestMigrate(t *testing.T) {
	var order []string
	mark := func(name string, err error) step {
		return func(data map[entry][]byte) (map[entry][]byte, error) {
			order = append(order, name)
			data[entry{bucketClock, name}] = []byte(name)
			return data, err
		}
	}
	m := image{schema: 1, gen: 7, data: map[entry][]byte{{bucketClock, "clock"}: []byte("c")}}
	got, err := migrate(m, 3, []step{mark("1-2", nil), mark("2-3", nil), mark("3-4", nil)})
	if err != nil || got.schema != 3 || got.gen != 9 || len(got.data) != 3 || strings.Join(order, " ") != "1-2 2-3" {
		t.Errorf("%+v %v %v", got, order, err)
	}
	broken := errors.New("broken")
	if got, err := migrate(m, 3, []step{mark("1-2", nil), mark("2-3", broken)}); !errors.Is(err, broken) || got.schema != 2 {
		t.Errorf("%+v %v", got, err)
	}
	if _, err := migrate(m, 3, []step{mark("1-2", nil)}); err == nil {
		t.Error("a missing step was not noticed")
	}
	if _, err := migrate(image{}, 1, nil); err == nil {
		t.Error("schema 0 was migrated")
	}
	if got, err := migrate(m, 1, nil); err != nil || got.schema != 1 {
		t.Errorf("%+v %v", got, err)
	}
}

// CheckVersion looks at a file that somebody else may hold open, and refuses
// only what a newer version has surely written.
func TestCheckVersion(t *testing.T) {
	dir := t.TempDir()
	if err := CheckVersion(dir); err != nil {
		t.Errorf("no state: %v", err)
	}
	path := filepath.Join(dir, fileDB)
	good, next := schemaLine(schemaVersion, "0123456789abcdef"), schemaLine(schemaVersion+1, "0123456789abcdef")
	damaged := append([]byte{}, next...)
	damaged[len(damaged)-1] ^= 1
	for name, c := range map[string]struct {
		content []byte
		want    error
	}{
		"ours": {good, nil}, "newer": {next, ErrNewerSchema}, "both": {append(append([]byte{}, good...), next...), ErrNewerSchema},
		"damaged": {damaged, nil}, "empty": {nil, nil},
	} {
		if err := os.WriteFile(path, append(bytes.Repeat([]byte{0xed, 0}, 3000), c.content...), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := CheckVersion(dir); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}
