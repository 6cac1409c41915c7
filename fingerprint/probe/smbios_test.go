package probe_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"licenseagent.example/fingerprint"
	"licenseagent.example/fingerprint/probe"
	"licenseagent.example/fingerprint/probe/probetest"
)

const tableText = `SMBIOS 2.7 present.
Handle 0x0000, DMI type 0, 24 bytes
	Vendor: Maker
	Version: 1.2
	Release Date: 01/02/2020
		System is a virtual machine
Handle 0x0001, DMI type 1, 27 bytes
	Manufacturer: Acme
	Product Name: Anvil
	Version: Not Specified
	Serial Number:   SYS 1
	UUID: 00112233-4455-6677-8899-aabbccddee01
Handle 0x0002, DMI type 2, 15 bytes
	Manufacturer: Acme
	Product Name: Board
	Serial Number: MB-1
	Asset Tag: tag
Handle 0x0003, DMI type 3, 22 bytes
	Serial Number: <BAD INDEX>
	Asset Tag: chassis tag
Handle 0x0004, DMI type 4, 42 bytes
	Socket Designation: CPU0
	ID: A7 06 02 00 FF FB EB BF
	Status: Populated, Enabled
	Serial Number: never read
Handle 0x0005, DMI type 4, 42 bytes
	Socket Designation: CPU1
	ID: 00 00 00 00 00 00 00 00
	Status: Unpopulated
Handle 0x0006, DMI type 1, 27 bytes
	Serial Number: a second system record is ignored
Handle 0x0007, DMI type 2, 8 bytes
	Serial Number: MB-2
Handle 0x0008, DMI type 218, 11 bytes
`

func encode(t testing.TB, text string, truncate bool) probetest.Table {
	t.Helper()
	table, err := probetest.Encode(text, truncate)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// TestParseSMBIOS reads one table in each form in which it is handed around.
func TestParseSMBIOS(t *testing.T) {
	table := encode(t, tableText, false)
	want := probe.SMBIOS{
		Major: 2, Minor: 7,
		BIOSVendor: "Maker", BIOSVersion: "1.2", VirtualMachine: true,
		Vendor: "Acme", Product: "Anvil", Serial: "SYS 1",
		UUID:       [16]byte{0x33, 0x22, 0x11, 0, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 1},
		Boards:     []probe.SMBIOSBoard{{"Acme", "Board", "MB-1", "tag"}, {Serial: "MB-2"}},
		ChassisTag: "chassis tag",
		CPUs:       []probe.SMBIOSCPU{{Socket: "CPU0", ID: [8]byte{0xa7, 6, 2, 0, 0xff, 0xfb, 0xeb, 0xbf}}},
	}
	unknown := want
	unknown.Major, unknown.Minor = 0, 0
	three := want
	three.Major, three.Minor = 3, 7
	table3 := table
	table3.Major = 3
	for name, c := range map[string]struct {
		raw  []byte
		want probe.SMBIOS
	}{
		"bare table":             {table.Bytes, unknown},
		"Windows":                {table.RSMB(), want},
		"entry point 2":          {table.WithEntryPoint(false), want},
		"entry point 2, dump":    {table.WithEntryPoint(true), want},
		"entry point 3":          {table3.WithEntryPoint(false), three},
		"entry point 3, dump":    {table3.WithEntryPoint(true), three},
		"bytes after the end":    {append(append([]byte{}, table.Bytes...), 1, 2, 3, 4, 5), unknown},
		"Windows, bytes after":   {append(table.RSMB(), 0, 0, 0), want},
		"wrong entry point size": {func() []byte { b := table.WithEntryPoint(false); b[5] = 0x1e; return b }(), want},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := probe.ParseSMBIOS(c.raw)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got, cmpopts.IgnoreUnexported(probe.SMBIOS{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestParseSMBIOSBroken keeps what stands before a break and refuses the rest.
func TestParseSMBIOSBroken(t *testing.T) {
	whole := encode(t, tableText, false).Bytes
	for cut := range len(whole) {
		got, err := probe.ParseSMBIOS(whole[:cut])
		if err == nil && !got.Truncated {
			t.Fatalf("%d of %d bytes were taken for a whole table", cut, len(whole))
		}
		if err == nil && cut > 200 && got.Serial != "SYS 1" {
			t.Fatalf("%d bytes: system serial %q was lost", cut, got.Serial)
		}
	}
	if got, err := probe.ParseSMBIOS(encode(t, tableText, true).Bytes); err != nil || !got.Truncated || len(got.Boards) != 2 {
		t.Errorf("without end marker: %+v, %v", got, err)
	}
	for name, raw := range map[string][]byte{
		"empty":                 nil,
		"short":                 {1, 2, 3},
		"text":                  []byte("Permission denied\n"),
		"length under four":     {1, 3, 0, 0, 0, 0},
		"strings do not end":    {1, 4, 0, 0, 'a', 'b', 0},
		"entry point alone":     encode(t, tableText, false).WithEntryPoint(false)[:31],
		"entry point of 0 size": append([]byte("_SM3_\x00\x00\x03\x00"), make([]byte, 40)...),
		"zeros":                 make([]byte, 64),
	} {
		if _, err := probe.ParseSMBIOS(raw); !errors.Is(err, probe.ErrSMBIOS) {
			t.Errorf("%s: error %v, want ErrSMBIOS", name, err)
		}
	}
}

// TestSMBIOSTexts shows how firmware's texts arrive.
func TestSMBIOSTexts(t *testing.T) {
	for _, c := range []struct{ name, serial, want string }{
		{"blanks around", "   ABC 1   ", "ABC 1"},
		{"only blanks", "     ", ""},
		{"control byte kept", `"A\x01B"`, "A\x01B"},
		{"separators kept", "a|b,c", "a|b,c"},
		{"bytes that are not UTF-8", `"A\xff\xfeB"`, "A__B"},
		{"UTF-8 kept", "Größe", "Größe"},
		{"long", strings.Repeat("x", 5000), strings.Repeat("x", 5000)},
		{"number without string", "<BAD INDEX>", ""},
		{"no number", "Not Specified", ""},
	} {
		table := encode(t, "Handle 0x1, DMI type 2, 8 bytes\n\tSerial Number: "+c.serial+"\n", false)
		got, err := probe.ParseSMBIOS(table.Bytes)
		if err != nil || len(got.Boards) != 1 || got.Boards[0].Serial != c.want {
			t.Errorf("%s: got %+v, %v, want %q", c.name, got.Boards, err, c.want)
		}
	}
}

// TestCorpusDumps runs over the dmidecode texts in $CORPUS, other people's
// machines that are not part of this tree, and says what the board rule makes
// of them; without CORPUS the composed texts of this package do.
func TestCorpusDumps(t *testing.T) {
	texts := map[string]string{"composed": tableText}
	if dir := os.Getenv("CORPUS"); dir != "" {
		files, err := filepath.Glob(filepath.Join(dir, "dmidecode", "*.txt"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no dmidecode/*.txt in %s (%v)", dir, err)
		}
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			texts[filepath.Base(f)] = string(b)
		}
	}
	for name, text := range texts {
		table, err := probetest.Encode(text, false)
		if errors.Is(err, probetest.ErrText) && !strings.Contains(text, "DMI type") {
			t.Logf("%s: no record in it", name)
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, err := probe.ParseSMBIOS(table.Bytes)
		if err != nil || got.Truncated {
			t.Errorf("%s: %v, truncated %v", name, err, got.Truncated)
			continue
		}
		for _, b := range append(got.Boards, probe.SMBIOSBoard{Serial: got.Serial}, probe.SMBIOSBoard{Serial: got.ChassisSerial}) {
			if _, dummy := fingerprint.IsPlaceholder(fingerprint.Board, b.Serial); b.Serial != "" && !strings.Contains(text, b.Serial) {
				t.Errorf("%s: serial %q (placeholder %v) does not stand in the text", name, b.Serial, dummy)
			}
		}
	}
}

// FuzzSMBIOS feeds anything to the reader: no panic, no text that was not in
// the input, no text that JSON cannot carry.
func FuzzSMBIOS(f *testing.F) {
	table := encode(f, tableText, false)
	f.Add(table.Bytes)
	f.Add(table.RSMB())
	f.Add(table.WithEntryPoint(false))
	f.Add(table.WithEntryPoint(true))
	f.Add(table.Bytes[:100])
	f.Add([]byte{1, 4, 0, 0, 0, 0, 127, 4, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := probe.ParseSMBIOS(raw)
		if err != nil {
			if !errors.Is(err, probe.ErrSMBIOS) {
				t.Fatalf("unknown error %v", err)
			}
			return
		}
		if len(s.CPUs)*16 > len(raw) || len(s.Boards)*4 > len(raw) {
			t.Fatalf("%d processors and %d boards out of %d bytes", len(s.CPUs), len(s.Boards), len(raw))
		}
		texts := []string{s.Vendor, s.Product, s.Version, s.Serial, s.BIOSVendor, s.BIOSVersion, s.ChassisSerial, s.ChassisTag}
		for _, b := range s.Boards {
			texts = append(texts, b.Vendor, b.Product, b.Serial, b.AssetTag)
		}
		for _, text := range texts {
			if strings.ContainsRune(text, 0) || text != strings.ToValidUTF8(text, "") || len(text) > len(raw) {
				t.Fatalf("text %q", text)
			}
		}
	})
}
