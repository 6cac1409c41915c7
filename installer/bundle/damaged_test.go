//go:build linux

package bundle

import (
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// An installed agent that a power cut has emptied or cut off does not check
// anything. That is said, not taken for a yes, and the way out is open.
func TestDamagedAgent(t *testing.T) {
	v := newVendor(t, "acme")
	p := newPlace(t, v.bundle(t, v.working(t, "CAD")), "acme-cad")
	p.ok("install")
	program := filepath.Join(p.base(), "bin", "license-agent")
	whole := must[[]byte](t)(os.ReadFile(program))
	product := filepath.Join(p.home, "bin", "product")
	signed := must[[]byte](t)(os.ReadFile(product))
	check(t, os.WriteFile(product, append(signed, '\n'), 0o755))
	for _, size := range []int{0, 1000, len(whole) / 3} {
		check(t, os.WriteFile(program, whole[:size], 0o755))
		before := p.files()
		for _, stage := range []string{"install", "update"} {
			text, err := p.run(stage)
			if err == nil {
				t.Errorf("%s of an altered package by an agent of %d bytes: %s", stage, size, text)
			}
			contains(t, text, program+" is damaged", "nothing was changed", "next: remove that file")
		}
		if diff := cmp.Diff(before, p.files()); diff != "" {
			t.Error(diff)
		}
	}
	check(t, os.Remove(program))
	if text, err := p.run("update"); err == nil {
		t.Errorf("an altered package: %s", text)
	}
	check(t, os.WriteFile(product, signed, 0o755))
	p.ok("update")
	p.ok("start")
	p.count(1, 1)
	p.ok("uninstall", "--purge")
}

// A package for another processor is called that.
func TestPackageForAnotherMachine(t *testing.T) {
	other := map[string]string{"amd64": "linux/arm64", "arm64": "linux/amd64"}[runtime.GOARCH]
	v := newVendor(t, "acme")
	o := v.options(t, "CAD")
	o.Target, o.Agent = other, must[string](t)(standIn[other]())
	p := newPlace(t, v.bundle(t, o), "acme-cad")
	text, err := p.run("install")
	if err == nil || len(p.files()) != 0 {
		t.Errorf("%v %s %v", err, text, p.files())
	}
	contains(t, text, "does not run on this machine", "nothing was changed", "next: get the package for this system")
}

// A package whose agent is too old for the licenses is refused while everything still
// runs: it would put itself in the place of the one that can read them, and not start.
func TestOlderThanTheLicenses(t *testing.T) {
	v := newVendor(t, "acme")
	p := newPlace(t, v.bundle(t, v.working(t, "CAD")), "acme-cad")
	p.ok("install")
	p.ok("start")
	line := "license-agent-store 99 key"
	state := must[*os.File](t)(os.OpenFile(filepath.Join(p.base(), "state", "state.db"), os.O_APPEND|os.O_WRONLY, 0))
	_, err := fmt.Fprintf(state, "%s %08x", line, crc32.ChecksumIEEE([]byte(line)))
	check(t, errors.Join(err, state.Close()))
	before, running := p.files(), append(p.processes("app"), p.processes("agent")...)
	for _, stage := range []string{"install", "update"} {
		text, err := p.run(stage)
		if err == nil {
			t.Errorf("%s: %s", stage, text)
		}
		contains(t, text, "state-newer", "state.db has schema 99", "nothing was changed", "next: ")
	}
	if diff := cmp.Diff(before, p.files()) + cmp.Diff(running, append(p.processes("app"), p.processes("agent")...)); diff != "" {
		t.Error(diff)
	}
	p.ok("uninstall", "--purge")
}
