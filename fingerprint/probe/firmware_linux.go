package probe

import (
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"licenseagent.example/fingerprint"
)

const (
	dmiID    = "sys/class/dmi/id/"
	dmiTable = "sys/firmware/dmi/tables/DMI"
)

// firmware reads board, CPU and class of machine.
func (h Host) firmware() Firmware {
	if f, ok := h.windows(); ok {
		return f.firmware()
	}
	t := openTree(h.Root)
	defer t.close()
	if t.err != nil {
		none := fingerprint.Component{State: fingerprint.Unreadable, Reason: "recorded host: " + why(t.err)}
		board, cpu := none, none
		board.Kind, cpu.Kind = fingerprint.Board, fingerprint.CPU
		return Firmware{Board: board, CPU: cpu, Env: fingerprint.Environment{Kind: fingerprint.Physical, Reason: "unknown: nothing could be read"}}
	}
	var f Firmware
	table, from, tableErr := h.table(t, &f)
	id := &identity{}
	if tableErr == nil {
		id.fromSMBIOS(table, from)
	} else {
		id.fromSysfs(t)
	}
	id.tree = t.deviceTree()
	var cpu cpuidFacts
	if !t.recorded() {
		cpu = readCPUID()
	}
	env := t.envFacts(cpu, id)
	f.Env = env.environment()
	f.Board = id.board(env.machine().Kind == fingerprint.Virtual)
	facts := cpuFacts{leaf1: cpu.leaf1, sockets: table.CPUs}
	if tableErr != nil && !absent(tableErr) {
		facts.table = tableErr
	}
	if cpu.leaf1 == "" && (t.recorded() || runtime.GOARCH != "amd64") {
		facts.midr = t.midr()
	}
	var notes []string
	f.CPU, notes = facts.cpu(from)
	f.Notes = append(f.Notes, notes...)
	return f
}

// table reads the SMBIOS table: the copy that was handed over, else the
// kernel's own. A copy that is no table is noted and does no harm.
func (h Host) table(t *tree, f *Firmware) (SMBIOS, string, error) {
	if h.SMBIOSFile != "" {
		var b []byte
		full, err := filepath.Abs(h.SMBIOSFile)
		if err == nil {
			b, err = (&tree{}).readAll(strings.TrimPrefix(full, "/"))
		}
		if err == nil && len(b) > 0 {
			var s SMBIOS
			if s, err = ParseSMBIOS(b); err == nil {
				return s, "SMBIOS copy", nil
			}
		}
		if err != nil {
			f.Notes = append(f.Notes, "board: the SMBIOS table handed over is unusable: "+why(err))
		}
	}
	b, err := t.readAll(dmiTable)
	if err != nil {
		return SMBIOS{}, "SMBIOS", err
	}
	s, err := ParseSMBIOS(b)
	return s, "SMBIOS", err
}

func (h Host) rawTable() ([]byte, error) {
	t := openTree(h.Root)
	defer t.close()
	if t.err != nil {
		return nil, t.err
	}
	b, err := t.readAll(dmiTable)
	if absent(err) {
		return nil, nil
	}
	return b, err
}

// fromSysfs fills the texts that the kernel took out of the table at boot. The
// serials are mode 0400, names and tags are for everybody.
func (id *identity) fromSysfs(t *tree) {
	if !t.exists("sys/class/dmi") {
		return
	}
	id.boards = []candidate{t.candidate(dmiID+"board_serial", "sysfs board_serial")}
	id.system = t.candidate(dmiID+"product_serial", "sysfs product_serial")
	id.chassis = t.candidate(dmiID+"chassis_serial", "sysfs chassis_serial")
	id.uuid = t.candidate(dmiID+"product_uuid", "sysfs product_uuid")
	id.tag = t.candidate(dmiID+"board_asset_tag", "sysfs board_asset_tag")
	id.tag.open = true
	id.vendor, id.product = t.text(dmiID+"sys_vendor"), t.text(dmiID+"product_name")
	id.version, id.boardVendor = t.text(dmiID+"product_version"), t.text(dmiID+"board_vendor")
	id.biosVendor = t.text(dmiID + "bios_vendor")
}

// deviceTree reads the serial that boot loaders of ARM and other boards give.
func (t *tree) deviceTree() candidate {
	for _, place := range [...]struct{ file, source string }{
		{"sys/firmware/devicetree/base/serial-number", "device tree serial-number"},
		{"sys/devices/soc0/serial_number", "sysfs soc0 serial_number"},
	} {
		if c := t.candidate(place.file, place.source); c.err == nil && c.text != "" {
			c.open = true
			return c
		} else if c.err != nil && !absent(c.err) {
			return c
		}
	}
	if runtime.GOARCH == "amd64" && !t.recorded() {
		return candidate{} // /proc/cpuinfo has no such line on x86, and is long
	}
	// 32-bit ARM and Raspberry Pi kernels print it here.
	b, err := t.readAll("proc/cpuinfo")
	if err != nil {
		return candidate{}
	}
	for line := range strings.Lines(string(b)) {
		if key, v, ok := strings.Cut(line, ":"); ok && trim(key) == "Serial" {
			return candidate{text: clean([]byte(v)), source: "/proc/cpuinfo Serial", open: true}
		}
	}
	return candidate{}
}

// midr reads the ARM model register and spells it as type 4 would have it.
func (t *tree) midr() candidate {
	const file = "sys/devices/system/cpu/cpu0/regs/identification/midr_el1"
	b, err := t.read(file)
	if err != nil {
		return candidate{}
	}
	n, err := strconv.ParseUint(clean(b), 0, 64)
	if err != nil {
		return candidate{source: "sysfs midr_el1", err: errMalformed}
	}
	return candidate{text: fingerprint.CPUID(uint32(n), uint32(n>>32)), source: "sysfs midr_el1", open: true}
}

// envFacts collects the evidence for the class of machine.
func (t *tree) envFacts(cpu cpuidFacts, id *identity) envFacts {
	f := envFacts{cpu: cpu, id: id, manager: t.text("run/systemd/container"), osrelease: t.text("proc/sys/kernel/osrelease")}
	f.namespaced = t.ownNamespace("pid", "4026531836") || t.ownNamespace("cgroup", "4026531835")
	for _, m := range [...]struct{ file, name string }{
		{".dockerenv", "docker"}, {"run/.containerenv", "podman"}, {"var/run/secrets/kubernetes.io", "kubernetes"},
	} {
		if t.exists(m.file) {
			f.markers = append(f.markers, marker{m.name, "/" + m.file})
		}
	}
	if b, err := t.read("proc/self/cgroup"); err == nil {
		f.cgroup = string(b)
	}
	if f.namespaced {
		f.overlay = t.overlayRoot()
	}
	if !cpu.known {
		f.cpuinfoBit = t.cpuinfoFlag()
		f.treeHyper = t.text("sys/firmware/devicetree/base/hypervisor/compatible")
	}
	if f.xen = t.text("sys/hypervisor/type"); f.xen != "" && strings.Contains(t.text("proc/xen/capabilities"), "control_d") {
		f.xen = "dom0"
	}
	return f
}

// ownNamespace says that we are not in the initial namespace of that kind: its
// number is fixed in the kernel (include/linux/proc_ns.h). Where namespaces
// cannot be seen at all, nothing is claimed.
func (t *tree) ownNamespace(kind, initial string) bool {
	s, err := t.link("proc/self/ns/" + kind)
	if err != nil {
		return false
	}
	return s != kind+":["+initial+"]"
}

// overlayRoot says whether the root file system is an overlay.
func (t *tree) overlayRoot() bool {
	b, err := t.readAll("proc/self/mountinfo")
	if err != nil {
		return false
	}
	overlay := false
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 5 && f[4] == "/" {
			overlay = strings.Contains(line, " - overlay ")
		}
	}
	return overlay
}

// cpuinfoFlag looks for the flag that x86 kernels show on virtual machines,
// where CPUID itself cannot be asked: on a recorded machine.
func (t *tree) cpuinfoFlag() bool {
	b, err := t.readAll("proc/cpuinfo")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(line, "flags") {
			return strings.Contains(line, " hypervisor")
		}
	}
	return false
}
