package store

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	bolt "go.etcd.io/bbolt"

	"licenseagent.example/activation"
	"licenseagent.example/docs/promise"
)

// careless decrypts like the seal and does not look at the tag: the defence of
// P05 switched off.
type careless struct {
	cipher.AEAD
	block cipher.Block
}

func (c careless) Open(dst, _, sealed, _ []byte) ([]byte, error) {
	if len(sealed) < 12+tagSize {
		return nil, errors.New("short")
	}
	counter := append(slices.Clone(sealed[:12]), 0, 0, 0, 2) // GCM counts from 2, SP 800-38D
	text := slices.Clone(sealed[12 : len(sealed)-tagSize])
	cipher.NewCTR(c.block, counter).XORKeyStream(text, text)
	return append(dst, text...), nil
}

func carelessly(t *testing.T) func(*sealer) {
	return func(s *sealer) {
		k, err := hkdf.Key(sha256.New, testKey(), nil, "license-agent store v1 seal", 32)
		if err != nil {
			t.Fatal(err)
		}
		block, err := aes.NewCipher(k)
		if err != nil {
			t.Fatal(err)
		}
		s.aead = careless{s.aead, block}
	}
}

// place is where a live sealed value lies in the file.
type place struct {
	entry  entry
	at, to int
}

// single returns a state directory whose file holds each sealed value exactly
// once, and where; there is no mirror.
func single(t *testing.T) (file []byte, places []place, want activation.State) {
	t.Helper()
	dir := newDir(t)
	s := mustOpen(t, dir, options())
	for i := range 8 {
		r := activation.Record{
			Key: activation.Key{Issuer: "acme.example", Product: fmt.Sprint("product-", i)}, License: fmt.Appendf(nil, "license %d", i),
			Seq: int64(i), Head: fmt.Sprint("head ", i), Contact: 1_700_000_000, NextTry: 1_700_000_000,
		}
		c := activation.Change{Put: []activation.Record{r}, Clock: &activation.ClockState{HighWater: 1_700_000_000, BootID: "boot"}}
		mustApply(t, s, c)
		want = applied(want, c)
	}
	c := activation.Change{KeySets: map[string][]byte{"acme.example": []byte("a key set of some length")}}
	mustApply(t, s, c)
	want = applied(want, c)
	mustClose(t, s)
	os.Remove(filepath.Join(dir, fileDB)) // the new one comes from the mirror, in one transaction
	s = mustOpen(t, dir, options())
	err := s.db.View(func(tx *bolt.Tx) error {
		file = mustRead(t, filepath.Join(dir, fileDB))
		for _, name := range []string{bucketMeta, bucketRecords, bucketKeySets, bucketClock} {
			err := tx.Bucket([]byte(name)).ForEach(func(k, v []byte) error {
				at := bytes.Index(file, v)
				if bytes.Count(file, v) != 1 {
					return fmt.Errorf("%s/%q is there %d times", name, k, bytes.Count(file, v))
				}
				places = append(places, place{entry{name, string(k)}, at, at + len(v)})
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return file, places, want
}

// flipped opens the file with one bit of a live value turned and says whether
// something that was never stored is used, and whether the value was refused.
func flipped(t *testing.T, dir string, file []byte, at int, bit byte, want activation.State, o Options) (used, refused bool) {
	t.Helper()
	b := bytes.Clone(file)
	b[at] ^= bit
	lay(t, dir, map[string][]byte{fileDB: b})
	s, err := Open(dir, o)
	if err != nil {
		t.Fatalf("a flipped bit stops the start: %v", err)
	}
	defer s.leave()
	st, err := s.Load()
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(st)
	if err != nil {
		t.Fatal(err)
	}
	return !partOf(t, string(got), want), len(s.Stats().Events) > 0
}

// P05: no silently altered record is ever acted on. There is no mirror here, so
// each altered value must be refused and said to be.
func TestFlippedValues(t *testing.T) {
	t.Parallel()
	file, places, want := single(t)
	dir := ramDir(t)
	rnd := rand.New(rand.NewPCG(5, 5))
	flips, used, silent := 0, 0, 0
	for range scale(400, 20_000) {
		p := places[rnd.IntN(len(places))]
		u, refused := flipped(t, dir, file, p.at+rnd.IntN(p.to-p.at), 1<<rnd.IntN(8), want, options())
		flips++
		if u {
			used++
		}
		if !refused {
			silent++
		}
	}
	if used+silent != 0 {
		t.Errorf("%d altered values used, %d not reported, of %d", used, silent, flips)
	}
	o := options()
	o.seams.sealer = carelessly(t)
	tried, altered := 0, 0
	for range promise.Size(150, 1000) {
		p := places[rnd.IntN(len(places))]
		if p.entry.bucket == bucketMeta {
			continue
		}
		tried++
		if u, _ := flipped(t, dir, file, p.at+rnd.IntN(p.to-p.at), 1<<rnd.IntN(8), want, o); u {
			altered++
		}
	}
	if altered == 0 {
		t.Errorf("without the check of the seal none of %d flips was used", tried)
	}
	promise.Reached(t, "P05", fmt.Sprintf("%d flips in live values, %d used, %d silent", flips, used, silent),
		fmt.Sprintf("seal not checked: %d of %d altered values used", altered, tried))
}

// With the mirror a flipped value is not only refused but put right.
func TestFlippedValuesHeal(t *testing.T) {
	t.Parallel()
	dir := filled(t, 5, options())
	file, mirror := mustRead(t, filepath.Join(dir, fileDB)), mustRead(t, filepath.Join(dir, fileMirror))
	rnd := rand.New(rand.NewPCG(6, 6))
	dir = ramDir(t)
	o := options()
	o.Probe = probeCommand(t) // a flip anywhere in the file may kill whoever opens it
	for range scale(40, 1000) {
		b := bytes.Clone(file)
		b[rnd.IntN(len(b))] ^= 1 << rnd.IntN(8)
		lay(t, dir, map[string][]byte{fileDB: b, fileMirror: mirror})
		s, err := Open(dir, o)
		if err != nil {
			t.Fatal(err)
		}
		if n, torn := count(mustLoad(t, s)); n != 5 || torn {
			t.Fatalf("count %d, torn %v: %v", n, torn, s.Stats().Events)
		}
		mustClose(t, s)
	}
}

func TestSealBindsThePlace(t *testing.T) {
	s, err := newSealer(testKey())
	if err != nil {
		t.Fatal(err)
	}
	e := entry{bucketRecords, "a\x00b"}
	sealed := s.seal(e, []byte("value"))
	if plain, err := s.open(e, sealed); err != nil || string(plain) != "value" {
		t.Fatalf("%q %v", plain, err)
	}
	for _, other := range []entry{{bucketRecords, "a\x00c"}, {bucketKeySets, "a\x00b"}, {"record", "s\x00a\x00b"}, {"", ""}} {
		if _, err := s.open(other, sealed); !errors.Is(err, errSeal) {
			t.Errorf("%q opens at %q", sealed, other)
		}
	}
	for n := range len(sealed) {
		if _, err := s.open(e, sealed[:n]); !errors.Is(err, errSeal) {
			t.Errorf("the first %d bytes open", n)
		}
	}
	if tag(sealed) == tag(s.seal(e, []byte("value"))) || tag([]byte("short")) != "" {
		t.Error("tags do not name one sealing")
	}
	k := testKey()
	k[0] ^= 1
	o, err := newSealer(k)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.open(e, sealed); !errors.Is(err, errSeal) || o.id == s.id {
		t.Error("another key opens it")
	}
}
