//go:build linux

package main

import (
	"fmt"
	"os"
	"sync"
	"testing"

	"licenseagent.example/activation"
	"licenseagent.example/activation/activationtest"
	"licenseagent.example/docs/promise"
	"licenseagent.example/fingerprint"
)

// carry starts a copy of a machine's state directory, device key included, on
// the hardware that it is given, and says whether the license runs there. Any
// other answer than "not this device" is an error.
func (m *member) carry(name string, hardware func() fingerprint.Device) (runs bool) {
	m.t.Helper()
	c := &member{t: m.t, fleet: m.fleet, dir: m.snapshot(name), hardware: hardware}
	defer func() { check0(m.t, os.RemoveAll(c.dir)) }()
	c.start()
	defer c.stop()
	v := c.verdict()
	if !v.Runs && (v.Phase != string(activation.WrongDevice) || v.Reason != activation.ReasonOtherDevice) {
		m.t.Errorf("%s: %s, %s", name, v.Phase, v.Reason)
	}
	return v.Runs
}

// P19 on real state directories: each store, with the key beside it, is carried
// to many machines that cannot reach the merchant, and runs on none of them. The
// control is every one of these copies again, with a reading that shows the
// hardware of the first machine, so that the comparison can only match.
func TestRealCarried(t *testing.T) {
	t.Parallel()
	f := newFleet(t, nil)
	homes, each := promise.Size(2, 10), promise.Size(5, 100)
	var members []*member
	for i := range homes {
		members = append(members, f.join(t, fmt.Sprint("home-", i), nil, nil))
	}
	f.vendor.hooks(func(string) bool { return false }, nil)
	var mu sync.Mutex
	accepted, blind := 0, 0
	for i, m := range members {
		if !m.verdict().Runs {
			t.Errorf("%s does not run at home", m.dir)
		}
		m.stop()
		crowd(each, func(j int) {
			name := fmt.Sprintf("away-%d-%d", i, j)
			runs := m.carry(name, func() fingerprint.Device { return activationtest.Hardware(name) })
			runsBlind := m.carry(name+"-blind", m.hardware)
			mu.Lock()
			defer mu.Unlock()
			if runs {
				accepted++
			}
			if runsBlind {
				blind++
			}
		})
	}
	n := homes * each
	if accepted != 0 {
		t.Errorf("%d of %d carried state directories run on a foreign machine", accepted, n)
	}
	if blind != n {
		t.Errorf("control: with the comparison made to match only %d of %d run", blind, n)
	}
	promise.Reached(t, "P19", fmt.Sprintf("%d state directories of real stores, each carried with its key to %d synthetic machines without a network: 0 of %d run", homes, each, n),
		fmt.Sprintf("the same copies with a reading that shows the first machine's hardware: %d of %d run", blind, n))
}
