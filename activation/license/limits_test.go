package license

import (
	"encoding/json"
	"testing"
)

// TestLimits holds every field at and over its limit, on opening (a genuine
// signature over the changed payload) and on sealing.
func TestLimits(t *testing.T) {
	f := newFixture(t)
	ks := must[*KeySet](t)(OpenKeySet(f.anchor, nil, f.keySetEnv))
	kinds := []struct {
		name, mediaType string
		env             []byte
		list            []mutation
		signers         []Signer
		open            func([]byte) error
		seal            func([]byte) error
	}{
		{
			"license", TypeLicense, f.licenseEnv, licenseLimits(f),
			[]Signer{f.licenseKey},
			func(b []byte) error { return zeroOnError(t)(ks.OpenLicense(b)) },
			func(p []byte) error {
				return sealed(t, p, func(c Claims) ([]byte, error) { return SealLicense(c, f.licenseKey) })
			},
		},
		{
			"notice", TypeNotice, f.noticeEnv, noticeLimits(f),
			[]Signer{f.noticeKey},
			func(b []byte) error { _, err := ks.OpenNotice(b); return err },
			func(p []byte) error {
				return sealed(t, p, func(n Notice) ([]byte, error) { return SealNotice(n, f.noticeKey) })
			},
		},
		{
			"proof", TypeProof, f.proofEnv, proofLimits(f),
			[]Signer{f.device},
			func(b []byte) error { _, err := OpenProof(f.device.Public(), b); return err },
			func(p []byte) error {
				return sealed(t, p, func(q Proof) ([]byte, error) { return SealProof(q, f.device) })
			},
		},
		{
			"request", TypeRequest, f.requestEnv, requestLimits(f),
			[]Signer{f.device},
			func(b []byte) error { _, err := OpenRequest(b); return err },
			func(p []byte) error {
				return sealed(t, p, func(r Request) ([]byte, error) { return SealRequest(r, f.device) })
			},
		},
		{
			"keyset", TypeKeySet, f.keySetEnv, keySetLimits(f), f.roots[:2],
			func(b []byte) error { _, err := OpenKeySet(f.anchor, nil, b); return err },
			func(p []byte) error {
				return sealed(t, p, func(k KeySet) ([]byte, error) { return SealKeySet(k, f.roots[:2]...) })
			},
		},
	}
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			applyAll(t, payloadOf(t, k.env, k.mediaType), k.list, func(m mutation, changed string) {
				err := k.open(sealRaw(t, k.mediaType, []byte(changed), k.signers...))
				if got := Code(err); got != m.want && !(err == nil && m.want == "ok") {
					t.Errorf("%s: opening gives %q, want %q (%v)", m.name, got, m.want, err)
				}
				err = k.seal([]byte(changed))
				switch m.want {
				case "limits", "device":
					if Code(err) != m.want {
						t.Errorf("%s: sealing gives %q, want %q", m.name, Code(err), m.want)
					}
				case "ok":
					if err != nil {
						t.Errorf("%s: sealing: %v", m.name, err)
					}
				}
			})
		})
	}
}

// TestNumbersOnSealing: a number that no opener takes is not sealed either.
func TestNumbersOnSealing(t *testing.T) {
	f := newFixture(t)
	for _, n := range []int64{-1, maxInt + 1, 1 << 62} {
		c := f.claims
		c.Limits = []Limit{{"a", n}}
		if b, err := SealLicense(c, f.licenseKey); Code(err) != "limits" || b != nil {
			t.Errorf("limit %d: %v", n, err)
		}
		b, err := Seal(TypeBundle, Limit{"a", n}, f.bundleKey)
		if Code(err) != "payload" || b != nil {
			t.Errorf("bundle with %d: %v", n, err)
		}
	}
	for name, bad := range map[string]any{"null": struct{ A []int }{}, "float": 1.5, "separator": "\u2028", "channel": make(chan int)} {
		if b, err := Seal(TypeBundle, bad, f.bundleKey); Code(err) != "payload" || b != nil {
			t.Errorf("bundle with %s: %v", name, err)
		}
	}
}

// sealed reads a payload leniently and hands it to a seal function.
func sealed[T any](t *testing.T, payload []byte, seal func(T) ([]byte, error)) error {
	t.Helper()
	var v T
	if json.Unmarshal(payload, &v) != nil {
		return nil // not a value of this type: the opening side is the test
	}
	b, err := seal(v)
	if err != nil && b != nil {
		t.Error("bytes beside an error")
	}
	return err
}

func zeroOnError(t *testing.T) func(*Claims, error) error {
	return func(c *Claims, err error) error {
		t.Helper()
		if (err != nil) != (c == nil) {
			t.Errorf("claims %v with error %v", c != nil, err)
		}
		return err
	}
}
