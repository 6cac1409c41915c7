package license

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
)

// sorted walks a map in the order of its keys: the file must not change from
// run to run.
func sorted[T any](m map[string]T) iter.Seq2[string, T] {
	return func(yield func(string, T) bool) {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			if !yield(k, m[k]) {
				return
			}
		}
	}
}

// keySets: thresholds, rotation, rollback, revoked and not yet used keys.
func (g *generator) keySets() {
	f, t := g.f, g.t
	r := f.roots
	stranger := edSigner(t, "stranger")
	signedBy := func(ks KeySet, signers ...Signer) []byte {
		ks.normalise()
		return sealRaw(t, TypeKeySet, must[[]byte](t)(encodeCanonical(&ks)), signers...)
	}
	add := func(name, want, prev string, env []byte) {
		v := g.open("keyset", name, want, env)
		v.Prev = prev
		g.add(v)
	}
	add("threshold: one of three", "threshold", "", signedBy(f.keySet, r[0]))
	add("threshold: one key twice", "threshold", "", signedBy(f.keySet, r[0], r[0]))
	add("threshold: one root and a stranger", "threshold", "", signedBy(f.keySet, r[0], stranger))
	add("threshold: one root and a license key", "threshold", "", signedBy(f.keySet, r[0], f.licenseKey))
	add("threshold: all three", "ok", "", signedBy(f.keySet, r[0], r[1], r[2]))
	add("threshold: the other two", "ok", "", signedBy(f.keySet, r[2], r[1]))
	e := must[envelope](t)(parseEnvelope(f.keySetEnv, TypeKeySet))
	e.signatures[1] = signature{KeyID(r[2].Public()), e.signatures[0].sig}
	add("threshold: one signature under two key ids", "threshold", "", e.encode())
	own := f.keySet
	own.Roots = rootKeys(1, stranger)
	add("own roots did not sign", "threshold", "", signedBy(own, r[0], r[1]))
	add("roots replaced, both signed", "ok", "", signedBy(own, r[0], r[1], stranger))
	next := f.keySet
	next.Version = 8
	add("next version", "ok", "@keyset", signedBy(next, r[0], r[1]))
	next.Version = 80
	add("version skipped", "ok", "@keyset", signedBy(next, r[0], r[1]))
	add("same version again", "ok", "@keyset", f.keySetEnv)
	older := f.keySet
	older.Version = 6
	add("older version", "keyset-rollback", "@keyset", signedBy(older, r[0], r[1]))
	other := f.keySet
	other.RevokedLic = nil
	add("other content under the same version", "keyset-rollback", "@keyset", signedBy(other, r[0], r[1]))
	four := edSigner(t, "root 4")
	rotated := next
	rotated.Version, rotated.Roots = 8, rootKeys(2, r[1], r[2], four)
	g.file.Data["keyset rotated"] = string(signedBy(rotated, r[1], r[2]))
	add("rotation: roots 2 3 4 signed by 2 and 3", "ok", "@keyset", []byte(g.file.Data["keyset rotated"]))
	rotated.Version = 9
	add("rotation: next one by 2 and 4 lacks the anchor's threshold", "threshold", "@keyset rotated", signedBy(rotated, r[1], four))
	add("rotation: next one by 1 and 2 lacks the threshold of the set before", "threshold", "@keyset rotated", signedBy(rotated, r[0], r[1]))
	add("rotation: next one by 1, 2 and 4", "ok", "@keyset rotated", signedBy(rotated, r[0], r[1], four))

	revoked := f.keySet
	revoked.Revoked = slices.Sorted(slices.Values([]string{f.keySet.Revoked[0], KeyID(f.licenseKey.Public())}))
	late, void, two := f.keySet, f.keySet, f.keySet
	late.Keys, void.Keys = slices.Clone(f.keySet.Keys), slices.Clone(f.keySet.Keys)
	second := edSigner(t, "second license key")
	two.Keys = sortedKeys(append(slices.Clone(f.keySet.Keys), online(second, UseLicense))...)
	two.Revoked = revoked.Revoked
	for i := range late.Keys {
		late.Keys[i].NotBefore = t0 + 1
		void.Keys[i].MinIssued = t0 + 1
	}
	twice := sealRaw(t, TypeLicense, []byte(payloadOf(t, f.licenseEnv, TypeLicense)), f.licenseKey, second)
	for _, c := range []struct {
		name, want string
		ks         KeySet
		env        []byte
	}{
		{"key revoked", "key-revoked", revoked, f.licenseEnv},
		{"key of the same second as the license", "ok", f.keySet, f.licenseEnv},
		{"key used from one second later", "key-not-yet", late, f.licenseEnv},
		{"license one second older than the key's minimum", "key-revoked", void, f.licenseEnv},
		{"one of two keys revoked", "ok", two, twice},
	} {
		v := vector{Name: "license: " + c.name, Op: "license", Anchor: "@anchor", KeySet: string(signedBy(c.ks, r[0], r[1])), Want: c.want}
		g.add(v.input(c.env))
	}
	g.add(vector{Name: "notice: key used from one second later", Op: "notice", Anchor: "@anchor", Want: "ok", KeySet: string(signedBy(late, r[0], r[1]))}.input(f.noticeEnv))
	g.file.Data["keyset without license key"] = string(signedBy(revoked, r[0], r[1]))
}

// anchors: the file that people may indent and nothing more.
func (g *generator) anchors(good string) {
	var indented strings.Builder
	enc := json.NewEncoder(&indented)
	enc.SetIndent("", "  ")
	if err := enc.Encode(g.f.anchor); err != nil {
		g.t.Fatal(err)
	}
	root := g.f.anchor.Roots.Keys[0].Pub
	pem := `,"tls_roots":"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"}`
	list := []mutation{
		{"without line end", "\n", "", "ok"},
		{"indented", good, indented.String(), "ok"},
		{"tabs and line ends", `{"v"`, "\t{\r\n\"v\"", "ok"},
		{"without merchant", `,"merchant":"https://license.acme.example"`, "", "ok"},
		{"with TLS roots", "}\n", pem, "ok"},
		{"one of one", `"threshold":2`, `"threshold":1`, "ok"},
		{"empty", good, "", ""},
		{"null", good, "null", ""},
		{"version 2", `"v":1`, `"v":2`, ""},
		{"issuer in capitals", `"acme"`, `"ACME"`, ""},
		{"threshold 0", `"threshold":2`, `"threshold":0`, ""},
		{"threshold above the number of keys", `"threshold":2`, `"threshold":4`, ""},
		{"root listed twice", g.f.anchor.Roots.Keys[1].Pub, root, ""},
		{"root of small order", `"pub":"` + root + `"`, weakKey, ""},
		{"unknown member", `"v":1`, `"v":1,"x":1`, ""},
		{"member twice", `"threshold":2`, `"threshold":1,"threshold":2`, ""},
		{"members swapped", `"v":1,"iss":"acme"`, `"iss":"acme","v":1`, ""},
		{"merchant without TLS", "https://", "http://", ""},
		{"merchant empty", `"https://license.acme.example"`, `""`, ""},
		{"merchant with an escaped slash", "https://", `https:\/\/`, ""},
		{"TLS roots not PEM", "}\n", `,"tls_roots":"MIIB"}`, ""},
		{"TLS roots with CR LF", "}\n", strings.ReplaceAll(pem, `\n`, `\r\n`), ""},
		{"comment", `{"v"`, "// root keys\n{\"v\"", ""},
		{"too large", "\n", strings.Repeat("\n", maxAnchor), ""},
	}
	g.add(vector{Name: "anchor: genuine", Op: "anchor", Input: "@anchor", Want: "ok", Result: &vecResult{Payload: strings.TrimSpace(good)}})
	for _, m := range list {
		if m.want == "" {
			m.want = "anchor"
		}
		g.add(vector{Name: "anchor: " + m.name, Op: "anchor", Input: m.apply(g.t, good), Want: m.want})
	}
}

// checks: what a program does with an answer, and the fakes it must refuse.
func (g *generator) checks() {
	f, t := g.f, g.t
	day1 := t0 + day
	base := vecOptions{Product: "planner", NonceHex: hex.EncodeToString(f.nonce), Now: day1}
	ok := func(state, reason string, runs, expired bool, at int64) *vecResult {
		return &vecResult{State: state, Reason: reason, Runs: &runs, KeySetExpired: &expired, Time: at}
	}
	valid := ok("valid", "", true, false, day1)
	add := func(name, want string, r *vecResult, change func(v *vector, o *vecOptions)) {
		o := base
		v := vector{Name: "check: " + name, Op: "check", Anchor: "@anchor", KeySet: "@keyset", License: "@license", Proof: "@proof", Want: want, Result: r}
		change(&v, &o)
		v.Options = &o
		g.add(v)
		if v.Op == "check" && want == "ok" && r.Runs != nil && *r.Runs && v.Proof == "@proof" && o.Now >= day1 {
			v.Name, v.Op, v.Proof = "files: "+name, "files", ""
			g.add(v)
		}
	}
	proof := func(change func(p *Proof)) string {
		p := f.proof
		change(&p)
		return string(must[[]byte](t)(SealProof(p, f.device)))
	}
	add("genuine", "ok", valid, func(v *vector, o *vecOptions) {})
	add("after 5 seconds", "ok", valid, func(v *vector, o *vecOptions) { o.AgeMS = 5000 })
	add("after 5.001 seconds", "stale", nil, func(v *vector, o *vecOptions) { o.AgeMS = 5001 })
	add("before the question", "stale", nil, func(v *vector, o *vecOptions) { o.AgeMS = -1 })
	add("recorded answer: other nonce", "nonce", nil, func(v *vector, o *vecOptions) { o.NonceHex = strings.Repeat("ab", 32) })
	add("nonce of 31 bytes", "options", nil, func(v *vector, o *vecOptions) { o.NonceHex = strings.Repeat("ab", 31) })
	add("no product", "options", nil, func(v *vector, o *vecOptions) { o.Product = "" })
	add("other product", "product", nil, func(v *vector, o *vecOptions) { o.Product = "painter" })
	add("proof for another product", "product", nil, func(v *vector, o *vecOptions) { v.Proof = proof(func(p *Proof) { p.Product = "painter" }) })
	add("proof for another license", "hash", nil, func(v *vector, o *vecOptions) {
		v.Proof = proof(func(p *Proof) { p.License = strings.Repeat("0", 64) })
	})
	add("proof by another device", "signature", nil, func(v *vector, o *vecOptions) {
		v.Proof = string(must[[]byte](t)(SealProof(f.proof, edSigner(t, "stranger"))))
	})
	add("no proof", "envelope", nil, func(v *vector, o *vecOptions) { v.Proof = "" })
	add("license in place of the proof", "media-type", nil, func(v *vector, o *vecOptions) { v.Proof = "@license" })
	forged := func(v *vector) {
		ks, mine := f.keySet, []Signer{edSigner(t, "pirate 1"), edSigner(t, "pirate 2")}
		ks.Roots = rootKeys(2, mine...)
		v.KeySet = string(must[[]byte](t)(SealKeySet(ks, mine...)))
	}
	add("key set by a self-made root", "threshold", nil, func(v *vector, o *vecOptions) { forged(v) })
	add("expected issuer", "ok", valid, func(v *vector, o *vecOptions) { o.Issuer = "acme" })
	add("other issuer expected", "issuer", nil, func(v *vector, o *vecOptions) { o.Issuer = "umbrella" })
	add("key set as remembered", "ok", valid, func(v *vector, o *vecOptions) { o.MinKeySet = 7 })
	add("key set older than remembered", "keyset-rollback", nil, func(v *vector, o *vecOptions) { o.MinKeySet = 8 })
	add("license key revoked", "key-revoked", nil, func(v *vector, o *vecOptions) { v.KeySet = "@keyset without license key" })
	add("license id revoked", "ok", ok("not-valid", "license-revoked", false, false, day1), func(v *vector, o *vecOptions) {
		ks := f.keySet
		ks.RevokedLic = []string{"lic-0001"}
		v.KeySet = string(must[[]byte](t)(SealKeySet(ks, f.roots[:2]...)))
	})
	add("agent says suspended", "ok", ok("valid", "", false, false, day1), func(v *vector, o *vecOptions) {
		v.Proof = proof(func(p *Proof) { p.Phase, p.Runs = "suspended", false })
	})
	add("program's clock set back", "ok", valid, func(v *vector, o *vecOptions) { o.Now = 0 })
	add("both clocks set back: server time holds", "ok", ok("valid", "", true, false, t0), func(v *vector, o *vecOptions) {
		o.Now = 1
		v.Proof = proof(func(p *Proof) { p.Time = 2 })
	})
	add("agent's clock ahead", "ok", ok("not-valid", "grace-ended", false, false, t0+44*day), func(v *vector, o *vecOptions) {
		v.Proof = proof(func(p *Proof) { p.Time = t0 + 44*day })
	})
	// Two faults at once: the step that SPEC.md section 8 takes first must be the one that says no.
	add("order: root before version", "threshold", nil, func(v *vector, o *vecOptions) { forged(v); o.MinKeySet = 8 })
	add("order: root before expiry", "threshold", nil, func(v *vector, o *vecOptions) { forged(v); o.Now = f.keySet.Expires + 800*day })
	add("order: version before expiry", "keyset-rollback", nil, func(v *vector, o *vecOptions) { o.MinKeySet, o.Now = 8, f.keySet.Expires+800*day })
	add("order: key set before license", "keyset-expired", nil, func(v *vector, o *vecOptions) { v.License, o.Now = "{}", f.keySet.Expires+800*day })
	add("order: license before its product", "envelope", nil, func(v *vector, o *vecOptions) { v.License, o.Product = "{}", "painter" })
	add("order: product before proof", "product", nil, func(v *vector, o *vecOptions) { v.Proof, o.Product = "", "painter" })
	add("order: signature of the proof before its nonce", "signature", nil, func(v *vector, o *vecOptions) {
		v.Proof = string(must[[]byte](t)(SealProof(f.proof, edSigner(t, "stranger"))))
		o.NonceHex = strings.Repeat("ab", 32)
	})
	add("order: nonce before product", "nonce", nil, func(v *vector, o *vecOptions) {
		v.Proof = proof(func(p *Proof) { p.Product = "painter" })
		o.NonceHex = strings.Repeat("ab", 32)
	})
	add("order: product before hash", "product", nil, func(v *vector, o *vecOptions) {
		v.Proof = proof(func(p *Proof) { p.Product, p.License = "painter", strings.Repeat("0", 64) })
	})
	add("order: hash before age", "hash", nil, func(v *vector, o *vecOptions) {
		v.Proof = proof(func(p *Proof) { p.License = strings.Repeat("0", 64) })
		o.AgeMS = 5001
	})
	add("order: age before time", "stale", nil, func(v *vector, o *vecOptions) {
		v.Proof = proof(func(p *Proof) { p.Time = t0 + 44*day })
		o.AgeMS = 5001
	})
	end := f.keySet.Expires
	long := f.claims
	long.RenewBy, long.GraceUntil, long.Expires = end+900*day, end+900*day, NoEnd
	longEnv := string(must[[]byte](t)(SealLicense(long, f.licenseKey)))
	for _, c := range []struct {
		name           string
		now, tolerance int64
		want           string
		expired        bool
	}{
		{"one second before its expiry", end - 1, 1, "ok", false},
		{"at its expiry, tolerance 1 s", end, 1, "ok", true},
		{"one second after, tolerance 1 s", end + 1, 1, "keyset-expired", true},
		{"400 days after less a second, usual tolerance", end + 400*day - 1, 0, "ok", true},
		{"400 days after, usual tolerance", end + 400*day, 0, "keyset-expired", true},
	} {
		o := base
		o.Now, o.Tolerance = c.now, c.tolerance
		v := vector{Name: "files: key set " + c.name, Op: "files", Anchor: "@anchor", KeySet: "@keyset", License: longEnv, Options: &o, Want: c.want}
		if c.want == "ok" {
			v.Result = ok("valid", "", true, c.expired, c.now)
		}
		g.add(v)
	}
}

// times: every boundary at -1, 0 and +1 second, in the usual order of the
// dates and with the entitlement ending inside the grace time and before it.
func (g *generator) times() {
	type span struct{ nbf, ren, grc, exp int64 }
	for name, s := range sorted(map[string]span{
		"end after grace":             {t0, t0 + 30*day, t0 + 44*day, t0 + 365*day},
		"end inside grace":            {t0, t0 + 30*day, t0 + 44*day, t0 + 40*day},
		"end before renew-by":         {t0, t0 + 30*day, t0 + 44*day, t0 + 10*day},
		"end and grace together":      {t0, t0 + 30*day, t0 + 44*day, t0 + 44*day},
		"no grace":                    {t0, t0 + 30*day, t0 + 30*day, t0 + 365*day},
		"without end":                 {t0, t0 + 30*day, t0 + 44*day, NoEnd},
		"never valid: grace at begin": {t0, t0, t0, t0 + 365*day},
	}) {
		for _, b := range []struct {
			name string
			at   int64
		}{{"nbf", s.nbf}, {"ren", s.ren}, {"grc", s.grc}, {"exp", s.exp}} {
			for d := int64(-1); d <= 1; d++ {
				t := b.at + d
				state, reason := "valid", ""
				switch { // written out once more: SPEC.md section 7
				case t < s.nbf:
					state, reason = "not-valid", "not-yet-valid"
				case t >= s.exp:
					state, reason = "not-valid", "entitlement-ended"
				case t >= s.grc:
					state, reason = "not-valid", "grace-ended"
				case t >= s.ren:
					state = "valid-stale"
				}
				g.add(vector{
					Name: fmt.Sprintf("time: %s, %s%+d", name, b.name, d), Op: "time",
					Times: &vecTimes{s.nbf, s.ren, s.grc, s.exp, t}, Want: "ok", Result: &vecResult{State: state, Reason: reason},
				})
			}
		}
	}
}
