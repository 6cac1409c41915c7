package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"licenseagent.example/activation"
	"licenseagent.example/docs/promise"
	"licenseagent.example/platform/securefile"
)

// The test binary is its own probe and its own victim, as the agent is.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case ProbeArg:
			os.Exit(ProbeMain(os.Args[2:]))
		case "store-child":
			os.Exit(child(os.Args[2:]))
		}
	}
	os.Exit(m.Run())
}

func testKey() []byte { return []byte("0123456789abcdef0123456789abcdef") }

func testNow() int64 { return 1_780_000_000 }

// probeCommand is this binary as the probe process.
func probeCommand(t testing.TB) []string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return probeOf(self)
}

func probeOf(self string) []string {
	if racing {
		return []string{"/usr/bin/env", noRaceSleep, self, ProbeArg}
	}
	return []string{self, ProbeArg}
}

const noRaceSleep = "GORACE=atexit_sleep_ms=0"

// options without a probe process: the check runs in this process.
func options() Options {
	return Options{MACKey: testKey(), Now: testNow}
}

// newDir returns a state directory that does not exist yet.
func newDir(t testing.TB) string { t.Helper(); return filepath.Join(t.TempDir(), "state") }

// ramDir is newDir in memory where the system has such a place: the proofs that
// lay out thousands of disks themselves gain nothing from a slow real one.
func ramDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "store-test-")
	if err != nil || !filepath.IsAbs(dir) { // a path without a drive, on Windows
		return newDir(t)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "state")
}

func mustOpen(t testing.TB, dir string, o Options) *Store {
	t.Helper()
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func mustApply(t testing.TB, s *Store, c activation.Change) {
	t.Helper()
	if err := s.Apply(c); err != nil {
		t.Fatal(err)
	}
}

func mustLoad(t testing.TB, s *Store) activation.State {
	t.Helper()
	st, err := s.Load()
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func mustClose(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func mustMake(t testing.TB, dir string) *securefile.Dir {
	t.Helper()
	d, err := securefile.Make(dir)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// mustWrite writes a file as private as the store's own: a mode alone says
// nothing on Windows.
func mustWrite(t testing.TB, path string, b []byte) {
	t.Helper()
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		if d, err := securefile.Make(filepath.Dir(path)); err == nil { // else the folder is a public one
			d.Touch(filepath.Base(path))
			d.Close()
		}
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func mustRead(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// counted is a change that writes n into two records, a key set and the clock
// at once: whoever sees two different numbers sees a torn commit.
func counted(n int64) activation.Change {
	rec := func(product string) activation.Record {
		return activation.Record{
			Key: activation.Key{Issuer: "acme.example", Product: product}, License: fmt.Appendf(nil, `{"payload":"license %d"}`, n),
			Seq: n, Head: fmt.Sprint("head-", n), Days: []string{"2026-01-01"},
			Pending: &activation.Pending{Kind: "renew", Nonce: fmt.Sprint("nonce-", n), Request: fmt.Appendf(nil, "request %d", n)},
		}
	}
	return activation.Change{
		Put: []activation.Record{rec("one"), rec("two")}, KeySets: map[string][]byte{"acme.example": fmt.Appendf(nil, "keyset %d", n)},
		Clock: &activation.ClockState{HighWater: n, BootID: "boot"},
	}
}

// count reads the number back; torn says that the parts disagree.
func count(st activation.State) (n int64, torn bool) {
	if len(st.Records) == 0 && len(st.KeySets) == 0 && st.Clock == (activation.ClockState{}) {
		return 0, false
	}
	n = st.Clock.HighWater
	want := applied(activation.State{}, counted(n))
	a, err1 := json.Marshal(st)
	b, err2 := json.Marshal(want)
	return n, err1 != nil || err2 != nil || string(a) != string(b)
}

// applied is what a state is after a change: the model the store is held against.
func applied(st activation.State, c activation.Change) activation.State {
	if st.KeySets == nil {
		st.KeySets = map[string][]byte{}
	}
	drop := func(k activation.Key) {
		for i, r := range st.Records {
			if r.Key == k {
				st.Records = append(st.Records[:i:i], st.Records[i+1:]...)
				return
			}
		}
	}
	for _, k := range c.Delete {
		drop(k)
	}
	for _, r := range c.Put {
		drop(r.Key)
		i := 0
		for i < len(st.Records) && compareEntries(recordEntry(st.Records[i].Key), recordEntry(r.Key)) < 0 {
			i++
		}
		st.Records = append(st.Records[:i:i], append([]activation.Record{r}, st.Records[i:]...)...)
	}
	for k, v := range c.KeySets {
		st.KeySets[k] = v
	}
	if c.Clock != nil {
		st.Clock = *c.Clock
	}
	return st
}

// scale picks the reduced or the full size of a proof; the race detector makes
// each start of a process many times slower.
func scale(test, prove int) int {
	if racing {
		test = max(1, test/4)
	}
	return promise.Size(test, prove)
}

// partOf says whether each part of a state is exactly one that was stored.
func partOf(t *testing.T, state string, want activation.State) bool {
	t.Helper()
	var st activation.State
	if err := json.Unmarshal([]byte(state), &st); err != nil {
		t.Error(err)
		return false
	}
	same := func(a, b any) bool {
		x, err1 := json.Marshal(a)
		y, err2 := json.Marshal(b)
		return err1 == nil && err2 == nil && string(x) == string(y)
	}
	for _, r := range st.Records {
		if !slices.ContainsFunc(want.Records, func(w activation.Record) bool { return same(r, w) }) {
			return false
		}
	}
	for issuer, k := range st.KeySets {
		if string(want.KeySets[issuer]) != string(k) {
			return false
		}
	}
	return st.Clock == want.Clock || st.Clock == activation.ClockState{}
}
