//go:build !windows

package main

import (
	"os"
	"path/filepath"
	"testing"

	"licenseagent.example/docs/surface"
)

// The data directory holds what ATTACK_SURFACE.md lists, with exactly the
// permissions that it lists. The control is a key that the group may read.
func TestSurface(t *testing.T) {
	s := openShop(t)
	out := s.app.path("out")
	check(t, os.Mkdir(out, 0o700))
	s.command("codes", "add", "--product", "painter", "--out", filepath.Join(out, "codes.txt"))
	s.command("tokens", "add", "--name", "ann", "--role", "viewer", "--out", filepath.Join(out, "token"))
	s.command("audit", "export", "--out", filepath.Join(out, "audit.jsonl"))
	s.command("backup", "--out", filepath.Join(out, "backup"))
	compare := func() []string {
		list, err := surface.List(s.app.dir)
		check(t, err)
		wrong, err := surface.Compare("../../../platform/ATTACK_SURFACE.md", "### What lies where: the merchant service", list)
		check(t, err)
		return wrong
	}
	if wrong := compare(); len(wrong) > 0 {
		t.Errorf("against ATTACK_SURFACE.md: %q", wrong)
	}
	check(t, os.Chmod(s.app.path("tls/server.key"), 0o640))
	if wrong := compare(); len(wrong) != 2 {
		t.Errorf("control: a key that the group may read: %q", wrong)
	}
}
