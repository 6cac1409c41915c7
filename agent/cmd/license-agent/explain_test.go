//go:build linux

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"licenseagent.example/activation"
	"licenseagent.example/agent/api"
)

// explained is a machine that lost its disk, with everything that can be said.
func explained() api.Explanation {
	verdict := api.Verdict{
		Phase: "active", Runs: true, Flags: []string{"drift", "contested"}, Reason: "valid", Message: "The license is valid.",
		NextStep: "See \"why\" for the changed parts: put them back, or renew or rebind while it still runs.",
		Until:    1799000000, Expires: 1800000000, RenewBy: 1799000000, GraceUntil: 1799900000, DaysLeft: 12,
	}
	settled := verdict
	settled.Phase, settled.Message = "wrong-device", "Too much of the hardware has changed since the license was issued."
	return api.Explanation{
		License: api.License{Issuer: "acme", Product: "painter", Edition: "pro", Seats: 3, Verdict: verdict, Hardware: &api.Hardware{
			Outcome: "same", Left: 1, Warning: true, Message: "not as enrolled: disk; two more points and it breaks; one part can be enough.",
		}},
		Device: api.Comparison{
			Outcome: "same", Why: "6 of 9 points match and 5 are needed; not the enrolled one: disk.", Matched: 6, Available: 9, Need: 5, Left: 1,
			Parts: []api.Part{
				{Kind: "mac", Result: "match", Weight: 2, Then: []string{"1f2e3d4c", "99887766"}, Now: []string{"00***5E", "00***5F"}, Digits: []string{"1f2e3d4c", "aabbccdd"}},
				{Kind: "disk", Result: "changed", Weight: 3, Then: []string{"aaaa1111"}, Now: []string{"WD***56"}, Digits: []string{"bbbb2222"}},
				{Kind: "board", Result: "unreadable", Weight: 3, Then: []string{"cccc3333"}, Reason: "permission denied"},
				{Kind: "cpu", Result: "match", Weight: 1, Then: []string{"dddd4444"}, Now: []string{"BF***EA"}, Digits: []string{"dddd4444"}},
			},
		},
		Settled: &settled, Worse: api.Worse{Reads: 2, First: 1798900000, Last: 1798960000},
		Clock: api.Clock{Time: 1798963200, Wall: 1798966800, Behind: true, Provisional: true},
	}
}

// The layout of why is compared line by line, in both languages: testdata/why.*.
// go test -run Layout ./agent/cmd/license-agent with UPDATE=1 writes the files.
func TestLayout(t *testing.T) {
	simulated := explained()
	simulated.Assumed = []string{"gone: network address × 2, enrolled ones first", "no contact for 45 days"}
	for name, f := range map[string]func(a *app) error{
		"why":      func(a *app) error { return a.printExplanation(explained()) },
		"simulate": func(a *app) error { return a.printExplanation(simulated) },
		"status": func(a *app) error {
			return a.printStatus(api.Status{Version: "1.2.3", Instance: "default", DeviceID: "dev:00", KeyTier: "tpm", Licenses: []api.License{explained().License, explained().License}})
		},
	} {
		for _, lang := range []string{api.English, api.Chinese} {
			var out bytes.Buffer
			if err := f(&app{stdout: &out, lang: lang}); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", name+"."+lang+".txt")
			if os.Getenv("UPDATE") != "" {
				if err := os.WriteFile(file, out.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), out.String()); d != "" {
				t.Errorf("%s (-want +got):\n%s", file, d)
			}
			lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
			if lines[0] == "" || lines[len(lines)-1] == "" {
				t.Errorf("%s begins or ends with an empty line", file)
			}
			for _, l := range lines {
				if columns(l) > lineWidth || strings.HasSuffix(l, " ") {
					t.Errorf("%s: %d columns or blanks at the end: %q", file, columns(l), l)
				}
			}
		}
	}
}

func TestFold(t *testing.T) {
	for _, c := range []struct {
		text  string
		width int
		want  []string
	}{
		{"", 10, []string{""}},
		{"one two three", 7, []string{"one two", "three"}},
		{"one two three", 80, []string{"one two three"}},
		{"a-serial-that-is-long b", 8, []string{"a-serial-that-is-long", "b"}},
		{"  then aa, bb, cc", 12, []string{"  then aa,", "  bb, cc"}},
		{"请立即续期；没有网络时，", 10, []string{"请立即续", "期；没有网", "络时，"}},
		{"执行 renew 命令", 10, []string{"执行 renew", "命令"}},
	} {
		got := fold(c.text, c.width)
		if !slices.Equal(got, c.want) {
			t.Errorf("%q at %d: %q, want %q", c.text, c.width, got, c.want)
		}
		if squeeze(strings.Join(got, "")) != squeeze(c.text) {
			t.Errorf("%q lost characters: %q", c.text, got)
		}
	}
}

func squeeze(s string) string { return strings.ReplaceAll(s, " ", "") }

// Every code that the agent can send beside a sentence is explained.
func TestEveryFlagIsExplained(t *testing.T) {
	en, zh := &app{lang: api.English}, &app{lang: api.Chinese}
	for _, f := range []activation.Flag{activation.FlagIndeterminate, activation.FlagDrift, activation.FlagContested, activation.FlagProvisionalClock} {
		if e, z := en.flagText(string(f)), zh.flagText(string(f)); e == string(f) || z == string(f) || e == z {
			t.Errorf("%s: %q, %q", f, e, z)
		}
	}
	for _, r := range []string{"match", "changed", "absent", "unreadable", "placeholder", "not-enrolled"} {
		if resultText(r) == r {
			t.Errorf("result %s has no Chinese text", r)
		}
	}
	for _, o := range []string{"same", "different", "indeterminate"} {
		if en.outcomeText(o) == o || en.outcomeText(o) == zh.outcomeText(o) {
			t.Errorf("outcome %s", o)
		}
	}
	for _, tier := range []string{"file", "os", "tpm"} {
		if en.tierText(tier) == tier || en.tierText(tier) == zh.tierText(tier) {
			t.Errorf("tier %s", tier)
		}
	}
	if en.instanceText("default") != "default instance" || en.instanceText("lab") != "instance lab" || en.instanceText("") != "default instance" {
		t.Error("names of instances")
	}
	// What is new and unknown is shown as it is.
	if en.flagText("x")+en.outcomeText("x")+resultText("x")+en.tierText("x") != "xxxx" {
		t.Error("an unknown code is not shown")
	}
}

func TestSimulateRequest(t *testing.T) {
	o := simulateOptions{
		key: api.KeyRequest{Issuer: "acme", Product: "painter"},
		assume: activation.ScenarioText{
			Drop: []string{"nic=2", "board"}, Replace: []string{"disk"}, Unreadable: []string{"mac"},
			Offline: "45d", Clock: "-3h", Cloned: true, Behind: true, Contested: true,
		},
	}
	got, err := o.request()
	if err != nil {
		t.Fatal(err)
	}
	want := api.SimulateRequest{
		Issuer: "acme", Product: "painter", Offline: 45 * 86400, Clock: -3 * 3600, Drop: map[string]int64{"mac": 2, "board": 0},
		Replace: []string{"disk"}, Unreadable: []string{"mac"}, Behind: true, Contested: true, Clone: true,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
