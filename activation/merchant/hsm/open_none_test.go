//go:build !pkcs11

package hsm_test

import (
	"errors"
	"testing"

	"licenseagent.example/activation/merchant/hsm"
)

// A program without PKCS#11 says so; it never falls back on keys in files.
func TestWithoutPKCS11(t *testing.T) {
	keys, err := hsm.Open(hsm.Config{Module: "m", Token: "t", PIN: "p"}, nil)
	if keys != nil || !errors.Is(err, hsm.ErrNotBuilt) {
		t.Errorf("%v, %v", keys, err)
	}
	var none hsm.Keys
	_, created := none.Create()
	_, loaded := none.Load("sha256:00")
	for _, err := range []error{created, loaded, none.Remove("sha256:00")} {
		if !errors.Is(err, hsm.ErrNotBuilt) {
			t.Error(err)
		}
	}
	if err := none.Close(); err != nil {
		t.Error(err)
	}
}
