//go:build e2e

package systemd

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"licenseagent.example/agent/api"
)

// image is a disk with the package installed and never booted.
func image(t *testing.T) string {
	t.Helper()
	root := disk(t, base(t))
	_, b := packageFile(t, "NEW", "_amd64.deb")
	must(t, os.WriteFile(filepath.Join(root, "root/agent.deb"), b, 0o644))
	cmd := exec.Command("chroot", root, "dpkg", "-i", "/root/agent.deb")
	cmd.Env = environment()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	return root
}

// An image that is built with the package has no key; each of its copies makes
// its own at its first boot.
func TestImage(t *testing.T) {
	root := image(t)
	if left, err := os.ReadDir(filepath.Join(root, state)); err == nil && len(left) > 0 {
		t.Fatalf("the image has a state: %v", left)
	}
	ids := map[string]bool{}
	for number := 11; number < 13; number++ {
		m := inContainer(t, disk(t, root), number)
		m.active()
		st := m.status()
		if st.DeviceID == "" || st.KeyTier != "file" {
			t.Errorf("%+v", st)
		}
		ids[st.DeviceID] = true
		m.off()
	}
	if len(ids) != 2 {
		t.Errorf("two copies of an image are one device: %v", ids)
	}
}

// An image of a machine that was booted and ran the agent, which is how many are
// made: each copy has a key of its own all the same, told apart by the number of the
// installation, or, where the image was made without care, by its serials. One code
// then activates both, and neither disturbs the other.
func TestImageOfAMachineThatRan(t *testing.T) {
	root := image(t)
	golden := inContainer(t, root, 35)
	golden.active()
	golden.serials("SN-7Q4W-0042", "BN-9K2M-0077")
	ids := map[string]bool{golden.status().DeviceID: true}
	vendor := startMerchant(t, golden.host)
	golden.put("/etc/license-agent/anchors/acme.json", read(t, vendor.anchor), 0o644)
	golden.run("systemctl", "restart", service)
	golden.active()
	if !ids[golden.status().DeviceID] {
		t.Error("the machine itself is another device after a restart")
	}
	golden.off()

	code := vendor.code(t, "--devices", "2")
	careful, careless := disk(t, root), disk(t, root)
	// The same serials, and the number emptied as machine-id(5) wants it.
	must(t, os.WriteFile(filepath.Join(careful, "etc/machine-id"), nil, 0o444))
	must(t, os.WriteFile(filepath.Join(careless, "etc/e2e.dmi"), dmi("SN-5H1T-9999", "BN-3J8P-9998"), 0o400))
	var copies []*machine
	for n, root := range []string{careful, careless} {
		m := inContainer(t, root, 36+n)
		copies = append(copies, m)
		m.active()
		if log := m.run("journalctl", "--no-pager", "-b", "-o", "cat", "-u", service); !strings.Contains(log, "copied from another machine") {
			t.Errorf("the journal of copy %d does not say it: %s", n, log)
		}
		was := m.status().DeviceID
		ids[was] = true
		if n == 0 {
			m.reach(golden)
		} else {
			m.run("ip", "route", "replace", golden.host+"/32", "via", m.host)
		}
		if out, err := m.feed(code+"\n", "license-agent", "activate", "--yes", "--code-file", "-"); err != nil {
			t.Fatalf("copy %d: %v %s", n, err, out)
		}
		m.run("systemctl", "restart", service)
		m.active()
		if is := m.status().DeviceID; is != was {
			t.Errorf("copy %d is %s after its activation and was %s", n, is, was)
		}
	}
	for n, m := range copies {
		if out, err := m.try("license-agent", "renew"); err != nil {
			t.Errorf("copy %d: %v %s", n, err, out)
		}
		if v := m.only().Verdict; !v.Runs || len(v.Flags) > 0 {
			t.Errorf("copy %d when both are activated: %+v", n, v)
		}
		m.off()
	}
	if len(ids) != 3 {
		t.Errorf("a machine and two copies of it are %d devices", len(ids))
	}
}

// activated is a machine with a license, switched off in order, and its disk.
func activated(t *testing.T, number int, more ...string) (root string, vendor merchant, code string, m *machine) {
	t.Helper()
	root = image(t)
	m = inContainer(t, root, number)
	m.active()
	vendor = startMerchant(t, m.host)
	b, err := os.ReadFile(vendor.anchor)
	must(t, err)
	m.put("/etc/license-agent/anchors/acme.json", b, 0o644)
	m.serials("SN-7Q4W-0042", "BN-9K2M-0077")
	code = vendor.code(t, more...)
	if out, err := m.feed(code+"\n", "license-agent", "activate", "--yes", "--code-file", "-"); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	return root, vendor, code, m
}

// An image of a machine that was activated is recognised in each of its copies:
// with serials of its own it is another device at once, with the same ones the
// merchant sees two, and the operator is told how to settle it.
func TestCloneOfAnActivatedMachine(t *testing.T) {
	root, _, code, m := activated(t, 14, "--devices", "3")
	m.off()
	copies := []string{disk(t, root), disk(t, root)}

	// Another machine with another board.
	must(t, os.WriteFile(filepath.Join(copies[0], "etc/e2e.dmi"), dmi("SN-5H1T-9999", "BN-3J8P-9998"), 0o400))
	other := inContainer(t, copies[0], 15)
	other.active()
	v := other.only().Verdict
	if v.Phase != "wrong-device" || v.Runs || v.Next != "activate-here" {
		t.Errorf("a clone with other serials: %+v", v)
	}
	if out, err := other.try("license-agent", "status"); err == nil || !said(out, "not the machine the license was issued for") || !said(out, "Go back to the original machine") || !said(out, "move device.key out of its state directory") {
		t.Errorf("%v %s", err, out)
	}
	other.reach(m)
	other.becomesItself(code)
	other.off()
	m.on()
	m.active()
	undisturbed := func() {
		t.Helper()
		if out, err := m.try("license-agent", "renew"); err != nil {
			t.Errorf("%v %s", err, out)
		}
		if v := m.only().Verdict; !v.Runs || len(v.Flags) > 0 {
			t.Errorf("the original: %+v", v)
		}
	}
	undisturbed()
	m.off()

	// A virtual machine that was cloned with its serials: both run.
	same := inContainer(t, copies[1], 16)
	same.active()
	same.run("ip", "route", "replace", m.host+"/32", "via", same.host)
	if out, err := same.try("license-agent", "renew"); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	same.off()
	m.on()
	m.active()
	out, err := m.try("license-agent", "renew")
	if err != nil {
		t.Fatalf("%v %s", err, out)
	}
	v = m.only().Verdict
	if !v.Runs || !slices.Contains(v.Flags, "contested") || v.Next != "rebind" {
		t.Errorf("the original after its clone's renewal: %+v", v)
	}
	if out := m.run("license-agent", "status"); !strings.Contains(out, "rebind") {
		t.Errorf("the operator is not told how to settle it: %s", out)
	}
	if out, err := m.feed(code+"\n", "license-agent", "rebind", "--yes", "--code-file", "-"); err != nil {
		t.Errorf("%v %s", err, out)
	}
	if v := m.only().Verdict; !v.Runs || len(v.Flags) > 0 {
		t.Errorf("after the rebind: %+v", v)
	}
	m.off()
	same.on()
	same.active()
	same.run("ip", "route", "replace", m.host+"/32", "via", same.host)
	same.becomesItself(code)
	same.off()
	m.on()
	m.active()
	undisturbed()
}

// becomesItself makes a device of its own of the copy of another one, as the agent
// and installer/README.md say.
func (m *machine) becomesItself(code string) {
	t := m.t
	t.Helper()
	was := m.status().DeviceID
	m.run("systemctl", "stop", "license-agent.socket", service)
	m.run("mv", "/var/lib/license-agent/device.key", "/root/")
	m.run("systemctl", "start", "license-agent.socket", service)
	m.active()
	if st := m.status(); st.DeviceID == was || len(st.Licenses) > 0 {
		t.Errorf("without the key of the original: %+v", st)
	}
	if out, err := m.feed(code+"\n", "license-agent", "activate", "--yes", "--code-file", "-"); err != nil {
		t.Errorf("%v %s", err, out)
	}
	if v := m.only().Verdict; !v.Runs || len(v.Flags) > 0 {
		t.Errorf("the copy with a seat of its own: %+v", v)
	}
}

// The state directory of another machine, put back from its backup.
func TestStateOfAnotherMachine(t *testing.T) {
	root, vendor, _, m := activated(t, 17)
	m.off()
	n := inContainer(t, image(t), 18)
	n.active()
	b, err := os.ReadFile(vendor.anchor)
	must(t, err)
	n.put("/etc/license-agent/anchors/acme.json", b, 0o644)
	n.serials("SN-5H1T-9999", "BN-3J8P-9998")
	n.run("systemctl", "stop", "license-agent.socket", service)
	for _, name := range []string{"state.db", "device.key"} {
		b, err := os.ReadFile(filepath.Join(root, state, name))
		must(t, err)
		n.put(filepath.Join(state, name), b, 0o600)
		n.run("chown", "license-agent:", filepath.Join(state, name))
	}
	n.run("sh", "-c", "cd "+state+" && rm -f $(ls | grep -v -e '^state.db$' -e '^device.key$')")
	n.run("systemctl", "start", "license-agent.socket", service)
	n.active()
	if v := n.only().Verdict; v.Phase != "wrong-device" || v.Runs || v.Next == "" {
		t.Errorf("%+v", v)
	}
	if out, _ := n.try("license-agent", "why"); !strings.Contains(out, "board") || !strings.Contains(out, "BN") {
		t.Errorf("why does not name the part: %s", out)
	}
}

// only is the one license of a status answer.
func (m *machine) only() api.License {
	m.t.Helper()
	st := m.status()
	if len(st.Licenses) != 1 {
		m.t.Fatalf("%d licenses", len(st.Licenses))
	}
	return st.Licenses[0]
}

// reach lets a copy speak to the merchant that the original knows, whose address
// is in its anchor: through the host.
func (m *machine) reach(original *machine) {
	m.t.Helper()
	tool(m.t, "ip", "addr", "replace", original.host+"/32", "dev", "lo") // its own link is gone with it
	m.t.Cleanup(func() { tool(m.t, "ip", "addr", "del", original.host+"/32", "dev", "lo") })
	m.run("ip", "route", "replace", original.host+"/32", "via", m.host)
}

// said looks for a sentence in text that was broken into lines.
func said(text, sentence string) bool {
	return strings.Contains(strings.Join(strings.Fields(text), " "), sentence)
}

const boxMounts = `
if [ -d /run/license-agent ]; then
	mount --bind /run/license-agent /srv/box/run/license-agent
	mount -o remount,bind,ro /srv/box/run/license-agent
fi
mount -t proc proc /srv/box/proc
mount -t sysfs -o ro sysfs /srv/box/sys
`

// box runs a program in a container that has the agent's directory. The runtime
// is unshare and chroot: namespaces, a root of its own, a user without rights, no
// network.
func (m *machine) box(user string, argv ...string) (string, error) {
	return m.try(append([]string{"unshare", "-m", "-p", "-u", "-i", "-n", "-f", "sh", "-ec", boxMounts + `
		user=$1; shift
		exec chroot --userspec=$user:$user /srv/box "$@"
	`, "box", user}, argv...)...)
}

// contained looks at what a container can do, and what it cannot. more is what
// the program is told beside; on a machine with firmware it needs nothing.
func (m *machine) contained(vendor merchant, code string, more ...string) {
	t := m.t
	t.Helper()
	m.put("/srv/box/anchor.json", read(t, vendor.anchor), 0o644)
	m.self("/srv/box/app")
	m.run("cp", "/usr/bin/license-agent", "/srv/box/license-agent")
	m.run("mkdir", "-p", "/srv/box/run/license-agent", "/srv/box/proc", "/srv/box/sys", "/srv/box/dev", "/srv/box/data")
	ask := func() (string, error) {
		return m.box("10001", append([]string{"/app", "ask", "/anchor.json", "studio"}, more...)...)
	}
	out, err := ask()
	if err != nil || !strings.Contains(out, `"runs":true`) {
		t.Errorf("a program in a container: %v %s", err, out)
	}
	t.Logf("inside: %s", out)
	// One that runs on while everything else happens.
	m.run("sh", "-c", `setsid unshare -m sh -ec "$1" >/dev/null 2>&1 </dev/null &`, "sh", boxMounts+"echo $$ >/srv/box/pid.part; mv /srv/box/pid.part /srv/box/pid; exec sleep 900")
	m.wait("a container that runs on", func() bool { return m.exists("/srv/box/pid") })
	runsOn := m.run("cat", "/srv/box/pid")
	// It is asked as itself, and may change nothing.
	for _, argv := range [][]string{{"/license-agent", "release"}, {"/license-agent", "renew"}, {"/license-agent", "diagnose"}} {
		if out, err := m.box("10001", argv...); err == nil || !strings.Contains(out, "permission-denied") {
			t.Errorf("%v inside: %v %s", argv, err, out)
		}
	}
	// With what is mounted it is no device: there is neither key nor state, and the
	// folder is read only.
	if out, err := m.box("0", "/license-agent", "--dir", "/run/license-agent/x", "run"); err == nil || !strings.Contains(out, "read-only") {
		t.Errorf("an agent in the mounted folder: %v %s", err, out)
	}
	if m.exists("/run/license-agent/x") {
		t.Error("the container wrote into the host's folder")
	}
	// With a folder, the vendor's anchor and a network of its own it is another
	// device, which the host's code does not let in. The control: a code that nobody
	// has used does, so neither network nor agent was in the way.
	own, was := m.status().DeviceID, m.only().Verdict
	if out, err := m.agentInside(code, more...); err == nil || !strings.Contains(out, "code-used-up") {
		t.Errorf("an agent in a container with the host's code: %v %s", err, out)
	}
	out, err = m.agentInside(vendor.code(t, "--allow-unidentified"), more...)
	if other := regexp.MustCompile(`"device_id": *"([^"]+)"`).FindStringSubmatch(out); err != nil || other == nil || other[1] == own {
		t.Errorf("an agent in a container with a code of its own: %v %s", err, out)
	}
	if v := m.only().Verdict; !v.Runs || !slices.Equal(v.Flags, was.Flags) {
		t.Errorf("the host after its container's attempts: %+v, before: %+v", v, was)
	}
	// While the agent is restarted the container waits; an upgrade is the same.
	m.run("systemctl", "restart", service)
	if out, err := ask(); err != nil || !strings.Contains(out, `"runs":true`) {
		t.Errorf("after a restart: %v %s", err, out)
	}
	// Without the agent on the host: in words.
	m.run("systemctl", "stop", "license-agent.socket", service)
	out, err = ask()
	if err == nil || !strings.Contains(out, "agent-not-running") || !strings.Contains(out, "in a container, start it on the host") {
		t.Errorf("without the agent: %v %s", err, out)
	}
	m.run("systemctl", "start", "license-agent.socket", service)
	// The socket was made anew; the directory is the same.
	out, err = m.try(append([]string{"nsenter", "-m", "-t", runsOn, "chroot", "--userspec=10001:10001", "/srv/box", "/app", "ask", "/anchor.json", "studio"}, more...)...)
	if err != nil || !strings.Contains(out, `"runs":true`) {
		t.Errorf("the container that ran all the time: %v %s", err, out)
	}
	m.run("kill", runsOn)
	m.run("rm", "-r", "/srv/box")
}

// agentInside starts an agent in a container that can do what a container can
// have: a writable folder, the vendor's anchor and the host's network. It activates
// with the code and prints its status. It ends with the container.
func (m *machine) agentInside(code string, table ...string) (string, error) {
	return m.feed(code+"\n", append([]string{"unshare", "-m", "-p", "-u", "-i", "-f", "--kill-child", "sh", "-ec", `
		mount -t tmpfs -o mode=0755 tmpfs /srv/box/data
		mount -t proc proc /srv/box/proc
		mount -t sysfs -o ro sysfs /srv/box/sys
		mkdir -p /srv/box/data/license-agent/etc/anchors
		cp /srv/box/anchor.json /srv/box/data/license-agent/etc/anchors/
		chown -R 10001:10001 /srv/box/data
		export LICENSE_AGENT_SMBIOS_FILE=$1
		inside() { chroot --userspec=10001:10001 /srv/box /license-agent --dir /data "$@"; }
		inside run </dev/null >/srv/box/data/log 2>&1 &
		inside status --wait 60s >/dev/null || [ $? = 3 ] || { cat /srv/box/data/log; exit 1; }
		inside activate --yes --code-file -
		inside status --output json
	`, "box"}, append(table, "")...)...)
}

// This machine has no firmware, so the program is given the table of the host.
func TestContainer(t *testing.T) {
	_, vendor, code, m := activated(t, 19)
	m.put("/srv/box/dmi", dmi("SN-7Q4W-0042", "BN-9K2M-0077"), 0o644)
	m.contained(vendor, code, "/dmi")
}
