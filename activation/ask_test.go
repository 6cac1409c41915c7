package activation_test

import (
	"fmt"
	"slices"
	"testing"

	"licenseagent.example/activation"
	"licenseagent.example/activation/activationtest"
	"licenseagent.example/activation/license"
	"licenseagent.example/fingerprint"
)

// Before its first answer asks who is a no by one made-up value that is another
// one now, and has not asked before: no other machine, and not at each start.
func TestAskFirst(t *testing.T) {
	w := newWorld(t, activationtest.Offer{})
	asks := func(what string, want bool) {
		t.Helper()
		w.start()
		got := w.agent.AskFirst()
		if due := w.agent.Due().Contact; slices.Contains(got, key()) != want || want && !slices.Contains(due, key()) {
			t.Errorf("%s: asks first for %v, contacts due %v", what, got, due)
		}
	}
	w.machine.Lone("FA:16:3E:1B:72:0C")
	w.start()
	w.activate()
	asks("nothing changed", false)
	w.machine.Lone("FA:16:3E:44:55:66")
	asks("a new address", true)
	asks("stopped before it could ask", true)
	w.merchant.Before = func(*license.Request) error { return fmt.Errorf("%w: cable", activation.ErrUnreachable) }
	_, err := w.agent.Renew(t.Context(), key())
	w.fails(err, activation.ErrUnreachable)
	h := w.held()
	if wait := h.NextTry - w.machine.Clock.Wall(); h.Verdict.Runs || wait > activation.RetryBase {
		t.Errorf("runs %v, the next attempt is %d s away: a license that does not run is in a hurry", h.Verdict.Runs, wait)
	}
	asks("it has asked", false)
	w.machine.Clock.Advance(3600)
	asks("it has asked, and the next attempt is due", false)
	w.machine.Lone("FA:16:3E:1B:72:0C")
	asks("the address is back", false)

	whole := newWorld(t, activationtest.Offer{})
	whole.activate()
	for _, k := range []struct {
		what   string
		change func(*fingerprint.Device)
	}{
		{"physical, everything new", func(d *fingerprint.Device) { *d = activationtest.Hardware("elsewhere") }},
		{"unreadable", func(d *fingerprint.Device) {
			d.Disk.State, d.Board.State = fingerprint.Unreadable, fingerprint.Unreadable
		}},
	} {
		whole.machine.Change(k.change)
		whole.start()
		if got := whole.agent.AskFirst(); len(got) != 0 {
			t.Errorf("%s: asks first for %v", k.what, got)
		}
	}
}
