package store

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// A probe that never gets the processor says nothing about the file; the agent
// must not take that as leave to look at it in its own process.
func TestProbeWithoutProcessor(t *testing.T) {
	dir := filled(t, 3, options())
	if err := os.Remove(filepath.Join(dir, fileClean)); err != nil { // as after a crash
		t.Fatal(err)
	}
	o := options()
	o.Probe = []string{"/bin/sh", "-c", "kill -STOP $$"}
	var events []string
	o.Report = func(e Event) { events = append(events, e.Kind) }
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if slices.Contains(events, EventNoProbe) {
		t.Errorf("the file was checked in the agent's own process: %v", events)
	}
}
