package license

import (
	"fmt"
	"strings"
	"testing"
)

// names writes a JSON list of n different sorted names.
func names(n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf(`"f%04d"`, i)
	}
	return "[" + strings.Join(list, ",") + "]"
}

func hashes(n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf(`"%064x"`, i)
	}
	return "[" + strings.Join(list, ",") + "]"
}

const (
	weakKey   = `"pub":"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="` // the neutral point
	feats     = `"feat":["export","reports"]`
	lims      = `"lim":[{"name":"max-projects","value":100},{"name":"max-users","value":25}]`
	firstWght = `"w":{"board":40,"disk":25,"mac":25,"cpu":10},"min":60,"floor":50`
)

// licenseLimits are single fields of a license at and over their limits.
func licenseLimits(f *fixture) []mutation {
	fp := payloadPart(f, `"fp":`, `,"pol"`)
	mac := payloadPart(f, `{"kind":"mac"`, `,{"kind":"board"`)
	board := payloadPart(f, `{"kind":"board"`, `],"pol"`)
	dk := `"dk":{"alg":"ed25519","pub":"` + f.device.Public().Pub + `"}`
	salt := `"salt":"` + f.claims.Device.Salt + `"`
	return []mutation{
		{"version 0", `"v":1`, `"v":0`, "limits"},
		{"version 2", `"v":1`, `"v":2`, "limits"},
		{"issuer empty", `"iss":"acme"`, `"iss":""`, "limits"},
		{"issuer in capitals", `"iss":"acme"`, `"iss":"Acme"`, "limits"},
		{"issuer with a slash", `"iss":"acme"`, `"iss":"acme/x"`, "limits"},
		{"issuer starts with a dot", `"iss":"acme"`, `"iss":"..acme"`, "limits"},
		{"issuer other", `"iss":"acme"`, `"iss":"umbrella"`, "issuer"},
		{"license id empty", `"lic":"lic-0001"`, `"lic":""`, "limits"},
		{"license id in capitals", `"lic":"lic-0001"`, `"lic":"LIC-0001"`, "ok"},
		{"license id of 64", `"lic":"lic-0001"`, `"lic":"` + strings.Repeat("L", 64) + `"`, "ok"},
		{"license id of 65", `"lic":"lic-0001"`, `"lic":"` + strings.Repeat("L", 65) + `"`, "limits"},
		{"license id with a space", `"lic":"lic-0001"`, `"lic":"lic 0001"`, "limits"},
		{"product empty", `"prod":"planner"`, `"prod":""`, "limits"},
		{"product of 64", `"prod":"planner"`, `"prod":"` + strings.Repeat("p", 64) + `"`, "ok"},
		{"product of 65", `"prod":"planner"`, `"prod":"` + strings.Repeat("p", 65) + `"`, "limits"},
		{"product starts with a hyphen", `"prod":"planner"`, `"prod":"-planner"`, "limits"},
		{"product with a quote", `"prod":"planner"`, `"prod":"plan\"ner"`, "limits"},
		{"product with a backslash", `"prod":"planner"`, `"prod":"plan\\ner"`, "limits"},
		{"edition empty", `"ed":"pro"`, `"ed":""`, "ok"},
		{"edition with a space", `"ed":"pro"`, `"ed":"pro max"`, "limits"},
		{"no seat", `"seats":5`, `"seats":0`, "limits"},
		{"one seat", `"seats":5`, `"seats":1`, "ok"},
		{"10^9 seats", `"seats":5`, `"seats":1000000000`, "ok"},
		{"10^9+1 seats", `"seats":5`, `"seats":1000000001`, "limits"},
		{"no feature", feats, `"feat":[]`, "ok"},
		{"64 features", feats, `"feat":` + names(64), "ok"},
		{"65 features", feats, `"feat":` + names(65), "limits"},
		{"features not sorted", feats, `"feat":["reports","export"]`, "limits"},
		{"feature twice", feats, `"feat":["export","export"]`, "limits"},
		{"feature empty", feats, `"feat":["","export"]`, "limits"},
		{"feature in capitals", feats, `"feat":["Export"]`, "limits"},
		{"no limit", lims, `"lim":[]`, "ok"},
		{"limits not sorted", lims, `"lim":[{"name":"b","value":1},{"name":"a","value":1}]`, "limits"},
		{"limit twice", lims, `"lim":[{"name":"a","value":1},{"name":"a","value":2}]`, "limits"},
		{"limit name empty", lims, `"lim":[{"name":"","value":1}]`, "limits"},
		{"limit of 2^53-1", lims, `"lim":[{"name":"a","value":9007199254740991}]`, "ok"},
		{"limit of 2^53", lims, `"lim":[{"name":"a","value":9007199254740992}]`, "payload"},
		{"environment unknown", `"env":"physical"`, `"env":"toaster"`, "limits"},
		{"environment container", `"env":"physical"`, `"env":"container"`, "ok"},
		{"fingerprint rules 2", `"fpv":1`, `"fpv":2`, "limits"},
		{"salt empty", salt, `"salt":""`, "limits"},
		{"salt of 31 bytes", salt, `"salt":"` + encode64(make([]byte, 31)) + `"`, "limits"},
		{"salt in URL-safe base64", salt, strings.Replace(salt, "+", "-", 1), "limits"},
		{"salt without padding", salt, strings.Replace(salt, "=", "", 1), "limits"},
		{"salt with unused bits set", salt, `"salt":"` + strings.Repeat("A", 42) + `B="`, "limits"},
		{"no part", fp, `"fp":[]`, "ok"},
		{"part twice", board, mac, "limits"},
		{"parts in another order", fp, `"fp":[` + board + "," + mac + "]", "limits"},
		{"part unknown", `{"kind":"board"`, `{"kind":"bios"`, "limits"},
		{"part without hashes", board, `{"kind":"board","h":[]}`, "limits"},
		{"16 hashes", board, `{"kind":"board","h":` + hashes(16) + `}`, "ok"},
		{"17 hashes", board, `{"kind":"board","h":` + hashes(17) + `}`, "limits"},
		{"hash in capitals", board, `{"kind":"board","h":["` + strings.Repeat("A", 64) + `"]}`, "limits"},
		{"hash of 63 digits", board, `{"kind":"board","h":["` + strings.Repeat("a", 63) + `"]}`, "limits"},
		{"hashes not sorted", board, `{"kind":"board","h":["` + strings.Repeat("b", 64) + `","` + strings.Repeat("a", 64) + `"]}`, "limits"},
		{"hash twice", board, `{"kind":"board","h":["` + strings.Repeat("b", 64) + `","` + strings.Repeat("b", 64) + `"]}`, "limits"},
		{"policy without name", `"name":"balanced"`, `"name":""`, "limits"},
		{"required parts", `"req":[]`, `"req":["board","cpu","disk","mac"]`, "ok"},
		{"required parts not sorted", `"req":[]`, `"req":["mac","board"]`, "limits"},
		{"required part unknown", `"req":[]`, `"req":["bios"]`, "limits"},
		{"required part twice", `"req":[]`, `"req":["board","board"]`, "limits"},
		{"weight of 1000", firstWght, strings.Replace(firstWght, "40", "1000", 1), "ok"},
		{"weight of 1001", firstWght, strings.Replace(firstWght, "40", "1001", 1), "limits"},
		{"minimum 0", firstWght, strings.Replace(firstWght, `"min":60`, `"min":0`, 1), "limits"},
		{"minimum 100", firstWght, strings.Replace(firstWght, `"min":60`, `"min":100`, 1), "ok"},
		{"minimum 101", firstWght, strings.Replace(firstWght, `"min":60`, `"min":101`, 1), "limits"},
		{"floor 0", firstWght, strings.Replace(firstWght, `"floor":50`, `"floor":0`, 1), "ok"},
		{"floor 101", firstWght, strings.Replace(firstWght, `"floor":50`, `"floor":101`, 1), "limits"},
		{"device key unknown algorithm", dk, strings.Replace(dk, "ed25519", "ed448", 1), "limits"},
		{"device key of 31 bytes", dk, `"dk":{"alg":"ed25519","pub":"` + encode64(make([]byte, 31)) + `"}`, "limits"},
		{"device key of small order", dk, `"dk":{"alg":"ed25519",` + weakKey + `}`, "limits"},
		{"device key off the P-256 curve", dk, `"dk":{"alg":"p256-sha256","pub":"` + encode64(append([]byte{4}, make([]byte, 64)...)) + `"}`, "limits"},
		{"device id of another key", `"id":"dev:` + f.claims.Device.ID[4:], `"id":"dev:00000000000000000000000000000000`, "device"},
		{"device id with the wrong prefix", `"id":"dev:`, `"id":"sha256:`, "device"},
		{"device id empty", `"id":"` + f.claims.Device.ID, `"id":"`, "limits"},
		{"issued after the year 9999", `"iat":1767225600`, `"iat":253402300800`, "limits"},
		{"issued in 1970", `"iat":1767225600`, `"iat":0`, "key-not-yet"},
		{"without end", `"exp":1798761600`, `"exp":253402300799`, "ok"},
		{"end after the year 9999", `"exp":1798761600`, `"exp":253402300800`, "limits"},
		{"end equals begin", `"exp":1798761600`, `"exp":1767225600`, "limits"},
		{"end one second after begin", `"exp":1798761600`, `"exp":1767225601`, "ok"},
		{"renew-by before begin", `"ren":1769817600`, `"ren":1767225599`, "limits"},
		{"renew-by equals begin", `"ren":1769817600`, `"ren":1767225600`, "ok"},
		{"grace ends before renew-by", `"grc":1771027200`, `"grc":1769817599`, "limits"},
		{"grace ends at renew-by", `"grc":1771027200`, `"grc":1769817600`, "ok"},
		{"sequence 0", `"seq":3`, `"seq":0`, "limits"},
		{"sequence 2^53", `"seq":3`, `"seq":9007199254740992`, "payload"},
		{"head empty", `"head":"` + f.claims.Head, `"head":"`, "limits"},
		{"head of 129", `"head":"` + f.claims.Head, `"head":"` + strings.Repeat("a", 129), "limits"},
		{"head with a space", `"head":"` + f.claims.Head, `"head":"a b`, "limits"},
		{"key set 0", `"ks":7`, `"ks":0`, "limits"},
		{"key set older", `"ks":7`, `"ks":1`, "ok"},
		{"key set newer", `"ks":7`, `"ks":8`, "keyset-too-old"},
		{"nonce empty", `"rn":"` + f.claims.Nonce, `"rn":"`, "limits"},
		{"nonce of 33 bytes", `"rn":"` + f.claims.Nonce, `"rn":"` + encode64(make([]byte, 33)), "limits"},
		{"server time after the year 9999", `"st":1767225600`, `"st":253402300800`, "limits"},
	}
}

// payloadPart cuts the text from start up to (not including) end out of the
// license payload.
func payloadPart(f *fixture, start, end string) string {
	e, err := parseEnvelope(f.licenseEnv, TypeLicense)
	if err != nil {
		panic(err)
	}
	p := string(e.payload)
	p = p[strings.Index(p, start):]
	return p[:strings.Index(p, end)]
}

// applyAll is used by tests and by the vector generator.
func applyAll(t testing.TB, payload string, list []mutation, use func(m mutation, changed string)) {
	t.Helper()
	for _, m := range list {
		use(m, m.apply(t, payload))
	}
}
