package installer

import (
	"os"
	"path/filepath"
	"testing"
)

// What an administrator has added to the units stays with the licenses and goes
// with them: seal.conf names a credential in the configuration, and without that
// file the service of a later installation would not start.
func TestPurgeTakesDropIns(t *testing.T) {
	root := image(t)
	target := Target{Root: root, Instance: "cad", Manager: "linux-systemd"}
	must(t, install(t, target, "one"))
	stays := map[string]bool{"license-agent-cad.service.d": false, "license-agent-cad.socket.d": false, "license-agent-cad-2.service.d": true, "license-agent.service.d": true}
	at := func(dir string) string { return filepath.Join(root, "etc/systemd/system", dir) }
	for dir := range stays {
		must(t, os.Mkdir(at(dir), 0o755))
		must(t, os.WriteFile(filepath.Join(at(dir), "seal.conf"), []byte("[Unit]\n"), 0o644))
	}
	must(t, uninstall(t, target, false))
	for dir := range stays {
		if _, err := os.Stat(filepath.Join(at(dir), "seal.conf")); err != nil {
			t.Errorf("uninstall without purge: %v", err)
		}
	}
	must(t, uninstall(t, target, true))
	for dir, stay := range stays {
		if _, err := os.Stat(at(dir)); (err == nil) != stay {
			t.Errorf("%s: stays %v, want %v", dir, err == nil, stay)
		}
	}
}
