package probe

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strings"
	"unicode/utf16"
)

// WindowsDisk is what the storage driver says about one disk.
type WindowsDisk struct {
	Name string `json:"name"` // "PhysicalDrive0", "C:"
	// Descriptor is the STORAGE_DEVICE_DESCRIPTOR with its strings.
	Descriptor []byte `json:"descriptor,omitempty"`
	// Adapter is the STORAGE_ADAPTER_SERIAL_NUMBER, empty where the driver has none.
	Adapter []byte `json:"adapter,omitempty"`
	System  bool   `json:"system,omitempty"` // holds the system volume
	Error   string `json:"error,omitempty"`  // why there is no descriptor
}

// The bus types that the rules use (STORAGE_BUS_TYPE in winioctl.h).
const (
	bus1394    = 4
	busFibre   = 6
	busUSB     = 7
	busISCSI   = 9
	busSD      = 12
	busVirtual = 14
	busFile    = 15
	busSpaces  = 16
	busNVMe    = 17
	busNVMeOF  = 20
)

// The SCSI device types that are disks. Some drivers put FILE_DEVICE_DISK here,
// which is 7 as well.
const (
	typeDisk    = 0
	typeOptical = 7
	typeSimple  = 14
)

// candidate decodes the descriptor and applies the rules that tell a fixed
// local disk from the rest.
func (d WindowsDisk) candidate() candidate {
	c := candidate{source: "StorageDeviceProperty " + d.Name, first: d.System}
	if d.Error != "" {
		c.err = errors.New(d.Error)
		return c
	}
	s, err := parseDescriptor(d.Descriptor)
	if err != nil {
		c.err = err
		return c
	}
	switch {
	case s.deviceType != typeDisk && s.deviceType != typeOptical && s.deviceType != typeSimple:
		c.drop = "not a disk"
	case s.removable:
		c.drop = "removable"
	case s.bus == busUSB:
		c.drop = "on USB"
	case s.bus == bus1394:
		c.drop = "on FireWire"
	case s.bus == busISCSI, s.bus == busFibre, s.bus == busNVMeOF:
		c.drop = "on the network"
	case s.bus == busVirtual, s.bus == busFile:
		c.drop = "a virtual disk"
	case s.bus == busSpaces:
		c.drop = "a storage space: its disks count"
	case s.bus == busSD:
		c.rank = rankCard
	}
	c.text = s.serial
	if old := unswap(s.serial); old != "" {
		c.text, c.alt = old, []string{s.serial}
	}
	if s.bus == busNVMe {
		// The text is the namespace's EUI or NGUID ("001B_444A_488B_5CEC.",
		// as KooGallery's sample shows it); the controller's serial, which
		// Linux sees and which survives a new namespace, is accepted too.
		if serial := adapterSerial(d.Adapter); serial != "" && !strings.EqualFold(serial, c.text) {
			if c.text == "" {
				c.text = serial
			} else {
				c.alt = append(c.alt, serial)
			}
		}
	}
	return c
}

// descriptor is the part of a STORAGE_DEVICE_DESCRIPTOR that the rules use.
type descriptor struct {
	deviceType byte // SCSI peripheral device type
	removable  bool
	bus        uint32
	serial     string
}

// parseDescriptor reads the structure. Offsets are from its beginning; 0, and
// with some drivers all ones, mean that there is no such text.
func parseDescriptor(b []byte) (descriptor, error) {
	if len(b) < 36 {
		return descriptor{}, errMalformed
	}
	if size := binary.LittleEndian.Uint32(b[4:]); size >= 36 && size < uint32(len(b)) {
		b = b[:size]
	}
	d := descriptor{deviceType: b[8], removable: b[10] != 0, bus: binary.LittleEndian.Uint32(b[28:])}
	offset := binary.LittleEndian.Uint32(b[24:])
	if offset == 0 || offset == 0xffffffff {
		return d, nil
	}
	if offset < 36 || offset >= uint32(len(b)) {
		return descriptor{}, errMalformed
	}
	text, _, _ := bytes.Cut(b[offset:], []byte{0})
	d.serial = clean(text)
	return d, nil
}

// unswap decodes the ATA serial as Windows 7 and older give it: 40 hexadecimal
// digits of 20 bytes in which each pair is swapped. "" if s is no such text:
// another serial may well consist of hexadecimal digits, but then the bytes
// are not all printable.
func unswap(s string) string {
	if len(s) != 40 {
		return ""
	}
	b, err := hex.DecodeString(s)
	if err != nil {
		return ""
	}
	for i := 0; i < len(b); i += 2 {
		b[i], b[i+1] = b[i+1], b[i]
	}
	for _, c := range b {
		if c < ' ' || c > '~' {
			return ""
		}
	}
	return clean(b)
}

// adapterSerial reads a STORAGE_ADAPTER_SERIAL_NUMBER: version, size, and up
// to 128 UTF-16 units. Windows appends the namespace to the padded serial
// ("FJ68N…   _0000"), sometimes with a dot; both are cut.
func adapterSerial(b []byte) string {
	if len(b) < 10 {
		return ""
	}
	var units []uint16
	for b = b[8:]; len(b) >= 2 && len(units) < 128; b = b[2:] {
		u := binary.LittleEndian.Uint16(b)
		if u == 0 {
			break
		}
		units = append(units, u)
	}
	s := trim(string(utf16.Decode(units)))
	if i := strings.LastIndexByte(s, '_'); i >= 0 {
		tail := strings.TrimSuffix(s[i+1:], ".")
		if len(tail) >= 4 && len(tail) <= 8 && strings.Trim(tail, "0123456789abcdefABCDEF") == "" {
			s = s[:i]
		}
	}
	return trim(s)
}

// parseExtents reads the disk numbers of VOLUME_DISK_EXTENTS: a count, then
// per extent number, padding, start and length.
func parseExtents(b []byte) []int {
	if len(b) < 8 {
		return nil
	}
	var out []int
	for n, rest := binary.LittleEndian.Uint32(b), b[8:]; n > 0 && len(rest) >= 24; n, rest = n-1, rest[24:] {
		out = append(out, int(binary.LittleEndian.Uint32(rest)))
	}
	return out
}
