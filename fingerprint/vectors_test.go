package fingerprint

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// vectors is the shape of testdata/vectors.json; testdata/README.md explains it.
type vectors struct {
	Version int `json:"version"`
	Format  []struct {
		Name         string
		Device       Device
		String       string
		DroppedDisks int `json:"dropped_disks"`
		DroppedMACs  int `json:"dropped_macs"`
	}
	Parse []struct {
		Name   string
		String string
		Parsed *Parsed
		Error  string
	}
	Canonical []struct {
		Input, Output string
		InputHex      string `json:"input_hex"`
	}
	Hash []struct {
		Salt  string
		Kind  Kind
		Value string
		Hash  string
	}
	Placeholder []struct {
		Kind        Kind
		Value       string
		Placeholder bool
	}
	CPUForms []struct {
		Value string
		Forms []string
	} `json:"cpu_forms"`
	Compare []struct {
		Name, Preset, Salt string
		Then, Now          Device
		Want               struct {
			Comparison
			Results map[Kind]string
		}
	}
}

func readVectors(t testing.TB) vectors {
	t.Helper()
	raw, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	dec := json.NewDecoder(strings.NewReader(string(raw)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&v); err != nil {
		t.Fatal(err)
	}
	if v.Version != 1 {
		t.Fatalf("vectors of version %d, this test reads 1", v.Version)
	}
	return v
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestVectorsFormat(t *testing.T) {
	t.Logf("count fingerprint %d", len(readVectors(t).Format))
	for _, v := range readVectors(t).Format {
		want := Text{String: v.String, DroppedDisks: v.DroppedDisks, DroppedMACs: v.DroppedMACs}
		if diff := cmp.Diff(want, Format(v.Device)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", v.Name, diff)
		}
	}
}

func TestVectorsParse(t *testing.T) {
	sentinels := map[string]error{
		"too-long": ErrTooLong, "parts": ErrParts, "not-canonical": ErrNotCanonical,
		"empty-value": ErrEmptyValue, "duplicate": ErrDuplicate, "value-too-long": ErrValueTooLong,
	}
	seen := map[string]bool{}
	t.Logf("count fingerprint %d", len(readVectors(t).Parse))
	for _, v := range readVectors(t).Parse {
		got, err := Parse(v.String)
		seen[v.Error] = true
		if v.Parsed == nil {
			if !errors.Is(err, sentinels[v.Error]) || sentinels[v.Error] == nil {
				t.Errorf("%s: error %v, want %q", v.Name, err, v.Error)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", v.Name, err)
		}
		if diff := cmp.Diff(*v.Parsed, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", v.Name, diff)
		}
		if got.String() != v.String {
			t.Errorf("%s: String gives %q", v.Name, got.String())
		}
	}
	for code := range sentinels {
		if !seen[code] {
			t.Errorf("no vector for the error %q", code)
		}
	}
}

func TestVectorsValues(t *testing.T) {
	v := readVectors(t)
	t.Logf("count fingerprint %d", len(v.Canonical)+len(v.Hash)+len(v.Placeholder)+len(v.CPUForms))
	for _, c := range v.Canonical {
		in := c.Input
		if c.InputHex != "" {
			in = string(unhex(t, c.InputHex))
		}
		if got := Canonical(in); got != c.Output {
			t.Errorf("Canonical(%q) = %q, want %q", in, got, c.Output)
		}
	}
	for _, h := range v.Hash {
		if got := Hash(unhex(t, h.Salt), h.Kind, h.Value); got != h.Hash {
			t.Errorf("Hash(%s, %q) = %s, want %s", h.Kind, h.Value, got, h.Hash)
		}
	}
	for _, p := range v.Placeholder {
		reason, yes := IsPlaceholder(p.Kind, p.Value)
		if yes != p.Placeholder || yes != (reason != "") {
			t.Errorf("IsPlaceholder(%s, %q) = %q, %v, want %v", p.Kind, p.Value, reason, yes, p.Placeholder)
		}
	}
	for _, c := range v.CPUForms {
		if diff := cmp.Diff(c.Forms, CPUForms(c.Value)); diff != "" {
			t.Errorf("CPUForms(%q) (-want +got):\n%s", c.Value, diff)
		}
	}
}

func TestVectorsCompare(t *testing.T) {
	t.Logf("count fingerprint %d", len(readVectors(t).Compare))
	for _, v := range readVectors(t).Compare {
		policy, err := Preset(v.Preset)
		if err != nil {
			t.Fatal(err)
		}
		got := Compare(policy, Enroll(unhex(t, v.Salt), v.Then), v.Now)
		results := map[Kind]string{}
		for _, p := range got.Parts {
			results[p.Kind] = p.Result
		}
		if diff := cmp.Diff(v.Want.Results, results); diff != "" {
			t.Errorf("%s: results (-want +got):\n%s", v.Name, diff)
		}
		ignore := cmpopts.IgnoreFields(Comparison{}, "Parts", "Why")
		if diff := cmp.Diff(v.Want.Comparison, got, ignore); diff != "" {
			t.Errorf("%s (-want +got):\n%s\n%s", v.Name, diff, got.Why)
		}
		if !strings.HasSuffix(got.Why, ".") || strings.Count(got.Why, ".") != 1 {
			t.Errorf("%s: not one sentence: %q", v.Name, got.Why)
		}
	}
}
