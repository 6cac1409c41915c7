package license

import (
	"testing"
	"time"
)

// BenchmarkSeal and BenchmarkOpen measure one message of each kind on one
// core; the signature is most of it (BenchmarkBare).
func BenchmarkSeal(b *testing.B) {
	f := newFixture(b)
	run := func(name string, seal func() ([]byte, error)) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := seal(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	run("license", func() ([]byte, error) { return SealLicense(f.claims, f.licenseKey) })
	run("keyset-2", func() ([]byte, error) { return SealKeySet(f.keySet, f.roots[0], f.roots[1]) })
	run("notice", func() ([]byte, error) { return SealNotice(f.notice, f.noticeKey) })
	run("proof", func() ([]byte, error) { return SealProof(f.proof, f.device) })
	run("request", func() ([]byte, error) { return SealRequest(f.request, f.device) })
}

func BenchmarkOpen(b *testing.B) {
	f := newFixture(b)
	ks := must[*KeySet](b)(OpenKeySet(f.anchor, nil, f.keySetEnv))
	run := func(name string, open func() error) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := open(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	at := time.Unix(t0, 0)
	opts := CheckOptions{Product: "planner", Nonce: f.nonce, Now: t0, Asked: at, Arrived: at}
	run("license", func() error { _, err := ks.OpenLicense(f.licenseEnv); return err })
	run("keyset-2", func() error { _, err := OpenKeySet(f.anchor, nil, f.keySetEnv); return err })
	run("notice", func() error { _, err := ks.OpenNotice(f.noticeEnv); return err })
	run("proof", func() error { _, err := OpenProof(f.device.Public(), f.proofEnv); return err })
	run("request", func() error { _, err := OpenRequest(f.requestEnv); return err })
	run("check", func() error {
		_, err := VerifyCheck(f.anchor, opts, f.licenseEnv, f.keySetEnv, f.proofEnv)
		return err
	})
}

// BenchmarkBare is the floor: the signature alone.
func BenchmarkBare(b *testing.B) {
	f := newFixture(b)
	message := pae(TypeProof, []byte(payloadOf(b, f.proofEnv, TypeProof)))
	sig := must[[]byte](b)(f.device.Sign(message))
	b.Run("sign", func(b *testing.B) {
		for b.Loop() {
			if _, err := f.device.Sign(message); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("verify", func(b *testing.B) {
		for b.Loop() {
			if !verifySignature(f.device.Public(), message, sig) {
				b.Fatal("refused")
			}
		}
	})
}
