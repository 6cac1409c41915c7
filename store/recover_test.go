package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"licenseagent.example/activation"
)

// kinds lists the kinds of what was reported since Open.
func kinds(s *Store) []string {
	var out []string
	for _, e := range s.Stats().Events {
		out = append(out, e.Kind)
	}
	return out
}

// filled returns a closed state directory that went through n commits.
func filled(t testing.TB, n int64, o Options) string {
	t.Helper()
	dir := newDir(t)
	s := mustOpen(t, dir, o)
	for i := range n {
		mustApply(t, s, counted(i+1))
	}
	mustClose(t, s)
	return dir
}

// edit changes the database behind the store's back.
func edit(t testing.TB, dir string, f func(tx *bolt.Tx)) {
	t.Helper()
	db, err := openDB(filepath.Join(dir, fileDB), false)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Update(func(tx *bolt.Tx) error { f(tx); return nil }); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func flip(b []byte) []byte {
	b = bytes.Clone(b)
	b[len(b)/2] ^= 1
	return b
}

func TestRefusedValues(t *testing.T) {
	one := []byte("acme.example\x00one")
	older := func(t *testing.T, dir string) []byte {
		var v []byte
		s := mustOpen(t, dir, options())
		mustApply(t, s, counted(3))
		mustClose(t, s)
		edit(t, dir, func(tx *bolt.Tx) { v = bytes.Clone(tx.Bucket([]byte(bucketRecords)).Get(one)) })
		s = mustOpen(t, dir, options())
		mustApply(t, s, counted(4))
		mustClose(t, s)
		return v
	}
	for name, c := range map[string]struct {
		damage func(t *testing.T, dir string)
		why    error
		lost   string // what is missing when there is no mirror either
	}{
		"flipped value": {func(t *testing.T, dir string) {
			edit(t, dir, func(tx *bolt.Tx) {
				b := tx.Bucket([]byte(bucketRecords))
				b.Put(one, flip(b.Get(one)))
			})
		}, errSeal, "one"},
		"moved value": {func(t *testing.T, dir string) {
			edit(t, dir, func(tx *bolt.Tx) {
				b := tx.Bucket([]byte(bucketRecords))
				b.Put(one, b.Get([]byte("acme.example\x00two")))
			})
		}, errSeal, "one"},
		"vanished value": {func(t *testing.T, dir string) {
			edit(t, dir, func(tx *bolt.Tx) { tx.Bucket([]byte(bucketRecords)).Delete(one) })
		}, errLost, "one"},
		"older value": {func(t *testing.T, dir string) {
			v := older(t, dir)
			edit(t, dir, func(tx *bolt.Tx) { tx.Bucket([]byte(bucketRecords)).Put(one, v) })
		}, errStale, "one"},
		"flipped manifest": {func(t *testing.T, dir string) {
			edit(t, dir, func(tx *bolt.Tx) {
				b := tx.Bucket([]byte(bucketMeta))
				b.Put([]byte("manifest"), flip(b.Get([]byte("manifest"))))
			})
		}, errSeal, ""},
		"vanished manifest": {func(t *testing.T, dir string) {
			edit(t, dir, func(tx *bolt.Tx) { tx.Bucket([]byte(bucketMeta)).Delete([]byte("manifest")) })
		}, errLost, ""},
		"vanished bucket": {func(t *testing.T, dir string) {
			edit(t, dir, func(tx *bolt.Tx) { tx.DeleteBucket([]byte(bucketRecords)) })
		}, errLost, "one,two"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filled(t, 4, options())
			c.damage(t, dir)
			alone := copyDir(t, dir)
			os.Remove(filepath.Join(alone, fileMirror))

			s := mustOpen(t, dir, options())
			if n, torn := count(mustLoad(t, s)); n != 4 || torn {
				t.Errorf("with the mirror: count %d, torn %v", n, torn)
			}
			said := s.Stats().Events
			if !slices.ContainsFunc(said, func(e Event) bool { return strings.Contains(e.Text, c.why.Error()) }) {
				t.Errorf("nobody was told %q: %v", c.why, said)
			}
			if q := s.Stats().Quarantine; len(q) != 1 {
				t.Errorf("files put aside: %v", q)
			}

			s = mustOpen(t, alone, options())
			st := mustLoad(t, s)
			var have []string
			for _, r := range st.Records {
				have = append(have, r.Key.Product)
				if r.Seq != 4 {
					t.Errorf("record %s of commit %d is used", r.Key.Product, r.Seq)
				}
			}
			for _, p := range []string{"one", "two"} {
				if lost := strings.Contains(c.lost, p); lost == slices.Contains(have, p) {
					t.Errorf("without the mirror: product %s, lost %v, have %v", p, lost, have)
				}
			}
			if st.Clock.HighWater != 4 || len(st.KeySets) != 1 {
				t.Errorf("the others did not load: %+v", st)
			}
			mustApply(t, s, counted(5))
		})
	}
}

// With the mirror damaged as well, the public files give back the value that is
// refused. Before, the license was gone, and its public file was removed after it.
func TestRefusedValueFromPublicFiles(t *testing.T) {
	for name, refused := range map[string]struct{ bucket, key string }{
		"record":  {bucketRecords, "acme.example\x00one"},
		"key set": {bucketKeySets, "acme.example"},
	} {
		for _, public := range []bool{true, false} {
			o := options()
			o.PublicDir = newDir(t)
			dir := filled(t, 4, o)
			mustWrite(t, filepath.Join(dir, fileMirror), []byte("garbage"))
			edit(t, dir, func(tx *bolt.Tx) {
				b := tx.Bucket([]byte(refused.bucket))
				b.Put([]byte(refused.key), flip(b.Get([]byte(refused.key))))
			})
			if !public {
				o.PublicDir = "" // the control
			}
			st := mustLoad(t, mustOpen(t, dir, o))
			whole := len(st.Records) == 2 && len(st.KeySets) == 1
			if whole != public {
				t.Errorf("%s, public files %v: %d records, %d key sets", name, public, len(st.Records), len(st.KeySets))
			}
			for _, r := range st.Records {
				if r.Seq != 4 {
					t.Errorf("%s: product %s at %d", name, r.Key.Product, r.Seq)
				}
			}
		}
	}
}

// With one value refused the age of the mirror decides: a mirror as new, or older
// by the one commit that was never acknowledged, is taken as a whole; an older
// one only lends the value that is missing.
func TestHealsByAgeOfMirror(t *testing.T) {
	one := []byte("acme.example\x00one")
	for behind, want := range map[int64][2]int64{0: {4, 4}, 1: {3, 3}, 2: {2, 4}} {
		dir := newDir(t)
		s := mustOpen(t, dir, options())
		var mirror []byte
		for n := int64(1); n <= 4; n++ {
			mustApply(t, s, counted(n))
			if n == 4-behind {
				mirror = mustRead(t, filepath.Join(dir, fileMirror))
			}
		}
		mustClose(t, s)
		mustWrite(t, filepath.Join(dir, fileMirror), mirror)
		edit(t, dir, func(tx *bolt.Tx) {
			b := tx.Bucket([]byte(bucketRecords))
			b.Put(one, flip(b.Get(one)))
		})
		s = mustOpen(t, dir, options())
		st := mustLoad(t, s)
		if len(st.Records) != 2 || st.Records[0].Seq != want[0] || st.Records[1].Seq != want[1] || st.Clock.HighWater != want[1] {
			t.Errorf("mirror %d commits behind: %+v", behind, st)
		}
		if got := kinds(s); !slices.Equal(got, []string{EventHealed, EventQuarantined, EventRestored}) {
			t.Errorf("mirror %d commits behind: %v", behind, got)
		}
	}
}

// A deleted record that comes back on an old page is not believed.
func TestRefusesUnlisted(t *testing.T) {
	dir := filled(t, 1, options())
	edit(t, dir, func(tx *bolt.Tx) {
		seal, err := newSealer(testKey())
		if err != nil {
			t.Fatal(err)
		}
		e := entry{bucketRecords, "acme.example\x00ghost"}
		tx.Bucket([]byte(e.bucket)).Put([]byte(e.key), seal.seal(e, []byte(`{"key":{"issuer":"acme.example","product":"ghost"}}`)))
	})
	s := mustOpen(t, dir, options())
	if n, torn := count(mustLoad(t, s)); n != 1 || torn {
		t.Errorf("count %d, torn %v", n, torn)
	}
	if !slices.Contains(kinds(s), EventRefused) {
		t.Errorf("events %v", kinds(s))
	}
}

// large fills a store with enough records for branch pages and a free list, and
// returns what it holds. Records differ in size, one spans several pages.
func large(t testing.TB) (dir string, want activation.State) {
	t.Helper()
	dir = newDir(t)
	s := mustOpen(t, dir, options())
	want = activation.State{}
	apply := func(c activation.Change) {
		mustApply(t, s, c)
		want = applied(want, c)
	}
	for i := range 60 {
		k := activation.Key{Issuer: "acme.example", Product: fmt.Sprintf("product-%02d", i)}
		r := activation.Record{Key: k, License: []byte(strings.Repeat(fmt.Sprint("license ", i, " "), 40+i*4)), Seq: int64(i), Head: fmt.Sprint("head ", i)}
		apply(activation.Change{Put: []activation.Record{r}, Clock: &activation.ClockState{HighWater: int64(i)}})
	}
	for i := range 20 {
		apply(activation.Change{Delete: []activation.Key{{Issuer: "acme.example", Product: fmt.Sprintf("product-%02d", 3*i)}}})
	}
	apply(activation.Change{KeySets: map[string][]byte{"acme.example": []byte(strings.Repeat("key set ", 900))}})
	mustClose(t, s)
	return dir, want
}

func copyDir(t testing.TB, dir string) string {
	t.Helper()
	to := newDir(t)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		mustWrite(t, filepath.Join(to, e.Name()), mustRead(t, filepath.Join(dir, e.Name())))
	}
	return to
}

func TestDamagedFiles(t *testing.T) {
	for name, damage := range map[string]func(b []byte) []byte{
		"empty":          func([]byte) []byte { return nil },
		"truncated":      func(b []byte) []byte { return b[:len(b)/2] },
		"odd size":       func(b []byte) []byte { return b[:len(b)-100] },
		"garbage":        func(b []byte) []byte { return bytes.Repeat([]byte("garbage!"), len(b)/8) },
		"text":           func([]byte) []byte { return []byte("this is no database") },
		"zero data":      func(b []byte) []byte { clear(b[2*4096:]); return b },
		"both metas":     func(b []byte) []byte { clear(b[:2*4096]); return b },
		"data as metas":  func(b []byte) []byte { copy(b, b[2*4096:]); return b },
		"huge page size": func(b []byte) []byte { b[24], b[25], b[26] = 0, 0, 255; clear(b[4096:8192]); return b },
	} {
		for _, command := range [][]string{nil, probeCommand(t)} {
			dir := filled(t, 3, options())
			path := filepath.Join(dir, fileDB)
			mustWrite(t, path, damage(mustRead(t, path)))
			o := options()
			o.Probe, o.seams.probeTime = command, patient
			s := mustOpen(t, dir, o)
			if n, torn := count(mustLoad(t, s)); n != 3 || torn {
				t.Errorf("%s: count %d, torn %v", name, n, torn)
			}
			if q := s.Stats().Quarantine; len(q) != 1 {
				t.Errorf("%s: put aside %v", name, q)
			}
			mustApply(t, s, counted(4))
			mustClose(t, s)
			if n, _ := count(mustLoad(t, mustOpen(t, dir, o))); n != 4 {
				t.Errorf("%s: count %d afterwards", name, n)
			}
		}
	}
}

// When the newer meta page is damaged bbolt serves the older commit in silence;
// the mirror knows better.
func TestLostLastCommit(t *testing.T) {
	for page := range 2 {
		dir := filled(t, 3, options())
		path := filepath.Join(dir, fileDB)
		b := mustRead(t, path)
		b[page*4096+20] ^= 0xff
		mustWrite(t, path, b)
		s := mustOpen(t, dir, options())
		if n, torn := count(mustLoad(t, s)); n != 3 || torn {
			t.Errorf("meta %d: count %d, torn %v", page, n, torn)
		}
	}
}

// Without database and mirror the signed public files remain.
func TestLastResort(t *testing.T) {
	o := options()
	o.PublicDir = newDir(t)
	dir := filled(t, 2, o)
	os.Remove(filepath.Join(dir, fileDB))
	os.Remove(filepath.Join(dir, fileMirror))
	s := mustOpen(t, dir, o)
	st := mustLoad(t, s)
	if len(st.Records) != 2 || st.Records[0].Head != "head-2" || string(st.KeySets["acme.example"]) != "keyset 2" {
		t.Errorf("%+v", st)
	}
	if st.Records[0].Pending != nil {
		t.Error("a pending request was in a public file")
	}
}

func TestOtherDeviceKey(t *testing.T) {
	o := options()
	o.PublicDir = newDir(t)
	dir := filled(t, 2, o)
	o.MACKey = []byte("another key of thirty-two bytes!")
	s := mustOpen(t, dir, o)
	if st := mustLoad(t, s); len(st.Records) != 0 || len(st.KeySets) != 0 {
		t.Errorf("records of another device are used: %+v", st)
	}
	if got := s.Stats().Events[1]; got.Kind != EventQuarantined && got.Kind != EventRefused {
		t.Errorf("%+v", s.Stats().Events)
	}
	if !slices.ContainsFunc(s.Stats().Events, func(e Event) bool { return strings.Contains(e.Text, errOtherKey.Error()) }) {
		t.Errorf("the reason is missing: %+v", s.Stats().Events)
	}
}

func TestMirrorIsRewritten(t *testing.T) {
	for name, damage := range map[string]func(path string){
		"missing":    func(path string) { os.Remove(path) },
		"flipped":    func(path string) { mustWrite(t, path, flip(mustRead(t, path))) },
		"first line": func(path string) { mustWrite(t, path, []byte("hello\n")) },
		"empty":      func(path string) { mustWrite(t, path, nil) },
		"older":      func(path string) { mustWrite(t, path, mustRead(t, path+".old")) },
	} {
		dir := newDir(t)
		s := mustOpen(t, dir, options())
		mustApply(t, s, counted(1))
		path := filepath.Join(dir, fileMirror)
		mustWrite(t, path+".old", mustRead(t, path))
		mustApply(t, s, counted(2))
		mustClose(t, s)
		damage(path)
		s = mustOpen(t, dir, options())
		if n, torn := count(mustLoad(t, s)); n != 2 || torn {
			t.Errorf("%s: count %d, torn %v", name, n, torn)
		}
		mirror, err := s.readMirror()
		if err != nil || mirror.gen != s.img.gen {
			t.Errorf("%s: mirror %d %v, database %d", name, mirror.gen, err, s.img.gen)
		}
	}
}

func TestKeepsThreeDamagedFiles(t *testing.T) {
	dir := filled(t, 1, options())
	for i := range 6 {
		mustWrite(t, filepath.Join(dir, fileDB), []byte{byte(i)})
		s := mustOpen(t, dir, options())
		if n, _ := count(mustLoad(t, s)); n != 1 {
			t.Fatalf("round %d: count %d", i, n)
		}
		if q := s.Stats().Quarantine; len(q) != min(i+1, keepBad) {
			t.Errorf("round %d: %v", i, q)
		}
		mustClose(t, s)
	}
	newest := mustRead(t, filepath.Join(dir, mustBad(t, dir)[keepBad-1]))
	if !bytes.Equal(newest, []byte{5}) {
		t.Errorf("the newest damaged file was not kept: %v", newest)
	}
}

func mustBad(t *testing.T, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, fileBad+"*"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range names {
		names[i] = filepath.Base(names[i])
	}
	return names
}

func TestLeftoversOfACrash(t *testing.T) {
	dir := filled(t, 2, options())
	for _, name := range []string{fileNew, ".tmp-0123456789abcdef"} {
		mustWrite(t, filepath.Join(dir, name), []byte("half"))
	}
	s := mustOpen(t, dir, options())
	if n, torn := count(mustLoad(t, s)); n != 2 || torn {
		t.Errorf("count %d, torn %v", n, torn)
	}
	for _, name := range []string{fileNew, ".tmp-0123456789abcdef"} {
		if _, err := os.Lstat(filepath.Join(dir, name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there", name)
		}
	}
}

func TestCompaction(t *testing.T) {
	dir := newDir(t)
	s := mustOpen(t, dir, options())
	big := activation.Change{}
	for i := range 8 {
		k := activation.Key{Issuer: "acme.example", Product: string(rune('a' + i))}
		big.Put = append(big.Put, activation.Record{Key: k, License: make([]byte, 700_000)})
	}
	mustApply(t, s, big)
	before := s.Stats().FileBytes
	small := activation.Change{}
	for _, r := range big.Put[1:] {
		small.Delete = append(small.Delete, r.Key)
	}
	mustApply(t, s, small)
	mustApply(t, s, activation.Change{Clock: &activation.ClockState{HighWater: 1}})
	st := s.Stats()
	if st.FileBytes > compactMin || before < compactMin {
		t.Errorf("%d bytes before, %d after: %+v", before, st.FileBytes, st.Events)
	}
	if !slices.Contains(kinds(s), EventCompacted) || len(st.Quarantine) != 0 {
		t.Errorf("%+v", st)
	}
	if got := mustLoad(t, s); len(got.Records) != 1 || got.Clock.HighWater != 1 {
		t.Errorf("%d records, clock %+v", len(got.Records), got.Clock)
	}
	mustApply(t, s, counted(1))
}
