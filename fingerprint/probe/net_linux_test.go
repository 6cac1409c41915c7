package probe

import (
	"strings"
	"testing"

	"licenseagent.example/fingerprint"
)

// TestAdapterRules gives one interface per rule.
func TestAdapterRules(t *testing.T) {
	const at = "at pci0000:00/0000:00:1c.0/0000:01:00.0\n"
	for _, c := range []struct {
		name, in string
		value    string // "" when left out
		said     string // source of the value, or the reason
	}{
		{"a port", at + "address b0:26:28:00:00:01\n", "b0:26:28:00:00:01", "sysfs address x0"},
		{"upper case", at + "address B0:26:28:00:00:01\n", "b0:26:28:00:00:01", "sysfs address x0"},
		{"loopback", "type 772\naddress 00:00:00:00:00:00\n", "", "not Ethernet (ARPHRD 772)"},
		{"InfiniBand", at + "type 32\naddress 80:00:02:08\n", "", "not Ethernet (ARPHRD 32)"},
		{"WireGuard", "type 65534\n", "", "not Ethernet (ARPHRD 65534)"},
		{"bridge", "address b0:26:28:00:00:01\n", "", "a virtual interface"},
		{"simulated wireless", "at virtual/mac80211_hwsim/hwsim0\naddress b0:26:28:00:00:01\n", "", "a virtual interface"},
		{"virtual function on the host", at + "link physfn ../0000:01:00.1\naddress b0:26:28:00:00:01\n", "", "an SR-IOV virtual function"},
		{"address set by software", at + "address b0:26:28:00:00:01\naddr_assign_type 3\n", "", "no permanent address"},
		{"random address", at + "address b2:26:28:00:00:01\naddr_assign_type 1\n", "", "no permanent address"},
		{"stolen address", at + "address b0:26:28:00:00:01\naddr_assign_type 2\n", "", "no permanent address"},
		{"member of a bond", at + "address b0:26:28:00:00:99\naddr_assign_type 3\nbonding_slave/perm_hwaddr b0:26:28:00:00:01\n", "b0:26:28:00:00:01", "sysfs bonding_slave/perm_hwaddr x0"},
		{"damaged address", at + "address b0:26:28:00:00\n", "", "no permanent address"},
		{"zeros", at + "address 00:00:00:00:00:00\n", "", "placeholder"},
		{"group address", at + "address 01:00:5e:00:00:01\n", "", "a group address"},
		{"VMware's host-only network", at + "address 00:50:56:c0:00:01\n", "", "placeholder"},
		{"dock alone", "at pci0000:00/0000:00:14.0/usb2/2-3/2-3:1.0\naddress 48:65:ee:11:22:33\n", "48:65:ee:11:22:33", "sysfs address x0"},
		{"locally administered alone", at + "address 02:16:3e:11:22:33\n", "02:16:3e:11:22:33", "sysfs address x0"},
		{"Hyper-V", "at LNXSYSTM:00/LNXSYBUS:00/ACPI0004:00/VMBUS:00/000d3a1b\naddress 00:0d:3a:1b:2c:3d\n", "00:0d:3a:1b:2c:3d", "sysfs address x0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := host(t, "-- nic x0 --\n"+c.in).Network()
			value, said := "", ""
			if len(got.Values) == 1 {
				value, said = got.Values[0].Text, got.Values[0].Source
			} else if len(got.Rejected) == 1 {
				said = got.Rejected[0].Reason
			}
			if value != c.value || !strings.Contains(said, c.said) || len(got.Values)+len(got.Rejected) != 1 {
				t.Errorf("got %q (%s), want %q (%s)", value, said, c.value, c.said)
			}
		})
	}
}

// TestAddressMayNotBeRead keeps a refused read apart from a missing adapter.
func TestAddressMayNotBeRead(t *testing.T) {
	got := host(t, "-- nic x0 --\nat pci0000:00/0000:00:03.0\naddress b0:26:28:00:00:01\n",
		"-- nic x1 --\nat pci0000:00/0000:00:04.0\naddr_assign_type 3\nbonding_slave/perm_hwaddr.unreadable x\n").Network()
	if got.State != fingerprint.OK || len(got.Rejected) != 1 || !strings.HasPrefix(got.Rejected[0].Reason, prefixUnreadable) {
		t.Errorf("%+v", got)
	}
	got = host(t, "-- nic x1 --\nat pci0000:00/0000:00:04.0\naddr_assign_type 3\nbonding_slave/perm_hwaddr.unreadable x\n").Network()
	if got.State != fingerprint.Unreadable {
		t.Errorf("%+v", got)
	}
}

// TestNamesOfInterfaces: a dump is the kernel's word, yet a name that is a path
// must not lead anywhere.
func TestNamesOfInterfaces(t *testing.T) {
	h := host(t, "-- nic x0 --\nat pci0000:00/0000:00:03.0\naddress b0:26:28:00:00:01\n")
	tr := openTree(h.Root)
	defer tr.close()
	for _, name := range []string{"", ".", "..", "../x0", "x0/..", "x0/\x00"} {
		if c := tr.adapter(nlLink{name: name, hardware: 1}); c.drop == "" || c.text != "" {
			t.Errorf("%q: %+v", name, c)
		}
	}
	if c := tr.adapter(nlLink{name: "gone", hardware: 1}); c.drop != "not in /sys/class/net" {
		t.Errorf("%+v", c)
	}
	if c := tr.adapter(nlLink{name: "x0", hardware: 1, perm: []byte{0xb0, 0x26, 0x28, 0, 0, 7}}); c.text != "b0:26:28:00:00:07" || c.source != "netlink IFLA_PERM_ADDRESS x0" {
		t.Errorf("%+v", c)
	}
}
