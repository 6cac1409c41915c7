package fingerprint

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPresets(t *testing.T) {
	all := Presets()
	if len(all) != 3 {
		t.Fatalf("%d presets", len(all))
	}
	for name, p := range all {
		if p.Name != name {
			t.Errorf("%s calls itself %q", name, p.Name)
		}
		if err := p.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		// A policy is signed and re-serialised: null and [] must not mix.
		raw, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(raw), "null") {
			t.Errorf("%s prints null: %s", name, raw)
		}
		var back Policy
		if err := json.Unmarshal(raw, &back); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(p, back); diff != "" {
			t.Errorf("%s does not survive JSON:\n%s", name, diff)
		}
	}
	def, err := Preset("")
	if err != nil || def.Name != PresetBalanced {
		t.Errorf("default is %q, %v", def.Name, err)
	}
	if _, err := Preset("Balanced"); !errors.Is(err, ErrUnknownPreset) {
		t.Errorf("unknown preset: %v", err)
	}
	all[PresetStrict].Physical.Required[0] = CPU
	if again := Presets()[PresetStrict].Physical.Required[0]; again != Board {
		t.Error("callers share the presets' memory")
	}
}

func TestPolicyValidate(t *testing.T) {
	good := Presets()[PresetBalanced]
	for name, change := range map[string]func(*Policy){
		"no name":             func(p *Policy) { p.Name = "" },
		"long name":           func(p *Policy) { p.Name = strings.Repeat("n", 65) },
		"negative weight":     func(p *Policy) { p.Physical.Weights.CPU = -1 },
		"huge weight":         func(p *Policy) { p.Virtual.Weights.Board = 1001 },
		"only the CPU counts": func(p *Policy) { p.Physical.Weights = Weights{CPU: 9} },
		"minimum zero":        func(p *Policy) { p.Physical.Minimum = 0 },
		"minimum over 100":    func(p *Policy) { p.Virtual.Minimum = 101 },
		"floor negative":      func(p *Policy) { p.Virtual.Floor = -1 },
		"floor over 100":      func(p *Policy) { p.Physical.Floor = 101 },
		"unknown required":    func(p *Policy) { p.Physical.Required = []Kind{"gpu"} },
		"required not sorted": func(p *Policy) { p.Physical.Required = []Kind{MAC, Board} },
		"required twice":      func(p *Policy) { p.Virtual.Required = []Kind{Board, Board} },
	} {
		p := good
		change(&p)
		if err := p.Validate(); !errors.Is(err, ErrPolicy) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
}

func TestProfileFollowsTheEnrolledClass(t *testing.T) {
	p := Policy{Physical: Profile{Minimum: 1}, Virtual: Profile{Minimum: 2}}
	for env, want := range map[EnvKind]int{Physical: 1, Virtual: 2, Container: 2, "": 1, "toaster": 1} {
		if got := p.Profile(env).Minimum; got != want {
			t.Errorf("%q uses profile %d", env, got)
		}
	}
}
