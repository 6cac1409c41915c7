//go:build e2e

package systemd

import "testing"

// A container of which root may not read the host's serial numbers, as one without
// privileges: it starts, from a package and from its own installation. What cannot
// be read here is the memory of whoever asks, because root can read all files.
func TestTableThatCannotBeRead(t *testing.T) {
	m := inContainer(t, disk(t, base(t)), 47)
	m.run("sh", "-ec", "mount -o remount,rw /sys 2>/dev/null || true; mkdir -p /sys/firmware/dmi/tables; ln -s /proc/self/mem /sys/firmware/dmi/tables/DMI")
	m.dpkg("NEW")
	m.active()
	m.run("systemctl", "enable", "--now", "license-agent@cad.socket", "license-agent@cad.service")
	m.wait("the instance", func() bool { return m.show("license-agent@cad.service", "ActiveState") == "active" })
	m.put("/root/license-agent", read(t, agentProgram(t, "NEW")), 0o755)
	m.run("/root/license-agent", "--instance", "own", "install")
	m.wait("its own installation", func() bool { return m.show("license-agent-own.service", "ActiveState") == "active" })
	m.run("/root/license-agent", "--instance", "own", "uninstall", "--purge")
	m.run("dpkg", "-P", "license-agent")
	if out := m.run("find", "/etc/systemd", "/usr/lib/systemd", "-name", "*license-agent*"); out != "" {
		t.Errorf("left: %s", out)
	}
}
