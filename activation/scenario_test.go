package activation

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"licenseagent.example/fingerprint"
)

func TestScenarioText(t *testing.T) {
	for text, want := range map[string]int64{"": 0, "40d": 40 * 86400, "36h": 36 * 3600, "90s": 90} {
		if s, err := (ScenarioText{Offline: text}).Scenario(); err != nil || s.Offline != want {
			t.Errorf("--offline %q: %d %v", text, s.Offline, err)
		}
	}
	for text, want := range map[string]int64{"-2h": -7200, "-3d": -3 * 86400, "30d": 30 * 86400} {
		if s, err := (ScenarioText{Clock: text}).Scenario(); err != nil || s.ClockShift != want {
			t.Errorf("--clock %q: %d %v", text, s.ClockShift, err)
		}
	}
	got, err := ScenarioText{Drop: []string{"nic=2", "disk"}, Replace: []string{"mac", "board"}, Unreadable: []string{"cpu"}, Cloned: true}.Scenario()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Scenario{
		Drop:     []Loss{{Kind: fingerprint.MAC, Count: 2}, {Kind: fingerprint.Disk}},
		Replaced: []fingerprint.Kind{fingerprint.MAC, fingerprint.Board}, Unreadable: []fingerprint.Kind{fingerprint.CPU}, Clone: true,
	}, got); diff != "" {
		t.Error(diff)
	}
	for name, text := range map[string]ScenarioText{
		"no number":           {Offline: "d"},
		"no unit":             {Offline: "40"},
		"unknown unit":        {Clock: "1w"},
		"too many days":       {Clock: "99999999999d"},
		"no contact in past":  {Offline: "-1d"},
		"unknown part":        {Replace: []string{"gpu"}},
		"unknown unreadable":  {Unreadable: []string{""}},
		"unknown dropped":     {Drop: []string{"nics=2"}},
		"dropped zero values": {Drop: []string{"nic=0"}},
		"dropped many":        {Drop: []string{"nic=70000"}},
		"dropped twice":       {Drop: []string{"nic=1", "mac"}},
	} {
		if _, err := text.Scenario(); !errors.Is(err, ErrScenario) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
