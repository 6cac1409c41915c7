package license

// TypePoll is the media type of a Poll.
const TypePoll = "application/vnd.license-agent.poll.v1+json"

// Poll is a device's question whether the merchant has something new to say
// about its license (SPEC.md section 6). The answer is not signed and decides
// nothing: a device that hears "yes" renews, and that answer is signed.
type Poll struct {
	V       int    `json:"v"`   // 1
	Issuer  string `json:"iss"` // the vendor that is asked
	License string `json:"lic"`
	Device  string `json:"dev"`  // DeviceID of the key that signs
	Time    int64  `json:"time"` // the device's wall clock, information only
}

func (p *Poll) validate() error {
	var c checker
	c.that(p.V == 1, "v", "want 1")
	c.name(p.Issuer, "iss")
	c.id(p.License, "lic")
	c.opaque(p.Device, "dev", maxOpaque)
	c.instant(p.Time, "time")
	return c.err
}

// SealPoll checks a poll and signs it with the device key. Errors: a field out
// of its limits, or the signer's.
func SealPoll(p Poll, s Signer) ([]byte, error) {
	if err := p.validate(); err != nil {
		return nil, err
	}
	return seal(TypePoll, &p, []Signer{s})
}

// OpenPoll verifies a poll by the device key that the merchant knows of the
// license. It returns ErrSignature for another key's and ErrDevice for another
// device's name.
func OpenPoll(dk PublicKey, data []byte) (*Poll, error) {
	e, err := parseEnvelope(data, TypePoll)
	if err != nil {
		return nil, err
	}
	if !signedByKey(dk, e, pae(e.mediaType, e.payload)) {
		return nil, ErrSignature
	}
	p := new(Poll)
	if err := decodeCanonical(e.payload, p, lexical{}); err != nil {
		return nil, err
	}
	if err := p.validate(); err != nil {
		return nil, err
	}
	if p.Device != DeviceID(dk) {
		return nil, ErrDevice
	}
	return p, nil
}
