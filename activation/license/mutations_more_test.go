package license

import (
	"fmt"
	"strings"
)

func noticeLimits(f *fixture) []mutation {
	return []mutation{
		{"version 2", `"v":1`, `"v":2`, "limits"},
		{"issuer other", `"iss":"acme"`, `"iss":"umbrella"`, "issuer"},
		{"license id empty", `"lic":"lic-0001"`, `"lic":""`, "limits"},
		{"product empty", `"prod":"planner"`, `"prod":""`, "limits"},
		{"device empty", `"dev":"` + f.notice.Device, `"dev":"`, "limits"},
		{"state active", `"state":"suspended"`, `"state":"active"`, "ok"},
		{"state revoked", `"state":"suspended"`, `"state":"revoked"`, "ok"},
		{"state released", `"state":"suspended"`, `"state":"released"`, "ok"},
		{"state contested", `"state":"suspended"`, `"state":"contested"`, "ok"},
		{"state unknown", `"state":"suspended"`, `"state":"paused"`, "limits"},
		{"state in capitals", `"state":"suspended"`, `"state":"Suspended"`, "limits"},
		{"reason empty", `"frozen-by-vendor"`, `""`, "ok"},
		{"reason a sentence", `"frozen-by-vendor"`, `"frozen by vendor"`, "limits"},
		{"reason of 65", `"frozen-by-vendor"`, `"` + strings.Repeat("r", 65) + `"`, "limits"},
		{"sequence 0", `"seq":4`, `"seq":0`, "limits"},
		{"key set newer", `"ks":7`, `"ks":8`, "keyset-too-old"},
		{"dated before the key", `"st":1767312000`, `"st":1`, "key-not-yet"},
		{"null reason", `"frozen-by-vendor"`, `null`, "payload"},
		{"duplicate state", `"state":"suspended"`, `"state":"active","state":"suspended"`, "payload"},
	}
}

func proofLimits(f *fixture) []mutation {
	return []mutation{
		{"version 2", `"v":1`, `"v":2`, "limits"},
		{"nonce of 31 bytes", `"nonce":"` + f.proof.Nonce, `"nonce":"` + encode64(make([]byte, 31)), "limits"},
		{"product empty", `"prod":"planner"`, `"prod":""`, "limits"},
		{"hash in capitals", `"sha":"` + f.proof.License, `"sha":"` + strings.ToUpper(f.proof.License), "limits"},
		{"hash empty", `"sha":"` + f.proof.License, `"sha":"`, "limits"},
		{"phase expiring", `"phase":"active"`, `"phase":"expiring"`, "ok"},
		{"phase grace", `"phase":"active"`, `"phase":"grace"`, "ok"},
		{"phase suspended", `"phase":"active","runs":true`, `"phase":"suspended","runs":false`, "ok"},
		{"phase expired", `"phase":"active","runs":true`, `"phase":"expired","runs":false`, "ok"},
		{"phase revoked", `"phase":"active","runs":true`, `"phase":"revoked","runs":false`, "ok"},
		{"phase wrong-device", `"phase":"active","runs":true`, `"phase":"wrong-device","runs":false`, "ok"},
		{"phase clock-suspect", `"phase":"active","runs":true`, `"phase":"clock-suspect","runs":false`, "ok"},
		{"phase unactivated", `"phase":"active","runs":true`, `"phase":"unactivated","runs":false`, "limits"},
		{"phase unknown", `"phase":"active"`, `"phase":"fine"`, "limits"},
		{"suspended but runs", `"phase":"active"`, `"phase":"suspended"`, "limits"},
		{"active but does not run", `"runs":true`, `"runs":false`, "limits"},
		{"runs as number", `"runs":true`, `"runs":1`, "payload"},
		{"runs as text", `"runs":true`, `"runs":"true"`, "payload"},
		{"runs in capitals", `"runs":true`, `"runs":True`, "payload"},
		{"runs twice", `"runs":true`, `"runs":false,"runs":true`, "payload"},
		{"parts missing", `"missing":[]`, `"missing":["board","cpu","disk","mac"]`, "ok"},
		{"parts missing not sorted", `"missing":[]`, `"missing":["mac","board"]`, "limits"},
		{"part missing unknown", `"missing":[]`, `"missing":["bios"]`, "limits"},
		{"part missing twice", `"missing":[]`, `"missing":["disk","disk"]`, "limits"},
		{"parts missing as text", `"missing":[]`, `"missing":""`, "payload"},
		{"no list of missing parts", `"missing":[],`, ``, "payload"},
		{"time after the year 9999", `"time":1767312000`, `"time":253402300800`, "limits"},
		{"boot empty", `"boot":"boot-1"`, `"boot":""`, "limits"},
	}
}

func requestLimits(f *fixture) []mutation {
	days := make([]string, 401)
	for i := range days {
		days[i] = fmt.Sprintf(`"%04d-%02d-01"`, 2000+i/12, 1+i%12)
	}
	dk := f.device.Public().Pub
	twoDays := `"days":["2026-01-01","2026-01-02"]`
	return []mutation{
		{"version 2", `"v":1`, `"v":2`, "limits"},
		{"kind unknown", `"kind":"renew"`, `"kind":"steal"`, "limits"},
		{"kind release", `"kind":"renew"`, `"kind":"release"`, "ok"},
		{"renewal with a code", `"code":""`, `"code":"PL123"`, "limits"},
		{"renewal without license", `"lic":"lic-0001"`, `"lic":""`, "limits"},
		{"renewal without product", `"prod":"planner"`, `"prod":""`, "limits"},
		{"activation", `"kind":"renew","iss":"acme","prod":"planner","code":"","lic":"lic-0001"`, `"kind":"activate","iss":"acme","prod":"","code":"PL-12_3~x","lic":""`, "ok"},
		{"activation without code", `"kind":"renew","iss":"acme","prod":"planner","code":"","lic":"lic-0001"`, `"kind":"activate","iss":"acme","prod":"","code":"","lic":""`, "limits"},
		{"activation with a license", `"kind":"renew","iss":"acme","prod":"planner","code":"",`, `"kind":"activate","iss":"acme","prod":"","code":"PL1",`, "limits"},
		{"code with a space", `"kind":"renew","iss":"acme","prod":"planner","code":"","lic":"lic-0001"`, `"kind":"activate","iss":"acme","prod":"","code":"PL 1","lic":""`, "limits"},
		{"code of 129", `"kind":"renew","iss":"acme","prod":"planner","code":"","lic":"lic-0001"`, `"kind":"activate","iss":"acme","prod":"","code":"` + strings.Repeat("c", 129) + `","lic":""`, "limits"},
		{"rebind", `"kind":"renew","iss":"acme","prod":"planner","code":""`, `"kind":"rebind","iss":"acme","prod":"planner","code":"PL1"`, "ok"},
		{"rebind without code", `"kind":"renew"`, `"kind":"rebind"`, "limits"},
		{"device id of another key", `"dev":"dev:`, `"dev":"dev:0`, "device"},
		{"device key of small order", `"pub":"` + dk + `"`, weakKey, "limits"},
		{"device key replaced", dk, edDevice2().Pub, "device"},
		{"first request", `"seq":3,"head":"` + f.request.Head, `"seq":0,"head":"`, "ok"},
		{"sequence 0 with a head", `"seq":3`, `"seq":0`, "limits"},
		{"sequence 3 without head", `"head":"` + f.request.Head, `"head":"`, "limits"},
		{"nonce empty", `"n":"` + f.request.Nonce, `"n":"`, "limits"},
		{"fingerprint of four empty parts", `"fp":"`, `"fp":"|||","env":"vm"}`, "payload"},
		{"fingerprint with three parts", `WD-\"1\"|`, ``, "limits"},
		{"fingerprint with five parts", `WD-\"1\"|`, `WD|1|`, "limits"},
		{"fingerprint of 5000", `00:1A:2B:3C:4D:5E`, strings.Repeat("A", 5000-len(f.request.Fingerprint)+17), "ok"},
		{"fingerprint of 5001", `00:1A:2B:3C:4D:5E`, strings.Repeat("A", 5001-len(f.request.Fingerprint)+17), "limits"},
		{"environment unknown", `"env":"physical"`, `"env":""`, "limits"},
		{"part unreadable", `{"kind":"cpu","state":"ok"`, `{"kind":"cpu","state":"unreadable"`, "ok"},
		{"part state unknown", `{"kind":"cpu","state":"ok"`, `{"kind":"cpu","state":"maybe"`, "limits"},
		{"part twice", `{"kind":"cpu"`, `{"kind":"board"`, "limits"},
		{"other spelling empty", `"WD 1"`, `""`, "limits"},
		{"other spellings not sorted", `"WD 1"`, `"WD 1","WD 0"`, "limits"},
		{"other spelling of 257", `"WD 1"`, `"` + strings.Repeat("W", 257) + `"`, "limits"},
		{"no day", twoDays, `"days":[]`, "ok"},
		{"400 days", twoDays, `"days":[` + strings.Join(days[:400], ",") + `]`, "ok"},
		{"401 days", twoDays, `"days":[` + strings.Join(days, ",") + `]`, "limits"},
		{"day of month 13", twoDays, `"days":["2026-13-01"]`, "limits"},
		{"day 00", twoDays, `"days":["2026-01-00"]`, "limits"},
		{"day without leading zero", twoDays, `"days":["2026-1-1"]`, "limits"},
		{"day with slashes", twoDays, `"days":["2026/01/01"]`, "limits"},
		{"days not sorted", twoDays, `"days":["2026-01-02","2026-01-01"]`, "limits"},
		{"day null", twoDays, `"days":[null]`, "payload"},
		{"no seat used", `"peak":3`, `"peak":0`, "ok"},
		{"most seats", `"peak":3`, `"peak":1000000000`, "ok"},
		{"more than the most seats", `"peak":3`, `"peak":1000000001`, "limits"},
		{"seats below zero", `"peak":3`, `"peak":-1`, "payload"},
		{"no peak", `"peak":3,`, ``, "payload"},
		{"no key set held", `"ks":7`, `"ks":0`, "ok"},
		{"off line", `"off":false`, `"off":true`, "ok"},
		{"agent empty", `"agent":"license-agent/1.0.0 (linux/amd64)"`, `"agent":""`, "ok"},
		{"agent of 65", `"agent":"license-agent/1.0.0 (linux/amd64)"`, `"agent":"` + strings.Repeat("a", 65) + `"`, "limits"},
	}
}

func keySetLimits(f *fixture) []mutation {
	k := f.keySet.Keys[0]
	stolen := f.keySet.Revoked[0]
	root := f.roots[0].Public().Pub
	hundred := make([]string, 257)
	for i := range hundred {
		hundred[i] = fmt.Sprintf(`"sha256:%032x"`, i)
	}
	return []mutation{
		{"version of the format 2", `"v":1`, `"v":2`, "limits"},
		{"issuer other", `"iss":"acme"`, `"iss":"umbrella"`, "issuer"},
		{"version 0", `"ver":7`, `"ver":0`, "limits"},
		{"version 2^53-1", `"ver":7`, `"ver":9007199254740991`, "ok"},
		{"end equals begin", `"exp":1793145600`, `"exp":1764633600`, "limits"},
		{"400 days", `"exp":1793145600`, `"exp":1799193600`, "ok"},
		{"400 days and a second", `"exp":1793145600`, `"exp":1799193601`, "limits"},
		{"threshold 0", `"threshold":2`, `"threshold":0`, "limits"},
		{"threshold above the number of keys", `"threshold":2`, `"threshold":4`, "limits"},
		{"threshold of its own not reached", `"threshold":2`, `"threshold":3`, "threshold"},
		{"root listed twice", f.roots[1].Public().Pub, root, "limits"},
		{"root of small order", `"pub":"` + root + `"`, weakKey, "limits"},
		{"root with a device's algorithm", `{"alg":"ed25519","pub":"` + root, `{"alg":"p256-sha256","pub":"` + newP256().Pub, "limits"},
		{"key id of another key", `"kid":"` + k.ID, `"kid":"sha256:00000000000000000000000000000000`, "limits"},
		{"key use root", `"use":"license"`, `"use":"root"`, "limits"},
		{"key use unknown", `"use":"license"`, `"use":"*"`, "limits"},
		{"key algorithm none", `"use":"license","alg":"ed25519"`, `"use":"license","alg":"none"`, "limits"},
		{"key is a root key", `"kid":"` + k.ID + `","use":"` + k.Use + `","alg":"ed25519","pub":"` + k.Pub, `"kid":"` + KeyID(f.roots[0].Public()) + `","use":"license","alg":"ed25519","pub":"` + root, "limits"},
		{"no key", f.onlineJSON(), `"keys":[],"revoked"`, "ok"},
		{"keys not sorted", f.onlineJSON(), f.onlineJSONReversed(), "limits"},
		{"revoked not a key id", `"revoked":["` + stolen, `"revoked":["stolen`, "limits"},
		{"revoked not sorted", `"revoked":["` + stolen + `"`, `"revoked":["` + stolen + `","sha256:00000000000000000000000000000000"`, "limits"},
		{"256 revoked keys", `"revoked":["` + stolen + `"]`, `"revoked":[` + strings.Join(hundred[:256], ",") + `]`, "ok"},
		{"257 revoked keys", `"revoked":["` + stolen + `"]`, `"revoked":[` + strings.Join(hundred, ",") + `]`, "limits"},
		{"revoked root", `"revoked":["` + stolen, `"revoked":["` + KeyID(f.roots[0].Public()), "limits"},
		{"revoked license with a space", `"lic-taken-back"`, `"lic taken back"`, "limits"},
		{"revoked licenses not sorted", `"lic-taken-back"`, `"b","a"`, "limits"},
		{"null revoked", `"revoked":["` + stolen + `"]`, `"revoked":null`, "payload"},
		{"version twice", `"ver":7`, `"ver":7,"ver":8`, "payload"},
		{"white space", `"ver":7`, `"ver": 7`, "payload"},
	}
}
