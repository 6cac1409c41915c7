package activation_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"licenseagent.example/activation/activationtest"
	"licenseagent.example/fingerprint"
)

const policyDocument = "../docs/fingerprint-policy.md"

// presets in the order of the document.
func presets() []string { return []string{"strict", "balanced", "tolerant"} }

// TestPolicyDocument holds the tables of the vendors' document against the
// code and against the measurements. UPDATE=1 writes them.
func TestPolicyDocument(t *testing.T) {
	b, err := os.ReadFile(policyDocument)
	if err != nil {
		t.Fatal(err)
	}
	document := string(b)
	measured, err := measuredTable()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"presets": presetTable(), "survives": survivalTable(), "measured": measured} {
		begin, end := "<!-- "+name+" -->\n", "<!-- end -->"
		from := strings.Index(document, begin)
		if from < 0 {
			t.Fatalf("no place for the table %q", name)
		}
		from += len(begin)
		to := from + strings.Index(document[from:], end)
		if os.Getenv("UPDATE") != "" {
			document = document[:from] + want + document[to:]
			continue
		}
		if d := cmp.Diff(want, document[from:to]); d != "" {
			t.Errorf("the table %q is not what the code says (-code +document):\n%s", name, d)
		}
	}
	if err := example(document); err != nil {
		t.Error(err)
	}
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(policyDocument, []byte(document), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// example is the policy that the document shows.
func example(document string) error {
	_, rest, _ := strings.Cut(document, "```json\n")
	text, _, found := strings.Cut(rest, "```")
	if !found {
		return errors.New("there is no example of a policy")
	}
	var p fingerprint.Policy
	dec := json.NewDecoder(strings.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p); err != nil {
		return err
	}
	return p.Validate()
}

func presetTable() string {
	var b strings.Builder
	b.WriteString("| preset, class | required | board | disk | mac | cpu | minimum | floor |\n|---|---|---|---|---|---|---|---|\n")
	for _, name := range presets() {
		p := fingerprint.Presets()[name]
		for _, c := range []struct {
			class string
			fingerprint.Profile
		}{{"physical", p.Physical}, {"virtual", p.Virtual}} {
			required := []string{}
			for _, k := range c.Required {
				required = append(required, string(k))
			}
			if len(required) == 0 {
				required = []string{"-"}
			}
			fmt.Fprintf(&b, "| %s, %s | %s | %d | %d | %d | %d | %d %% | %d %% |\n", name, c.class, strings.Join(required, ", "),
				c.Weights.Board, c.Weights.Disk, c.Weights.MAC, c.Weights.CPU, c.Minimum, c.Floor)
		}
	}
	return b.String()
}

// survivalTable asks the comparison itself.
func survivalTable() string {
	const mac, disk, board, cpu = fingerprint.MAC, fingerprint.Disk, fingerprint.Board, fingerprint.CPU
	var b strings.Builder
	b.WriteString("| changed | strict | balanced | tolerant |\n|---|---|---|---|\n")
	for _, c := range []struct {
		what  string
		class fingerprint.EnvKind
		parts []fingerprint.Kind
	}{
		{"every disk", fingerprint.Physical, []fingerprint.Kind{disk}},
		{"every adapter", fingerprint.Physical, []fingerprint.Kind{mac}},
		{"CPU", fingerprint.Physical, []fingerprint.Kind{cpu}},
		{"disk and CPU", fingerprint.Physical, []fingerprint.Kind{disk, cpu}},
		{"disk and adapters", fingerprint.Physical, []fingerprint.Kind{disk, mac}},
		{"board only", fingerprint.Physical, []fingerprint.Kind{board}},
		{"board with its adapters", fingerprint.Physical, []fingerprint.Kind{board, mac}},
		{"board, adapters and CPU", fingerprint.Physical, []fingerprint.Kind{board, mac, cpu}},
		{"everything", fingerprint.Physical, []fingerprint.Kind{board, disk, mac, cpu}},
		{"virtual: migrated to another host (CPU)", fingerprint.Virtual, []fingerprint.Kind{cpu}},
		{"virtual: address and disks made anew", fingerprint.Virtual, []fingerprint.Kind{mac, disk, cpu}},
		{"virtual: new identity (UUID)", fingerprint.Virtual, []fingerprint.Kind{board}},
		{"virtual: clone with new identity and address", fingerprint.Virtual, []fingerprint.Kind{board, mac}},
	} {
		fmt.Fprintf(&b, "| %s |", c.what)
		for _, name := range presets() {
			fmt.Fprintf(&b, " %s |", survives(fingerprint.Presets()[name], c.class, c.parts))
		}
		b.WriteString("\n")
	}
	return b.String()
}

func survives(p fingerprint.Policy, class fingerprint.EnvKind, parts []fingerprint.Kind) string {
	home, away := activationtest.Hardware("home"), activationtest.Hardware("away")
	away.CPU.Values = []fingerprint.Value{{Text: "1F8BFBFF00050657", Source: "test"}}
	home.Env.Kind = class
	now := home
	for _, k := range parts {
		switch k {
		case fingerprint.MAC:
			now.MAC = away.MAC
		case fingerprint.Disk:
			now.Disk = away.Disk
		case fingerprint.Board:
			now.Board = away.Board
		case fingerprint.CPU:
			now.CPU = away.CPU
		}
	}
	c := fingerprint.Compare(p, fingerprint.Enroll(make([]byte, 32), home), now)
	switch {
	case c.Outcome == fingerprint.Same:
		return "runs"
	case c.StrongMatch:
		return "stops after a day"
	}
	return "stops at once"
}

// measuredTable takes the rows of the presets from the measurements.
func measuredTable() (string, error) {
	text, err := os.ReadFile("../docs/fingerprint-corpus.md")
	if err != nil {
		return "", err
	}
	rows := map[string][][]string{}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if slices.Contains(presets(), cells[0]) {
			rows[cells[0]] = append(rows[cells[0]], cells)
		}
	}
	var b strings.Builder
	b.WriteString("| | wrongly refused | refused after a board swap | change tolerated | strangers accepted, of a million | of these with a readable board |\n|---|---|---|---|---|---|\n")
	for _, name := range presets() {
		r := rows[name]
		if len(r) != 2 || len(r[0]) != 6 || len(r[1]) != 8 || r[0][1] != "1000000" || r[1][1] != "1000000" {
			return "", fmt.Errorf("%s: the measurements have another form: %q", name, r)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", name, r[0][2], r[0][3], r[0][5], r[1][2], r[1][4])
	}
	return b.String(), nil
}
