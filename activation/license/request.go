package license

import (
	"fmt"
	"strings"

	"licenseagent.example/fingerprint"
)

// Limits of a request. The fingerprint limit is KooGallery's: "5 KB", read as
// 5,000 bytes, which satisfies both readings.
const (
	maxFingerprint = 5000
	maxCode        = 128
	maxAlt         = 256 // bytes of one other spelling
	maxDays        = 400
	maxAgentName   = 64
)

func (r *Request) normalise() {
	r.Parts = append([]ObservedPart{}, r.Parts...)
	for i := range r.Parts {
		r.Parts[i].Alt = some(r.Parts[i].Alt)
	}
	r.Days = some(r.Days)
}

// validate checks every field of a request and that it belongs to its key.
func (r *Request) validate() error {
	var c checker
	c.that(r.V == 1, "v", "want 1")
	c.name(r.Issuer, "iss")
	// Before the first activation the device may know the code only; the
	// merchant knows what the code is for.
	if r.Product != "" || r.Kind == RequestRenew || r.Kind == RequestRelease {
		c.name(r.Product, "prod")
	}
	switch r.Kind {
	case RequestActivate:
		c.that(r.License == "", "lic", "want empty in an activation")
		c.code(r.Code)
	case RequestRebind:
		if r.License != "" {
			c.id(r.License, "lic")
		}
		c.code(r.Code)
	case RequestRenew, RequestRelease:
		c.that(r.Code == "", "code", "want empty here: a code is sent once")
		c.id(r.License, "lic")
	default:
		c.that(false, "kind", "want activate, renew, release or rebind")
	}
	c.opaque(r.Device, "dev", maxOpaque)
	c.key(r.Key, "dk", AlgEd25519, AlgP256)
	c.number(r.Seq, 0, maxInt, "seq")
	c.that((r.Seq == 0) == (r.Head == ""), "head", "want empty exactly when seq is 0")
	if r.Head != "" {
		c.opaque(r.Head, "head", maxOpaque)
	}
	c.base64(r.Nonce, nonceBytes, "n")
	c.visible(r.Fingerprint, 3, maxFingerprint, "fp")
	c.that(strings.Count(r.Fingerprint, "|") == 3, "fp", "want four parts separated by |")
	c.that(isEnv(r.Env), "env", "want physical, vm or container")
	c.observed(r.Parts)
	for _, d := range r.Days {
		c.that(isDay(d), "days", "want YYYY-MM-DD")
	}
	c.ascending(r.Days, maxDays, "days")
	c.number(r.Peak, 0, maxSeats, "peak")
	c.number(r.KeySet, 0, maxInt, "ks")
	c.instant(r.Time, "time")
	c.visible(r.Agent, 0, maxAgentName, "agent")
	if c.err == nil && r.Device != DeviceID(r.Key) {
		return fmt.Errorf("%w: dev", ErrDevice)
	}
	return c.err
}

func (c *checker) code(s string) {
	c.visible(s, 1, maxCode, "code")
	c.that(!strings.Contains(s, " "), "code", "want no space")
}

func (c *checker) observed(parts []ObservedPart) {
	last := -1
	for _, p := range parts {
		at := kindOrder(p.Kind)
		c.that(at > last, "parts", "want mac, disk, board, cpu in this order, each at most once")
		last = at
		switch p.State {
		case fingerprint.OK, fingerprint.Absent, fingerprint.Unreadable, fingerprint.Placeholder:
		default:
			c.that(false, "parts.state", "want ok, absent, unreadable or placeholder")
		}
		for _, a := range p.Alt {
			c.visible(a, 1, maxAlt, "parts.alt")
		}
		c.ascending(p.Alt, fingerprint.MaxHashes, "parts.alt")
	}
}

// isDay checks the shape only: month 01–12, day 01–31. Days are counted, not
// calculated with, and every language can port this.
func isDay(s string) bool {
	if len(s) != 10 || s[4] != '-' || s[7] != '-' {
		return false
	}
	for i := 0; i < len(s); i++ {
		if i != 4 && i != 7 && (s[i] < '0' || s[i] > '9') {
			return false
		}
	}
	month, day := s[5:7], s[8:]
	return "01" <= month && month <= "12" && "01" <= day && day <= "31"
}
