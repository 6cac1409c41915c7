package probetest

import (
	"os"
	"path/filepath"
	"testing"
)

// TestUnpackDevices checks that links of the compact notation lead where
// sysfs's do.
func TestUnpackDevices(t *testing.T) {
	root := Unpack(t, []byte("-- nic eth0 --\nat pci0000:00/0000:00:03.0\naddress 00:11:22:33:44:55\nlink physfn ../0000:00:02.0\n"+
		"-- nic br0 --\naddress 00:11:22:33:44:55\n"+
		"-- disk sda --\nat pci0000:00/host0/target0:0:0/0:0:0:0/block/sda\ndev 8:0\npart sda1 8:1\ndevice/type 0\nvpd80 SER\nudev ID_SERIAL=x\nsize 7\n"+
		"-- disk dm-0 --\ndev 253:0\nslave sda1 pci0000:00/host0/target0:0:0/0:0:0:0/block/sda/sda1\n"))
	for name, want := range map[string]string{
		"sys/class/net/eth0/address":               "00:11:22:33:44:55\n",
		"sys/class/net/eth0/type":                  "1\n",
		"sys/class/net/br0/addr_assign_type":       "0\n",
		"sys/block/sda/size":                       "7\n",
		"sys/block/sda/removable":                  "0\n",
		"sys/block/sda/device/type":                "0\n",
		"sys/block/sda/device/vpd_pg80":            "\x00\x80\x00\x03SER",
		"sys/class/block/sda1/partition":           "1\n",
		"sys/dev/block/8:1/dev":                    "8:1\n",
		"sys/dev/block/8:0/dev":                    "8:0\n",
		"sys/block/dm-0/slaves/sda1/dev":           "8:1\n",
		"sys/devices/virtual/block/dm-0/removable": "0\n",
		"run/udev/data/b8:0":                       "S:disk/by-id/x\nE:ID_SERIAL=x\nG:systemd\n",
	} {
		b, err := os.ReadFile(filepath.Join(root, name))
		if err != nil || string(b) != want {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
	for name, want := range map[string]string{
		"sys/class/net/eth0": "../../devices/pci0000:00/0000:00:03.0/net/eth0",
		"sys/devices/pci0000:00/0000:00:03.0/net/eth0/device": "../..",
		"sys/devices/pci0000:00/0000:00:03.0/physfn":          "../0000:00:02.0",
		"sys/class/net/br0": "../../devices/virtual/net/br0",
		"sys/block/sda":     "../devices/pci0000:00/host0/target0:0:0/0:0:0:0/block/sda",
	} {
		if got, err := os.Readlink(filepath.Join(root, name)); err != nil || got != want {
			t.Errorf("%s -> %q, %v, want %q", name, got, err, want)
		}
	}
	if _, err := os.Lstat(filepath.Join(root, "sys/class/net/br0/device")); err == nil {
		t.Error("a bridge has a device")
	}
}
