package activation

import (
	"fmt"

	"licenseagent.example/activation/license"
)

// Poll is the signed question whether the merchant has something new to say
// about a license, and the id it is asked under. It changes nothing and may be
// asked at any time. Errors: ErrNotActivated when none is held or the merchant
// has nothing more to say about it, ErrKind from the signer.
func (l *Lifecycle) Poll(key Key) (licenseID string, envelope []byte, err error) {
	e := l.snap.Load().exact(key)
	if e == nil || e.claims == nil || e.rec.NextTry == 0 {
		return "", nil, ErrNotActivated
	}
	envelope, err = license.SealPoll(license.Poll{
		V: 1, Issuer: key.Issuer, License: e.claims.ID, Device: l.deviceID, Time: max(l.cfg.Clock().Wall, 0),
	}, l.cfg.Device)
	if err != nil {
		return "", nil, fmt.Errorf("%w: %w", ErrKind, err)
	}
	return e.claims.ID, envelope, nil
}
