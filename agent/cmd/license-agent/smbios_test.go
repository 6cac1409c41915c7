//go:build linux

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"licenseagent.example/agent/api"
	"licenseagent.example/installer/packaging"
	"licenseagent.example/platform/paths"
)

// The table arrives under the name that the unit gives it, and the unit's
// default for machines without one is nothing and not a broken table.
func TestHandedOverTable(t *testing.T) {
	unit, err := packaging.Text(packaging.Service, packaging.Names{})
	if err != nil {
		t.Fatal(err)
	}
	name, without := "", ""
	for _, line := range strings.Split(unit, "\n") {
		if v, ok := strings.CutPrefix(line, "LoadCredential="); ok {
			name, _, _ = strings.Cut(v, ":")
		}
		if v, ok := strings.CutPrefix(line, "SetCredential="); ok {
			_, without, _ = strings.Cut(v, ":")
		}
	}
	if name == "" || without == "" {
		t.Fatal("the unit hands no table over")
	}
	dir := t.TempDir()
	p, err := paths.Paths{}.WithUnitEnv(func(k string) string {
		return map[string]string{"CREDENTIALS_DIRECTORY": dir}[k]
	})
	if err != nil {
		t.Fatal(err)
	}
	s := settings{"smbios-file": api.Setting{}}
	if got := smbiosFile(p, s); got != "" {
		t.Errorf("no credential: %q", got)
	}
	file := filepath.Join(dir, name)
	for _, c := range []struct {
		content []byte
		want    string
	}{{[]byte(without), ""}, {smbios("S-1", "B-1"), file}} {
		if err := os.WriteFile(file, c.content, 0o400); err != nil {
			t.Fatal(err)
		}
		if got := smbiosFile(p, s); got != c.want {
			t.Errorf("%d bytes in credential %q: %q, want %q", len(c.content), name, got, c.want)
		}
	}
	s["smbios-file"] = api.Setting{Value: "/elsewhere"}
	if got := smbiosFile(p, s); got != "/elsewhere" {
		t.Errorf("the setting must win: %q", got)
	}
}
