package activation_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"licenseagent.example/activation"
	"licenseagent.example/activation/activationtest"
	"licenseagent.example/activation/license"
	"licenseagent.example/docs/promise"
	"licenseagent.example/fingerprint"
)

func TestWhy(t *testing.T) {
	w := newWorld(t, activationtest.Offer{})
	_, err := w.agent.Why(key())
	w.fails(err, activation.ErrNotActivated)
	w.activate()
	other := activationtest.Hardware("other")
	w.machine.Change(func(d *fingerprint.Device) {
		d.Disk = other.Disk
		d.Board = fingerprint.Component{State: fingerprint.Unreadable, Reason: "permission denied"}
	})
	if err := w.agent.Observed(); err != nil {
		t.Fatal(err)
	}
	x, err := w.agent.Why(key())
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(w.held().Verdict, x.Held.Verdict); d != "" {
		t.Errorf("why and status differ:\n%s", d)
	}
	if d := cmp.Diff(x.Held.Verdict, activation.Decide(x.Inputs)); d != "" {
		t.Errorf("the inputs shown do not give the verdict shown:\n%s", d)
	}
	var got []string
	for _, p := range x.Parts {
		got = append(got, fmt.Sprintf("%s %s %s then %d now %d", p.Kind, p.Result, p.State, len(p.Then), len(p.Now)))
	}
	want := []string{"mac match ok then 1 now 1", "disk changed ok then 1 now 1", "board unreadable unreadable then 1 now 0", "cpu match ok then 1 now 1"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if r := x.Parts[2].Reason; r != "permission denied" {
		t.Errorf("reason %q", r)
	}
	// Neither raw values nor whole hashes are in what people may pass on.
	raw, err := json.Marshal(struct {
		P any
		C any
	}{x.Parts, x.Inputs.Comparison})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range w.machine.Device().Components() {
		for _, v := range c.Values {
			if strings.Contains(string(raw), v.Text) {
				t.Errorf("the raw value of %s is shown", c.Kind)
			}
		}
	}
	for _, p := range x.Held.Claims.Device.Parts {
		if strings.Contains(string(raw), p.Hashes[0]) {
			t.Errorf("a whole hash of %s is shown", p.Kind)
		}
	}
}

func TestSimulate(t *testing.T) {
	w := newWorld(t, activationtest.Offer{Expires: activationtest.Start + 365*days})
	_, err := w.agent.Simulate(key(), activation.Scenario{})
	w.fails(err, activation.ErrNotActivated)
	w.activate()
	before, err := w.machine.Store.Load()
	if err != nil {
		t.Fatal(err)
	}
	kinds := func(k ...fingerprint.Kind) []fingerprint.Kind { return k }
	for _, tt := range []struct {
		name           string
		s              activation.Scenario
		phase, settled activation.Phase
		flags          string
		assumed        int
	}{
		{"nothing", activation.Scenario{}, activation.Active, activation.Active, "[]", 0},
		{"45 days off line", activation.Scenario{Offline: 45 * days}, activation.Expired, activation.Expired, "[]", 1},
		{"31 days off line", activation.Scenario{Offline: 31 * days}, activation.Grace, activation.Grace, "[]", 1},
		{"clock back", activation.Scenario{ClockShift: -3 * hour}, activation.Active, activation.Active, "[]", 1},
		{"clock 3 years ahead", activation.Scenario{ClockShift: 1000 * days}, activation.Expired, activation.Expired, "[provisional-clock]", 1},
		{"behind", activation.Scenario{Behind: true}, activation.ClockSuspect, activation.ClockSuspect, "[]", 1},
		{"contested", activation.Scenario{Contested: true}, activation.Active, activation.Active, "[contested]", 1},
		{"contested for a month", activation.Scenario{Contested: true, Offline: 30 * days}, activation.Expired, activation.Expired, "[contested]", 2},
		{"clone", activation.Scenario{Clone: true}, activation.WrongDevice, activation.WrongDevice, "[drift]", 1},
		{"one card gone", activation.Scenario{Drop: []activation.Loss{{Kind: fingerprint.MAC, Count: 1}}}, activation.Active, activation.Active, "[drift]", 1},
		{"disk replaced", activation.Scenario{Replaced: kinds(fingerprint.Disk)}, activation.Active, activation.Active, "[drift]", 1},
		{"board and disk replaced", activation.Scenario{Replaced: kinds(fingerprint.Board, fingerprint.Disk)}, activation.Active, activation.WrongDevice, "[drift]", 2},
		{"disk and card gone", activation.Scenario{Drop: []activation.Loss{{Kind: fingerprint.Disk, Count: 2}, {Kind: fingerprint.MAC}}}, activation.Active, activation.WrongDevice, "[drift]", 2},
		{"board unreadable", activation.Scenario{Unreadable: kinds(fingerprint.Board)}, activation.Active, activation.Active, "[]", 1},
		{"nothing readable", activation.Scenario{Unreadable: kinds(fingerprint.MAC, fingerprint.Disk, fingerprint.Board, fingerprint.CPU)}, activation.Active, activation.WrongDevice, "[indeterminate]", 4},
	} {
		x, err := w.agent.Simulate(key(), tt.s)
		if err != nil {
			t.Fatal(err)
		}
		if x.Held.Verdict.Phase != tt.phase || x.Settled.Phase != tt.settled || fmt.Sprint(x.Held.Verdict.Flags) != tt.flags || len(x.Assumed.Words("en")) != tt.assumed {
			t.Errorf("%s: %s, settled %s, %v, %q (%s); want %s, %s, %s", tt.name, x.Held.Verdict.Phase, x.Settled.Phase, x.Held.Verdict.Flags, x.Assumed.Words("en"), x.Inputs.Comparison.Why, tt.phase, tt.settled, tt.flags)
		}
	}
	after, err := w.machine.Store.Load()
	if err != nil {
		t.Fatal(err)
	}
	if !equalState(before, after) || len(w.agent.Device().MAC.Values) != 1 {
		t.Error("a simulation changed something")
	}
	w.phase(activation.Active, activation.ReasonValid)
}

func TestPreviewShowsWhatIsSent(t *testing.T) {
	w := newWorld(t, activationtest.Offer{})
	w.machine.Change(func(d *fingerprint.Device) {
		d.Disk.Values[0].Alt = []string{"b alt", "A alt", "a alt", strings.Repeat("x", 300), "bad\xff"}
	})
	w.start()
	preview, err := w.agent.Preview("acme")
	if err != nil {
		t.Fatal(err)
	}
	var sent *license.Request
	w.merchant.Before = func(r *license.Request) error { sent = r; return nil }
	w.activate()
	preview.Code, preview.Nonce, preview.Days = sent.Code, sent.Nonce, sent.Days
	for i := range preview.Parts {
		if preview.Parts[i].Alt == nil {
			preview.Parts[i].Alt = []string{}
		}
	}
	if d := cmp.Diff(&preview, sent); d != "" {
		t.Errorf("sent something else (-preview +sent):\n%s", d)
	}
	if alt := sent.Parts[1].Alt; !slices.IsSorted(alt) || len(alt) == 0 || len(alt) > 3 {
		t.Errorf("other spellings %q", alt)
	}
	_, err = w.agent.Preview("nobody")
	w.fails(err, activation.ErrUnknownIssuer)
}

// TestP19 is the promise: a state copied to another machine, key and all,
// answers "not this device" without any network; honest drift does not. The
// control gives every copy a reading of the first machine's hardware, so that
// the comparison can only match.
func TestP19(t *testing.T) {
	n := promise.Size(25, 1000)
	accepted, blind, refused := 0, 0, 0
	for i := range n {
		merchant, machine, _, err := newPair(fmt.Sprint("home ", i))
		if err != nil {
			t.Fatal(err)
		}
		merchant.Before = func(*license.Request) error { return activation.ErrUnreachable }
		home, away := machine.Device(), activationtest.Hardware(fmt.Sprint("away ", i))
		runs := func(name string, hardware fingerprint.Device) int {
			copied, err := machine.Copy(name)
			if err != nil {
				t.Fatal(err)
			}
			copied.Change(func(d *fingerprint.Device) { *d = hardware })
			a, err := copied.Agent(merchant)
			if err != nil {
				t.Fatal(err)
			}
			if a.Held()[0].Verdict.Runs {
				return 1
			}
			return 0
		}
		accepted += runs(fmt.Sprint("away ", i), away)
		blind += runs(fmt.Sprint("blind ", i), home)
		for drift := range 4 {
			machine.Change(func(d *fingerprint.Device) {
				*d = home
				switch drift {
				case 0:
					d.MAC = away.MAC // another card
				case 1:
					d.Disk = away.Disk // another disk
				case 2:
					d.MAC.Values = slices.Concat(d.MAC.Values, away.MAC.Values) // a dock
				case 3:
					d.Board = fingerprint.Component{State: fingerprint.Unreadable} // no rights
				}
			})
			a, err := machine.Agent(merchant)
			if err != nil {
				t.Fatal(err)
			}
			for range 4 {
				machine.Clock.Advance(days)
				if err := a.Observed(); err != nil {
					t.Fatal(err)
				}
			}
			if !a.Held()[0].Verdict.Runs {
				refused++
			}
		}
	}
	if accepted != 0 || refused != 0 {
		t.Errorf("%d of %d copied states accepted, %d of %d honest drifts refused", accepted, n, refused, 4*n)
	}
	if blind != n {
		t.Errorf("control: with the comparison made to match only %d of %d copies run", blind, n)
	}
	promise.Reached(t, "P19", fmt.Sprintf("0 of %d states copied with their key (in memory) accepted on foreign machines, %d of %d honest drifts refused", n, refused, 4*n),
		fmt.Sprintf("the same copies with a reading that shows the first machine's hardware: %d of %d accepted", blind, n))
}
