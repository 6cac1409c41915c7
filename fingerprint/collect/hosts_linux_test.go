package collect

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"licenseagent.example/fingerprint"
	"licenseagent.example/fingerprint/probe"
	"licenseagent.example/fingerprint/probe/probetest"
)

// TestRecordedHosts reads each recorded machine and compares string, parts and
// cross-check with the golden file; -update writes it. The tests of recorded
// Linux machines run on Linux only: sysfs names contain colons, which Windows
// forbids in file names.
func TestRecordedHosts(t *testing.T) {
	archives, err := filepath.Glob("testdata/hosts/*.txtar")
	if err != nil || len(archives) < 16 {
		t.Fatalf("found %d recorded hosts (%v), want at least 16", len(archives), err)
	}
	for _, archive := range archives {
		name := strings.TrimSuffix(filepath.Base(archive), ".txtar")
		t.Run(name, func(t *testing.T) {
			b, err := os.ReadFile(archive)
			if err != nil {
				t.Fatal(err)
			}
			got := observe(t, probetest.Unpack(t, b))
			golden := filepath.Join("testdata/hosts", name+".golden")
			if update() {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("observation differs (-want +got):\n%s", diff)
			}
		})
	}
}

// update reads the flag that main_test.go defines.
func update() bool { return flag.Lookup("update").Value.String() == "true" }

// observe prints everything that is seen of a recorded host.
func observe(t *testing.T, root string) []byte {
	t.Helper()
	c := Collector{Host: probe.Host{Root: root}}
	notes := c.CrossCheck(context.Background())
	d := c.Collect(context.Background())
	var out bytes.Buffer
	fmt.Fprintln(&out, fingerprint.Format(d).String)
	e := json.NewEncoder(&out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(d); err != nil {
		t.Fatal(err)
	}
	if len(notes) > len(d.Notes) {
		t.Errorf("the cross-check's notes %q are not in the observation %q", notes, d.Notes)
	}
	if strings.Contains(out.String(), root) {
		t.Errorf("the observation shows the path of the recorded host:\n%s", out.String())
	}
	return out.Bytes()
}
