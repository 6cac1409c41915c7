package fingerprint

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// FuzzParse: whatever is accepted prints back byte for byte and survives
// enrolment; nothing panics.
func FuzzParse(f *testing.F) {
	for _, v := range readVectors(f).Parse {
		f.Add(v.String)
	}
	f.Add("\xff|\x00|\xc3\x28|")
	policy := Presets()[PresetBalanced]
	f.Fuzz(func(t *testing.T, s string) {
		p, err := Parse(s)
		if err != nil {
			return
		}
		if p.String() != s {
			t.Fatalf("Parse(%q).String() = %q", s, p.String())
		}
		d := p.Device(Physical, nil, nil)
		if got := Compare(policy, Enroll([]byte("salt"), d), d); got.Outcome == Different {
			t.Fatalf("%q is not the device it is: %s", s, got.Why)
		}
	})
}

// FuzzFormat: no value changes the number of parts or passes the limits.
func FuzzFormat(f *testing.F) {
	f.Add("04:7c:16:5e:e3:5d", "001b_444a_488b_5cec.", "CZJ|12,80", "A7 06 02 00 FF FB EB BF", "ALT\x00", uint8(3))
	f.Add("\xff\xfe", "|||", ",,,", "\n\t ", " ", uint8(255))
	f.Add(strings.Repeat("K7", 200), strings.Repeat("x", 300), "To be filled by O.E.M.", "0000000000000000", "é", uint8(0))
	f.Fuzz(func(t *testing.T, mac, disk, board, cpu, alt string, n uint8) {
		d := Device{MAC: part(MAC, mac), Disk: part(Disk, disk), Board: part(Board, board, alt), CPU: part(CPU, cpu)}
		for i := range int(n) {
			d.Disk.Values = append(d.Disk.Values, Value{Text: disk + string(rune('a'+i%26)) + alt[:min(i, len(alt))], Alt: []string{alt}})
		}
		text := Format(d)
		p, err := Parse(text.String)
		if err != nil {
			t.Fatalf("Parse(Format) of %q: %v", text.String, err)
		}
		if got := Format(p.Device(Physical, nil, nil)).String; got != text.String {
			t.Fatalf("%q does not survive the round trip: %q", text.String, got)
		}
		for _, policy := range Presets() {
			if got := Compare(policy, Enroll([]byte("salt"), d), d); got.Outcome == Different {
				t.Fatalf("%q is not the device it is: %s", text.String, got.Why)
			}
		}
	})
}

// FuzzPlaceholder: the verdict does not depend on case or padding, the reason
// is one of a fixed set (so it cannot quote the value), and a refused value is
// neither enrolled nor printed.
func FuzzPlaceholder(f *testing.F) {
	for _, v := range readVectors(f).Placeholder {
		f.Add(string(v.Kind), v.Value)
	}
	f.Add("disk", "drive-")
	f.Add("mac", "::::::::::::::::?")
	f.Add("cpu", "\xff\xff")
	reasons := reasonsOf(f)
	f.Fuzz(func(t *testing.T, kind, value string) {
		k := Kind(kind)
		reason, yes := IsPlaceholder(k, value)
		if yes != (reason != "") || yes && !strings.Contains(reasons, strconv.Quote(reason)) {
			t.Fatalf("reason %q with verdict %v", reason, yes)
		}
		if _, again := IsPlaceholder(k, "  "+Canonical(value)+"\x00"); again != yes {
			t.Fatalf("%q: %v, in canonical form %v", value, yes, again)
		}
		d := Device{MAC: part(MAC, value), Disk: part(Disk, value), Board: part(Board, value), CPU: part(CPU, value)}
		for i, c := range d.Components() {
			_, yes := IsPlaceholder(c.Kind, value)
			if printed := strings.Split(Format(d).String, "|")[i]; yes && printed != "" {
				t.Fatalf("%q was printed as %s", value, c.Kind)
			}
			for _, p := range Enroll(nil, d).Parts {
				if yes && p.Kind == c.Kind {
					t.Fatalf("%q was enrolled as %s", value, c.Kind)
				}
			}
		}
	})
}

// reasonsOf returns the source text that holds all reasons as string literals.
func reasonsOf(t testing.TB) string {
	t.Helper()
	var all strings.Builder
	for _, name := range []string{"placeholder.go", "placeholder_lists.go"} {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(raw)
	}
	return all.String()
}
