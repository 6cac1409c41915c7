package license

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestSealOpen seals every kind and opens it again, for both device
// algorithms: what comes out is what went in, nil lists as empty ones.
func TestSealOpen(t *testing.T) {
	for name, device := range map[string]Signer{"ed25519": edSigner(t, "device"), "p256": newP256Signer(t, "tpm device")} {
		t.Run(name, func(t *testing.T) {
			f := newFixtureFor(t, device)
			ks := must[*KeySet](t)(OpenKeySet(f.anchor, nil, f.keySetEnv))
			f.keySet.normalise()
			f.request.normalise()
			same(t, &f.keySet, ks)
			same(t, &f.claims, must[*Claims](t)(ks.OpenLicense(f.licenseEnv)))
			same(t, &f.notice, must[*Notice](t)(ks.OpenNotice(f.noticeEnv)))
			same(t, &f.request, must[*Request](t)(OpenRequest(f.requestEnv)))
			same(t, &f.proof, must[*Proof](t)(OpenProof(device.Public(), f.proofEnv)))
			now := time.Unix(t0, 0)
			r := must[*Checked](t)(VerifyCheck(f.anchor, CheckOptions{
				Product: "planner", Nonce: f.nonce, Now: t0, Asked: now, Arrived: now.Add(MaxAge),
			}, f.licenseEnv, f.keySetEnv, f.proofEnv))
			if !r.Runs || r.State != Valid || r.Time != f.proof.Time {
				t.Errorf("genuine answer: %+v", r)
			}
			b := must[[]byte](t)(Seal(TypeBundle, &Limit{"a<b>&c", 1}, f.bundleKey))
			var l Limit
			if err := ks.OpenBundle(b, &l); err != nil || l.Name != "a<b>&c" {
				t.Errorf("bundle: %v %v", l, err)
			}
		})
	}
}

func same[T any](t *testing.T, want, got T) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("differs (-want +got):\n%s", d)
	}
}
