//go:build linux

package agent_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"licenseagent.example/activation"
	"licenseagent.example/activation/merchant"
	"licenseagent.example/activation/protocol"
	"licenseagent.example/agent/api"
	"licenseagent.example/fingerprint"
)

// A state copied to another machine, key and all, is refused there at once and
// without network; the merchant tells both.
func TestCopiedStateOnAnotherHost(t *testing.T) {
	v := newVendor(t, nil)
	for _, elsewhere := range []string{"server", "vm-kvm", "unprivileged", "container"} {
		t.Run(elsewhere, func(t *testing.T) {
			b := v.machine(t).onDisk()
			b.boot("laptop")
			b.activate("balanced")
			b.wants("at home", "active", "valid")
			foretold, err := b.daemon.Simulate(api.SimulateRequest{Clone: true}, api.English)
			b.must(err)
			b.down = true
			b.boot(elsewhere)
			b.wants("elsewhere", "wrong-device", "other-device", "drift")
			if got := b.why().License.Verdict.Phase; got != foretold.License.Verdict.Phase {
				t.Errorf("simulate --clone said %s", foretold.License.Verdict.Phase)
			}
			b.down = false
			var refused *activation.RefusedError
			if err := b.renew(); !errors.As(err, &refused) || refused.Code != string(protocol.CodeDeviceMismatch) {
				t.Errorf("renewal elsewhere: %v", err)
			}
			b.boot("laptop")
			_ = b.renew() // repeats the refused request or makes a new one: either way home is told
			b.must(b.renew())
			if v := b.why().License.Verdict; !v.Runs || !slices.Contains(v.Flags, "contested") {
				t.Errorf("at home again: %+v", v)
			}
		})
	}
}

// What simulate says of a change is what happens when it is made.
func TestSimulateForetells(t *testing.T) {
	v := newVendor(t, nil)
	cases := []struct {
		name    string
		ask     api.SimulateRequest
		changes []string
	}{
		{"nothing", api.SimulateRequest{}, nil},
		{"disk", api.SimulateRequest{Replace: []string{"disk"}}, newDisk()},
		{"card", api.SimulateRequest{Replace: []string{"mac"}}, newCard()},
		{"board", api.SimulateRequest{Replace: []string{"board"}}, newBoard()},
		{"disk and card", api.SimulateRequest{Replace: []string{"disk", "mac"}}, append(newDisk(), newCard()...)},
		{"board and disk", api.SimulateRequest{Replace: []string{"disk", "board"}}, append(newDisk(), newBoard()...)},
		{"all", api.SimulateRequest{Replace: []string{"disk", "board", "mac"}}, append(append(newDisk(), newBoard()...), newCard()...)},
		{"firmware hidden", api.SimulateRequest{Unreadable: []string{"board", "cpu"}}, hidden()},
		{"firmware and disk hidden", api.SimulateRequest{Unreadable: []string{"board", "cpu", "disk"}}, append(hidden(), diskHidden()...)},
	}
	short := func(x api.Explanation) string {
		s := fmt.Sprint(x.License.Verdict.Phase, x.License.Verdict.Flags, x.License.Verdict.Until, " points ", x.Device.Matched, x.Device.Available, x.Device.Need, x.Device.Left)
		for _, p := range x.Device.Parts {
			s += " " + p.Kind + " " + p.Result
		}
		if x.Settled != nil {
			s += " then " + x.Settled.Phase
		}
		return s
	}
	for _, preset := range []string{"strict", "balanced", "tolerant"} {
		b := v.machine(t)
		b.down = false
		b.boot("laptop")
		b.activate(preset)
		b.down = true
		activated, err := b.memory.Load()
		b.must(err)
		for _, c := range cases {
			b.memory = activation.NewMemory()
			b.must(b.memory.Apply(activation.Change{Put: activated.Records, KeySets: activated.KeySets, Clock: &activated.Clock}))
			b.boot("laptop")
			said, err := b.daemon.Simulate(c.ask, api.English)
			b.must(err)
			b.boot("laptop", c.changes...)
			if d := cmp.Diff(short(said), short(b.why())); d != "" {
				t.Errorf("%s, %s (-said +is): %s", c.name, preset, d)
			}
		}
	}
}

// A repaired machine is warned about, taken over at the next contact, and the
// warning ends; a second part within 30 days waits for its turn.
func TestRepairIsTakenOverOnePartAMonth(t *testing.T) {
	b := newVendor(t, nil).machine(t)
	b.boot("laptop")
	b.activate("balanced")
	first := b.claims().Device.Parts
	if h := b.why().License.Hardware; h.Warning || h.Left != 4 {
		t.Errorf("before: %+v", h)
	}
	b.boot("laptop", newDisk()...)
	b.wants("new disk", "active", "valid", "drift")
	if h := b.why().License.Hardware; !h.Warning || h.Left != 1 || !slices.Equal(h.Lost, []string{"disk"}) || !strings.Contains(h.Message, "two more points and it breaks") {
		t.Errorf("new disk: %+v", h)
	}
	b.must(b.renew())
	b.wants("disk taken over", "active", "valid")
	second := b.claims().Device.Parts
	if cmp.Equal(first, second) || b.why().License.Hardware.Warning {
		t.Error("the new disk was not taken over")
	}
	began := b.now
	both := append(newDisk(), newCard()...)
	b.boot("laptop", both...)
	b.pass(29 * day)
	b.wants("card after 29 days", "active", "valid", "drift")
	if !cmp.Equal(second, b.claims().Device.Parts) {
		t.Errorf("a second part was taken over after %d days", (b.now-began)/day)
	}
	b.pass(day)
	b.wants("card after 30 days", "active", "valid")
}

// Walking a license to another machine plank by plank ends at the second plank.
func TestPlankByPlank(t *testing.T) {
	for _, c := range []struct {
		name string
		roll int64
		ends string
	}{{"default", 30 * day, "wrong-device"}, {"vendor allows one a day", day, "active"}} {
		b := newVendor(t, func(o *merchant.Terms) { o.Roll = c.roll }).machine(t)
		b.boot("laptop")
		b.activate("balanced")
		b.boot("laptop", newDisk()...)
		b.must(b.renew())
		b.now += day
		two := append(newDisk(), newCard()...)
		b.boot("laptop", two...)
		b.must(b.renew())
		b.now += day
		b.boot("laptop", append(two, newBoard()...)...)
		for range 3 { // the debounce
			b.now += 12 * hour
			b.boot("laptop", append(two, newBoard()...)...)
		}
		if got := b.why().License.Verdict.Phase; got != c.ends {
			t.Errorf("%s: %s, want %s (%s)", c.name, got, c.ends, b.why().Device.Why)
		}
	}
}

// A second and third look, at least a day apart, decide; one bad look does not,
// and neither do many within an hour.
func TestDebounceOnARealAgent(t *testing.T) {
	b := newVendor(t, nil).machine(t).onDisk()
	b.boot("laptop")
	b.activate("balanced")
	b.down = true
	changed := append(newDisk(), newBoard()...) // the address still matches
	b.boot("laptop", changed...)
	b.wants("first look", "active", "valid", "drift")
	if x := b.why(); x.Settled == nil || x.Settled.Phase != "wrong-device" || !x.License.Hardware.Warning {
		t.Errorf("nobody is warned: %+v", x.License.Hardware)
	}
	b.boot("laptop")
	b.wants("it was a bad look", "active", "valid")
	for range 5 {
		b.now += 10 * 60
		b.boot("laptop", changed...)
	}
	b.wants("five looks within an hour", "active", "valid", "drift")
	b.now += day - hour
	b.boot("laptop", changed...)
	b.wants("less than a day after the first", "active", "valid", "drift")
	b.now += hour
	b.boot("laptop", changed...)
	b.wants("a day", "wrong-device", "device-changed", "drift")
	b.boot("laptop")
	b.wants("put back", "active", "valid")
}

// What cannot be read is not what has changed: with one strong part the license
// runs until renew-by and no longer, without any it runs a day, and hiding the
// hardware buys no time that the vendor has not signed.
func TestIndeterminateIsBounded(t *testing.T) {
	v := newVendor(t, nil)
	b := v.machine(t)
	b.boot("laptop")
	b.activate("strict") // the board is required
	b.down = true
	b.boot("laptop", hidden()...)
	b.wants("board hidden", "active", "valid", "indeterminate")
	renewBy := b.why().License.Verdict.RenewBy
	b.now = renewBy - 1
	b.boot("laptop", hidden()...)
	b.wants("a second before renew-by", "active", "valid", "indeterminate")
	b.now = renewBy
	b.boot("laptop", hidden()...)
	b.wants("at renew-by", "wrong-device", "device-indeterminate", "indeterminate")
	b.boot("laptop")
	b.wants("readable again", "grace", "renewal-overdue")

	b = v.machine(t)
	b.boot("laptop")
	b.activate("balanced")
	b.down = true
	blind := append(append(hidden(), diskHidden()...), "address bc:ee:7b:0c:5a:21", "address.unreadable x\nbonding_slave/perm_hwaddr.unreadable x", "-- nic enxdock --", "-- nodock --")
	b.boot("laptop", blind...)
	b.wants("nothing readable", "active", "valid", "indeterminate")
	b.now += day - 1
	b.boot("laptop", blind...)
	b.wants("for less than a day", "active", "valid", "indeterminate")
	b.now++
	b.boot("laptop", blind...)
	b.wants("for a day", "wrong-device", "device-unreadable", "indeterminate")
}

// The whole policy is inside what the vendor signed, and the class of machine
// that was enrolled chooses the profile.
func TestPolicyIsInsideTheLicense(t *testing.T) {
	v := newVendor(t, nil)
	for _, preset := range []string{"strict", "balanced", "tolerant"} {
		want, err := fingerprint.Preset(preset)
		if err != nil {
			t.Fatal(err)
		}
		for host, profile := range map[string]fingerprint.Profile{"laptop": want.Physical, "vm-kvm": want.Virtual} {
			b := v.machine(t)
			b.boot(host)
			b.activate(preset)
			if d := cmp.Diff(want, b.claims().Device.Policy); d != "" {
				t.Errorf("%s: the license carries another policy (-want +got):\n%s", preset, d)
			}
			for _, p := range b.why().Device.Parts {
				w := map[string]int{"board": profile.Weights.Board, "disk": profile.Weights.Disk, "mac": profile.Weights.MAC, "cpu": profile.Weights.CPU}[p.Kind]
				if p.Weight != w {
					t.Errorf("%s on %s: %s has %d points, want %d", preset, host, p.Kind, p.Weight, w)
				}
			}
		}
	}
}

// A machine without identity is refused unless the vendor allows it for the
// code; it is held by contact alone until it gets a serial, which the contacts
// after that enrol, one part a month.
func TestMachineWithoutIdentity(t *testing.T) {
	b := newVendor(t, nil).machine(t)
	b.boot("laptop", "-- nic enp3s0 --", "-- n1 --", "-- nic enxdock --", "-- n2 --", "-- disk nvme0n1 --", "-- n3 --",
		"Serial Number: E4N0CV39K51716B", "Serial Number: None", "UUID: 5f1b8b80-9d5c-11e3-a0f4-bcee7b0c5a21", "Family: none")
	var refused *activation.RefusedError
	if err := b.buy(merchant.CodeSpec{Policy: "balanced"}); !errors.As(err, &refused) || refused.Code != string(protocol.CodeNoIdentity) {
		t.Errorf("without permission: %v", err)
	}
	b.must(b.buy(merchant.CodeSpec{Policy: "balanced", Unidentified: true}))
	b.wants("allowed", "active", "valid", "indeterminate")
	if x := b.why(); x.License.Verdict.Next != "give-serial" || x.License.Hardware.Warning {
		t.Errorf("%+v, %+v", x.License.Verdict, x.License.Hardware)
	}
	b.boot("laptop")
	b.must(b.renew())
	b.wants("after the next contact", "active", "valid")
	b.pass(61 * day)
	if n := len(b.claims().Device.Parts); n != 4 {
		t.Errorf("%d parts are enrolled after two more months, want all four", n)
	}
}

// A virtual machine that shows an address and nothing else is held by a line of
// its configuration. When that is made anew, the contact that is due at once
// takes the new one over; off line, for a copy, and a second time within the
// month it is another machine.
func TestOnlyAddressMadeAnew(t *testing.T) {
	v := newVendor(t, nil)
	with := remade
	b := v.machine(t)
	b.boot("vm-kvm", bare()...)
	b.activate("balanced")
	b.down = true
	b.boot("vm-kvm", with("fa:16:3e:44:55:66")...)
	b.wants("off line", "wrong-device", "other-device", "drift")
	held, err := b.memory.Load()
	b.must(err)
	if next := held.Records[0].NextTry; next > b.now+1 {
		t.Errorf("the next contact is %d s away", next-b.now)
	}
	b.must(b.renewUnreachable())
	b.now += hour
	b.boot("vm-kvm", with("fa:16:3e:44:55:66")...)
	held, err = b.memory.Load()
	b.must(err)
	if next := held.Records[0].NextTry; next <= b.now+1 {
		t.Error("a restart alone triggers a contact")
	}
	b.down = false
	b.must(b.renew())
	b.wants("after the contact", "active", "valid")
	b.boot("vm-kvm", with("fa:16:3e:77:88:99")...)
	var refused *activation.RefusedError
	if err := b.renew(); !errors.As(err, &refused) || refused.Code != string(protocol.CodeDeviceMismatch) {
		t.Errorf("a second time within the month: %v", err)
	}

	// A machine with a UUID is another one when all that is left of it is new.
	b = v.machine(t)
	b.boot("vm-kvm")
	b.activate("balanced")
	b.boot("vm-kvm", with("fa:16:3e:44:55:66")...)
	b.wants("another virtual machine", "wrong-device", "other-device", "drift")
	if err := b.renew(); !errors.As(err, &refused) || refused.Code != string(protocol.CodeDeviceMismatch) {
		t.Errorf("another virtual machine: %v", err)
	}
}

// A bad read that would stop the license at once is read again before it does.
func TestBadReadIsReadAgain(t *testing.T) {
	b := newVendor(t, nil).machine(t)
	b.boot("laptop")
	b.activate("balanced")
	b.host("server")
	elsewhere := b.under
	b.host("laptop")
	home, reads := b.under, 0
	b.observe = func() fingerprint.Device {
		if reads++; reads == 1 {
			return elsewhere.Collect(context.Background())
		}
		return home.Collect(context.Background())
	}
	b.start()
	b.wants("one bad read at the start", "active", "valid")
	reads = 0
	b.must(b.renewUnreachable())
	b.wants("one bad read later", "active", "valid")
	b.observe = func() fingerprint.Device { return elsewhere.Collect(context.Background()) }
	b.must(b.renewUnreachable())
	b.wants("it stays", "wrong-device", "other-device", "drift")
}

// Nobody has to ask: the loss is an event with the points left, and a line in
// the log that names no serial.
func TestLossIsToldToEverybody(t *testing.T) {
	b := newVendor(t, nil).machine(t)
	b.boot("laptop")
	b.activate("balanced")
	serial := b.daemon.Serial()
	b.host("laptop", newDisk()...)
	b.must(b.renewUnreachable())
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var told *api.Hardware
	kinds := []string{}
	for _, e := range b.daemon.Events(ctx, serial).Events {
		kinds = append(kinds, e.Kind)
		if e.Kind == api.EventObserved {
			told = e.Hardware
		}
	}
	want := &api.Hardware{Outcome: "same", Left: 1, Lost: []string{"disk"}, Unreadable: []string{}, Warning: true}
	if d := cmp.Diff(want, told); d != "" || !slices.Contains(kinds, api.EventVerdict) {
		t.Errorf("events %q (-want +got):\n%s", kinds, d)
	}
	line := b.log.String()
	if !strings.Contains(line, "level=WARN msg=\"hardware differs") || !strings.Contains(line, "points_left=1") || strings.Contains(line, "S64DMX0T") {
		t.Errorf("log: %s", line)
	}
}
