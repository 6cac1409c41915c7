//go:build e2e

package systemd

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// lifeAfterUpgrade is the second half of TestLife.
func lifeAfterUpgrade(t *testing.T, m *machine, vendor merchant, before map[string]bool, step func(string, func(*testing.T))) {
	step("an instance of the template", func(t *testing.T) {
		m.run("systemctl", "enable", "--now", "license-agent@cad.socket", "license-agent@cad.service")
		m.wait("the instance", func() bool {
			_, err := m.try("license-agent", "--instance", "cad", "diagnose", "--output", "json")
			return err == nil
		})
		if user := m.run("stat", "-c", "%U", "/proc/"+m.show("license-agent@cad.service", "MainPID")); user != "license-agent-cad" {
			t.Errorf("it runs as %s", user)
		}
		// The other instance's licenses are not this one's, and neither is its state.
		if out, err := m.try("license-agent", "--instance", "cad", "status"); err == nil {
			t.Errorf("the instance has a license: %s", out)
		}
		if out, err := m.try("setpriv", "--reuid", "license-agent-cad", "--clear-groups", "ls", "/var/lib/license-agent"); err == nil {
			t.Errorf("one instance reads the other's state: %s", out)
		}
	})

	step("reboot", func(t *testing.T) {
		m.off()
		m.on()
		m.active()
		if p := m.phase(); p != "active" {
			t.Errorf("phase %q", p)
		}
	})

	step("an older package refuses a newer state", func(t *testing.T) {
		m.put("/var/lib/license-agent-later/state.db", []byte("\x00\x00license-agent-store 999 0011223344556677 deadbeef\x00"), 0o600)
		_, b := m.packageFile("OLD", "_amd64.deb")
		m.put("/root/agent.deb", b, 0o644)
		out, err := m.try("dpkg", "-i", "/root/agent.deb")
		if err == nil || !strings.Contains(out, "too old") || !strings.Contains(out, "format 999") {
			t.Errorf("%v %s", err, out)
		}
		if v := m.run("license-agent", "version"); !strings.Contains(v, "1.1.0") {
			t.Errorf("the refusal changed the program: %s", v)
		}
		m.active()
		m.run("rm", "-r", "/var/lib/license-agent-later")
		if audit := m.run("dpkg", "--audit"); audit != "" {
			t.Errorf("dpkg is left in between: %s", audit)
		}
	})

	step("remove keeps the licenses", func(t *testing.T) {
		began := time.Now()
		m.run("dpkg", "-r", "license-agent")
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("removing took %v, the promise is 5 s", took)
		}
		for _, path := range []string{"/usr/bin/license-agent", "/run/license-agent", "/run/license-agent-cad/agent.sock", "/usr/lib/systemd/system/license-agent.service"} {
			if m.exists(path) {
				t.Errorf("%s is left", path)
			}
		}
		if out := m.run("systemctl", "list-units", "--all", "--no-legend", "--no-pager", "license-agent*"); out != "" {
			t.Errorf("units are left: %s", out)
		}
		if out, err := m.try("pgrep", "-x", "license-agent"); err == nil {
			t.Errorf("processes are left: %s", out)
		}
		if !m.exists("/var/lib/license-agent/state.db") || !m.exists("/etc/license-agent/anchors/acme.json") {
			t.Error("licenses or anchors are gone")
		}
		m.dpkg("NEW")
		m.active()
		if p := m.phase(); p != "active" {
			t.Errorf("after installing again the phase is %q", p)
		}
	})

	clean := func(t *testing.T) {
		t.Helper()
		m.run("rm", "-rf", "/etc/systemd/system/license-agent.service.d", "/etc/e2e.dmi", "/root/agent.deb")
		m.run("systemctl", "daemon-reload")
		// Addresses and sockets of the system's own do not belong to the comparison.
		rest := slices.DeleteFunc(left(before, m.snapshot()), func(l string) bool { return strings.Contains(l, "/sys/fs/") })
		if len(rest) > 0 {
			t.Errorf("not as before:\n%s", strings.Join(rest, "\n"))
		}
	}
	step("purge leaves nothing", func(t *testing.T) {
		m.run("dpkg", "-P", "license-agent")
		clean(t)
	})

	step("without a package", func(t *testing.T) {
		file, b := m.packageFile("NEW", "linux-amd64.tar.gz")
		m.put("/root/agent.tar.gz", b, 0o644)
		m.run("tar", "-xzf", "/root/agent.tar.gz", "-C", "/root")
		program := "/root/" + strings.TrimSuffix(filepath.Base(file), ".tar.gz") + "/license-agent"
		began := time.Now()
		m.run(program, "install")
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("install took %v, the promise is 5 s", took)
		}
		m.active()
		if out := m.run(program, "install"); !strings.Contains(out, "nothing to do") {
			t.Errorf("a second time: %s", out)
		}
		if exe := m.run("readlink", "/proc/"+m.show(service, "MainPID")+"/exe"); exe != "/usr/local/bin/license-agent" {
			t.Errorf("the service runs %s", exe)
		}
		m.run(program, "uninstall")
		if !m.exists("/var/lib/license-agent/device.key") {
			t.Error("uninstall took the device key away")
		}
		m.run(program, "install")
		m.active()
		m.run(program, "uninstall", "--purge")
		clean(t)
	})

	step("under System V init", func(t *testing.T) {
		program := m.run("sh", "-c", "ls /root/license-agent-*/license-agent")
		m.run(program, "install", "--manager", "unix-systemv")
		m.run("/etc/init.d/license-agent", "status")
		if out, err := m.try("license-agent", "diagnose", "--output", "json"); err != nil {
			t.Errorf("%v %s", err, out)
		}
		m.run("/etc/init.d/license-agent", "restart")
		m.run("/etc/init.d/license-agent", "stop")
		if out, err := m.try("/etc/init.d/license-agent", "status"); err == nil {
			t.Errorf("stopped and yet %s", out)
		}
		m.run(program, "uninstall", "--manager", "unix-systemv", "--purge")
		m.run("rm", "-f", "/var/log/license-agent.log")
		clean(t)
	})
}
