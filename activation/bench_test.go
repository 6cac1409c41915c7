package activation_test

import (
	"testing"

	"licenseagent.example/activation"
	"licenseagent.example/activation/activationtest"
)

// BenchmarkCheck is one fresh proof inside the process: the floor of what the
// local API can answer.
func BenchmarkCheck(b *testing.B) {
	m := activationtest.NewMachine("bench")
	merchant := activationtest.NewMerchant("acme", m.Clock.Wall)
	merchant.AddCode(code, activationtest.Offer{})
	a, err := m.Agent(merchant)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := a.Activate(b.Context(), activation.ActivateOptions{Code: code}); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		n := nonce(1)
		for pb.Next() {
			if _, err := a.Check("studio", "acme", n); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// BenchmarkHeld is a status without a proof.
func BenchmarkHeld(b *testing.B) {
	m := activationtest.NewMachine("bench")
	merchant := activationtest.NewMerchant("acme", m.Clock.Wall)
	merchant.AddCode(code, activationtest.Offer{})
	a, err := m.Agent(merchant)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := a.Activate(b.Context(), activation.ActivateOptions{Code: code}); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if len(a.Held()) != 1 {
			b.Fatal("the license is gone")
		}
	}
}

// BenchmarkDecide is the decision alone.
func BenchmarkDecide(b *testing.B) {
	in := base()
	b.ReportAllocs()
	for b.Loop() {
		if v := activation.Decide(in); !v.Runs {
			b.Fatal(v)
		}
	}
}
