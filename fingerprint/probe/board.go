package probe

import (
	"encoding/binary"
	"encoding/hex"
	"strings"

	"licenseagent.example/fingerprint"
)

// identity is what the firmware says about the machine, from whichever source
// could be read. Each text comes with its own source and error.
type identity struct {
	boards  []candidate // type 2 serials
	system  candidate   // type 1 serial
	chassis candidate   // type 3 serial
	uuid    candidate   // type 1 UUID
	tree    candidate   // device tree serial-number
	tag     candidate   // type 2 or 3 asset tag

	vendor, product, version, boardVendor, biosVendor string
	vmBit                                             bool
}

// fromSMBIOS fills what the table says. from names the place of the table.
func (id *identity) fromSMBIOS(t SMBIOS, from string) {
	id.boards = nil
	for _, b := range t.Boards {
		id.boards = append(id.boards, candidate{text: b.Serial, source: from + " type 2 serial"})
		if id.boardVendor == "" {
			id.boardVendor = b.Vendor
		}
		if id.tag.text == "" {
			id.tag = candidate{text: b.AssetTag, source: from + " type 2 asset tag", open: true}
		}
	}
	if len(t.Boards) == 0 {
		id.boards = []candidate{{source: from + " type 2 serial"}}
	}
	id.system = candidate{text: t.Serial, source: from + " type 1 serial"}
	id.chassis = candidate{text: t.ChassisSerial, source: from + " type 3 serial"}
	id.uuid = candidate{source: from + " type 1 UUID"}
	if t.UUID != ([16]byte{}) {
		id.uuid.text, id.uuid.alt = uuidTexts(t)
	}
	id.vendor, id.product, id.version = t.Vendor, t.Product, t.Version
	id.biosVendor, id.vmBit = t.BIOSVendor, t.VirtualMachine
}

// uuidTexts spells the UUID. Since SMBIOS 2.6 the first three fields are
// little-endian; before, the standard did not say, and Linux and dmidecode
// print the bytes as they are. A bare table does not tell its version, so the
// newer spelling is the value and the other one is accepted.
func uuidTexts(t SMBIOS) (string, []string) {
	u := t.UUID
	old := spellUUID(u)
	binary.BigEndian.PutUint32(u[0:], binary.LittleEndian.Uint32(u[0:]))
	binary.BigEndian.PutUint16(u[4:], binary.LittleEndian.Uint16(u[4:]))
	binary.BigEndian.PutUint16(u[6:], binary.LittleEndian.Uint16(u[6:]))
	switch known := t.Major != 0; {
	case known && (t.Major < 2 || t.Major == 2 && t.Minor < 6):
		return old, nil
	case known:
		return spellUUID(u), nil
	}
	return spellUUID(u), []string{old}
}

// spellUUID prints 16 bytes in groups, lower case, as sysfs does.
func spellUUID(u [16]byte) string {
	h := hex.EncodeToString(u[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// board walks the chain of sources: board serial, system serial (usable on
// machines whose maker left the board serial empty: together 78 % of a public
// set of dumps, the board alone 57 %), chassis serial, on virtual machines the
// UUID, the device tree's serial, on Amazon EC2 the instance id.
func (id *identity) board(virtual bool) fingerprint.Component {
	c := append([]candidate{}, id.boards...)
	c = append(c, id.system, id.chassis)
	// On physical machines the UUID is not taken: boards of one maker share
	// it often enough (03000200-0400-0500-0006-000700080009) and nothing
	// in it can be read on the case.
	if virtual {
		c = append(c, id.uuid)
	}
	c = append(c, id.tree)
	if id.tag.text != "" && isInstanceID(id.tag.text) && id.amazon() {
		c = append(c, id.tag)
	}
	known := c[:0]
	for _, x := range c {
		if x.source != "" {
			known = append(known, x)
		}
	}
	return chain(fingerprint.Board, known, "the firmware gives no board, system or chassis serial")
}

// amazon says that the firmware is EC2's: elsewhere an asset tag is free text.
func (id *identity) amazon() bool {
	return strings.HasPrefix(id.vendor, "Amazon EC2") || strings.HasPrefix(id.boardVendor, "Amazon EC2")
}

// isInstanceID recognises i- and 8 to 17 hexadecimal digits.
func isInstanceID(s string) bool {
	s, ok := strings.CutPrefix(s, "i-")
	return ok && len(s) >= 8 && len(s) <= 17 && strings.Trim(s, "0123456789abcdef") == ""
}
