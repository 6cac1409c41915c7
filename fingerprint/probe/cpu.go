package probe

import (
	"encoding/binary"
	"fmt"

	"licenseagent.example/fingerprint"
)

// text is the id in the same form; in the table EAX stands first, both
// little-endian.
func (c SMBIOSCPU) text() string {
	return fingerprint.CPUID(binary.LittleEndian.Uint32(c.ID[0:]), binary.LittleEndian.Uint32(c.ID[4:]))
}

// cpuFacts is what could be read about the CPU.
type cpuFacts struct {
	leaf1   string      // from CPUID, empty where there is none
	sockets []SMBIOSCPU // type 4 records
	table   error       // why there are no type 4 records: not readable, or none
	midr    candidate   // the ARM model register (MIDR_EL1), where Linux shows it
}

// cpu decides the id and notes a disagreement. CPUID needs no privilege and is
// what the CPU says now, so it decides; SMBIOS type 4 is what the firmware
// wrote down. Where CPUID does not exist type 4 decides, then the ARM model
// register, which is what firmware of ARM servers puts into type 4.
func (f cpuFacts) cpu(from string) (fingerprint.Component, []string) {
	var c []candidate
	var notes []string
	if f.leaf1 != "" {
		c = append(c, candidate{text: f.leaf1, source: "CPUID leaf 1"})
		for _, s := range f.sockets {
			if t := s.text(); t != f.leaf1 && s.ID != ([8]byte{}) {
				notes = append(notes, fmt.Sprintf("cpu: CPUID leaf 1 says %s, %s type 4 (%s) says %s", f.leaf1, from, s.Socket, t))
			}
		}
		return chain(fingerprint.CPU, c, ""), notes
	}
	for _, s := range f.sockets {
		c = append(c, candidate{text: s.text(), source: from + " type 4 processor id"})
	}
	if len(f.sockets) == 0 && f.table != nil {
		c = append(c, candidate{source: from + " type 4 processor id", err: f.table})
	}
	if f.midr.source != "" {
		c = append(c, f.midr)
	}
	return chain(fingerprint.CPU, c, "no CPUID and no SMBIOS type 4 record"), notes
}
