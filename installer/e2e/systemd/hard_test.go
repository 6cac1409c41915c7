//go:build e2e

package systemd

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport/linuxtpm"

	"licenseagent.example/agent/api"
	"licenseagent.example/installer/e2e/swtpm"
)

// status is what the agent says to a program.
func (m *machine) status() api.Status {
	m.t.Helper()
	out, _ := m.try("license-agent", "status", "--output", "json") // not licensed is an error for scripts
	var st api.Status
	if err := json.Unmarshal([]byte(out), &st); err != nil {
		m.t.Fatalf("%v: %s", err, out)
	}
	return st
}

// believed is the agent's time.
func (l *life) believed() int64 { return l.status().Time }

// contact is when the license was last confirmed.
func (l *life) contact() int64 { return l.status().Licenses[0].LastContact }

// chip looks at the device key in the TPM.
func (l *life) chip() {
	l.step("the device key is in the TPM", func(t *testing.T) {
		if st := l.status(); st.KeyTier != "tpm" {
			t.Fatalf("tier %q", st.KeyTier)
		}
		if out := l.run("license-agent", "status"); !strings.Contains(out, "device key in the TPM") {
			t.Error(out)
		}
		t.Logf("from start to ready with the chip: %v", l.ready())
	})

	l.step("the SMBIOS table is handed over without systemd", func(t *testing.T) {
		l.run("license-agent", "hand-over", "/run/e2e.dmi", "license-agent")
		l.run("cmp", "/run/e2e.dmi", "/sys/firmware/dmi/tables/DMI")
		if got := l.run("stat", "-c", "%a %U", "/run/e2e.dmi"); got != "400 license-agent" {
			t.Errorf("the table is %s", got)
		}
		l.run("rm", "/run/e2e.dmi")
	})

	l.step("old files are put back without network", func(t *testing.T) {
		l.run("systemctl", "stop", service)
		l.run("cp", "-a", state, "/root/copy")
		l.run("systemctl", "start", service)
		l.active()
		l.run("license-agent", "renew")
		l.run("systemctl", "stop", "license-agent.socket", service)
		l.run("ip", "link", "set", "eth0", "down")
		l.run("sh", "-c", "rm -r "+state+" && mv /root/copy "+state)
		l.run("systemctl", "start", "license-agent.socket", service)
		l.active()
		v := l.status().Licenses[0].Verdict
		if !v.Runs || !strings.Contains(strings.Join(v.Flags, " "), "contested") || v.Next != "rebind" {
			t.Errorf("after old files were put back: %+v", v)
		}
		l.hull.online(l.machine)
		if out, err := l.feed(l.code+"\n", "license-agent", "rebind", "--yes", "--code-file", "-"); err != nil {
			t.Errorf("%v %s", err, out)
		}
		if v := l.status().Licenses[0].Verdict; !v.Runs || len(v.Flags) > 0 {
			t.Errorf("after the rebind: %+v", v)
		}
	})
}

// clearChip makes the TPM forget everything, as its owner may.
func clearChip(device string) error {
	t, err := linuxtpm.Open(device)
	if err != nil {
		return err
	}
	defer t.Close()
	_, err = tpm2.Clear{AuthHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHLockout, Auth: tpm2.PasswordAuth(nil)}}.Execute(t)
	return err
}

// refit changes the hardware while the machine is off.
func (l *life) refit(change func(h *qemu)) {
	l.t.Helper()
	l.off()
	change(l.hull.(*qemu))
	l.on()
}

// unusable waits until the agent has said, since the machine was switched on, why
// it does not start, and that nothing is answered.
func (l *life) unusable(words ...string) {
	l.t.Helper()
	for _, w := range append(words, "device-key-unusable") {
		l.wait("the journal to say "+w, func() bool {
			return strings.Contains(l.run("journalctl", "--no-pager", "-o", "cat", "-b", "-u", service), w)
		})
	}
	if state := l.show(service, "ActiveState"); state == "active" {
		l.t.Error("the agent runs without its key")
	}
}

// hardware is what can happen to a machine whose device key is in its TPM.
func (l *life) hardware() {
	h := l.hull.(*qemu)
	board, chip := h.board, h.tpm
	l.step("the TPM is switched off", func(*testing.T) {
		l.refit(func(h *qemu) { h.tpm = nil })
		l.unusable("the device key is in a TPM, and there is none here", "switch the TPM on in the firmware's setup")
	})

	l.step("the mainboard is replaced, and the TPM with it", func(*testing.T) {
		l.refit(func(h *qemu) { h.board, h.tpm = "BN-5C0R-1234", swtpm.ForQEMU(l.outer) })
		l.unusable("sealed on another machine: another mainboard", "have the vendor release the old activation, and activate again")
	})

	l.step("the old mainboard is back: nothing was lost", func(t *testing.T) {
		l.refit(func(h *qemu) { h.board, h.tpm = board, chip })
		l.active()
		if st := l.status(); st.KeyTier != "tpm" || len(st.Licenses) != 1 || !st.Licenses[0].Verdict.Runs {
			t.Errorf("%+v", st)
		}
	})

	l.step("the TPM is cleared", func(t *testing.T) {
		was := l.status().DeviceID
		l.run("systemctl", "stop", "license-agent.socket", service)
		l.run("/usr/local/sbin/e2e", "clear", "/dev/tpmrm0")
		since := l.cursor()
		l.try("systemctl", "start", "license-agent.socket", service) //nolint:errcheck // what it says is judged
		l.says(since, "the TPM of this machine was cleared", "move "+state+"/device.key away", "device-key-unusable")
		// The way that it names.
		l.run("systemctl", "stop", "license-agent.socket", service)
		l.run("mv", state+"/device.key", "/root/device.key")
		l.vendor.release(t)
		l.run("systemctl", "start", "license-agent.socket", service)
		l.active()
		if out, err := l.activate(); err != nil {
			t.Fatalf("%v %s", err, out)
		}
		if st := l.status(); st.KeyTier != "tpm" || st.DeviceID == was || l.phase() != "active" {
			t.Errorf("the same way again: %+v", st)
		}
		l.run("rm", "/root/device.key")
	})
}

// container is a container on a machine whose disk has a serial that everybody
// may read, as most have.
func (l *life) container() {
	l.step("a container on it", func(*testing.T) { l.contained(l.vendor, l.code) })
}

// confined looks at AppArmor.
func (l *life) confined() {
	l.step("confined by AppArmor", func(t *testing.T) {
		label := l.run("cat", "/proc/"+l.show(service, "MainPID")+"/attr/current")
		if label != "license-agent (enforce)" {
			t.Fatalf("the service runs as %q", label)
		}
		// The control: what the profile is for is refused.
		if out, err := l.try("aa-exec", "-p", "license-agent", "--", "/usr/bin/license-agent", "--output", "json", "verify", "/etc/shadow"); err == nil || !strings.Contains(out, "permission denied") {
			t.Errorf("the profile lets the agent read /etc/shadow: %v %s", err, out)
		}
	})
}

// denied is what AppArmor has refused the agent in the whole life, but for what the
// test itself has tried.
func (l *life) denied() {
	l.step("AppArmor has refused nothing else", func(t *testing.T) {
		tried := 0
		for _, line := range strings.Split(l.run("journalctl", "--no-pager", "-o", "cat"), "\n") {
			switch {
			case !strings.Contains(line, `apparmor="DENIED"`) || !strings.Contains(line, "license-agent"):
			case strings.Contains(line, `name="/etc/shadow"`):
				tried++
			default:
				t.Error(line)
			}
		}
		if tried == 0 {
			t.Error("the control is not in the journal: nothing would be")
		}
	})
}
