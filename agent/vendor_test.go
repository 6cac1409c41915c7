//go:build linux

package agent_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"licenseagent.example/activation"
	"licenseagent.example/activation/merchant"
	"licenseagent.example/agent/api"
	"licenseagent.example/fingerprint"
)

// atDevice and atVendor are what the two ends say, reduced to what both know.
func atDevice(x api.Explanation) string {
	v := x.License.Verdict
	s := fmt.Sprintln(v.Phase, v.Reason, v.Message, v.NextStep, v.Flags, v.Until, v.RenewBy, v.GraceUntil, v.DaysLeft)
	s += fmt.Sprintln(x.License.Hardware.Message, x.License.Hardware.Warning, x.Device.Why, x.Device.Matched, x.Device.Available, x.Device.Need, x.Device.Left)
	for _, p := range x.Device.Parts {
		s += fmt.Sprintln(p.Kind, p.Result, p.State, p.Weight, p.Then, p.Digits)
	}
	if x.Settled != nil {
		s += fmt.Sprintln("settled", x.Settled.Phase)
	}
	return s + strings.Join(x.Assumed, "\n")
}

func atVendor(x merchant.Explanation) string {
	v := x.Verdict
	flags := []string(nil)
	for _, f := range v.Flags {
		flags = append(flags, string(f))
	}
	s := fmt.Sprintln(v.Phase, v.Reason, v.Message, v.NextStep, flags, v.Until, v.RenewBy, v.GraceUntil, v.DaysLeft)
	c := x.Comparison
	s += fmt.Sprintln(x.Hardware, x.Warning, c.Why, c.Matched, c.Available, c.Need, c.Left)
	for _, p := range x.Parts {
		s += fmt.Sprintln(p.Kind, p.Result, p.State, p.Weight, p.Then, p.Now)
	}
	if x.Settled != nil {
		s += fmt.Sprintln("settled", x.Settled.Phase)
	}
	return s + strings.Join(x.Assumed, "\n")
}

// Support sees what the operator sees: the same verdict, the same points, the
// same digits, also for what has not happened yet.
func TestVendorSeesTheSameWhy(t *testing.T) {
	v := newVendor(t, nil)
	scenarios := map[string]activation.ScenarioText{
		"as it is":       {},
		"disk":           {Replace: []string{"disk"}},
		"disk and board": {Replace: []string{"disk", "board"}},
		"one card":       {Drop: []string{"nic=1"}},
		"all cards":      {Drop: []string{"nic"}, Offline: "3d"},
		"long away":      {Offline: "45d"},
		"clock":          {Clock: "-3h"},
		"far ahead":      {Clock: "30d"},
		"clone":          {Cloned: true},
		"hidden":         {Unreadable: []string{"board", "disk"}},
		"second copy":    {Contested: true, Offline: "8d"},
		"behind":         {Behind: true},
	}
	same := func(b *bench, state string) {
		t.Helper()
		for name, text := range scenarios {
			s, err := text.Scenario()
			b.must(err)
			there := b.why()
			if name != "as it is" {
				q := api.SimulateRequest{Offline: s.Offline, Clock: s.ClockShift, Behind: s.Behind, Contested: s.Contested, Clone: s.Clone, Drop: map[string]int64{}}
				for _, l := range s.Drop {
					q.Drop[string(l.Kind)] = int64(l.Count)
				}
				for _, k := range s.Replaced {
					q.Replace = append(q.Replace, string(k))
				}
				for _, k := range s.Unreadable {
					q.Unreadable = append(q.Unreadable, string(k))
				}
				there, err = b.daemon.Simulate(q, api.English)
				b.must(err)
			}
			here, err := v.svc.Why(context.Background(), b.claims().ID, s)
			b.must(err)
			if d := cmp.Diff(atDevice(there), atVendor(here)); d != "" {
				t.Errorf("%s, %s (-device +vendor):\n%s", state, name, d)
			}
		}
	}
	b := v.machine(t)
	b.boot("laptop")
	b.activate("balanced")
	same(b, "activated")
	b.boot("laptop", newDisk()...)
	b.must(b.renew())
	same(b, "after a repair")
	b.boot("laptop", append(newDisk(), newCard()...)...)
	b.must(b.renew())
	same(b, "drifted")
}

// A policy of the vendor's own is data: it is sold, signed and obeyed.
func TestPolicyOfTheVendorsOwn(t *testing.T) {
	const plant = `{
	  "name": "plant-floor",
	  "phys": {"req": ["board"], "w": {"board": 4, "disk": 2, "mac": 2, "cpu": 0}, "min": 60, "floor": 50},
	  "virt": {"req": [], "w": {"board": 6, "disk": 2, "mac": 2, "cpu": 0}, "min": 50, "floor": 50}
	}`
	want, err := fingerprint.ParsePolicy(plant)
	if err != nil {
		t.Fatal(err)
	}
	b := newVendor(t, nil).machine(t)
	b.boot("laptop")
	b.activate(plant)
	if d := cmp.Diff(want, b.claims().Device.Policy); d != "" {
		t.Fatalf("the license carries another policy:\n%s", d)
	}
	b.boot("laptop", newBoard()...)
	x := b.why()
	if x.Settled == nil || x.Settled.Phase != "wrong-device" || !strings.Contains(x.Device.Why, "board") {
		t.Errorf("a new board under a policy that requires the old one: %+v", x.Device)
	}
	for name, bad := range map[string]string{
		"a member is missing": strings.Replace(plant, `"cpu": 0`, `"CPUs": 0`, 1),
		"no strong part":      strings.ReplaceAll(strings.ReplaceAll(plant, `"board": 4, "disk": 2, "mac": 2`, `"board": 0, "disk": 0, "mac": 0`), `["board"]`, `[]`),
		"something follows":   plant + "{}",
		"not JSON":            "{",
	} {
		if err := b.buy(merchant.CodeSpec{Policy: bad}); err == nil || !strings.Contains(err.Error(), "policy") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
