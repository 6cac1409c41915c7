package license

import (
	"encoding/base64"
	"fmt"
	"strings"

	"licenseagent.example/fingerprint"
)

// Limits of single values. Numbers stay below 2^53 because JavaScript keeps
// integers exactly only so far; there are no negative numbers.
const (
	maxInt     = 1<<53 - 1
	maxName    = 64
	maxList    = 64
	maxOpaque  = 128
	maxWeight  = 1000
	maxSeats   = 1_000_000_000
	nonceBytes = 32
	saltBytes  = 32
)

// checker collects the first field outside its limits. Its messages name the
// field, never the value: a request holds an authorization code.
type checker struct{ err error }

func (c *checker) that(ok bool, field, want string) {
	if !ok && c.err == nil {
		c.err = fmt.Errorf("%w: %s: %s", ErrLimits, field, want)
	}
}

// refuse is that for a text with numbers, which is written only when needed.
func (c *checker) refuse(field, want string, numbers ...any) {
	c.that(false, field, fmt.Sprintf(want, numbers...))
}

// name is an identifier that is also safe as a file name and on a command
// line: a–z, 0–9, '.', '_', '-', starting with a letter or digit.
func (c *checker) name(s, field string) {
	c.that(isName(s), field, "want 1 to 64 of a-z 0-9 . _ -, starting with a letter or digit")
}

// id is like name with capital letters: license ids.
func (c *checker) id(s, field string) {
	c.that(isName(strings.ToLower(s)), field, "want 1 to 64 of A-Z a-z 0-9 . _ -, starting with a letter or digit")
}

func (c *checker) opaque(s, field string, limit int) {
	ok := s != "" && len(s) <= limit
	for i := 0; i < len(s); i++ {
		ok = ok && isToken(s[i])
	}
	c.that(ok, field, "want 1 or more of A-Z a-z 0-9 + / = . _ : -")
}

// visible is text of hardware and people: visible ASCII and space.
func (c *checker) visible(s string, least, most int, field string) {
	ok := least <= len(s) && len(s) <= most
	for i := 0; i < len(s); i++ {
		ok = ok && 0x20 <= s[i] && s[i] <= 0x7e
	}
	if !ok {
		c.refuse(field, "want %d to %d visible ASCII characters", least, most)
	}
}

func (c *checker) number(n, least, most int64, field string) {
	if n < least || n > most {
		c.refuse(field, "want %d to %d", least, most)
	}
}

func (c *checker) instant(t int64, field string) { c.number(t, 0, NoEnd, field) }

func (c *checker) base64(s string, size int, field string) {
	if b, err := decode64(s); err != nil || len(b) != size {
		c.refuse(field, "want standard base64 of %d bytes", size)
	}
}

// ascending requires a list that is sorted by bytes without duplicates.
func (c *checker) ascending(list []string, most int, field string) {
	if len(list) > most {
		c.refuse(field, "want at most %d entries", most)
	}
	for i := 1; i < len(list); i++ {
		c.that(list[i-1] < list[i], field, "want sorted by bytes, without duplicates")
	}
}

func (c *checker) key(k PublicKey, field string, algorithms ...string) {
	ok := k.Check() == nil
	known := false
	for _, a := range algorithms {
		known = known || k.Alg == a
	}
	c.that(ok && known, field, "want a usable public key of an allowed algorithm")
}

func isName(s string) bool {
	if s == "" || len(s) > maxName {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		letter := 'a' <= c && c <= 'z' || '0' <= c && c <= '9'
		if !letter && (i == 0 || c != '.' && c != '_' && c != '-') {
			return false
		}
	}
	return true
}

func isEnv(e fingerprint.EnvKind) bool {
	return e == fingerprint.Physical || e == fingerprint.Virtual || e == fingerprint.Container
}

// kindOrder is the place of a part in the string form, -1 for an unknown one.
func kindOrder(k fingerprint.Kind) int {
	switch k {
	case fingerprint.MAC:
		return 0
	case fingerprint.Disk:
		return 1
	case fingerprint.Board:
		return 2
	case fingerprint.CPU:
		return 3
	}
	return -1
}

// normalise replaces nil lists, which JSON would write as null.
func (p *Claims) normalise() {
	p.Features = some(p.Features)
	p.Limits = some(p.Limits)
	p.Device.Parts = append([]fingerprint.Part{}, p.Device.Parts...)
	for i := range p.Device.Parts {
		p.Device.Parts[i].Hashes = some(p.Device.Parts[i].Hashes)
	}
	p.Device.Policy.Physical.Required = some(p.Device.Policy.Physical.Required)
	p.Device.Policy.Virtual.Required = some(p.Device.Policy.Virtual.Required)
}

func some[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// validate checks every field of a license against SPEC.md section 5.
func (p *Claims) validate() error {
	var c checker
	c.that(p.V == 1, "v", "want 1")
	c.name(p.Issuer, "iss")
	c.id(p.ID, "lic")
	c.name(p.Product, "prod")
	if p.Edition != "" {
		c.name(p.Edition, "ed")
	}
	c.number(p.Seats, 1, maxSeats, "seats")
	for _, f := range p.Features {
		c.name(f, "feat")
	}
	c.ascending(p.Features, maxList, "feat")
	names := make([]string, len(p.Limits))
	for i, l := range p.Limits {
		names[i] = l.Name
		c.name(l.Name, "lim.name")
		c.number(l.Value, 0, maxInt, "lim.value")
	}
	c.ascending(names, maxList, "lim")
	c.device(&p.Device)
	c.instant(p.IssuedAt, "iat")
	c.instant(p.NotBefore, "nbf")
	c.instant(p.Expires, "exp")
	c.instant(p.RenewBy, "ren")
	c.instant(p.GraceUntil, "grc")
	c.that(p.NotBefore < p.Expires, "exp", "want after nbf")
	c.that(p.NotBefore <= p.RenewBy, "ren", "want not before nbf")
	c.that(p.RenewBy <= p.GraceUntil, "grc", "want not before ren")
	c.chain(p.Seq, p.Head, p.KeySet, p.Nonce, p.ServerTime)
	if c.err == nil && p.Device.ID != DeviceID(p.Device.Key) {
		return fmt.Errorf("%w: dev.id", ErrDevice)
	}
	return c.err
}

// chain checks what licenses and notices share: each answers one request and
// moves the device chain one step.
func (c *checker) chain(seq int64, head string, keySet int64, nonce string, serverTime int64) {
	c.number(seq, 1, maxInt, "seq")
	c.opaque(head, "head", maxOpaque)
	c.number(keySet, 1, maxInt, "ks")
	c.base64(nonce, nonceBytes, "rn")
	c.instant(serverTime, "st")
}

func (c *checker) device(d *Device) {
	c.opaque(d.ID, "dev.id", maxOpaque)
	c.that(isEnv(d.Env), "dev.env", "want physical, vm or container")
	c.that(d.Version == 1, "dev.fpv", "want 1")
	c.base64(d.Salt, saltBytes, "dev.salt")
	last := -1
	for _, p := range d.Parts {
		at := kindOrder(p.Kind)
		c.that(at > last, "dev.fp", "want mac, disk, board, cpu in this order, each at most once")
		last = at
		c.that(len(p.Hashes) > 0, "dev.fp.h", "want at least one hash")
		c.ascending(p.Hashes, fingerprint.MaxHashes, "dev.fp.h")
		for _, h := range p.Hashes {
			c.that(isHex(h, 64), "dev.fp.h", "want 64 lower-case hex digits")
		}
	}
	c.name(d.Policy.Name, "dev.pol.name")
	c.profile(d.Policy.Physical, "dev.pol.phys")
	c.profile(d.Policy.Virtual, "dev.pol.virt")
	c.key(d.Key, "dev.dk", AlgEd25519, AlgP256)
}

// kinds checks a sorted list of kinds of parts.
func (c *checker) kinds(list []fingerprint.Kind, field string) {
	names := make([]string, len(list))
	for i, k := range list {
		names[i] = string(k)
		c.that(kindOrder(k) >= 0, field, "want mac, disk, board or cpu")
	}
	c.ascending(names, 4, field)
}

func (c *checker) profile(p fingerprint.Profile, field string) {
	c.kinds(p.Required, field+".req")
	for _, w := range []int{p.Weights.Board, p.Weights.Disk, p.Weights.MAC, p.Weights.CPU} {
		c.number(int64(w), 0, maxWeight, field+".w")
	}
	c.number(int64(p.Minimum), 1, 100, field+".min")
	c.number(int64(p.Floor), 0, 100, field+".floor")
}

// validate checks every field of a notice.
func (n *Notice) validate() error {
	var c checker
	c.that(n.V == 1, "v", "want 1")
	c.name(n.Issuer, "iss")
	c.id(n.License, "lic")
	c.name(n.Product, "prod")
	c.opaque(n.Device, "dev", maxOpaque)
	switch n.State {
	case NoticeActive, NoticeSuspended, NoticeRevoked, NoticeReleased, NoticeContested:
	default:
		c.that(false, "state", "want a state of SPEC.md section 6")
	}
	if n.Reason != "" {
		c.name(n.Reason, "reason")
	}
	c.chain(n.Seq, n.Head, n.KeySet, n.Nonce, n.ServerTime)
	return c.err
}

// validate checks every field of a proof.
func (p *Proof) validate() error {
	var c checker
	c.that(p.V == 1, "v", "want 1")
	c.base64(p.Nonce, nonceBytes, "nonce")
	c.name(p.Product, "prod")
	c.that(isHex(p.License, 64), "sha", "want 64 lower-case hex digits")
	runs, known := phaseRuns(p.Phase)
	c.that(known, "phase", "want a phase of SPEC.md section 8")
	c.that(runs == p.Runs, "runs", "want what the phase says")
	c.kinds(p.Missing, "missing")
	c.instant(p.Time, "time")
	c.opaque(p.Boot, "boot", maxOpaque)
	return c.err
}

// phaseRuns says whether a phase lets the product run. A proof always speaks
// of a license held, so "unactivated" is not among them.
func phaseRuns(phase string) (runs, known bool) {
	switch phase {
	case "active", "expiring", "grace":
		return true, true
	case "suspended", "expired", "revoked", "wrong-device", "clock-suspect":
		return false, true
	}
	return false, false
}

func isHex(s string, digits int) bool {
	if len(s) != digits {
		return false
	}
	for i := 0; i < len(s); i++ {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// encode64 is standard base64 with padding.
func encode64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
