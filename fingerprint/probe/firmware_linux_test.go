package probe

import (
	"runtime"
	"strings"
	"testing"

	"licenseagent.example/fingerprint"
)

// dmi writes a table entry of a recorded host.
func dmi(text string) string {
	return "-- sys/firmware/dmi/tables/DMI (dmidecode) --\nSMBIOS 3.1 present.\n" + text
}

const (
	dmiSystem = "Handle 0x1, DMI type 1, 27 bytes\n\tManufacturer: Maker\n\tProduct Name: Box\n\tSerial Number: SYS-77A\n\tUUID: 11223344-5566-7788-99aa-bbccddee0011\n"
	dmiBoard  = "Handle 0x2, DMI type 2, 15 bytes\n\tSerial Number: MB-77A\n"
	dmiCase   = "Handle 0x3, DMI type 3, 22 bytes\n\tSerial Number: CASE-77A\n"
	dmiKVM    = "Handle 0x1, DMI type 1, 27 bytes\n\tManufacturer: QEMU\n\tProduct Name: KVM\n\tUUID: 11223344-5566-7788-99aa-bbccddee0011\n"
	treeNode  = "-- sys/firmware/devicetree/base/serial-number --\nTREE-77A\x00"
)

// TestBoardSources walks down the chain.
func TestBoardSources(t *testing.T) {
	file := func(name, text string) string { return "-- sys/class/dmi/id/" + name + " --\n" + text + "\n" }
	closed := func(name string) string { return "-- sys/class/dmi/id/" + name + ".unreadable --\n" }
	for _, c := range []struct {
		name   string
		in     []string
		state  fingerprint.State
		value  string
		source string // of the value, or the reason
	}{
		{"board", []string{dmi(dmiSystem + dmiBoard + dmiCase)}, fingerprint.OK, "MB-77A", "SMBIOS type 2 serial"},
		{"second board", []string{dmi("Handle 0x5, DMI type 2, 15 bytes\n\tSerial Number: None\n" + dmiBoard)}, fingerprint.OK, "MB-77A", "SMBIOS type 2 serial"},
		{"no board record, as on HP's older servers", []string{dmi(dmiSystem + dmiCase)}, fingerprint.OK, "SYS-77A", "SMBIOS type 1 serial"},
		{"chassis", []string{dmi(dmiCase)}, fingerprint.OK, "CASE-77A", "SMBIOS type 3 serial"},
		{"UUID of a virtual machine", []string{dmi(dmiKVM)}, fingerprint.OK, "11223344-5566-7788-99aa-bbccddee0011", "SMBIOS type 1 UUID"},
		{"not the UUID of a physical one", []string{dmi(strings.Replace(dmiKVM, "KVM", "Box", 1))}, fingerprint.OK, "11223344-5566-7788-99aa-bbccddee0011", "SMBIOS type 1 UUID"},
		{"device tree", []string{treeNode}, fingerprint.OK, "TREE-77A", "device tree serial-number"},
		{"soc", []string{"-- sys/devices/soc0/serial_number --\nSOC-77A\n"}, fingerprint.OK, "SOC-77A", "sysfs soc0 serial_number"},
		{"cpuinfo", []string{"-- proc/cpuinfo --\nprocessor : 0\nSerial\t\t: 10000000e7c4a1b2\n"}, fingerprint.OK, "10000000e7c4a1b2", "/proc/cpuinfo Serial"},
		{"cpuinfo of a board without one", []string{"-- proc/cpuinfo --\nSerial\t\t: 0000000000000000\n"}, fingerprint.Placeholder, "", "/proc/cpuinfo Serial"},
		{"sysfs files where there is no table", []string{file("board_serial", "MB-77A"), file("product_serial", "SYS-77A")}, fingerprint.OK, "MB-77A", "sysfs board_serial"},
		{"a table that is none", []string{"-- sys/firmware/dmi/tables/DMI --\ngarbage\n", file("board_serial", "MB-77A")}, fingerprint.OK, "MB-77A", "sysfs board_serial"},
		{"without root", []string{closed("board_serial"), closed("product_serial"), closed("chassis_serial")}, fingerprint.Unreadable, "", "permission denied"},
		{"without root on ARM with a tree", []string{closed("board_serial"), closed("product_serial"), treeNode}, fingerprint.OK, "TREE-77A", "device tree serial-number"},
		{"a tree that may not be read", []string{"-- sys/firmware/devicetree/base/serial-number.unreadable --\n"}, fingerprint.Unreadable, "", "permission denied"},
		{"nothing", []string{"-- etc/hostname --\nx\n"}, fingerprint.Absent, "", "no board, system or chassis serial"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.name == "not the UUID of a physical one" {
				c.in[0] = strings.Replace(c.in[0], "QEMU", "Maker", 1)
				c.state, c.value, c.source = fingerprint.Absent, "", "no board"
			}
			got := host(t, c.in...).Firmware().Board
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

// TestGainingRoot enrols a machine without root and reads it with root, and the
// other way round: the same device both times.
func TestGainingRoot(t *testing.T) {
	rest := "-- nic eth0 --\nat pci0000:00/0000:00:03.0\naddress b0:26:28:00:00:01\n-- disk vda --\nat pci0000:00/0000:00:04.0/virtio1/block/vda\ndev 252:0\nserial disk-of-vm-17\n"
	ec2 := "Handle 0x1, DMI type 1, 27 bytes\n\tManufacturer: Amazon EC2\n\tProduct Name: m5.large\n\tSerial Number: ec2a1b2c-3d4e-5f60-7182-93a4b5c6d7e8\n" +
		"Handle 0x2, DMI type 2, 15 bytes\n\tManufacturer: Amazon EC2\n\tAsset Tag: i-0a1b2c3d4e5f60718\n"
	names := "-- sys/class/dmi/id/sys_vendor --\nAmazon EC2\n-- sys/class/dmi/id/product_name --\nm5.large\n"
	without := names + "-- sys/firmware/dmi/tables/DMI.unreadable --\n-- sys/class/dmi/id/product_serial.unreadable --\n-- sys/class/dmi/id/board_asset_tag --\ni-0a1b2c3d4e5f60718\n"
	for _, c := range []struct{ name, closed, open string }{
		{"EC2", without, names + dmi(ec2)},
		{"device tree beside SMBIOS", "-- sys/class/dmi/id/board_serial.unreadable --\n" + treeNode + "\n", treeNode + "\n" + dmi(dmiSystem+dmiBoard)},
		{"physical", "-- sys/class/dmi/id/board_serial.unreadable --\n", dmi(dmiSystem + dmiBoard)},
	} {
		poor, rich := host(t, c.closed, rest).Read(), host(t, c.open, rest).Read()
		policy, err := fingerprint.Preset("balanced")
		if err != nil {
			t.Fatal(err)
		}
		salt := make([]byte, 16)
		for _, order := range [][2]fingerprint.Device{{poor, rich}, {rich, poor}} {
			got := fingerprint.Compare(policy, fingerprint.Enroll(salt, order[0]), order[1])
			if got.Outcome != fingerprint.Same || got.StrongChanged {
				t.Errorf("%s: %s: %s", c.name, got.Outcome, got.Why)
			}
		}
	}
}

// TestRecordedEnvironment reads the evidence where it lies.
func TestRecordedEnvironment(t *testing.T) {
	own := "-- proc/self/ns/pid -> pid:[4026532841] --\n"
	initial := "-- proc/self/ns/pid -> pid:[4026531836] --\n-- proc/self/ns/cgroup -> cgroup:[4026531835] --\n"
	overlay := "-- proc/self/mountinfo --\n841 633 0:64 / / rw - overlay overlay rw,lowerdir=/x\n"
	for _, c := range []struct {
		name string
		in   []string
		kind fingerprint.EnvKind
		want string
	}{
		{"nothing", []string{"-- etc/hostname --\nx\n"}, fingerprint.Physical, ""},
		{"nspawn", []string{"-- run/systemd/container --\nsystemd-nspawn\n"}, fingerprint.Container, "systemd-nspawn"},
		{"podman", []string{"-- run/.containerenv --\n", own}, fingerprint.Container, "podman"},
		{"Kubernetes", []string{"-- var/run/secrets/kubernetes.io/serviceaccount/namespace --\ndefault\n", own}, fingerprint.Container, "kubernetes"},
		{"Docker on old control groups", []string{"-- proc/self/cgroup --\n12:pids:/docker/0123456789abcdef\n"}, fingerprint.Container, "docker"},
		{"a stray mark", []string{"-- .dockerenv --\n", initial}, fingerprint.Physical, ""},
		{"an engine without marks", []string{own, overlay}, fingerprint.Container, "unknown"},
		{"a live system", []string{initial, overlay}, fingerprint.Physical, ""},
		{"WSL", []string{"-- proc/sys/kernel/osrelease --\n5.15.90.1-microsoft-standard-WSL2\n"}, fingerprint.Container, wsl},
		{"Xen guest", []string{"-- sys/hypervisor/type --\nxen\n"}, fingerprint.Virtual, "xen"},
		{"Xen control domain", []string{"-- sys/hypervisor/type --\nxen\n", "-- proc/xen/capabilities --\ncontrol_d\n"}, fingerprint.Physical, ""},
		{"KVM on ARM", []string{"-- sys/firmware/devicetree/base/hypervisor/compatible --\nlinux,kvm\x00\n"}, fingerprint.Virtual, "kvm"},
		{"flag", []string{"-- proc/cpuinfo --\nflags\t\t: fpu hypervisor\n"}, fingerprint.Virtual, "unknown"},
		{"no flag", []string{"-- proc/cpuinfo --\nflags\t\t: fpu vme\n"}, fingerprint.Physical, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := host(t, c.in...).Firmware().Env; got.Kind != c.kind || got.Name != c.want || got.Reason == "" {
				t.Errorf("got %+v, want %s %q", got, c.kind, c.want)
			}
		})
	}
}

// TestContainerOnVirtualMachine takes the UUID that shines through, although
// the class of machine is "container".
func TestContainerOnVirtualMachine(t *testing.T) {
	f := host(t, "-- run/systemd/container --\ndocker\n", dmi(dmiKVM)).Firmware()
	if f.Env.Kind != fingerprint.Container || f.Board.State != fingerprint.OK {
		t.Errorf("%+v", f)
	}
}

// TestModelRegister reads MIDR_EL1.
func TestModelRegister(t *testing.T) {
	const name = "-- sys/devices/system/cpu/cpu0/regs/identification/midr_el1 --\n"
	for in, want := range map[string]string{
		"0x00000000410fd034\n": "00000000410FD034", "0x701f6633": "00000000701F6633", "garbage": "", "": "", "0x0": "",
	} {
		got := host(t, name+in).Firmware().CPU
		if strings.Join(texts(got), "") != want || (want == "") == (got.State == fingerprint.OK) {
			t.Errorf("%q: %+v", in, got)
		}
	}
}

// TestCPUIDOfThisMachine holds the instruction against /proc/cpuinfo.
func TestCPUIDOfThisMachine(t *testing.T) {
	got := readCPUID()
	if runtime.GOARCH != "amd64" {
		if got.known || got.leaf1 != "" {
			t.Errorf("%+v on %s", got, runtime.GOARCH)
		}
		return
	}
	if !got.known || len(got.leaf1) != 16 || strings.Trim(got.leaf1, "0123456789ABCDEF") != "" {
		t.Fatalf("%+v", got)
	}
	tr := openTree("")
	if tr.cpuinfoFlag() != got.hypervisor {
		t.Errorf("the kernel's flag hypervisor is %v, CPUID's bit %v", tr.cpuinfoFlag(), got.hypervisor)
	}
	if got.hypervisor == (got.vendor == "") {
		t.Errorf("hypervisor %v, vendor %q", got.hypervisor, got.vendor)
	}
}
