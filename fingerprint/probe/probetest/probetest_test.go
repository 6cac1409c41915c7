package probetest

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestEncode builds small tables byte by byte.
func TestEncode(t *testing.T) {
	end := []byte{127, 4, 0xfe, 0xff, 0, 0}
	for _, c := range []struct {
		name, in string
		want     []byte
	}{
		{"strings", "Handle 0x1, DMI type 2, 9 bytes\n\tManufacturer: A\n\tSerial Number: B\n", append([]byte{2, 9, 0, 0, 1, 0, 0, 2, 0, 'A', 0, 'B', 0, 0}, end...)},
		{"no strings", "Handle 0x1, DMI type 2, 9 bytes\n", append([]byte{2, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0}, end...)},
		{"old layout", "Handle 0x0200\n\tDMI type 2, 8 bytes.\n\tBoard Information Block\n\t\tSerial Number: B\n", append([]byte{2, 8, 0, 0, 0, 0, 0, 1, 'B', 0, 0}, end...)},
		{"missing string", "DMI type 2, 8 bytes\nSerial Number: Not Specified\n", append([]byte{2, 8, 0, 0, 0, 0, 0, 0, 0, 0}, end...)},
		{"bad number", "DMI type 2, 8 bytes\nSerial Number: <BAD INDEX>\n", append([]byte{2, 8, 0, 0, 0, 0, 0, 200, 0, 0}, end...)},
		{"empty string becomes a blank", "DMI type 2, 8 bytes\nSerial Number:\n", append([]byte{2, 8, 0, 0, 0, 0, 0, 1, ' ', 0, 0}, end...)},
		{"field beyond the record", "DMI type 2, 8 bytes\nAsset Tag: x\n", append([]byte{2, 8, 0, 0, 0, 0, 0, 0, 0, 0}, end...)},
		{"quoted", "DMI type 2, 8 bytes\nSerial Number: \"a\\x01\"\n", append([]byte{2, 8, 0, 0, 0, 0, 0, 1, 'a', 1, 0, 0}, end...)},
		{"first value counts", "DMI type 2, 8 bytes\nSerial Number: a\nSerial Number: b\n", append([]byte{2, 8, 0, 0, 0, 0, 0, 1, 'a', 0, 0}, end...)},
		{"Windows line ends", "DMI type 2, 8 bytes\r\nSerial Number: a\r\n", append([]byte{2, 8, 0, 0, 0, 0, 0, 1, 'a', 0, 0}, end...)},
		{"end marker given", "DMI type 2, 8 bytes\nDMI type 127, 4 bytes\n", []byte{2, 8, 0, 0, 0, 0, 0, 0, 0, 0, 127, 4, 1, 0, 0, 0}},
	} {
		got, err := Encode(c.in, false)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if diff := cmp.Diff(c.want, got.Bytes); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

// TestEncodeUUID swaps by version.
func TestEncodeUUID(t *testing.T) {
	const record = "DMI type 1, 27 bytes\nUUID: 00112233-4455-6677-8899-aabbccddeeff\n"
	plain := []byte{0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff}
	swapped := []byte{0x33, 0x22, 0x11, 0, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff}
	for version, want := range map[string][]byte{"2.3": plain, "2.5": plain, "2.6": swapped, "3.0": swapped, "3.4.0": swapped} {
		got, err := Encode("SMBIOS "+version+" present.\n"+record, false)
		if err != nil || !bytes.Equal(got.Bytes[8:24], want) {
			t.Errorf("version %s: % x, %v", version, got.Bytes[8:24], err)
		}
	}
	for text, want := range map[string]byte{"Not Present": 0xff, "Not Settable": 0} {
		got, err := Encode("DMI type 1, 27 bytes\nUUID: "+text+"\n", false)
		if err != nil || got.Bytes[8] != want || got.Bytes[23] != want {
			t.Errorf("%s: % x, %v", text, got.Bytes[8:24], err)
		}
	}
}

// TestEncodeRefuses names what is no dmidecode text.
func TestEncodeRefuses(t *testing.T) {
	for _, in := range []string{
		"", "# dmidecode 3.3\n", "/dev/mem: Permission denied\n", "DMI type 2, 3 bytes\n", "DMI type 300, 8 bytes\n", "DMI type 2, 999 bytes\n",
		"DMI type 4, 42 bytes\nID: XX\n", "DMI type 4, 42 bytes\nID: 01 02\n", "DMI type 1, 27 bytes\nUUID: short\n",
	} {
		if got, err := Encode(in, false); !errors.Is(err, ErrText) {
			t.Errorf("%q: %v, %v", in, got, err)
		}
	}
}

// TestForms checks the headers in front of a table.
func TestForms(t *testing.T) {
	table := Table{Bytes: []byte{127, 4, 0, 0, 0, 0}, Major: 2, Minor: 7}
	if got, want := table.RSMB(), []byte{0, 2, 7, 0, 6, 0, 0, 0, 127, 4, 0, 0, 0, 0}; !bytes.Equal(got, want) {
		t.Errorf("RSMB % x", got)
	}
	for _, c := range []struct {
		major, length int
		dump          bool
		anchor        string
	}{{2, 31, false, "_SM_"}, {2, 32, true, "_SM_"}, {3, 24, false, "_SM3_"}, {3, 32, true, "_SM3_"}} {
		table.Major = c.major
		got := table.WithEntryPoint(c.dump)
		if len(got) != c.length+len(table.Bytes) || !bytes.HasPrefix(got, []byte(c.anchor)) || !bytes.HasSuffix(got, table.Bytes) {
			t.Errorf("version %d, dump %v: % x", c.major, c.dump, got)
		}
	}
}

// TestUnpackPlain writes the entries that need no symbolic link, which not
// every system offers.
func TestUnpackPlain(t *testing.T) {
	root := Unpack(t, []byte("comment\n-- a/b --\ntext\n-- c (hex) --\n00 80 # header\nff\n-- d.unreadable --\n-- e (dmidecode) --\nDMI type 2, 8 bytes\n"))
	for name, want := range map[string]string{
		"a/b": "text\n", "c": "\x00\x80\xff", "d.unreadable": "", "e": "\x02\x08\x00\x00\x00\x00\x00\x00\x00\x00\x7f\x04\xfe\xff\x00\x00",
	} {
		b, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil || string(b) != want {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
}

// TestUnpackErrors: a wrong entry is an error, not a silent hole in a host.
func TestUnpackErrors(t *testing.T) {
	for name, body := range map[string]string{"x (hex)": "0g", "x (dmidecode)": "nothing", "disk a": "vpd80 x\nat y"} {
		err := unpack(t.TempDir(), name, body)
		if (err == nil) != strings.HasPrefix(name, "disk") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestLines splits keys and values.
func TestLines(t *testing.T) {
	got := lines("a b c\n# comment\n\nd\ne \" x \\x01\"\r\n")
	want := [][2]string{{"a", "b c"}, {"d", ""}, {"e", " x \x01"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
