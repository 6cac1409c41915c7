package probe

import (
	"strings"

	"licenseagent.example/fingerprint"
)

// cpuidFacts is what the CPUID instruction says.
type cpuidFacts struct {
	known      bool   // the instruction exists and was asked
	leaf1      string // ProcessorId form
	hypervisor bool   // leaf 1 ECX bit 31
	vendor     string // leaf 0x40000000
	root       bool   // we are the hypervisor's own management partition
}

// envFacts is the evidence for the class of machine.
type envFacts struct {
	cpu        cpuidFacts
	id         *identity
	cpuinfoBit bool   // /proc/cpuinfo has the flag "hypervisor"
	xen        string // /sys/hypervisor/type, and "dom0" when this is the control domain
	treeHyper  string // device tree /hypervisor/compatible
	osrelease  string // /proc/sys/kernel/osrelease

	// manager is the content of /run/systemd/container: written by the
	// container manager itself.
	manager string
	// cgroup is the path of our own control group.
	cgroup string
	// markers are files that container engines create. They survive when an
	// image is turned into a virtual machine's disk, so they count only
	// together with a namespace.
	markers []marker
	// namespaced: the process or control group namespace is not the initial one.
	namespaced bool
	// overlay: the root file system is an overlay, as container engines make it.
	overlay bool
}

// marker is a file, the engine that creates it, and how it was seen.
type marker struct{ name, source string }

// environment decides. Containers first: what a container sees of the machine
// is what its engine lets through, whatever the machine is.
func (f envFacts) environment() fingerprint.Environment {
	if e, ok := f.container(); ok {
		return e
	}
	return f.machine()
}

// wsl is the name of Windows' Subsystem for Linux as an environment.
const wsl = "wsl"

// container looks for an engine.
func (f envFacts) container() (fingerprint.Environment, bool) {
	is := func(name, reason string) (fingerprint.Environment, bool) {
		return fingerprint.Environment{Kind: fingerprint.Container, Name: name, Reason: reason}, true
	}
	if release := strings.ToLower(f.osrelease); strings.Contains(release, "microsoft") || strings.Contains(release, "wsl") {
		return is(wsl, "kernel release "+f.osrelease)
	}
	if f.manager != "" {
		return is(f.manager, "/run/systemd/container")
	}
	if name, ok := engineOf(f.cgroup); ok {
		return is(name, "control group "+clip(f.cgroup))
	}
	if !f.namespaced {
		return fingerprint.Environment{}, false
	}
	if len(f.markers) > 0 {
		return is(f.markers[0].name, f.markers[0].source+" and a process namespace of its own")
	}
	if f.overlay {
		return is("unknown", "a process namespace of its own on an overlay root file system")
	}
	return fingerprint.Environment{}, false
}

// engineOf recognises the control group paths of the engines.
func engineOf(path string) (string, bool) {
	for _, e := range [...]struct{ part, name string }{
		{"kubepods", "kubernetes"},
		{"libpod-", "podman"},
		{"/docker/", "docker"},
		{"docker-", "docker"},
		{"/lxc/", "lxc"},
		{"/lxc.payload", "lxc"},
		{"cri-containerd", "containerd"},
		{"/machine.slice/machine-", "systemd-nspawn"},
	} {
		if strings.Contains(path, e.part) {
			return e.name, true
		}
	}
	return "", false
}

// machine looks for a hypervisor.
func (f envFacts) machine() fingerprint.Environment {
	physical := func(reason string) fingerprint.Environment {
		return fingerprint.Environment{Kind: fingerprint.Physical, Reason: reason}
	}
	virtual := func(name, reason string) fingerprint.Environment {
		return fingerprint.Environment{Kind: fingerprint.Virtual, Name: name, Reason: reason}
	}
	dmiName, dmiReason, dmi := f.id.hypervisor()
	switch {
	case f.xen == "dom0":
		return physical("Xen control domain")
	case f.cpu.root && !dmi:
		return physical("Hyper-V root partition")
	case f.cpu.known && !f.cpu.hypervisor && dmi && f.id.metal():
		// EC2 and Compute Engine rent bare machines whose firmware
		// carries the same vendor text as their virtual ones.
		return physical("firmware of a cloud, but the CPU shows no hypervisor")
	case !f.cpu.known && dmi && strings.Contains(strings.ToLower(f.id.product), "metal"):
		return physical("product name " + clip(f.id.product))
	case f.cpu.hypervisor:
		name := hypervisorName(f.cpu.vendor)
		if name == "" || name == "kvm" && dmi {
			// KVM's own text says less than the firmware of the cloud on it.
			if dmi {
				return virtual(dmiName, "CPUID hypervisor bit; "+dmiReason)
			}
		}
		if name == "" {
			name = "unknown"
		}
		return virtual(name, "CPUID hypervisor bit, vendor "+f.cpu.vendor)
	case dmi:
		return virtual(dmiName, dmiReason)
	case f.xen != "":
		return virtual("xen", "/sys/hypervisor/type "+f.xen)
	case f.treeHyper != "":
		return virtual(strings.TrimPrefix(f.treeHyper, "linux,"), "device tree hypervisor "+f.treeHyper)
	case f.id.vmBit:
		return virtual("unknown", "SMBIOS type 0 virtual machine bit")
	case f.cpuinfoBit:
		return virtual("unknown", "/proc/cpuinfo flag hypervisor")
	}
	return physical("no sign of a hypervisor or container engine")
}

// hypervisorName translates the text of CPUID leaf 0x40000000.
func hypervisorName(vendor string) string {
	switch vendor {
	case "KVMKVMKVM", "Linux KVM Hv":
		return "kvm"
	case "TCGTCGTCGTCG":
		return "qemu"
	case "VMwareVMware":
		return "vmware"
	case "Microsoft Hv":
		return "microsoft"
	case "XenVMMXenVMM":
		return "xen"
	case "VBoxVBoxVBox":
		return "oracle"
	case "prl hyperv", " lrpepyh  vr":
		return "parallels"
	case "bhyve bhyve ":
		return "bhyve"
	case "ACRNACRNACRN":
		return "acrn"
	case "QNXQVMBSQG":
		return "qnx"
	}
	return ""
}

// metal says that the vendor also rents bare machines.
func (id *identity) metal() bool {
	return id.amazon() || strings.HasPrefix(id.vendor, "Google") || strings.HasPrefix(id.product, "Google Compute Engine")
}

// hypervisor looks for the texts that virtual machines carry in their
// firmware, as prefixes in the order in which systemd-detect-virt tries them.
// Not "Oracle Corporation": VirtualBox also names its product, and Oracle's
// physical servers carry the same vendor.
func (id *identity) hypervisor() (name, reason string, ok bool) {
	for _, field := range [...]struct{ label, text string }{
		{"product name", id.product},
		{"system vendor", id.vendor},
		{"board vendor", id.boardVendor},
		{"BIOS vendor", id.biosVendor},
		{"product version", id.version},
	} {
		for _, p := range [...]struct{ prefix, name string }{
			{"KVM", "kvm"},
			{"OpenStack", "kvm"},
			{"KubeVirt", "kvm"},
			{"Amazon EC2", "amazon"},
			{"QEMU", "qemu"},
			{"VMware", "vmware"},
			{"VMW", "vmware"},
			{"innotek GmbH", "oracle"},
			{"VirtualBox", "oracle"},
			{"Xen", "xen"},
			{"Bochs", "bochs"},
			{"Parallels", "parallels"},
			{"BHYVE", "bhyve"},
			{"Hyper-V", "microsoft"},
			{"Apple Virtualization", "apple"},
			{"Google Compute Engine", "google"},
			{"Alibaba Cloud ECS", "alibaba"},
			{"HUAWEICLOUD", "huawei"},
			{"RHEV Hypervisor", "kvm"},
			{"oVirt", "kvm"},
		} {
			if strings.HasPrefix(field.text, p.prefix) {
				return p.name, field.label + " " + clip(field.text), true
			}
		}
	}
	if id.vendor == "Microsoft Corporation" && id.product == "Virtual Machine" {
		return "microsoft", "product name Virtual Machine", true
	}
	return "", "", false
}
