package installer

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// numbers is what update-rc.d(8) does with the links of the service: defaults makes
// them where there are none, and leaves those that are there.
func (w *world) numbers(verb string) error {
	is, err := filepath.Glob(w.at("etc/rc?.d/[SK][0-9][0-9]license-agent"))
	switch {
	case err != nil || verb != "defaults" && len(is) == 0:
		return err
	case verb == "defaults" && len(is) > 0:
		return nil
	}
	for _, link := range is {
		if verb == "remove" || strings.HasPrefix(link, w.at("etc/rc2.d")) {
			err = errors.Join(err, os.Remove(link))
		}
	}
	for dir, name := range map[string]string{"etc/rc2.d": "S01license-agent", "etc/rc6.d": "K01license-agent"} {
		switch {
		case verb == "remove", verb != "defaults" && dir == "etc/rc6.d":
			continue
		case verb == "disable":
			name = "K01license-agent"
		}
		err = errors.Join(err, os.MkdirAll(w.at(dir), 0o755), os.Symlink("../init.d/license-agent", w.at(filepath.Join(dir, name))))
	}
	return err
}

// The links of System V have whatever number insserv gives them. They go as well
// when the service does not run.
func TestNumberedLinks(t *testing.T) {
	w := &world{root: image(t)}
	target := w.target(true)
	target.Manager = "unix-systemv"
	must(t, install(t, target, "one"))
	must(t, os.Rename(w.at("etc/rc2.d/S01license-agent"), w.at("etc/rc2.d/S02license-agent")))
	w.calls = nil
	must(t, install(t, target, "one"))
	if slices.Contains(w.calls, "update-rc.d license-agent defaults") {
		t.Errorf("enabled again: %v", w.calls)
	}
	must(t, w.script("stop"))
	w.calls = nil
	must(t, uninstall(t, target, true))
	if !slices.Contains(w.calls, "update-rc.d -f license-agent remove") {
		t.Errorf("the links stay: %v", w.calls)
	}
	// The control: links of others are not this service's.
	must(t, os.Symlink("../init.d/x", w.at("etc/rc2.d/S02license-agent-cad")))
	if enabled, left := numbered(w.at("etc"), "license-agent")(); enabled || left {
		t.Error("the links of another instance count")
	}
}

// A service that was disabled starts at boot after install has said so. What fails
// afterwards leaves it disabled, as does a removal that fails.
func TestDisabledLinks(t *testing.T) {
	w := &world{root: image(t)}
	target := w.target(true)
	target.Manager = "unix-systemv"
	must(t, install(t, target, "one"))
	must(t, w.numbers("disable"))
	disabled := tree(t, w.root)
	if enabled, left := numbered(w.at("etc"), "license-agent")(); enabled || !left {
		t.Fatal("it is not disabled: the test shows nothing")
	}

	w.fail = "/etc/init.d/license-agent restart"
	if err := install(t, target, "two"); !errors.Is(err, ErrHalfDone) { // the old one does not start, either
		t.Errorf("%v", err)
	}
	w.fail = ""
	if diff := cmp.Diff(disabled, tree(t, w.root)); diff != "" {
		t.Errorf("a start that failed: %s", diff)
	}

	must(t, os.Remove(w.at("usr/local/bin/license-agent")))
	must(t, os.Mkdir(w.at("usr/local/bin/license-agent"), 0o755)) // is not removed as a file
	if err := uninstall(t, target, false); !errors.Is(err, ErrUndone) && !errors.Is(err, ErrHalfDone) {
		t.Errorf("%v", err)
	}
	if enabled, left := numbered(w.at("etc"), "license-agent")(); enabled || !left {
		t.Errorf("a removal that failed: enabled %v, links %v", enabled, left)
	}
	must(t, os.Remove(w.at("usr/local/bin/license-agent")))

	must(t, install(t, target, "one"))
	if enabled, _ := numbered(w.at("etc"), "license-agent")(); !enabled {
		t.Errorf("said to start at boot, and does not: %v", w.calls)
	}
}
