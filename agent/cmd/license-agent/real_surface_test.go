//go:build linux

package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"licenseagent.example/docs/surface"
)

// TestRealSurface holds ATTACK_SURFACE.md against what an agent leaves on the
// disk in the course of its life: everything is listed with its exact
// permission, and everything that is listed comes to be. The control is a file
// that is not listed and one whose permission is another.
func TestRealSurface(t *testing.T) {
	v := newVendor(t, nil)
	dir := v.home("agent")
	root := filepath.Join(dir, "license-agent")
	check0(t, os.WriteFile(filepath.Join(root, "etc", "agent.toml"), []byte("log_level = \"info\"\n"), 0o644))
	var all []surface.Entry
	look := func() { all = append(all, value(surface.List(root))(t)...) }
	c := command{bin: built(t)}
	r := c.start(t, dir)
	r.await()
	look()
	code, _ := v.code()
	check0(t, r.activate(code))
	if _, said := r.hold("bare"); said != "held" {
		t.Fatalf("no seat: %q", said)
	}
	look()
	r.stop()
	look()
	state := filepath.Join(root, "state", "state.db")
	b := value(os.ReadFile(state))(t)
	clear(b[:len(b)/2])
	check0(t, os.WriteFile(state, b, 0o600))
	r = c.start(t, dir) // puts the damaged file aside
	r.await()
	look()
	compare := func() []string {
		return value(surface.Compare("../../../platform/ATTACK_SURFACE.md", "### What lies where: the agent", all))(t)
	}
	if wrong := compare(); len(wrong) > 0 {
		t.Errorf("against ATTACK_SURFACE.md: %q", wrong)
	}
	check0(t, os.WriteFile(filepath.Join(root, "state", "notes"), nil, 0o600))
	check0(t, os.Chmod(filepath.Join(root, "state", "device.key"), 0o640))
	look()
	if wrong := compare(); !slices.Equal(wrong, []string{"not listed like this: state/device.key 0640", "not listed like this: state/notes 0600"}) {
		t.Errorf("control: a file too many and a wrong permission: %q", wrong)
	}
}
