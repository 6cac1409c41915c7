package embed

import (
	"testing"
	"testing/synctest"
	"time"

	"licenseagent.example/activation"
	"licenseagent.example/activation/activationtest"
	"licenseagent.example/activation/license"
	"licenseagent.example/agent"
	"licenseagent.example/agent/api"
)

// Open returns when the contact that comes before the first answer has ended, or
// the wait for it: whoever asks at once is not told no by a machine whose only
// address was made anew.
func TestOpenWaitsForTheFirstContact(t *testing.T) {
	const sold, remade = "FA:16:3E:1B:72:0C", "FA:16:3E:44:55:66"
	for _, c := range []struct {
		name string
		mac  string
		lost int // attempts that do not reach the merchant
		took time.Duration
		runs bool
	}{
		{"nothing to ask", sold, 0, 0, true},
		{"the merchant answers", remade, 0, 3 * time.Second, true},
		{"at the second attempt", remade, 1, 8 * time.Second, true},
		{"it is not there", remade, 99, 20 * time.Second, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				machine := activationtest.NewMachine(c.name)
				merchant := activationtest.NewMerchant("acme", machine.Clock.Wall)
				merchant.AddCode("CODE", activationtest.Offer{})
				released := 0
				boot := func(mac string) *Agent {
					machine.Lone(mac)
					a, err := start(agent.Config{Activation: machine.Config(merchant)}, api.English, func() error { released++; return nil })
					if err != nil {
						t.Fatal(err)
					}
					return a
				}
				first := boot(sold)
				if _, err := first.Activate(t.Context(), api.ActivateRequest{Code: "CODE"}); err != nil {
					t.Fatal(err)
				}
				if err := first.Close(); err != nil {
					t.Fatal(err)
				}
				lost := c.lost
				merchant.Before = func(*license.Request) error {
					time.Sleep(3 * time.Second) // stands for a slow merchant
					if lost--; lost >= 0 {
						return activation.ErrUnreachable
					}
					return nil
				}
				began := time.Now()
				a := boot(c.mac)
				took := time.Since(began)
				if v, err := a.Verdict("studio", ""); err != nil || v.Runs != c.runs || took != c.took {
					t.Errorf("it opens after %v and runs: %v (%v), want %v and %v", took, v.Runs, err, c.took, c.runs)
				}
				if err := a.Close(); err != nil || released != 2 {
					t.Errorf("close: %v, released %d times, want 2", err, released)
				}
			})
		})
	}
}
