package probe

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"licenseagent.example/fingerprint"
	"licenseagent.example/fingerprint/probe/probetest"
)

// Places of devices in sysfs, as real kernels name them.
const (
	sata0 = "pci0000:00/0000:00:1f.2/ata1/host0/target0:0:0/0:0:0:0/block/sda"
	sata1 = "pci0000:00/0000:00:1f.2/ata2/host1/target1:0:0/1:0:0:0/block/sdb"
	nvme0 = "pci0000:00/0000:00:1d.0/0000:04:00.0/nvme/nvme0/nvme0n1"
	nvme1 = "pci0000:00/0000:00:1d.4/0000:05:00.0/nvme/nvme1/nvme1n1"
	emmc  = "platform/soc/mmc_host/mmc0/mmc0:0001/block/mmcblk0"
)

// archive joins entries of a recorded host.
func archive(entries ...string) []byte { return []byte(strings.Join(entries, "")) }

// host unpacks entries.
func host(t testing.TB, entries ...string) Host {
	t.Helper()
	return Host{Root: probetest.Unpack(t, archive(entries...))}
}

// texts lists the values of a part.
func texts(c fingerprint.Component) []string {
	var out []string
	for _, v := range c.Values {
		out = append(out, v.Text)
	}
	return out
}

// TestDiskSources shows where the serial of each kind of disk comes from, and
// what is said when it comes from nowhere.
func TestDiskSources(t *testing.T) {
	sda := "-- disk sda --\nat " + sata0 + "\ndev 8:0\ndevice/type 0\n"
	nv := "-- disk nvme0n1 --\nat " + nvme0 + "\ndevice ..\ndev 259:0\n"
	for _, c := range []struct {
		name   string
		in     []string
		state  fingerprint.State
		value  string
		source string // of the value, or the reason
	}{
		{"SCSI page", []string{sda, "vpd80 SER-4711\n"}, fingerprint.OK, "SER-4711", "sysfs vpd_pg80 sda"},
		{"SCSI page before udev", []string{sda, "vpd80 SER-4711\nudev ID_SCSI_SERIAL=OTHER-1\n"}, fingerprint.OK, "SER-4711", "sysfs vpd_pg80 sda"},
		{"udev where there is no page", []string{sda, "udev ID_SERIAL=MODEL_SER-1\nudev ID_SERIAL_SHORT=SER-1X\n"}, fingerprint.OK, "SER-1X", "udev ID_SERIAL_SHORT sda"},
		{"udev where the page is empty", []string{sda, "vpd80 \"    \"\nudev ID_SERIAL_SHORT=SER-1X\n"}, fingerprint.OK, "SER-1X", "udev ID_SERIAL_SHORT sda"},
		{"neither", []string{sda}, fingerprint.Absent, "", "no fixed disk with a serial"},
		{"the page may not be read", []string{sda, "-- sys/devices/", strings.TrimSuffix(sata0, "/block/sda"), "/vpd_pg80.unreadable --\n"}, fingerprint.Unreadable, "", "sda: permission denied"},
		{"udev's word may not be read", []string{sda, "-- run/udev/data/b8:0.unreadable --\n"}, fingerprint.Unreadable, "", "sda: permission denied"},
		{"a tape", []string{"-- disk sda --\nat " + sata0 + "\ndev 8:0\ndevice/type 1\nvpd80 TAPE-1X\n"}, fingerprint.Absent, "", "no fixed disk"},
		{"NVMe controller", []string{nv, "device/serial \"S64DMX0T600214W     \"\ndevice/transport pcie\nwwid eui.0025385600b04c11\n"}, fingerprint.OK, "S64DMX0T600214W", "sysfs device/serial nvme0n1"},
		{"NVMe over TCP", []string{nv, "device/serial ABC-77\ndevice/transport tcp\n"}, fingerprint.Absent, "", "no fixed disk"},
		{"NVMe over fibre channel", []string{nv, "device/serial ABC-77\ndevice/transport fc\n"}, fingerprint.Absent, "", "no fixed disk"},
		{"NVMe on an Apple controller", []string{nv, "device/serial ABC-77\ndevice/transport apple-nvme\n"}, fingerprint.OK, "ABC-77", "sysfs device/serial nvme0n1"},
		{"NVMe of an old kernel, by udev", []string{nv, "udev ID_SERIAL_SHORT=S64DMX0T600214W\n"}, fingerprint.OK, "S64DMX0T600214W", "udev ID_SERIAL_SHORT nvme0n1"},
		{"virtio", []string{"-- disk vda --\nat pci0000:00/0000:00:04.0/virtio1/block/vda\ndev 252:0\nserial disk-of-vm-17\n"}, fingerprint.OK, "disk-of-vm-17", "sysfs serial vda"},
		{"virtio without serial", []string{"-- disk vda --\nat pci0000:00/0000:00:04.0/virtio1/block/vda\ndev 252:0\nserial \"\"\n"}, fingerprint.Absent, "", "no fixed disk"},
		{"virtio of LXD", []string{"-- disk vda --\nat pci0000:00/0000:00:04.0/virtio1/block/vda\ndev 252:0\nserial lxd_root\n"}, fingerprint.Placeholder, "", "LXD"},
		{"eMMC", []string{"-- disk mmcblk0 --\nat " + emmc + "\ndev 179:0\ndevice/type MMC\ndevice/serial 0x4d3a1f27\n"}, fingerprint.OK, "0x4d3a1f27", "sysfs device/serial mmcblk0"},
		{"eMMC with a zero serial", []string{"-- disk mmcblk0 --\nat " + emmc + "\ndev 179:0\ndevice/type MMC\ndevice/serial 0x00000000\ndevice/cid 150100424a544434520704b5a9c28123\n"}, fingerprint.OK, "150100424a544434520704b5a9c28123", "sysfs device/cid mmcblk0"},
		{"SD card beside a disk", []string{sda, "vpd80 SER-4711\n", "-- disk mmcblk0 --\nat " + emmc + "\ndev 179:0\ndevice/type SD\ndevice/serial 0x4d3a1f27\n"}, fingerprint.OK, "SER-4711", "sysfs vpd_pg80 sda"},
		{"Xen without anything", []string{"-- disk xvda --\nat vbd-51712/block/xvda\ndev 202:0\n"}, fingerprint.Absent, "", "no fixed disk"},
		{"an empty card reader", []string{"-- disk sda --\nat " + sata0 + "\ndev 8:0\nsize 0\ndevice/type 0\nvpd80 READER-1\n"}, fingerprint.Absent, "", "no fixed disk"},
		{"no block devices", []string{"-- sys/block/keep --\n"}, fingerprint.Absent, "", "no fixed disk"},
		{"no sysfs", []string{"-- etc/hostname --\nx\n"}, fingerprint.Unreadable, "", "block devices: no such file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := host(t, c.in...).Disks()
			said := got.Reason
			if len(got.Values) == 1 {
				said = got.Values[0].Source
			}
			if got.State != c.state || strings.Join(texts(got), " ") != c.value || !strings.Contains(said, c.source) {
				t.Errorf("got %s %q (%s), want %s %q (%s)", got.State, texts(got), said, c.state, c.value, c.source)
			}
		})
	}
}

// TestUdevIsAskedByOwnNumber: all NVMe disks share major 259, and a reader that
// looks at <major>:0 gives each the serial of the first.
func TestUdevIsAskedByOwnNumber(t *testing.T) {
	h := host(t, "-- disk nvme0n1 --\nat "+nvme0+"\ndevice ..\ndev 259:0\nudev ID_SERIAL_SHORT=FIRST-17\n",
		"-- disk nvme1n1 --\nat "+nvme1+"\ndevice ..\ndev 259:3\n")
	if diff := cmp.Diff([]string{"FIRST-17"}, texts(h.Disks())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	h = host(t, "-- disk nvme0n1 --\nat "+nvme0+"\ndevice ..\ndev 259:0\n",
		"-- disk nvme1n1 --\nat "+nvme1+"\ndevice ..\ndev 259:3\nudev ID_SERIAL_SHORT=SECOND-17\n")
	got := h.Disks()
	if len(got.Values) != 1 || got.Values[0].Source != "udev ID_SERIAL_SHORT nvme1n1" {
		t.Errorf("%+v", got)
	}
}

// TestDamagedNumber: a dev file that holds something else leads nowhere.
func TestDamagedNumber(t *testing.T) {
	for _, number := range []string{"../../../etc/passwd", "8:0/../../x", "abc", "8 0"} {
		h := host(t, "-- disk sda --\nat "+sata0+"\ndevice/type 0\n", "-- sys/devices/"+sata0+"/dev --\n"+number+"\n")
		if got := h.Disks(); len(got.Values) != 0 {
			t.Errorf("%q: %+v", number, got)
		}
	}
}

// TestRootDisk puts the disks behind the root file system first, whatever lies
// between.
func TestRootDisk(t *testing.T) {
	disk := func(name, at, number, serial string, more ...string) string {
		return "-- disk " + name + " --\nat " + at + "\ndev " + number + "\ndevice/type 0\nvpd80 " + serial + "\n" + strings.Join(more, "\n") + "\n"
	}
	sda := disk("sda", sata0, "8:0", "A-DISK-1", "part sda1 8:1")
	sdb := disk("sdb", sata1, "8:16", "B-DISK-2", "part sdb1 8:17")
	mounts := func(line string) string { return "-- proc/self/mountinfo --\n" + line + "\n" }
	slave := func(name, lower, at string) string { return "slave " + lower + " " + at + "/" + lower + "\n" }
	aFirst, bFirst := []string{"A-DISK-1", "B-DISK-2"}, []string{"B-DISK-2", "A-DISK-1"}
	for _, c := range []struct {
		name string
		in   []string
		want []string
	}{
		{"no root known", []string{sda, sdb}, aFirst},
		{"partition", []string{sda, sdb, mounts("22 1 8:17 / / rw - ext4 /dev/sdb1 rw")}, bFirst},
		{"whole disk", []string{sda, sdb, mounts("22 1 8:16 / / rw - ext4 /dev/sdb rw")}, bFirst},
		{"btrfs by name", []string{sda, sdb, mounts("22 1 0:22 /@ / rw - btrfs /dev/sdb1 rw")}, bFirst},
		{"the later mount hides the initramfs", []string{sda, sdb, mounts("1 1 8:1 / / rw - ext4 /dev/sda1 rw\n22 1 8:17 / / rw - ext4 /dev/sdb1 rw")}, bFirst},
		{"overlay", []string{sda, sdb, mounts("22 1 0:64 / / rw - overlay overlay rw,lowerdir=/x")}, aFirst},
		{"other mounts do not count", []string{sda, sdb, mounts("22 1 8:17 / /data rw - ext4 /dev/sdb1 rw")}, aFirst},
		{"optional fields", []string{sda, sdb, mounts("22 1 0:22 /@ / rw shared:1 master:2 - btrfs /dev/sdb1 rw")}, bFirst},
		{"LVM", []string{sda, sdb, "-- disk dm-0 --\ndev 253:0\ndm/name vg-root\n", slave("dm-0", "sdb1", sata1), mounts("22 1 253:0 / / rw - xfs /dev/mapper/vg-root rw")}, bFirst},
		{"LVM by name", []string{sda, sdb, "-- disk dm-0 --\ndev 253:0\ndm/name vg-root\n", slave("dm-0", "sdb1", sata1), mounts("22 1 0:30 / / rw - btrfs /dev/mapper/vg-root rw")}, bFirst},
		{"encryption on LVM", []string{
			sda, sdb, "-- disk dm-0 --\ndev 253:0\n", slave("dm-0", "sdb1", sata1),
			"-- disk dm-1 --\ndev 253:1\nslave dm-0 virtual/block/dm-0\n", mounts("22 1 253:1 / / rw - ext4 /dev/mapper/luks rw"),
		}, bFirst},
		{"mirror over both", []string{sda, sdb, "-- disk md0 --\ndev 9:0\n", slave("md0", "sdb1", sata1), slave("md0", "sda1", sata0), mounts("22 1 9:0 / / rw - ext4 /dev/md0 rw")}, aFirst},
		{"devices that hold each other", []string{
			sda, sdb, "-- disk dm-0 --\ndev 253:0\nslave dm-1 virtual/block/dm-1\n", "-- disk dm-1 --\ndev 253:1\nslave dm-0 virtual/block/dm-0\n",
			mounts("22 1 253:0 / / rw - ext4 /dev/mapper/x rw"),
		}, aFirst},
		{"a number that does not exist", []string{sda, sdb, mounts("22 1 99:7 / / rw - ext4 /dev/nothing rw")}, aFirst},
		{"a table that is none", []string{sda, sdb, mounts("\x00\xff - - -\n/ / / /")}, aFirst},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, texts(host(t, c.in...).Disks())); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestRootDiskWithoutNumbers finds the disk where sys/dev/block is masked, as
// some engines do.
func TestRootDiskWithoutNumbers(t *testing.T) {
	entries := "-- sys/class/block/sdb1 -> ../../devices/" + sata1 + "/sdb1 --\n-- sys/devices/" + sata1 + "/sdb1/dev --\n8:17\n-- sys/devices/" + sata1 + "/sdb1/partition --\n1\n" +
		"-- proc/self/mountinfo --\n22 1 8:17 / / rw - ext4 /dev/sdb1 rw\n"
	tr := openTree(probetest.Unpack(t, []byte(entries)))
	defer tr.close()
	if diff := cmp.Diff([]string{"sdb"}, tr.rootDisks()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestOrderIsStable reads the same disks under other kernel names: another boot
// may call them so.
func TestOrderIsStable(t *testing.T) {
	build := func(first, second string) Host {
		return host(t, fmt.Sprintf("-- disk sda --\nat %s\ndev 8:0\ndevice/type 0\nvpd80 %s\n", sata0, first),
			fmt.Sprintf("-- disk sdb --\nat %s\ndev 8:16\ndevice/type 0\nvpd80 %s\n", sata1, second))
	}
	one, two := texts(build("SER-X1", "SER-Y2").Disks()), texts(build("SER-Y2", "SER-X1").Disks())
	if diff := cmp.Diff(one, two); diff != "" || len(one) != 2 {
		t.Errorf("the names decided:\n%s", diff)
	}
}
