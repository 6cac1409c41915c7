package devicekey

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"licenseagent.example/platform/securefile"
)

// on is a machine that shows these.
func on(shows ...string) Places { return Places{Machine: func() []string { return shows }} }

func mustOpen(t *testing.T, p Places, dir string) *Key {
	t.Helper()
	k, err := p.Open(dir, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() }) //nolint:errcheck // the chip may be off
	return k
}

func same(a, b *Key) bool { return bytes.Equal(a.PublicBytes(), b.PublicBytes()) }

// copied is the directory as an image of the disk has it.
func copied(t *testing.T, dir string) string {
	t.Helper()
	to := stateDir(t)
	d, err := securefile.Open(to)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for _, name := range []string{FileName, UnusedName} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err = errors.Join(err, d.WriteFile(name, b, securefile.PrivateFile)); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// noted writes the note beside a key, nil for none.
func noted(t *testing.T, dir string, b []byte) {
	t.Helper()
	d, err := securefile.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := d.Remove(UnusedName); err != nil {
		t.Fatal(err)
	}
	if b == nil {
		return
	}
	if err := d.WriteFile(UnusedName, b, securefile.PrivateFile); err != nil {
		t.Fatal(err)
	}
}

// A machine that ran and was never activated is copied: each copy makes a key of
// its own, once, by whatever tells it apart; the machine itself keeps its own.
func TestCopiesOfAnUnusedKey(t *testing.T) {
	golden := on("id-1", "SN-1")
	dir := stateDir(t)
	first := mustOpen(t, golden, dir)
	if !first.Created() || !same(first, mustOpen(t, golden, dir)) {
		t.Fatal("the machine itself does not keep its key")
	}
	for name, c := range map[string]struct {
		here Places
		anew bool
	}{
		"another number and hardware":     {on("id-2", "SN-2"), true},
		"the number made anew":            {on("id-2", "SN-1"), true},
		"the number shared by all copies": {on("id-1", "SN-2"), true},
		"no number, other hardware":       {on("", "SN-2"), true},
		"an exact copy":                   {on("id-1", "SN-1"), false},
		"no number, the same hardware":    {on("", "SN-1"), false},
		"nothing known":                   {on("", ""), false},
		"nobody says":                     {Places{}, false},
	} {
		copy := copied(t, dir)
		k := mustOpen(t, c.here, copy)
		if same(k, first) == c.anew || k.Created() != c.anew || (k.Note() != "") != c.anew {
			t.Errorf("%s: the same key %v, created %v, note %q", name, same(k, first), k.Created(), k.Note())
		}
		if bytes.Equal(k.Derive("x"), first.Derive("x")) == c.anew {
			t.Errorf("%s: what is derived does not go with the key", name)
		}
		again := mustOpen(t, c.here, copy)
		if !same(k, again) || again.Created() {
			t.Errorf("%s: another key at the next start", name)
		}
	}
	if !same(first, mustOpen(t, golden, dir)) {
		t.Error("the machine itself has lost its key")
	}
}

// What was unknown when the key was made proves nothing later.
func TestUnknownMachine(t *testing.T) {
	dir := stateDir(t)
	first := mustOpen(t, on("", "SN-1"), dir)
	if !same(first, mustOpen(t, on("id-1", "SN-1"), dir)) {
		t.Error("a number that has become known was taken for another machine")
	}
}

// Whatever was signed is somebody's: the key stays wherever its files come to, and
// so does one without a note of its own, such as that of an older version.
func TestUsedKeyStays(t *testing.T) {
	here, there := on("id-1", "SN-1"), on("id-2", "SN-2")
	dir := stateDir(t)
	first := mustOpen(t, here, dir)
	unused, err := os.ReadFile(filepath.Join(dir, UnusedName))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(unused, []byte("SN-1")) || bytes.Contains(unused, []byte("id-1")) {
		t.Errorf("the note shows what the machine is: %s", unused)
	}
	other := stateDir(t)
	mustOpen(t, here, other)
	foreign, err := os.ReadFile(filepath.Join(other, UnusedName))
	if err != nil {
		t.Fatal(err)
	}
	for name, note := range map[string][]byte{
		"none":               nil,
		"empty":              {},
		"cut short":          unused[:len(unused)-1],
		"without its key":    []byte(unusedHeader + "\nseen " + sum([]byte("x")) + "\n"),
		"of another key":     foreign,
		"of a later version": append(bytes.Clone(unused), "what is this\n"...),
	} {
		copy := copied(t, dir)
		noted(t, copy, note)
		if !same(first, mustOpen(t, there, copy)) {
			t.Errorf("a note that is %s: the key was replaced", name)
		}
	}
	if _, err := first.Sign([]byte("a request")); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, UnusedName)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the use is not on the disk: %v", err)
	}
	if !same(first, mustOpen(t, there, copied(t, dir))) {
		t.Error("the copy of a used key was replaced")
	}
	// Also one that was opened by somebody who replaces nothing.
	k := mustOpen(t, Places{}, other)
	if _, err := k.Sign([]byte("a request")); err != nil {
		t.Fatal(err)
	}
	if !same(k, mustOpen(t, there, other)) {
		t.Error("a use without Machine was not noted")
	}
}

// No signature leaves before the disk has its use.
func TestUseIsNotedFirst(t *testing.T) {
	dir := stateDir(t)
	k := mustOpen(t, on("id-1"), dir)
	away := dir + ".away"
	if err := os.Rename(dir, away); err != nil {
		t.Fatal(err)
	}
	if sig, err := k.Sign([]byte("a request")); !errors.Is(err, ErrUse) || sig != nil {
		t.Errorf("%v, %d bytes", err, len(sig))
	}
	if err := os.Rename(away, dir); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Sign([]byte("a request")); err != nil {
		t.Error(err)
	}
	if !same(k, mustOpen(t, on("id-2"), dir)) {
		t.Error("the use was not noted")
	}
}

// A power cut between any two steps of the replacement leaves a key that is
// replaced at the next start, and never one that several copies keep.
func TestReplacementCutOff(t *testing.T) {
	golden, here := on("id-1"), on("id-2")
	dir := stateDir(t)
	first := mustOpen(t, golden, dir)
	b, err := os.ReadFile(filepath.Join(dir, UnusedName))
	if err != nil {
		t.Fatal(err)
	}
	old, err := decodeUnused(b)
	if err != nil {
		t.Fatal(err)
	}
	content, _, err := here.create(nil, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	steps := here.steps(old, content)
	for n := range len(steps) + 1 {
		cut := copied(t, dir)
		for _, f := range steps[:n] {
			if f.name == FileName {
				put(t, cut, f.data)
			} else {
				noted(t, cut, f.data)
			}
		}
		k := mustOpen(t, here, cut)
		if same(k, first) {
			t.Errorf("after %d steps: the key of the image stays", n)
		}
		if !same(k, mustOpen(t, here, cut)) {
			t.Errorf("after %d steps: another key at the next start", n)
		}
		if same(k, mustOpen(t, on("id-3"), copied(t, cut))) {
			t.Errorf("after %d steps: a copy of the copy is the same device", n)
		}
	}
	// The first start of all: the note without its key, and the key of another try.
	begun := stateDir(t)
	noted(t, begun, old.encode())
	if k := mustOpen(t, here, begun); !k.Created() || same(k, mustOpen(t, golden, copied(t, begun))) {
		t.Error("after a first start that was cut off the key counts as used")
	}
}

// Not under an agent that runs: it may be about to use its key.
func TestNoReplacementUnderARunningAgent(t *testing.T) {
	dir := stateDir(t)
	first := mustOpen(t, on("id-1"), dir)
	d, err := securefile.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	lock, err := d.Lock()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := on("id-2").Open(dir, rand.Reader); !errors.Is(err, securefile.ErrLocked) {
		t.Errorf("%v", err)
	}
	if err := lock.Unlock(); err != nil {
		t.Fatal(err)
	}
	if !same(first, mustOpen(t, on("id-1"), dir)) {
		t.Error("the key was replaced under a running agent")
	}
	if same(first, mustOpen(t, on("id-2"), dir)) {
		t.Error("the key is not replaced after its end")
	}
}

// A source that runs dry while the key is replaced leaves the old one.
func TestReplacementWithoutRandomness(t *testing.T) {
	dir := stateDir(t)
	first := mustOpen(t, on("id-1"), dir)
	if _, err := on("id-2").Open(dir, strings.NewReader("short")); !errors.Is(err, ErrRand) {
		t.Errorf("%v", err)
	}
	if !same(first, mustOpen(t, on("id-1"), dir)) {
		t.Error("the old key is gone")
	}
}
