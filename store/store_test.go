package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"licenseagent.example/activation"
)

var _ activation.StateStore = (*Store)(nil)

func TestEmpty(t *testing.T) {
	s := mustOpen(t, newDir(t), options())
	want := activation.State{KeySets: map[string][]byte{}}
	if diff := cmp.Diff(want, mustLoad(t, s)); diff != "" {
		t.Error(diff)
	}
}

func TestRemembers(t *testing.T) {
	rec := func(issuer, product string, seq int64) activation.Record {
		return activation.Record{
			Key: activation.Key{Issuer: issuer, Product: product}, License: []byte(`{"payloadType":"x"}`), Notice: []byte("{}"), Seq: seq,
			Head: "h", Contact: 5, Contested: true, Worse: activation.Worse{Reads: 2, First: 3, Last: 4}, Days: []string{"2026-02-03"}, Calendar: "-03:00",
			NextTry: 9, Failures: 1, LastError: "unreachable", UsedNonce: []string{"n1"},
			Pending: &activation.Pending{Kind: "renew", Nonce: "n", Request: []byte("r"), IdemKey: "i", At: 7, Offline: true},
		}
	}
	changes := []activation.Change{
		{Put: []activation.Record{rec("b.example", "x", 1)}},
		{Put: []activation.Record{rec("a.example", "", 0)}, KeySets: map[string][]byte{"a.example": []byte("k1")}},
		{Delete: []activation.Key{{Issuer: "a.example"}}, Put: []activation.Record{rec("a.example", "y", 1)}},
		{Clock: &activation.ClockState{HighWater: 100, Boot: 5, BootID: "b", Provisional: 6, Ticked: true}},
		{Put: []activation.Record{rec("b.example", "x", 2)}, KeySets: map[string][]byte{"b.example": {}}},
		{Delete: []activation.Key{{Issuer: "nobody.example", Product: "none"}}},
		{},
	}
	dir := newDir(t)
	want := activation.State{KeySets: map[string][]byte{}}
	s := mustOpen(t, dir, options())
	for i, c := range changes {
		mustApply(t, s, c)
		want = applied(want, c)
		if diff := cmp.Diff(want, mustLoad(t, s)); diff != "" {
			t.Fatalf("after change %d: %s", i, diff)
		}
		mustClose(t, s)
		s = mustOpen(t, dir, options())
		if diff := cmp.Diff(want, mustLoad(t, s)); diff != "" {
			t.Fatalf("reopened after change %d: %s", i, diff)
		}
	}
	if events := s.Stats().Events; len(events) != 0 {
		t.Errorf("events without reason: %v", events)
	}
}

// What Load returned belongs to the caller.
func TestLoadGivesCopies(t *testing.T) {
	s := mustOpen(t, newDir(t), options())
	mustApply(t, s, counted(1))
	st := mustLoad(t, s)
	st.Records[0].License[0], st.KeySets["acme.example"][0] = 'X', 'X'
	if n, torn := count(mustLoad(t, s)); n != 1 || torn {
		t.Errorf("count %d, torn %v", n, torn)
	}
	c := counted(2)
	mustApply(t, s, c)
	c.KeySets["acme.example"][0] = 'X'
	if n, torn := count(mustLoad(t, s)); n != 2 || torn {
		t.Errorf("count %d, torn %v", n, torn)
	}
}

func TestInvalidChanges(t *testing.T) {
	s := mustOpen(t, newDir(t), options())
	mustApply(t, s, counted(1))
	long := strings.Repeat("x", maxName+1)
	put := func(k activation.Key, license []byte) activation.Change {
		c := counted(2)
		c.Put = append(c.Put, activation.Record{Key: k, License: license})
		return c
	}
	for name, c := range map[string]activation.Change{
		"no issuer":     put(activation.Key{Product: "p"}, nil),
		"zero byte":     put(activation.Key{Issuer: "a", Product: "p\x00q"}, nil),
		"zero issuer":   put(activation.Key{Issuer: "a\x00", Product: "p"}, nil),
		"long issuer":   put(activation.Key{Issuer: long, Product: "p"}, nil),
		"long product":  put(activation.Key{Issuer: "a", Product: long}, nil),
		"large license": put(activation.Key{Issuer: "a", Product: "p"}, make([]byte, maxValue)),
		"key set":       {KeySets: map[string][]byte{"": []byte("k")}},
		"large key set": {KeySets: map[string][]byte{"a": make([]byte, maxValue+1)}},
	} {
		if err := s.Apply(c); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
		if n, torn := count(mustLoad(t, s)); n != 1 || torn {
			t.Errorf("%s: something was written: %d %v", name, n, torn)
		}
	}
	mustApply(t, s, counted(3))
}

func TestClosed(t *testing.T) {
	s := mustOpen(t, newDir(t), options())
	mustClose(t, s)
	mustClose(t, s)
	if _, err := s.Load(); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if err := s.Apply(counted(1)); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if st := s.Stats(); st.FileBytes != 0 {
		t.Errorf("a closed store looked at files: %+v", st)
	}
}

func TestKeyTooShort(t *testing.T) {
	o := options()
	o.MACKey = o.MACKey[:31]
	dir := newDir(t)
	if _, err := Open(dir, o); !errors.Is(err, ErrKey) {
		t.Error(err)
	}
	if _, err := os.Lstat(dir); !os.IsNotExist(err) {
		t.Error("something was created before the key was looked at")
	}
}

// Nothing that was stored may be read from the files: the pending request holds
// the authorization code (CWE-312).
func TestNothingInTheClear(t *testing.T) {
	dir := newDir(t)
	s := mustOpen(t, dir, options())
	c := counted(1)
	c.Put[0].Pending.Request = []byte("CODE-CANARY-7719")
	c.Put[0].LastError = "CODE-CANARY-7719"
	mustApply(t, s, c)
	mustClose(t, s)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, e := range entries {
		seen++
		for _, form := range []string{"CODE-CANARY-7719", "Q09ERS1DQU5BUlktNzcxO"} { // plain and base64
			if strings.Contains(string(mustRead(t, filepath.Join(dir, e.Name()))), form) {
				t.Errorf("%s holds %s", e.Name(), form)
			}
		}
	}
	if seen < 4 {
		t.Errorf("only %d files looked at", seen)
	}
}

// A store that has failed refuses to change what its caller does not know.
func TestStopsAfterFailedCommit(t *testing.T) {
	s := mustOpen(t, newDir(t), options())
	mustApply(t, s, counted(1))
	s.mu.Lock()
	err := s.fail(errors.New("input/output error"))
	s.mu.Unlock()
	if !errors.Is(err, ErrCommit) {
		t.Fatal(err)
	}
	if !s.Stats().Stopped {
		t.Error("the statistics do not say that the store has stopped")
	}
	if err := s.Apply(counted(2)); !errors.Is(err, ErrStopped) {
		t.Fatal(err)
	}
	if n, torn := count(mustLoad(t, s)); n != 1 || torn {
		t.Errorf("count %d, torn %v", n, torn)
	}
	mustApply(t, s, counted(3))
	if n, torn := count(mustLoad(t, s)); n != 3 || torn {
		t.Errorf("count %d, torn %v", n, torn)
	}
}

func TestConcurrentUse(t *testing.T) {
	s := mustOpen(t, newDir(t), options())
	done := make(chan error)
	for i := range 8 {
		go func() {
			for j := range 5 {
				k := activation.Key{Issuer: "acme.example", Product: fmt.Sprint(i, "-", j)}
				if err := s.Apply(activation.Change{Put: []activation.Record{{Key: k, Seq: int64(j)}}}); err != nil {
					done <- err
					return
				}
				if _, err := s.Load(); err != nil {
					done <- err
					return
				}
				s.Stats()
			}
			done <- nil
		}()
	}
	for range 8 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if st := s.Stats(); st.Records != 40 || st.Generation != 41 {
		t.Errorf("%+v", st)
	}
}
