package license

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/hex"
	"math/big"
	"slices"
	"testing"

	"licenseagent.example/fingerprint"
)

// Times of the fixtures: 2026-01-01T00:00:00Z and days from it.
const (
	day = int64(86400)
	t0  = int64(1767225600)
)

// edSigner is a signer whose seed is the SHA-256 of a name: the vectors stay
// the same in every run and in every language.
func edSigner(t testing.TB, name string) Signer {
	t.Helper()
	seed := sha256.Sum256([]byte(name))
	s, err := NewEd25519Signer(seed[:])
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// p256Signer plays a TPM: a device key that cannot do Ed25519.
type p256Signer struct{ key *ecdsa.PrivateKey }

func newP256Signer(t testing.TB, name string) Signer {
	t.Helper()
	seed := sha256.Sum256([]byte(name))
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), seed[:])
	if err != nil {
		t.Fatal(err)
	}
	return &p256Signer{key}
}

func (s *p256Signer) Public() PublicKey {
	b, err := s.key.PublicKey.Bytes()
	if err != nil {
		panic(err)
	}
	return PublicKey{Alg: AlgP256, Pub: encode64(b)}
}

// Sign is RFC 6979 ECDSA (rand nil makes crypto/ecdsa deterministic), as r‖s.
func (s *p256Signer) Sign(message []byte) ([]byte, error) {
	hash := sha256.Sum256(message)
	der, err := s.key.Sign(nil, hash[:], crypto.SHA256)
	if err != nil {
		return nil, err
	}
	return derToRaw(der)
}

// fixture is one vendor with one device: everything sealed and valid.
type fixture struct {
	roots                 []Signer
	licenseKey, noticeKey Signer
	bundleKey, device     Signer
	anchor                Anchor
	keySet                KeySet
	claims                Claims
	notice                Notice
	proof                 Proof
	request               Request
	nonce                 []byte
	licenseEnv, keySetEnv []byte
	proofEnv, noticeEnv   []byte
	requestEnv            []byte
}

func nonceOf(name string) string {
	sum := sha256.Sum256([]byte("nonce " + name))
	return encode64(sum[:])
}

func online(s Signer, use string) OnlineKey {
	return OnlineKey{ID: KeyID(s.Public()), Use: use, Alg: s.Public().Alg, Pub: s.Public().Pub, NotBefore: t0 - 30*day}
}

func sortedKeys(keys ...OnlineKey) []OnlineKey {
	for i := range keys {
		for j := i; j > 0 && keys[j].ID < keys[j-1].ID; j-- {
			keys[j], keys[j-1] = keys[j-1], keys[j]
		}
	}
	return keys
}

func rootKeys(threshold int, signers ...Signer) RootKeys {
	r := RootKeys{Threshold: threshold}
	for _, s := range signers {
		r.Keys = append(r.Keys, s.Public())
	}
	return r
}

func must[T any](t testing.TB) func(T, error) T {
	t.Helper()
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func newFixture(t testing.TB) *fixture { return newFixtureFor(t, edSigner(t, "device")) }

func newFixtureFor(t testing.TB, device Signer) *fixture {
	t.Helper()
	f := &fixture{
		roots:      []Signer{edSigner(t, "root 1"), edSigner(t, "root 2"), edSigner(t, "root 3")},
		licenseKey: edSigner(t, "license key"),
		noticeKey:  edSigner(t, "notice key"),
		bundleKey:  edSigner(t, "bundle key"),
		device:     device,
	}
	f.anchor = Anchor{V: 1, Issuer: "acme", Roots: rootKeys(2, f.roots...), Merchant: "https://license.acme.example"}
	f.keySet = KeySet{
		V: 1, Issuer: "acme", Version: 7, NotBefore: t0 - 30*day, Expires: t0 + 300*day,
		Roots:      rootKeys(2, f.roots...),
		Keys:       sortedKeys(online(f.licenseKey, UseLicense), online(f.noticeKey, UseNotice), online(f.bundleKey, UseBundle)),
		Revoked:    []string{KeyID(edSigner(t, "stolen key").Public())},
		RevokedLic: []string{"lic-taken-back"},
	}
	salt := sha256.Sum256([]byte("salt"))
	policy := fingerprint.Profile{Required: []fingerprint.Kind{}, Weights: fingerprint.Weights{Board: 40, Disk: 25, MAC: 25, CPU: 10}, Minimum: 60, Floor: 50}
	f.claims = Claims{
		V: 1, Issuer: "acme", ID: "lic-0001", Product: "planner", Edition: "pro", Seats: 5,
		Features: []string{"export", "reports"},
		Limits:   []Limit{{"max-projects", 100}, {"max-users", 25}},
		Device: Device{
			ID: DeviceID(device.Public()), Env: fingerprint.Physical, Version: 1, Salt: encode64(salt[:]),
			Parts: []fingerprint.Part{
				{Kind: fingerprint.MAC, Hashes: enrolled(salt[:], fingerprint.MAC, "00:1A:2B:3C:4D:5E", "00:1A:2B:3C:4D:5F")},
				{Kind: fingerprint.Board, Hashes: enrolled(salt[:], fingerprint.Board, "BOARD\\7")},
			},
			Policy: fingerprint.Policy{Name: "balanced", Physical: policy, Virtual: policy},
			Key:    device.Public(),
		},
		IssuedAt: t0, NotBefore: t0, Expires: t0 + 365*day, RenewBy: t0 + 30*day, GraceUntil: t0 + 44*day,
		Seq: 3, Head: partHash("head"), KeySet: 7, Nonce: nonceOf("request"), ServerTime: t0,
	}
	f.notice = Notice{
		V: 1, Issuer: "acme", License: "lic-0001", Product: "planner", Device: DeviceID(device.Public()),
		State: NoticeSuspended, Reason: "frozen-by-vendor", Seq: 4, Head: partHash("head 4"), KeySet: 7,
		Nonce: nonceOf("request 4"), ServerTime: t0 + day,
	}
	f.request = Request{
		V: 1, Kind: RequestRenew, Issuer: "acme", Product: "planner", License: "lic-0001",
		Device: DeviceID(device.Public()), Key: device.Public(), Seq: 3, Head: partHash("head"),
		Nonce: nonceOf("request 4"), Fingerprint: "00:1A:2B:3C:4D:5E|WD-\"1\"|BOARD\\7|BFEBFBFF000906EA",
		Env: fingerprint.Physical,
		Parts: []ObservedPart{
			{Kind: fingerprint.MAC, State: fingerprint.OK},
			{Kind: fingerprint.Disk, State: fingerprint.OK, Alt: []string{"WD 1"}},
			{Kind: fingerprint.Board, State: fingerprint.OK},
			{Kind: fingerprint.CPU, State: fingerprint.OK},
		},
		Days: []string{"2026-01-01", "2026-01-02"}, Peak: 3, KeySet: 7, Time: t0 + day, Agent: "license-agent/1.0.0 (linux/amd64)",
	}
	nonce := sha256.Sum256([]byte("program nonce"))
	f.nonce = nonce[:]
	f.seal(t)
	return f
}

// seal signs everything again after a change of the payloads.
func (f *fixture) seal(t testing.TB) {
	t.Helper()
	f.keySetEnv = must[[]byte](t)(SealKeySet(f.keySet, f.roots[0], f.roots[1]))
	f.licenseEnv = must[[]byte](t)(SealLicense(f.claims, f.licenseKey))
	f.noticeEnv = must[[]byte](t)(SealNotice(f.notice, f.noticeKey))
	f.requestEnv = must[[]byte](t)(SealRequest(f.request, f.device))
	f.proof = Proof{
		V: 1, Nonce: encode64(f.nonce), Product: "planner", License: Hash(f.licenseEnv),
		Phase: "active", Runs: true, Missing: []fingerprint.Kind{}, Time: t0 + day, Boot: "boot-1",
	}
	f.proofEnv = must[[]byte](t)(SealProof(f.proof, f.device))
}

func partHash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// enrolled are the hashes of a part as a license holds them.
func enrolled(salt []byte, k fingerprint.Kind, values ...string) []string {
	var hashes []string
	for _, v := range values {
		hashes = append(hashes, fingerprint.Hash(salt, k, v))
	}
	slices.Sort(hashes)
	return hashes
}

// derToRaw turns SEQUENCE { INTEGER r, INTEGER s } into r‖s.
func derToRaw(der []byte) ([]byte, error) {
	var n struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &n); err != nil {
		return nil, err
	}
	out := make([]byte, 64)
	n.R.FillBytes(out[:32])
	n.S.FillBytes(out[32:])
	return out, nil
}

// edDevice2 and newP256 are public keys of other devices.
func edDevice2() PublicKey {
	seed := sha256.Sum256([]byte("second device"))
	s, err := NewEd25519Signer(seed[:])
	if err != nil {
		panic(err)
	}
	return s.Public()
}

func newP256() PublicKey {
	seed := sha256.Sum256([]byte("tpm device"))
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), seed[:])
	if err != nil {
		panic(err)
	}
	return (&p256Signer{key}).Public()
}

// onlineJSON is the member "keys" of the key set payload up to "revoked".
func (f *fixture) onlineJSON() string { return keysJSON(f.keySet.Keys) }

func (f *fixture) onlineJSONReversed() string {
	keys := slices.Clone(f.keySet.Keys)
	slices.Reverse(keys)
	return keysJSON(keys)
}

func keysJSON(keys []OnlineKey) string {
	b, err := encodeCanonical(keys)
	if err != nil {
		panic(err)
	}
	return `"keys":` + string(b) + `,"revoked"`
}
