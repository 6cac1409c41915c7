package store

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"licenseagent.example/activation"
	"licenseagent.example/docs/promise"
)

// fill takes all but leave bytes of the disk. The file is written twice and never
// cut: a system may want space even for that.
func fill(t *testing.T, path string, leave int64) {
	t.Helper()
	size := grow(t, path, 1<<30)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	grow(t, path, max(0, size-leave))
}

// grow writes a file until it has so many bytes or the disk is full.
func grow(t *testing.T, path string, most int64) (size int64) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 4096)
	for size < most {
		n, err := f.Write(block[:min(int64(len(block)), most-size)])
		size += int64(n)
		if full(err) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return size
}

// bulky is counted with enough weight that a file must grow.
func bulky(n int64) activation.Change {
	c := counted(n)
	for i := range 4 {
		c.Put = append(c.Put, activation.Record{
			Key: activation.Key{Issuer: "bulk.example", Product: fmt.Sprint(i, "-", n%5)}, Seq: n, License: make([]byte, 1000+int(n%7)*600),
		})
	}
	return c
}

// bulkCount reads the number of a bulky state.
func bulkCount(st activation.State) int64 { return st.Clock.HighWater }

// P06: on a full disk answers go on, and nothing is lost when space returns.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	disk := smallDisk(t)
	dir, filler := filepath.Join(disk, "state"), filepath.Join(disk, "filler")
	o := options()
	o.PublicDir = filepath.Join(disk, "public")
	s := mustOpen(t, dir, o)
	cycles, failures, refused, lost, n := 0, 0, 0, 0, int64(0)
	acked := int64(0)
	answer := func(when string) {
		st, err := s.Load()
		if err != nil {
			refused++
			t.Errorf("cycle %d, %s: no answer: %v", cycles, when, err)
			return
		}
		got := bulkCount(st)
		if got < acked || got > n {
			lost++
			t.Errorf("cycle %d, %s: acknowledged %d, begun %d, found %d", cycles, when, acked, n, got)
		}
		acked = max(acked, got) // what Load says is what the agent goes on from
	}
	for range scale(15, 300) {
		cycles++
		fill(t, filler, spare+int64(cycles%6)*4096)
		for range 4 {
			n++
			if err := s.Apply(bulky(n)); err == nil {
				acked = n
			} else {
				failures++
			}
			answer("full")
		}
		if cycles%3 == 0 { // the machine starts again while the disk is full
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			var err error
			if s, err = Open(dir, o); err != nil {
				refused++
				t.Fatalf("cycle %d: does not start on a full disk: %v", cycles, err)
			}
			answer("started on a full disk")
		}
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		n++
		if err := s.Apply(bulky(n)); err != nil {
			t.Errorf("cycle %d: space returned and writing fails: %v", cycles, err)
		} else {
			acked = n
		}
		answer("space returned")
	}
	if q := s.Stats().Quarantine; failures == 0 || len(q) != 0 {
		t.Errorf("%d failed changes, put aside %v", failures, q)
	}
	if _, err := s.readMirror(); err != nil || s.Stats().MirrorStale {
		t.Errorf("the mirror did not recover: %v", err)
	}
	mustClose(t, s)
	broken := naive(t, smallDisk(t), promise.Size(5, 50))
	if broken == 0 {
		t.Error("a file rewritten in place survived every full disk")
	}
	promise.Reached(t, "P06", fmt.Sprintf("%d cycles, %d changes refused by the full disk, %d lost, %d answers refused", cycles, failures, lost, refused),
		fmt.Sprintf("file rewritten in place: %d of %d cycles lose the state", broken, promise.Size(5, 50)))
}

// Damage on top of a full disk: the start may fail, but it takes nothing with it.
func TestDamageOnFullDisk(t *testing.T) {
	disk := smallDisk(t)
	dir, filler := filepath.Join(disk, "state"), filepath.Join(disk, "filler")
	s := mustOpen(t, dir, options())
	mustApply(t, s, counted(5))
	mustClose(t, s)
	damaged := []byte("damaged")
	mustWrite(t, filepath.Join(dir, fileDB), damaged)
	fill(t, filler, spare)
	for range 3 {
		if _, err := Open(dir, options()); !full(err) {
			t.Fatalf("%v", err)
		}
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, dir, options())
	if n, torn := count(mustLoad(t, s)); n != 5 || torn {
		t.Errorf("count %d, torn %v", n, torn)
	}
	if q := s.Stats().Quarantine; len(q) != 1 || string(mustRead(t, filepath.Join(dir, q[0]))) != string(damaged) {
		t.Errorf("put aside: %v", q)
	}
	mustClose(t, s)
}

// naive is the control: state kept as agents without a store keep it.
func naive(t *testing.T, disk string, cycles int) (broken int) {
	t.Helper()
	path, filler := filepath.Join(disk, "state.json"), filepath.Join(disk, "filler")
	for i := range cycles {
		b, err := json.Marshal(applied(activation.State{}, bulky(int64(i+1))))
		if err != nil {
			t.Fatal(err)
		}
		mustWrite(t, path, b)
		fill(t, filler, 0)
		b, err = json.Marshal(applied(activation.State{}, bulky(int64(i+2))))
		if err != nil {
			t.Fatal(err)
		}
		_ = os.WriteFile(path, append(b, make([]byte, 65536)...), 0o600) // fails; that is the point
		var st activation.State
		if json.Unmarshal(mustRead(t, path), &st) != nil {
			broken++
		}
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
	}
	return broken
}
