package probe

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"licenseagent.example/fingerprint"
)

// TestDiskPathRule holds the rule against paths of real kernels.
func TestDiskPathRule(t *testing.T) {
	for _, c := range []struct {
		name, path string
		kept       bool
	}{
		{"sda", "/sys/devices/pci0000:00/0000:00:1f.2/ata1/host0/target0:0:0/0:0:0:0/block/sda", true},
		{"nvme0n1", "/sys/devices/pci0000:00/0000:00:1d.0/0000:04:00.0/nvme/nvme0/nvme0n1", true},
		{"nvme0n1", "/sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1", true},
		{"nvme0c0n1", "/sys/devices/pci0000:00/0000:00:1d.0/0000:04:00.0/nvme/nvme0/nvme0c0n1", false},
		{"vda", "/sys/devices/pci0000:00/0000:00:02.0/virtio1/block/vda", true},
		{"xvda", "/sys/devices/vbd-51712/block/xvda", true},
		{"mmcblk0", "/sys/devices/platform/soc/mmc_host/mmc0/mmc0:0001/block/mmcblk0", true},
		{"mmcblk0boot1", "/sys/devices/platform/soc/mmc_host/mmc0/mmc0:0001/block/mmcblk0/mmcblk0boot1", false},
		{"mmcblk0rpmb", "/sys/devices/platform/soc/mmc_host/mmc0/mmc0:0001/mmcblk0rpmb", false},
		{"dasda", "/sys/devices/css0/0.0.0002/0.0.0200/block/dasda", true},
		{"sr0", "/sys/devices/pci0000:00/0000:00:1f.2/ata2/host1/target1:0:0/1:0:0:0/block/sr0", false},
		{"fd0", "/sys/devices/platform/floppy.0/block/fd0", false},
		{"loop0", "/sys/devices/virtual/block/loop0", false},
		{"zram0", "/sys/devices/virtual/block/zram0", false},
		{"dm-0", "/sys/devices/virtual/block/dm-0", false},
		{"md127", "/sys/devices/virtual/block/md127", false},
		{"sdb", "/sys/devices/pseudo_0/adapter0/host3/target3:0:0/3:0:0:0/block/sdb", false},
		{"sdc", "/sys/devices/pci0000:00/0000:00:14.0/usb2/2-1/2-1:1.0/host4/target4:0:0/4:0:0:0/block/sdc", false},
		{"sdd", "/sys/devices/platform/host5/session1/target5:0:0/5:0:0:1/block/sdd", false},
		{"sde", "/sys/devices/pci0000:00/0000:03:00.0/host6/rport-6:0-0/target6:0:0/6:0:0:0/block/sde", false},
		{"rbd0", "/sys/devices/rbd/0/block/rbd0", false},
		{"mtdblock0", "/sys/devices/platform/soc/spi0/mtd/mtd0/mtdblock0", false},
	} {
		if got := diskPathRule(c.path, c.name); (got == "") != c.kept {
			t.Errorf("%s at %s: %q, want kept %v", c.name, c.path, got, c.kept)
		}
	}
}

// TestVPD80 reads the serial page of SCSI disks.
func TestVPD80(t *testing.T) {
	for _, c := range []struct {
		in, want string
		ok       bool
	}{
		{"\x00\x80\x00\x08ABCD1234", "ABCD1234", true},
		{"\x00\x80\x00\x13     WD-WMAM9XE7895", "WD-WMAM9XE7895", true},
		{"\x00\x80\x00\x0aABC\x00\x00\x00    ", "ABC", true},
		{"\x00\x80\x00\x03ABCDEF", "ABC", true},
		{"\x00\x80\x00\x00", "", true},
		{"\x00\x80\x00\xffAB", "", false},
		{"\x00\x83\x00\x02AB", "", false},
		{"\x00\x80", "", false},
		{"", "", false},
	} {
		got, err := vpd80([]byte(c.in))
		if got != c.want || (err == nil) != c.ok {
			t.Errorf("%q: %q, %v, want %q, ok %v", c.in, got, err, c.want, c.ok)
		}
	}
}

// TestUdevSerial prefers what the disk calls its serial.
func TestUdevSerial(t *testing.T) {
	for _, c := range []struct{ in, text, key string }{
		{"E:ID_SERIAL=QEMU_HARDDISK_QM1\nE:ID_SERIAL_SHORT=SATA-9\n", "SATA-9", "ID_SERIAL_SHORT"},
		{"E:ID_SERIAL_SHORT=5000c50015ea71aa\nE:ID_SCSI_SERIAL=S-1\nE:SCSI_IDENT_SERIAL=5002e10000000000\n", "S-1", "ID_SCSI_SERIAL"},
		{"E:ID_SERIAL=only\n", "only", "ID_SERIAL"},
		{"E:ID_SERIAL_SHORT=  \nE:ID_SERIAL=only", "only", "ID_SERIAL"},
		{"S:disk/by-id/x\nN:ID_SERIAL=no\nE:ID_MODEL=m\n", "", ""},
		{"", "", ""},
	} {
		if text, key := udevSerial(c.in); text != c.text || key != c.key {
			t.Errorf("%q: %q from %q, want %q from %q", c.in, text, key, c.text, c.key)
		}
	}
}

// TestMACText reads and spells addresses.
func TestMACText(t *testing.T) {
	for in, want := range map[string]string{
		"00:1A:2b:3c:4d:5e": "00:1a:2b:3c:4d:5e", "001a2b3c4d5e": "", "": "",
		"00:1a:2b:3c:4d": "", "00:1a:2b:3c:4d:5g": "", "00:1a:2b:3c:4d:5e:6f": "",
	} {
		if got := parseMAC(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	if got := spellMAC(make([]byte, 20)); got != "" {
		t.Errorf("an InfiniBand address became %q", got)
	}
}

// TestMACRules shows ranks, group addresses and shared addresses.
func TestMACRules(t *testing.T) {
	nic := func(mac string, usb bool) candidate {
		return candidate{text: mac, source: "x", rank: adapterRank(mac, usb)}
	}
	for _, c := range []struct {
		name string
		in   []candidate
		want []string
	}{
		{"two, sorted", []candidate{nic("b0:26:28:00:00:02", false), nic("b0:26:28:00:00:01", false)}, []string{"b0:26:28:00:00:01", "b0:26:28:00:00:02"}},
		{"virtual machine: a local one alone", []candidate{nic("fa:16:3e:01:02:03", false)}, []string{"fa:16:3e:01:02:03"}},
		{"a local one beside a universal one", []candidate{nic("fa:16:3e:01:02:03", false), nic("b0:26:28:00:00:01", false)}, []string{"b0:26:28:00:00:01"}},
		{"USB beside a local one", []candidate{nic("00:e0:4c:01:02:03", true), nic("fa:16:3e:01:02:03", false)}, []string{"fa:16:3e:01:02:03"}},
		{"USB alone", []candidate{nic("00:e0:4c:01:02:03", true)}, []string{"00:e0:4c:01:02:03"}},
		{"group address", []candidate{nic("01:00:5e:01:02:03", false)}, nil},
		{"QEMU's default", []candidate{nic("52:54:00:12:34:56", false)}, nil},
		{"zeros", []candidate{nic("00:00:00:00:00:00", false)}, nil},
	} {
		var got []string
		for _, v := range macComponent(c.in).Values {
			got = append(got, v.Text)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

// TestCPU shows which source decides and what is noted.
func TestCPU(t *testing.T) {
	socket := SMBIOSCPU{Socket: "CPU0", ID: [8]byte{0xa7, 6, 2, 0, 0xff, 0xfb, 0xeb, 0xbf}}
	empty := SMBIOSCPU{Socket: "CPU1"}
	midr := candidate{text: "00000000701F6633", source: "midr", open: true}
	for _, c := range []struct {
		name  string
		in    cpuFacts
		state fingerprint.State
		text  string
		alt   []string
		notes int
	}{
		{"CPUID alone", cpuFacts{leaf1: "BFEBFBFF000206A7"}, fingerprint.OK, "BFEBFBFF000206A7", nil, 0},
		{"both agree", cpuFacts{leaf1: "BFEBFBFF000206A7", sockets: []SMBIOSCPU{socket}}, fingerprint.OK, "BFEBFBFF000206A7", nil, 0},
		{"they differ", cpuFacts{leaf1: "178BFBFF00B00F21", sockets: []SMBIOSCPU{socket}}, fingerprint.OK, "178BFBFF00B00F21", nil, 1},
		{"zeros in the table are no opinion", cpuFacts{leaf1: "178BFBFF00B00F21", sockets: []SMBIOSCPU{empty}}, fingerprint.OK, "178BFBFF00B00F21", nil, 0},
		{"no CPUID", cpuFacts{sockets: []SMBIOSCPU{socket}}, fingerprint.OK, "BFEBFBFF000206A7", nil, 0},
		{"no CPUID, first socket empty", cpuFacts{sockets: []SMBIOSCPU{empty, socket}}, fingerprint.OK, "BFEBFBFF000206A7", nil, 0},
		{"ARM without table", cpuFacts{midr: midr}, fingerprint.OK, "00000000701F6633", nil, 0},
		{"ARM, table says something else", cpuFacts{sockets: []SMBIOSCPU{socket}, midr: midr}, fingerprint.OK, "BFEBFBFF000206A7", []string{"00000000701F6633"}, 0},
		{"zeros only", cpuFacts{sockets: []SMBIOSCPU{empty}}, fingerprint.Placeholder, "", nil, 0},
		{"refused", cpuFacts{table: errTooLong}, fingerprint.Unreadable, "", nil, 0},
		{"nothing", cpuFacts{}, fingerprint.Absent, "", nil, 0},
	} {
		got, notes := c.in.cpu("SMBIOS")
		var text string
		var alt []string
		if len(got.Values) > 0 {
			text, alt = got.Values[0].Text, got.Values[0].Alt
		}
		if got.State != c.state || text != c.text || len(notes) != c.notes || !cmp.Equal(alt, c.alt) {
			t.Errorf("%s: %+v, notes %q", c.name, got, notes)
		}
	}
}

// TestUUID spells the UUID by the table's version.
func TestUUID(t *testing.T) {
	u := [16]byte{0x33, 0x22, 0x11, 0, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff}
	const swapped, plain = "00112233-4455-6677-8899-aabbccddeeff", "33221100-5544-7766-8899-aabbccddeeff"
	for _, c := range []struct {
		major, minor int
		want         string
		alt          []string
	}{{3, 2, swapped, nil}, {2, 6, swapped, nil}, {2, 5, plain, nil}, {0, 0, swapped, []string{plain}}} {
		got, alt := uuidTexts(SMBIOS{Major: c.major, Minor: c.minor, UUID: u})
		if got != c.want || !cmp.Equal(alt, c.alt) {
			t.Errorf("version %d.%d: %s, %q", c.major, c.minor, got, alt)
		}
	}
}

// TestInstanceID accepts EC2's ids only where the firmware is EC2's.
func TestInstanceID(t *testing.T) {
	for _, c := range []struct {
		vendor, tag string
		want        bool
	}{
		{"Amazon EC2", "i-0a1b2c3d4e5f60718", true},
		{"Amazon EC2", "i-1234abcd", true},
		{"Amazon EC2", "Not Specified", false},
		{"Amazon EC2", "i-0123", false},
		{"Amazon EC2", "i-zzzzzzzz", false},
		{"Dell Inc.", "i-0a1b2c3d4e5f60718", false},
	} {
		id := identity{vendor: c.vendor, tag: candidate{text: c.tag, source: "tag", open: true}}
		if got := id.board(true).State == fingerprint.OK; got != c.want {
			t.Errorf("%s %s: accepted %v", c.vendor, c.tag, got)
		}
	}
}

// TestClean cuts what surrounds a value and nothing inside.
func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"S64DMX0T600214W     \n": "S64DMX0T600214W", "\x00\x00A\x00": "A", " \t\r\n": "",
		"a  b": "a  b", "a\x01b": "a\x01b", "\xffa\xc3": "_a_", "Ä": "Ä",
	} {
		if got := clean([]byte(in)); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
		if a, b := fingerprint.Canonical(in), fingerprint.Canonical(clean([]byte(in))); a != b {
			t.Errorf("%q: canonical form changed from %q to %q", in, a, b)
		}
	}
	if got := clip(strings.Repeat("ä", 200)); len(got) > fingerprint.MaxValue || strings.ContainsRune(got, '\uFFFD') {
		t.Errorf("clip cut inside a letter: %q", got)
	}
}
