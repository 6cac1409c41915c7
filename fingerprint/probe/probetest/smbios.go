// Package probetest makes machines for tests: SMBIOS tables out of the text
// that dmidecode prints, and recorded hosts out of archives in a compact
// notation. It is not stable API and no part of any program.
package probetest

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// ErrText is returned when a text holds no record as dmidecode prints them.
var ErrText = errors.New("no dmidecode record in the text")

// Table is an SMBIOS table and the version that the entry point would give.
type Table struct {
	Bytes        []byte
	Major, Minor int
}

// record is one structure while it is being built.
type record struct {
	kind    byte
	data    []byte // formatted part
	strings []string
	done    map[string]bool // keys that were seen: the first one counts
}

// Encode turns the output of dmidecode, of any version since 2.1, back into a
// table. Records of types 0 to 4 get their texts, ids and flags, others only
// their header. "Not Specified" is dmidecode's word for a missing string and
// becomes one, "<BAD INDEX>" becomes a number without a string. A value in Go's
// double quotes is unquoted, so that a test can write control bytes. With
// truncate the end marker is left out.
func Encode(text string, truncate bool) (Table, error) {
	t := Table{Major: 2, Minor: 8}
	header := regexp.MustCompile(`DMI type (\d+), (\d+) bytes`)
	version := regexp.MustCompile(`SMBIOS (\d+)\.(\d+)(\.\d+)? present`)
	var records []*record
	lines := bufio.NewScanner(strings.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := strings.TrimLeft(strings.TrimSuffix(lines.Text(), "\r"), " \t")
		if m := version.FindStringSubmatch(line); m != nil {
			t.Major, _ = strconv.Atoi(m[1])
			t.Minor, _ = strconv.Atoi(m[2])
			continue
		}
		if m := header.FindStringSubmatch(line); m != nil {
			r, err := newRecord(m[1], m[2])
			if err != nil {
				return Table{}, err
			}
			records = append(records, r)
			continue
		}
		if len(records) == 0 {
			continue
		}
		r := records[len(records)-1]
		key, value, ok := strings.Cut(line, ":")
		if !ok {
			r.flag(strings.TrimSpace(line))
			continue
		}
		value = strings.TrimPrefix(value, " ")
		if unquoted, err := strconv.Unquote(strings.TrimSpace(value)); err == nil {
			value = unquoted
		}
		if err := r.set(key, value, t); err != nil {
			return Table{}, err
		}
	}
	if len(records) == 0 {
		return Table{}, ErrText
	}
	for i, r := range records {
		t.Bytes = r.append(t.Bytes, i)
	}
	if !truncate && records[len(records)-1].kind != 127 {
		t.Bytes = append(t.Bytes, 127, 4, 0xfe, 0xff, 0, 0)
	}
	return t, lines.Err()
}

// newRecord starts a record of the length that dmidecode printed.
func newRecord(kind, size string) (*record, error) {
	k, err1 := strconv.ParseUint(kind, 10, 8)
	n, err2 := strconv.ParseUint(size, 10, 8)
	if err1 != nil || err2 != nil || n < 4 {
		return nil, fmt.Errorf("%w: type %s of %s bytes", ErrText, kind, size)
	}
	return &record{kind: byte(k), data: make([]byte, n), done: map[string]bool{}}, nil
}

// offsets says where the number of a string stands (DSP0134, section 7).
func offsets(kind byte, key string) int {
	switch kind {
	case 0:
		return lookup(key, "Vendor", 4, "Version", 5, "Release Date", 8, "Release", 8)
	case 1:
		return lookup(key, "Manufacturer", 4, "Vendor", 4, "Product Name", 5, "Product", 5, "Version", 6,
			"Serial Number", 7, "SKU Number", 25, "Family", 26)
	case 2:
		return lookup(key, "Manufacturer", 4, "Vendor", 4, "Product Name", 5, "Product", 5, "Version", 6,
			"Serial Number", 7, "Asset Tag", 8)
	case 3:
		return lookup(key, "Manufacturer", 4, "Vendor", 4, "Version", 6, "Serial Number", 7, "Asset Tag", 8)
	case 4:
		return lookup(key, "Socket Designation", 4, "Manufacturer", 7, "Version", 16, "Serial Number", 32,
			"Asset Tag", 33, "Part Number", 34)
	}
	return 0
}

// lookup finds the number that follows key.
func lookup(key string, pairs ...any) int {
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i] == key {
			return pairs[i+1].(int)
		}
	}
	return 0
}

// set takes over one line of a record; unknown ones are ignored.
func (r *record) set(key, value string, t Table) error {
	key = strings.TrimSpace(key)
	if r.done[key] {
		return nil
	}
	r.done[key] = true
	switch {
	case r.kind == 1 && key == "UUID":
		return r.uuid(strings.TrimSpace(value), t)
	case r.kind == 4 && key == "ID":
		b, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(value), " ", ""))
		if err != nil || len(b) != 8 {
			return fmt.Errorf("%w: processor ID %q", ErrText, value)
		}
		copy(r.data[min(8, len(r.data)):], b)
		return nil
	case r.kind == 4 && key == "Status" && len(r.data) > 0x18:
		if strings.HasPrefix(value, "Populated") {
			r.data[0x18] = 1<<6 | 1
		}
		return nil
	}
	if at := offsets(r.kind, key); at > 0 && at < len(r.data) {
		r.data[at] = r.number(value)
	}
	return nil
}

// number adds a string and returns the number by which it is referred to.
func (r *record) number(value string) byte {
	switch value {
	case "Not Specified":
		return 0
	case "<BAD INDEX>":
		return 200
	case "":
		// An empty string cannot be stored: its NUL would end the set.
		value = " "
	}
	r.strings = append(r.strings, value)
	return byte(len(r.strings))
}

// uuid stores the text in the byte order of the table's version.
func (r *record) uuid(value string, t Table) error {
	if len(r.data) < 24 || value == "Not Settable" {
		return nil
	}
	if value == "Not Present" {
		copy(r.data[8:24], slices.Repeat([]byte{0xff}, 16))
		return nil
	}
	b, err := hex.DecodeString(strings.ReplaceAll(value, "-", ""))
	if err != nil || len(b) != 16 {
		return fmt.Errorf("%w: UUID %q", ErrText, value)
	}
	if t.Major > 2 || t.Minor >= 6 {
		slices.Reverse(b[0:4])
		slices.Reverse(b[4:6])
		slices.Reverse(b[6:8])
	}
	copy(r.data[8:24], b)
	return nil
}

// flag takes over a line without a colon.
func (r *record) flag(line string) {
	if r.kind == 0 && line == "System is a virtual machine" && len(r.data) > 0x13 {
		r.data[0x13] |= 1 << 4
	}
}

// append writes the record behind b.
func (r *record) append(b []byte, handle int) []byte {
	r.data[0], r.data[1] = r.kind, byte(len(r.data))
	binary.LittleEndian.PutUint16(r.data[2:], uint16(handle))
	b = append(b, r.data...)
	for _, s := range r.strings {
		b = append(append(b, s...), 0)
	}
	if len(r.strings) == 0 {
		b = append(b, 0)
	}
	return append(b, 0)
}

// RSMB returns the table as Windows' GetSystemFirmwareTable gives it.
func (t Table) RSMB() []byte {
	b := make([]byte, 8, 8+len(t.Bytes))
	b[1], b[2] = byte(t.Major), byte(t.Minor)
	binary.LittleEndian.PutUint32(b[4:], uint32(len(t.Bytes)))
	return append(b, t.Bytes...)
}

// WithEntryPoint returns the table behind an entry point: _SM3_ for version 3,
// _SM_ otherwise. With dump it is laid out as dmidecode --dump-bin does, table
// at offset 32.
func (t Table) WithEntryPoint(dump bool) []byte {
	var b []byte
	if t.Major >= 3 {
		b = make([]byte, 24)
		copy(b, "_SM3_")
		b[6], b[7], b[8] = 24, byte(t.Major), byte(t.Minor)
		if dump {
			b[16] = 32
		}
	} else {
		b = make([]byte, 31)
		copy(b, "_SM_")
		b[5], b[6], b[7] = 31, byte(t.Major), byte(t.Minor)
		copy(b[16:], "_DMI_")
		if dump {
			b[24] = 32
		}
	}
	if dump {
		b = append(b, make([]byte, 32-len(b))...)
	}
	return append(b, t.Bytes...)
}
