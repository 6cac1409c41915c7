package securefile

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
)

// private makes a private directory whose parents pass the checks.
func private(t *testing.T) *Dir {
	t.Helper()
	d, err := Make(filepath.Join(t.TempDir(), "state"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func TestMakeAndReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	if _, err := Open(path); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("Open before Make: %v", err)
	}
	for range 2 { // Make is repeatable
		d, err := Make(path)
		if err != nil {
			t.Fatal(err)
		}
		if d.Path() != path {
			t.Errorf("Path = %q, want %q", d.Path(), path)
		}
		d.Close()
	}
	if _, err := Make("relative"); !errors.Is(err, ErrNotAbsolute) {
		t.Errorf("Make(relative) = %v", err)
	}
	if _, err := Open("relative"); !errors.Is(err, ErrNotAbsolute) {
		t.Errorf("Open(relative) = %v", err)
	}
	if _, err := Make(filepath.Join(path, "a", "b")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Make below a missing parent = %v", err)
	}
}

func TestWriteReadReplace(t *testing.T) {
	d := private(t)
	if _, err := d.ReadFile("f", 10); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	for _, content := range []string{"one", "", "three"} {
		if err := d.WriteFile("f", []byte(content), PrivateFile); err != nil {
			t.Fatal(err)
		}
		got, err := d.ReadFile("f", 5)
		if err != nil || string(got) != content {
			t.Errorf("ReadFile = %q, %v, want %q", got, err, content)
		}
	}
	if _, err := d.ReadFile("f", 4); !errors.Is(err, ErrTooLarge) {
		t.Errorf("over the bound: %v", err)
	}
	if err := d.Check("f"); err != nil {
		t.Error(err)
	}
	if err := d.Rename("f", "g"); err != nil {
		t.Error(err)
	}
	if names, err := d.Names(); err != nil || len(names) != 1 || names[0] != "g" {
		t.Errorf("Names = %q, %v", names, err)
	}
	for range 2 {
		if err := d.Remove("g"); err != nil {
			t.Error(err)
		}
	}
}

func TestCreateNeverReplaces(t *testing.T) {
	d := private(t)
	if err := d.Create("key", []byte("first"), PrivateFile); err != nil {
		t.Fatal(err)
	}
	if err := d.Create("key", []byte("second"), PrivateFile); !errors.Is(err, ErrExists) {
		t.Errorf("second Create = %v, want ErrExists", err)
	}
	if got, err := d.ReadFile("key", 100); err != nil || string(got) != "first" {
		t.Errorf("content = %q, %v", got, err)
	}
	if names, _ := d.Names(); len(names) != 1 {
		t.Errorf("left over: %q", names)
	}
}

// Of many processes (here goroutines) that create the same file, one wins, and
// everybody reads the winner's content.
func TestCreateRace(t *testing.T) {
	d := private(t)
	var wg sync.WaitGroup
	won := make(chan int, 32)
	for i := range 32 {
		wg.Go(func() {
			err := d.Create("key", fmt.Appendf(nil, "%d", i), PrivateFile)
			switch {
			case err == nil:
				won <- i
			case !errors.Is(err, ErrExists):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	close(won)
	var winners []int
	for i := range won {
		winners = append(winners, i)
	}
	if len(winners) != 1 {
		t.Fatalf("%d winners", len(winners))
	}
	if got, err := d.ReadFile("key", 10); err != nil || string(got) != fmt.Sprint(winners[0]) {
		t.Errorf("content %q, %v, winner %d", got, err, winners[0])
	}
}

// A reader beside a writer sees whole contents only.
func TestReplaceIsAtomic(t *testing.T) {
	d := private(t)
	one, two := bytes.Repeat([]byte("1"), 1<<16), bytes.Repeat([]byte("2"), 1<<15)
	if err := d.WriteFile("f", one, PrivateFile); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		rounds := 100
		if runtime.GOOS == "windows" {
			rounds = 5 // each waits for the reader below, who has the file open all the time
		}
		for i := range rounds {
			content := two
			if i%2 == 1 {
				content = one
			}
			if err := d.WriteFile("f", content, PrivateFile); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	for reading := true; reading; {
		select {
		case <-done:
			reading = false
		default:
		}
		got, err := d.ReadFile("f", 1<<20)
		if errors.Is(err, ErrChanged) {
			continue // replaced between look and open: the caller may try again
		}
		if err != nil || !bytes.Equal(got, one) && !bytes.Equal(got, two) {
			t.Errorf("%d bytes, %v", len(got), err)
			break
		}
	}
	<-done
}

func TestNames(t *testing.T) {
	d := private(t)
	for _, name := range []string{"", ".", "..", "a/b", "../a", `a\b`, "/etc/passwd", "c:x", "a\x00"} {
		_, openErr := d.OpenFile(name)
		_, readErr := d.ReadFile(name, 1)
		for op, err := range map[string]error{
			"OpenFile": openErr, "ReadFile": readErr, "Check": d.Check(name), "Remove": d.Remove(name),
			"WriteFile": d.WriteFile(name, nil, PrivateFile), "Create": d.Create(name, nil, PrivateFile),
			"Rename from": d.Rename(name, "x"), "Rename to": d.Rename("x", name),
		} {
			if !errors.Is(err, ErrName) {
				t.Errorf("%s(%q) = %v, want ErrName", op, name, err)
			}
		}
	}
}

func TestSweepRemovesOnlyOwnLeftovers(t *testing.T) {
	d := private(t)
	keep := []string{".tmp-", ".tmp-short", "device.key", "tmp-0123456789abcdef"}
	for _, name := range append([]string{".tmp-0123456789abcdef", tempName()}, keep...) {
		if err := os.WriteFile(filepath.Join(d.Path(), name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Sweep(); err != nil {
		t.Fatal(err)
	}
	if names, err := d.Names(); err != nil || len(names) != len(keep) {
		t.Errorf("left: %q, %v", names, err)
	}
}

func TestReadPublic(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "etc")
	d, err := MakePublic(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := d.WriteFile("agent.toml", []byte("x = 1\n"), PublicFile); err != nil {
		t.Fatal(err)
	}
	got, err := ReadPublic(filepath.Join(dir, "agent.toml"), 100)
	if err != nil || string(got) != "x = 1\n" {
		t.Errorf("ReadPublic = %q, %v", got, err)
	}
	if _, err := ReadPublic(filepath.Join(dir, "none"), 100); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
}

// The handle goes on meaning the directory that was checked.
func TestHandleSurvivesExchange(t *testing.T) {
	d := private(t)
	if err := d.WriteFile("f", []byte("ours"), PrivateFile); err != nil {
		t.Fatal(err)
	}
	err := os.Rename(d.Path(), d.Path()+".away")
	if runtime.GOOS == "windows" && err != nil {
		return // an open directory cannot be renamed there, which is as good
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(d.Path(), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(d.Path(), "f"), []byte("theirs"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := d.ReadFile("f", 100); err != nil || string(got) != "ours" {
		t.Errorf("ReadFile = %q, %v", got, err)
	}
}

func BenchmarkWriteFile(b *testing.B) {
	d, err := Make(filepath.Join(b.TempDir(), "state"))
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	content := make([]byte, 4096)
	for b.Loop() {
		if err := d.WriteFile("f", content, PrivateFile); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	path := filepath.Join(b.TempDir(), "state")
	if d, err := Make(path); err != nil {
		b.Fatal(err)
	} else {
		d.Close()
	}
	for b.Loop() {
		d, err := Open(path)
		if err != nil {
			b.Fatal(err)
		}
		d.Close()
	}
}
