package probe

import (
	"testing"

	"licenseagent.example/fingerprint"
)

// TestEnvironment decides over the evidence as real machines give it.
func TestEnvironment(t *testing.T) {
	bit := func(vendor string) cpuidFacts { return cpuidFacts{known: true, hypervisor: true, vendor: vendor} }
	bare := cpuidFacts{known: true}
	id := func(vendor, product string) *identity { return &identity{vendor: vendor, product: product} }
	docker := []marker{{"docker", "/.dockerenv"}}
	for _, c := range []struct {
		name string
		in   envFacts
		kind fingerprint.EnvKind
		want string
	}{
		{"a server", envFacts{cpu: bare, id: id("Dell Inc.", "PowerEdge R640")}, fingerprint.Physical, ""},
		{"Oracle's physical server", envFacts{cpu: bare, id: &identity{vendor: "Oracle Corporation", boardVendor: "Oracle Corporation", product: "ORACLE SERVER X5-2"}}, fingerprint.Physical, ""},
		{"KVM", envFacts{cpu: bit("KVMKVMKVM"), id: id("QEMU", "Standard PC")}, fingerprint.Virtual, "qemu"},
		{"micro-VM without firmware", envFacts{cpu: bit("KVMKVMKVM"), id: &identity{}}, fingerprint.Virtual, "kvm"},
		{"the same with a stray /.dockerenv", envFacts{cpu: bit("KVMKVMKVM"), id: &identity{}, markers: docker}, fingerprint.Virtual, "kvm"},
		{"VMware", envFacts{cpu: bit("VMwareVMware"), id: id("VMware, Inc.", "VMware7,1")}, fingerprint.Virtual, "vmware"},
		{"VirtualBox", envFacts{cpu: bit("VBoxVBoxVBox"), id: id("innotek GmbH", "VirtualBox")}, fingerprint.Virtual, "oracle"},
		{"VirtualBox hiding", envFacts{cpu: bare, id: id("innotek GmbH", "VirtualBox")}, fingerprint.Virtual, "oracle"},
		{"Hyper-V guest", envFacts{cpu: bit("Microsoft Hv"), id: id("Microsoft Corporation", "Virtual Machine")}, fingerprint.Virtual, "microsoft"},
		{"Windows with virtualisation-based security", envFacts{cpu: cpuidFacts{known: true, hypervisor: true, vendor: "Microsoft Hv", root: true}, id: id("LENOVO", "20XW")}, fingerprint.Physical, ""},
		{"a Surface is no guest", envFacts{cpu: bare, id: id("Microsoft Corporation", "Surface Pro 7")}, fingerprint.Physical, ""},
		{"Xen guest", envFacts{cpu: bit("XenVMMXenVMM"), id: id("Xen", "HVM domU")}, fingerprint.Virtual, "xen"},
		{"Xen control domain", envFacts{cpu: bit("XenVMMXenVMM"), id: id("Dell Inc.", "R640"), xen: "dom0"}, fingerprint.Physical, ""},
		{"Xen PV guest", envFacts{cpu: bare, id: &identity{}, xen: "xen"}, fingerprint.Virtual, "xen"},
		{"EC2", envFacts{cpu: bit("KVMKVMKVM"), id: id("Amazon EC2", "m5.large")}, fingerprint.Virtual, "amazon"},
		{"EC2 bare metal", envFacts{cpu: bare, id: id("Amazon EC2", "m5.metal")}, fingerprint.Physical, ""},
		{"EC2 bare metal on ARM", envFacts{id: id("Amazon EC2", "c6g.metal")}, fingerprint.Physical, ""},
		{"EC2 on ARM", envFacts{id: id("Amazon EC2", "c6g.large")}, fingerprint.Virtual, "amazon"},
		{"Compute Engine", envFacts{cpu: bit("KVMKVMKVM"), id: id("Google", "Google Compute Engine")}, fingerprint.Virtual, "google"},
		{"ARM by device tree", envFacts{id: &identity{}, treeHyper: "linux,kvm"}, fingerprint.Virtual, "kvm"},
		{"recorded, flag of cpuinfo", envFacts{id: &identity{}, cpuinfoBit: true}, fingerprint.Virtual, "unknown"},
		{"recorded, SMBIOS bit", envFacts{id: &identity{vmBit: true}}, fingerprint.Virtual, "unknown"},
		{"unknown hypervisor", envFacts{cpu: bit("NewNewNewNew"), id: &identity{}}, fingerprint.Virtual, "unknown"},
		{"Docker", envFacts{cpu: bit("KVMKVMKVM"), id: &identity{}, markers: docker, namespaced: true}, fingerprint.Container, "docker"},
		{"Docker with the host's namespaces", envFacts{cpu: bare, id: &identity{}, markers: docker, cgroup: "0::/system.slice/docker-0123.scope"}, fingerprint.Container, "docker"},
		{"Kubernetes", envFacts{cpu: bare, id: &identity{}, cgroup: "0::/kubepods.slice/kubepods-burstable.slice/x"}, fingerprint.Container, "kubernetes"},
		{"nspawn", envFacts{cpu: bare, id: &identity{}, manager: "systemd-nspawn"}, fingerprint.Container, "systemd-nspawn"},
		{"an engine without marks", envFacts{cpu: bare, id: &identity{}, namespaced: true, overlay: true}, fingerprint.Container, "unknown"},
		{"a sandboxed service is no container", envFacts{cpu: bare, id: &identity{}, namespaced: true}, fingerprint.Physical, ""},
		{"a session of a user is no container", envFacts{cpu: bare, id: &identity{}, cgroup: "0::/user.slice/user-1000.slice/session-2.scope"}, fingerprint.Physical, ""},
		{"a live image on an overlay is no container", envFacts{cpu: bare, id: &identity{}, overlay: true}, fingerprint.Physical, ""},
		{"WSL 2", envFacts{cpu: bit("Microsoft Hv"), id: &identity{}, osrelease: "5.15.90.1-microsoft-standard-WSL2"}, fingerprint.Container, wsl},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := c.in.environment()
			if got.Kind != c.kind || got.Name != c.want || got.Reason == "" {
				t.Errorf("got %+v, want %s %q with a reason", got, c.kind, c.want)
			}
		})
	}
}
