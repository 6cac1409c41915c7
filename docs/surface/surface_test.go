//go:build !windows

// Permissions in octal are those of Unix.
package surface_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"licenseagent.example/docs/surface"
)

// What is listed and there is no difference; a file too many, another
// permission and a row without a file are one each.
func TestCompare(t *testing.T) {
	dir, doc := t.TempDir(), filepath.Join(t.TempDir(), "doc.md")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.WriteFile(doc, []byte("# A\n\n### Here\n\n| name | permission |\n|---|---|\n| `state` | `d0700` |\n| `state/*.db` | `0600` |\n\n### There\n\n| `other` | `0600` |\n"), 0o600))
	must(os.Mkdir(filepath.Join(dir, "state"), 0o700))
	must(os.WriteFile(filepath.Join(dir, "state", "a.db"), nil, 0o600))
	compare := func(want ...string) {
		t.Helper()
		list, err := surface.List(dir)
		must(err)
		got, err := surface.Compare(doc, "### Here", list)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q %v, want %q", got, err, want)
		}
	}
	compare()
	must(os.WriteFile(filepath.Join(dir, "notes"), nil, 0o644))
	compare("not listed like this: notes 0644")
	must(os.Remove(filepath.Join(dir, "notes")))
	must(os.Chmod(filepath.Join(dir, "state", "a.db"), 0o640))
	compare("listed, and nothing has it: state/*.db", "not listed like this: state/a.db 0640")
	if _, err := surface.Compare(doc, "### Nowhere", nil); err == nil {
		t.Error("a heading that does not exist was found")
	}
	if _, err := surface.Compare(doc+"x", "### Here", nil); err == nil {
		t.Error("a document that does not exist was read")
	}
}
