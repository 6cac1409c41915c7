package merchant

import (
	"context"

	"licenseagent.example/activation/license"
)

// BundleKey returns the key that signs vendor bundles now and the key set that
// lists it. It returns ErrNotInitialised without keys, and the refusal
// keys-expired when no key of use "bundle" may sign.
func (s *Service) BundleKey(ctx context.Context) (license.Signer, []byte, error) {
	var signer license.Signer
	var set []byte
	err := s.change(ctx, func(t *tx) (err error) {
		if signer, err = t.keys.signer(license.UseBundle, t.now); err != nil {
			return err
		}
		set = t.keys.envelope
		return t.audit("operator", "bundle.sign", license.KeyID(signer.Public()), nil)
	})
	return signer, set, err
}
