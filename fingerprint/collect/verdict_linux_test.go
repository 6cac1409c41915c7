package collect

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"

	"licenseagent.example/fingerprint"
	"licenseagent.example/fingerprint/probe"
	"licenseagent.example/fingerprint/probe/probetest"
)

// recorded reads a recorded host after changes to its archive, each a text and
// its replacement; a text that is not there fails the test.
func recorded(t *testing.T, name string, changes ...string) fingerprint.Device {
	t.Helper()
	b, err := os.ReadFile("testdata/hosts/" + name + ".txtar")
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(changes); i += 2 {
		if !bytes.Contains(b, []byte(changes[i])) {
			t.Fatalf("%s does not hold %q", name, changes[i])
		}
		b = bytes.ReplaceAll(b, []byte(changes[i]), []byte(changes[i+1]))
	}
	c := Collector{Host: probe.Host{Root: probetest.Unpack(t, b)}}
	return c.Collect(context.Background())
}

// TestSameOrAnother enrols a recorded machine, changes its hardware or what may
// be read of it, and asks the default policy.
func TestSameOrAnother(t *testing.T) {
	const stick = "-- disk sdz --\nat pci0000:00/0000:00:14.0/usb1/1-2/1-2:1.0/host9/target9:0:0/9:0:0:0/block/sdz\ndev 65:0\ndevice/type 0\nvpd80 STICK-4711\n"
	const dock = "-- nic dock0 --\nat pci0000:00/0000:00:14.0/usb1/1-3/1-3:1.0\naddress 48:65:ee:99:88:77\n"
	const links = "-- nic wg0 --\ntype 65534\n-- nic br7 --\naddress 02:42:00:00:00:07\n"
	end := "-- disk loop0 --\n" // the last entry of server.txtar
	for _, c := range []struct {
		name    string
		host    string
		changes []string
		outcome fingerprint.Outcome
		changed string // part that is no longer there, "" for none
	}{
		{"nothing", "server", nil, fingerprint.Same, ""},
		{"stick plugged", "server", []string{end, stick + end}, fingerprint.Same, ""},
		{"dock plugged", "server", []string{end, dock + end}, fingerprint.Same, ""},
		{"VPN and bridge", "server", []string{end, links + end}, fingerprint.Same, ""},
		{"bond dissolved", "server", []string{"addr_assign_type 3", "addr_assign_type 0", "b0:26:28:aa:10:04\naddr_assign_type 0\nbonding_slave/perm_hwaddr b0:26:28:aa:10:05", "b0:26:28:aa:10:05"}, fingerprint.Same, ""},
		{"kernel names swapped", "server", []string{"disk sda", "disk tmp", "disk sdb", "disk sda", "disk tmp", "disk sdb"}, fingerprint.Same, ""},
		{"one data disk replaced", "server", []string{"     WD-WMAM9XE78956", "     WD-WCC4N7HPL1RT"}, fingerprint.Same, ""},
		{"one port replaced", "server", []string{"b0:26:28:aa:10:05", "b0:26:28:aa:99:05"}, fingerprint.Same, ""},
		{"table no longer readable", "server", []string{"-- sys/firmware/dmi/tables/DMI (dmidecode) --", "-- sys/class/dmi/id/board_serial.unreadable --\n-- sys/firmware/dmi/tables/DMI.unreadable --\n-- notes --"}, fingerprint.Same, ""},
		{"board record lost by a firmware update", "server", []string{"Serial Number: .7KQ2XY3.CNFCP0085V00LM.", "Serial Number: Not Specified"}, fingerprint.Same, "board"},
		{"clone by the hypervisor", "clone-original", []string{"56 4d 1c 9f", "56 4d aa bb", "9f1c4d56", "bbaa4d56", "00:0c:29:44:55:66", "00:0c:29:aa:bb:cc"}, fingerprint.Different, "board"},
		{"SD card swapped", "single-board", []string{"0x4d3a1f27", "0x99887766"}, fingerprint.Same, "disk"},
		{"the card in another board", "single-board", []string{"00000000e7c4a1b2", "0000000012345abc", "b8:27:eb:c4:a1:b2", "b8:27:eb:12:34:5a"}, fingerprint.Different, "board"},
	} {
		t.Run(c.name, func(t *testing.T) {
			policy, err := fingerprint.Preset("balanced")
			if err != nil {
				t.Fatal(err)
			}
			enrolled := fingerprint.Enroll(bytes.Repeat([]byte{7}, 32), recorded(t, c.host))
			now := recorded(t, c.host, c.changes...)
			got := fingerprint.Compare(policy, enrolled, now)
			if got.Outcome != c.outcome {
				t.Errorf("outcome %s, want %s: %s\n%s", got.Outcome, c.outcome, got.Why, fingerprint.Format(now).String)
			}
			var changed []string
			for _, p := range got.Parts {
				if p.Result == "changed" || p.Result == "absent" {
					changed = append(changed, string(p.Kind))
				}
			}
			if (c.changed == "") != (len(changed) == 0) || !strings.Contains(strings.Join(changed, " "), c.changed) {
				t.Errorf("changed parts %q, want %q", changed, c.changed)
			}
		})
	}
}

// TestClonesOfOneImage: two machines made from one image share the disk's
// serial and nothing else.
func TestClonesOfOneImage(t *testing.T) {
	policy, err := fingerprint.Preset("balanced")
	if err != nil {
		t.Fatal(err)
	}
	original, twin := recorded(t, "clone-original"), recorded(t, "clone-copy")
	got := fingerprint.Compare(policy, fingerprint.Enroll(make([]byte, 32), original), twin)
	if got.Outcome != fingerprint.Different {
		t.Errorf("%s: %s", got.Outcome, got.Why)
	}
}

// TestStrangersDoNotMatch compares every recorded machine with every other one.
func TestStrangersDoNotMatch(t *testing.T) {
	policy, err := fingerprint.Preset("balanced")
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"server", "laptop", "vm-kvm", "clone-original", "clone-copy", "unprivileged", "placeholders", "bridges", "nvme", "multipath", "odd-serials", "cloud-unprivileged", "single-board", "arm-server", "container"}
	devices := map[string]fingerprint.Device{}
	for _, n := range names {
		devices[n] = recorded(t, n)
	}
	for _, a := range names {
		enrolled := fingerprint.Enroll([]byte(strings.Repeat("s", 32)), devices[a])
		for _, b := range names {
			got := fingerprint.Compare(policy, enrolled, devices[b])
			if a != b && got.Outcome == fingerprint.Same {
				t.Errorf("%s was taken for %s: %s", b, a, got.Why)
			}
			if a == b && got.Outcome == fingerprint.Different {
				t.Errorf("%s was not recognised: %s", a, got.Why)
			}
		}
	}
}
