package probe

import (
	"encoding/binary"
	"strings"

	"licenseagent.example/fingerprint"
)

// cpuid executes the instruction of that name (Intel SDM volume 2A).
//
//go:noescape
func cpuid(eaxIn, ecxIn uint32) (eax, ebx, ecx, edx uint32)

// readCPUID asks the processor of this machine.
func readCPUID() cpuidFacts {
	eax, _, ecx, edx := cpuid(1, 0)
	f := cpuidFacts{leaf1: fingerprint.CPUID(eax, edx), hypervisor: ecx&(1<<31) != 0, known: true}
	if !f.hypervisor {
		return f
	}
	top, b, c, d := cpuid(0x40000000, 0)
	var name [12]byte
	binary.LittleEndian.PutUint32(name[0:], b)
	binary.LittleEndian.PutUint32(name[4:], c)
	binary.LittleEndian.PutUint32(name[8:], d)
	f.vendor = strings.TrimRight(string(name[:]), "\x00")
	if f.vendor == "Microsoft Hv" && top >= 0x40000003 {
		// CreatePartitions: only the root partition has it. A physical
		// Windows with virtualisation-based security runs in one.
		_, b, _, _ = cpuid(0x40000003, 0)
		f.root = b&1 != 0
	}
	return f
}
