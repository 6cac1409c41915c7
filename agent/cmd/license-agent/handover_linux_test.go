package main

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"licenseagent.example/platform/securefile"
)

// The table goes to a user who could not read it himself, as a file that nobody
// else may read; a machine without a table leaves none, also not an older one.
func TestHandOver(t *testing.T) {
	if os.Getuid() != 0 {
		t.Fatal("only root can hand a file over: run the tests as root")
	}
	root, to := t.TempDir(), filepath.Join(t.TempDir(), "to")
	table := append([]byte{127, 4, 1, 0, 0, 0}, bytes.Repeat([]byte{0}, 70)...)
	place := filepath.Join(root, "sys/firmware/dmi/tables/DMI")
	for _, err := range []error{os.MkdirAll(filepath.Dir(place), 0o755), os.WriteFile(place, table, 0o400), os.Mkdir(to, 0o755)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(to, "agent.dmi")
	for range 2 {
		if err := handOver(root, file, "nobody"); err != nil {
			t.Fatal(err)
		}
	}
	fi, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if owner := fi.Sys().(*syscall.Stat_t).Uid; owner != 65534 || fi.Mode() != securefile.GivenFile {
		t.Errorf("owner %d, mode %v", owner, fi.Mode())
	}
	if b, err := os.ReadFile(file); err != nil || !bytes.Equal(b, table) {
		t.Errorf("%v %x", err, b)
	}
	// The control: a folder in which others may put links.
	open := filepath.Join(t.TempDir(), "open")
	if err := errors.Join(os.Mkdir(open, 0o755), os.Chmod(open, 0o777)); err != nil {
		t.Fatal(err)
	}
	if err := handOver(root, filepath.Join(open, "agent.dmi"), "nobody"); !errors.As(err, new(*securefile.Error)) {
		t.Error("written into a folder that everybody may change")
	}
	if err := handOver(root, file, "no such user"); err == nil {
		t.Error("handed over to nobody")
	}
	if err := os.Remove(place); err != nil {
		t.Fatal(err)
	}
	if err := handOver(root, file, "nobody"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an older table is left: %v", err)
	}
}
