//go:build e2e

package systemd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"licenseagent.example/installer/e2e/swtpm"
	"licenseagent.example/installer/packaging"
)

// commands are what a drop-in says in its first lines about setting it up.
func commands(t *testing.T, file string) string {
	t.Helper()
	var out []string
	for _, line := range strings.Split(string(shipped(t, file)), "\n") {
		if c, ok := strings.CutPrefix(line, "#   "); ok {
			out = append(out, c)
		}
	}
	if len(out) < 3 {
		t.Fatalf("%s does not say how it is set up", file)
	}
	return strings.Join(out, "\n")
}

// The device key sealed by what systemd hands over on this machine only: set up
// by the commands that the shipped file names, with systemd's own tool. A copy of
// all files on another machine opens nothing.
func TestSealedByTheSystem(t *testing.T) {
	root := disk(t, base(t))
	m := inContainer(t, root, 23)
	vendor := startMerchant(t, m.host)
	m.dpkg("NEW")
	m.active()
	if st := m.status(); st.KeyTier != "file" {
		t.Errorf("without a drop-in the tier is %q", st.KeyTier)
	}
	m.run("sh", "-ec", commands(t, packaging.Seal))
	m.active()
	m.put("/etc/license-agent/anchors/acme.json", read(t, vendor.anchor), 0o644)
	m.serials("SN-7Q4W-0042", "BN-9K2M-0077")
	if out, err := m.feed(vendor.code(t)+"\n", "license-agent", "activate", "--yes", "--code-file", "-"); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	m.run("systemctl", "restart", service)
	m.active()
	if st := m.status(); st.KeyTier != "os" || m.phase() != "active" {
		t.Errorf("tier %q, phase %q", st.KeyTier, m.phase())
	}
	if out := m.run("license-agent", "status"); !strings.Contains(out, "device key kept by the operating system") {
		t.Error(out)
	}
	m.off()

	// All files on another machine, which has a secret of its own (systemd.exec(5):
	// LoadCredentialEncrypted=). There systemd itself does not open the credential.
	other := disk(t, root)
	must(t, os.Remove(filepath.Join(other, "var/lib/systemd/credential.secret")))
	n := inContainer(t, other, 24)
	said := func(words ...string) {
		t.Helper()
		for _, w := range words {
			n.wait("the journal to say "+w, func() bool { return strings.Contains(n.run("journalctl", "--no-pager", "-b", "-o", "cat"), w) })
		}
		if s := n.show(service, "ActiveState"); s == "active" {
			t.Error("the copy runs")
		}
	}
	said("Failed to set up credentials")
	// So what an operator types next says it, whoever he is.
	for _, lang := range []string{"en", "zh-CN"} {
		out, err := n.try("setpriv", "--reuid", "nobody", "--clear-groups", "license-agent", "status", "--lang", lang)
		if err == nil || !strings.Contains(out, "license-agent.service (status=243)") || !strings.Contains(out, "seal.conf") {
			t.Errorf("status does not say it: %v %s", err, out)
		}
	}
	// With a credential made there the agent starts, and it is its turn to say it.
	n.run("systemctl", "stop", "license-agent.socket", service)
	n.run("sh", "-ec", "head -c 32 /dev/urandom | systemd-creds encrypt --name=device-seal - /etc/license-agent/device-seal.cred")
	n.try("systemctl", "start", "license-agent.socket", service) //nolint:errcheck // what it says is judged
	said("device-key-unusable", "sealed on another machine")
	n.off()

	// The control: without the seal a copy of the files opens.
	m.on()
	m.active()
	if m.phase() != "active" {
		t.Errorf("on its own machine the phase is %q", m.phase())
	}

	// Purged and installed again it starts as on the first day: the drop-in has gone
	// with the credential that it names.
	m.run("dpkg", "-P", "license-agent")
	m.dpkg("NEW")
	m.active()
	if st := m.status(); st.KeyTier != "file" {
		t.Errorf("purged and installed again the tier is %q", st.KeyTier)
	}
}

// sealed is the same with the TPM, by the option that the file names. Only the chip
// is exchanged: all files stay, also the host's key.
func (l *life) sealed() {
	h := l.hull.(*qemu)
	own := h.tpm
	l.step("sealed by the system with its TPM", func(t *testing.T) {
		l.dpkg("NEW")
		l.active()
		const option = " --with-key=host+tpm2"
		if !strings.Contains(string(shipped(t, packaging.Seal)), option) {
			t.Errorf("%s does not name%s", packaging.Seal, option)
		}
		l.run("sh", "-ec", strings.Replace(commands(t, packaging.Seal), " encrypt", " encrypt"+option, 1))
		l.active()
		l.put("/etc/license-agent/anchors/acme.json", read(t, l.vendor.anchor), 0o644)
		l.run("systemctl", "restart", service)
		l.active()
		l.code = l.vendor.code(t)
		if out, err := l.activate(); err != nil {
			t.Fatalf("%v %s", err, out)
		}
		if st := l.status(); st.KeyTier != "os" || l.phase() != "active" {
			t.Errorf("tier %q, phase %q", st.KeyTier, l.phase())
		}
	})

	l.step("another TPM does not open it", func(t *testing.T) {
		l.refit(func(h *qemu) { h.tpm = swtpm.ForQEMU(l.outer) })
		l.wait("the journal to say it", func() bool {
			return strings.Contains(l.run("journalctl", "--no-pager", "-b", "-o", "cat"), "Failed to set up credentials")
		})
		if s := l.show(service, "ActiveState"); s == "active" {
			t.Error("the agent runs")
		}
	})

	l.step("its own TPM does", func(t *testing.T) {
		l.refit(func(h *qemu) { h.tpm = own })
		l.active()
		if st := l.status(); st.KeyTier != "os" || l.phase() != "active" {
			t.Errorf("tier %q, phase %q", st.KeyTier, l.phase())
		}
	})
}

// A machine without a TPM starts with the drop-in for it as well; its key is in a
// file, and log and status say so.
func TestDropInWithoutATPM(t *testing.T) {
	m := inContainer(t, disk(t, base(t)), 25)
	m.put("/etc/systemd/system/license-agent.service.d/tpm.conf", shipped(t, packaging.TPM), 0o644)
	m.dpkg("NEW")
	m.active()
	if st := m.status(); st.KeyTier != "file" {
		t.Errorf("tier %q", st.KeyTier)
	}
	if out, _ := m.try("license-agent", "status"); !strings.Contains(out, "device key in a file") {
		t.Error(out)
	}
	if log := m.run("journalctl", "--no-pager", "-o", "cat", "-u", service); !strings.Contains(log, "TPM") {
		t.Errorf("the journal does not speak of the missing TPM: %s", log)
	}
}
