package fingerprint

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// field is one serial-like field of a recorded machine.
type field struct {
	file, name, text string
	kind             Kind
}

// TestCorpusPlaceholders runs the placeholder rules over recorded machines of
// other people ($CORPUS: dmidecode/*.txt and windows-wmi/*.wmi); without CORPUS
// TestCorpusMachines is the whole proof. A second rule, written here without a
// look at the first, says what is junk; each disagreement is a failure.
func TestCorpusPlaceholders(t *testing.T) {
	dir := os.Getenv("CORPUS")
	if dir == "" {
		t.Log("CORPUS is not set: only the records of our own making are tested")
		return
	}
	fields := append(dmidecodeFields(t, dir), wmiFields(t, dir)...)
	if len(fields) < 50 {
		t.Fatalf("only %d serial-like fields in %s: wrong folder?", len(fields), dir)
	}
	seen := map[string]bool{}
	accepted, refused := 0, 0
	for _, f := range fields {
		reason, yes := IsPlaceholder(f.kind, f.text)
		if yes {
			refused++
		} else {
			accepted++
		}
		switch key := string(f.kind) + f.text; {
		case yes && !looksLikeJunk(f.kind, f.text):
			t.Errorf("%s: real %s %q of %s refused: %s", f.file, f.kind, f.text, f.name, reason)
		case !yes && looksLikeJunk(f.kind, f.text):
			t.Errorf("%s: junk %s %q of %s accepted", f.file, f.kind, f.text, f.name)
		case !seen[key]:
			seen[key] = true
			t.Logf("%-5s %-40q %s", f.kind, f.text, map[bool]string{true: "junk: " + reason, false: "real"}[yes])
		}
	}
	t.Logf("%d fields: %d accepted, %d refused", len(fields), accepted, refused)
}

// looksLikeJunk is the second opinion. It is crude on purpose.
func looksLikeJunk(k Kind, text string) bool {
	low := strings.ToLower(strings.TrimSpace(text))
	if k == MAC {
		raw := strings.NewReplacer(":", "", "-", "").Replace(low)
		return len(raw) != 12 || strings.HasSuffix(raw, "524153") || strings.HasSuffix(raw, "3030") || // "RAS", "…00"
			strings.Trim(raw, "0") == "" || strings.Trim(raw, "f") == ""
	}
	for _, word := range []string{"o.e.m", "filled", "default", "none", "not specified", "not present", "n/a", "unknown", "invalid", "serial", "sernum", "assettag", "asset-", "asset tag", "no dimm"} {
		if strings.Contains(low, word) {
			return true
		}
	}
	distinct := map[rune]bool{}
	for _, c := range low {
		if c >= '0' && c <= '9' || c >= 'a' && c <= 'z' {
			distinct[c] = true
		}
	}
	return len(distinct) < 2 || low == "00h" || strings.Contains("01234567890123456789", low) || strings.Contains("98765432109876543210", low)
}

// dmidecodeFields takes serials, UUIDs and tags of all records, and CPU ids.
func dmidecodeFields(t *testing.T, dir string) []field {
	var out []field
	for _, name := range glob(t, dir, "dmidecode", "*.txt") {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		record := ""
		scan := bufio.NewScanner(strings.NewReader(string(raw)))
		for scan.Scan() {
			line := scan.Text()
			if !strings.HasPrefix(line, "\t") && !strings.HasPrefix(line, " ") {
				record = strings.TrimSpace(line)
				continue
			}
			key, text, ok := strings.Cut(strings.TrimSpace(line), ":")
			f := field{filepath.Base(name), record + "/" + key, text, Board}
			switch {
			case !ok:
			case key == "Serial Number" || key == "UUID" || key == "Asset Tag":
				out = append(out, f)
			case key == "ID" && strings.Contains(record, "Processor"):
				f.kind = CPU
				out = append(out, f)
			}
		}
	}
	return out
}

// wmiFields reads the UTF-16 text that WMI tools write.
func wmiFields(t *testing.T, dir string) []field {
	kinds := map[string]Kind{"MACAddress": MAC, "PermanentAddress": MAC, "ProcessorId": CPU, "SerialNumber": Disk, "AdapterSerialNumber": Disk}
	var out []field
	for _, name := range glob(t, dir, "windows-wmi", "*.wmi") {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.SplitSeq(decodeUTF16(raw), "\n") {
			key, text, ok := strings.Cut(strings.TrimSpace(line), "=")
			k, known := kinds[key]
			if !ok || !known || k == MAC && text == "" {
				continue
			}
			if strings.Contains(name, "Processor") && k == Disk {
				k = CPU
			}
			out = append(out, field{filepath.Base(name), key, text, k})
		}
	}
	return out
}

func decodeUTF16(raw []byte) string {
	if len(raw) < 2 || raw[0] != 0xFF || raw[1] != 0xFE {
		return string(raw)
	}
	units := make([]uint16, 0, len(raw)/2)
	for i := 2; i+1 < len(raw); i += 2 {
		units = append(units, binary.LittleEndian.Uint16(raw[i:]))
	}
	return string(utf16.Decode(units))
}

func glob(t *testing.T, parts ...string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(parts...))
	if err != nil || len(names) == 0 {
		t.Fatalf("no files at %s", filepath.Join(parts...))
	}
	return names
}

// record is one machine of testdata/machines.json.
type record struct {
	Name, Quirk           string
	MAC, Disk, Board, CPU []string
	Junk                  []string
	String                string
}

// TestCorpusMachines: at least 60 machines of our own making, one quirk each;
// every text is either junk and refused or real and used, byte for byte.
func TestCorpusMachines(t *testing.T) {
	raw, err := os.ReadFile("testdata/machines.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Machines []record }
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Machines) < 60 {
		t.Fatalf("%d machines", len(file.Machines))
	}
	for _, m := range file.Machines {
		d := Device{MAC: part(MAC, m.MAC...), Disk: part(Disk, m.Disk...), Board: part(Board, m.Board...), CPU: part(CPU, m.CPU...)}
		if got := Format(d).String; got != m.String {
			t.Errorf("%s (%s):\n got %q\nwant %q", m.Name, m.Quirk, got, m.String)
		}
		var refused []string
		for _, c := range d.Components() {
			for _, r := range c.Settled().Rejected {
				refused = append(refused, r.Text)
			}
		}
		less := cmpopts.SortSlices(func(a, b string) bool { return a < b })
		if diff := cmp.Diff(m.Junk, refused, less, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (%s): refused texts (-want +got):\n%s", m.Name, m.Quirk, diff)
		}
	}
}
