package embed_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"licenseagent.example/platform/securefile"
)

// A state directory that went into an image before anything was activated gives
// each copy a device of its own, here too. On Linux, where a table of serials can be
// handed over; platform/devicekey has the same with given machines everywhere.
func TestCopiesOfAnUnusedState(t *testing.T) {
	_, anchor := merchant(t)
	dir, table := filepath.Join(t.TempDir(), "state"), smbios(t)
	id := func(dir, table string) string {
		t.Helper()
		a := open(t, dir, anchor, table)
		defer a.Close() //nolint:errcheck // open's clean-up judges it
		return a.Status().DeviceID
	}
	golden := id(dir, table)
	if again := id(dir, table); again != golden {
		t.Errorf("%s at the second start, %s at the first", again, golden)
	}
	copy := filepath.Join(t.TempDir(), "state")
	to, err := securefile.Make(copy)
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close() //nolint:errcheck // nothing is written through it any more
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err == nil {
			err = to.WriteFile(filepath.Base(name), b, securefile.PrivateFile)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	other := filepath.Join(t.TempDir(), "smbios.bin")
	if err := os.WriteFile(other, bytes.ReplaceAll(tableBytes(), []byte("9K2M"), []byte("5T1R")), 0o600); err != nil {
		t.Fatal(err)
	}
	if is := id(copy, other); is == golden {
		t.Errorf("the copy is the same device %s", is)
	}
}
