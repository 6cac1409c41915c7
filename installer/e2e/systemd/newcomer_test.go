//go:build e2e

package systemd

import (
	"path/filepath"
	"strings"
	"testing"
)

// The newcomer's path word for word as installer/README.md has it, by an
// administrator with a strict umask; and what is said to one who puts the anchor
// down by cp, by itself and at the upgrade of the package.
func TestNewcomer(t *testing.T) {
	m := inContainer(t, disk(t, base(t)), 45)
	v := startMerchant(t, m.host)
	_, block, _ := strings.Cut(string(read(t, "../../README.md")), "```sh\n")
	block, _, _ = strings.Cut(block, "```")
	const typed, removal = "\nlicense-agent activate ", "\ndpkg -r license-agent "
	if strings.Count(block, typed) != 1 || strings.Count(block, removal) != 1 {
		t.Fatalf("another path than the one that is tried here:\n%s", block)
	}
	name := strings.Fields(block)[2] // dpkg -i NAME
	old, b := m.packageFile("OLD", "_amd64.deb")
	if name != filepath.Base(old) {
		t.Errorf("the package is named %s, not %s", filepath.Base(old), name)
	}
	m.put("/root/"+name, b, 0o644)
	m.put("/root/acme.json", read(t, v.anchor), 0o600)
	m.put("/root/code", []byte(v.code(t)+"\n"), 0o600)
	// A container shows no serials.
	m.put("/etc/e2e.dmi", dmi("SN-7Q4W-0042", "BN-9K2M-0077"), 0o400)
	m.put("/etc/systemd/system/license-agent.service.d/dmi.conf", []byte("[Service]\nLoadCredential=dmi:/etc/e2e.dmi\n"), 0o644)
	block = strings.Replace(block, typed, typed+"--yes --code-file code ", 1)
	steps, removed, _ := strings.Cut(block, removal)
	out := m.run("sh", "-ec", "umask 077; cd /root\n"+steps)
	if p := m.phase(); p != "active" || !strings.Contains(out, "active") {
		t.Errorf("phase %q: %s", p, out)
	}

	// By cp: root is told what the service would meet, and an upgrade leaves alone
	// what runs.
	m.run("sh", "-ec", "umask 077; cd /etc/license-agent/anchors; rm acme.json; cp /root/acme.json .")
	const words = "/etc/license-agent/anchors/acme.json permission denied (for uid "
	was := m.show(service, "MainPID")
	_, b = m.packageFile("NEW", "_amd64.deb")
	m.put("/root/new.deb", b, 0o644)
	if out := m.run("dpkg", "-i", "/root/new.deb"); !strings.Contains(out, words) || !strings.Contains(out, "what runs stays as it is") {
		t.Errorf("%s", out)
	}
	if is := m.show(service, "MainPID"); is != was || m.phase() != "active" {
		t.Errorf("process %s became %s, phase %q", was, is, m.phase())
	}
	if out, err := m.try("license-agent", "run", "--check-config"); err == nil || !strings.Contains(out, words) || !strings.Contains(out, "chmod 644") {
		t.Errorf("%v %s", err, out)
	}
	m.run("chmod", "644", "/etc/license-agent/anchors/acme.json")
	m.run("systemctl", "restart", service)
	if p := m.phase(); p != "active" {
		t.Errorf("after the mend: phase %q", p)
	}

	m.run("sh", "-ec", "umask 077; cd /root"+removal+removed)
	if m.exists("/usr/bin/license-agent") || !m.exists("/var/lib/license-agent/state.db") {
		t.Error("the last step is to take the program and to keep the license")
	}
}
