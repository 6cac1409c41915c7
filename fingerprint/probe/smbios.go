package probe

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrSMBIOS is returned when bytes are not an SMBIOS table in any known form.
var ErrSMBIOS = errors.New("not an SMBIOS table")

// SMBIOS is what this project needs of an SMBIOS table (DMTF DSP0134): the
// records of types 0 to 4. Strings are trimmed and otherwise as the firmware
// gave them, placeholders included.
type SMBIOS struct {
	// Major and Minor are the version, 0.0 when only the table was given:
	// the version stands in the entry point.
	Major, Minor int
	// BIOSVendor and BIOSVersion are of type 0.
	BIOSVendor, BIOSVersion string
	// VirtualMachine is bit 4 of the second extension byte of type 0.
	VirtualMachine bool
	// Vendor, Product, Version and Serial are of the first type 1 (system).
	Vendor, Product, Version, Serial string
	// UUID is of the first type 1 as it stands in memory; all zero if absent.
	UUID [16]byte
	// Boards are the type 2 records in table order. About one server in
	// twelve has none (linuxhw/DMI), some have several.
	Boards []SMBIOSBoard
	// ChassisSerial and ChassisTag are of the first type 3.
	ChassisSerial, ChassisTag string
	// CPUs are the type 4 records of populated sockets. The record's own
	// serial number is not read: on some servers it changes at every boot.
	CPUs []SMBIOSCPU
	// Truncated says that the table ended before its end marker (type 127);
	// what was read before the break is kept, as the Linux kernel does.
	Truncated bool

	seen [4]bool // types 0, 1 and 3 were met; index is the type
}

// SMBIOSBoard is a type 2 record.
type SMBIOSBoard struct{ Vendor, Product, Serial, AssetTag string }

// SMBIOSCPU is a type 4 record.
type SMBIOSCPU struct {
	Socket string
	ID     [8]byte // Processor ID as it stands in memory: CPUID leaf 1 EAX, then EDX
}

// ParseSMBIOS reads a table in any of the forms in which it is handed around:
// the bare table (Linux /sys/firmware/dmi/tables/DMI), the same behind a _SM_
// or _SM3_ entry point, dmidecode's dump file, and the buffer of Windows'
// GetSystemFirmwareTable('RSMB'). No input makes it panic.
func ParseSMBIOS(raw []byte) (SMBIOS, error) {
	var t SMBIOS
	table, err := t.unwrap(raw)
	if err != nil {
		return SMBIOS{}, err
	}
	records := 0
	for len(table) >= 4 {
		size := int(table[1])
		if size < 4 || size > len(table) {
			break
		}
		// The strings follow the formatted part; two NULs end them.
		end := bytes.Index(table[size:], []byte{0, 0})
		if end < 0 {
			break
		}
		r := record{data: table[:size], strings: table[size : size+end]}
		table = table[size+end+2:]
		records++
		if r.data[0] == 127 {
			return t, nil
		}
		t.add(r)
	}
	if records == 0 {
		return SMBIOS{}, fmt.Errorf("%w: no record in %d bytes", ErrSMBIOS, len(raw))
	}
	t.Truncated = true
	return t, nil
}

// unwrap finds the table behind an entry point or header and its version.
func (t *SMBIOS) unwrap(b []byte) ([]byte, error) {
	switch {
	case len(b) > 24 && string(b[:5]) == "_SM3_":
		t.Major, t.Minor = int(b[7]), int(b[8])
		return behind(b, int(b[6]), binary.LittleEndian.Uint64(b[16:]))
	case len(b) > 31 && string(b[:4]) == "_SM_":
		t.Major, t.Minor = int(b[6]), int(b[7])
		size := int(b[5])
		if size == 0x1e { // SMBIOS 2.1 printed this wrong length, and firmware copied it
			size = 0x1f
		}
		return behind(b, size, uint64(binary.LittleEndian.Uint32(b[24:])))
	case len(b) >= 8 && b[1] < 4 && uint64(binary.LittleEndian.Uint32(b[4:])) <= uint64(len(b)-8):
		// RawSMBIOSData. A bare table cannot look like it: the second byte
		// of a record is its length and at least 4.
		t.Major, t.Minor = int(b[1]), int(b[2])
		return b[8 : 8+binary.LittleEndian.Uint32(b[4:])], nil
	case len(b) < 4:
		return nil, fmt.Errorf("%w: %d bytes", ErrSMBIOS, len(b))
	}
	return b, nil
}

// behind returns the table after an entry point of the given size. dmidecode
// --dump-bin puts it at offset 32 whatever the size, and writes that address
// into the entry point.
func behind(b []byte, size int, address uint64) ([]byte, error) {
	if address == 32 {
		size = 32
	}
	if size < 24 || size > 32 || size >= len(b) {
		return nil, fmt.Errorf("%w: entry point of %d bytes", ErrSMBIOS, size)
	}
	return b[size:], nil
}

// record is one structure of the table.
type record struct{ data, strings []byte }

// add takes over what the record says, first record of a type first.
func (t *SMBIOS) add(r record) {
	switch kind := r.data[0]; kind {
	case 0, 1, 3:
		if t.seen[kind] {
			return
		}
		t.seen[kind] = true
	}
	switch r.data[0] {
	case 0:
		t.BIOSVendor, t.BIOSVersion = r.text(4), r.text(5)
		t.VirtualMachine = len(r.data) > 0x13 && r.data[0x13]&(1<<4) != 0
	case 1:
		t.Vendor, t.Product, t.Version, t.Serial = r.text(4), r.text(5), r.text(6), r.text(7)
		if len(r.data) >= 24 {
			copy(t.UUID[:], r.data[8:24])
		}
	case 2:
		t.Boards = append(t.Boards, SMBIOSBoard{r.text(4), r.text(5), r.text(7), r.text(8)})
	case 3:
		t.ChassisSerial, t.ChassisTag = r.text(7), r.text(8)
	case 4:
		if len(r.data) < 16 || (len(r.data) > 0x18 && r.data[0x18]&(1<<6) == 0) {
			return // bit 6 of the status: socket populated
		}
		c := SMBIOSCPU{Socket: r.text(4)}
		copy(c.ID[:], r.data[8:16])
		t.CPUs = append(t.CPUs, c)
	}
}

// text returns the string whose number stands at offset; a number without a
// string (a known firmware fault) gives the empty string.
func (r record) text(offset int) string {
	if offset >= len(r.data) {
		return ""
	}
	rest := r.strings
	for n := int(r.data[offset]); n > 0 && len(rest) > 0; n-- {
		s, tail, _ := bytes.Cut(rest, []byte{0})
		if n == 1 {
			return clean(s)
		}
		rest = tail
	}
	return ""
}
