// Package license is the signed license: envelope, payloads, keys and the one
// way to verify them. SPEC.md beside this file is the specification; the same
// rules and vectors hold in every language. It is stable API.
package license

import "licenseagent.example/fingerprint"

// Media types, one per message kind: they are part of the signed bytes (DSSE
// payloadType), so that a signature over one kind is worthless for another.
const (
	TypeLicense = "application/vnd.license-agent.license.v1+json"
	TypeKeySet  = "application/vnd.license-agent.keyset.v1+json"
	TypeNotice  = "application/vnd.license-agent.notice.v1+json"
	TypeProof   = "application/vnd.license-agent.proof.v1+json"
	TypeRequest = "application/vnd.license-agent.request.v1+json"
	TypeBundle  = "application/vnd.license-agent.bundle.v1+json"
)

// Key uses: a key verifies only its own message kind. Root keys live in the
// trust anchor and sign key sets; device keys live in the license and sign
// proofs and requests.
const (
	UseLicense = "license"
	UseNotice  = "notice"
	UseBundle  = "bundle"
	UseRoot    = "root"
	UseDevice  = "device"
)

// Algorithms. v1 knows exactly these.
const (
	AlgEd25519 = "ed25519"
	AlgP256    = "p256-sha256" // device keys only: what TPM chips can do
)

// NoEnd is the entitlement end of a license without end: 9999-12-31T23:59:59Z.
const NoEnd = 253402300799

// PublicKey is a public key with the algorithm it is used with. Pub is
// standard base64: 32 bytes for ed25519, the 65-byte uncompressed point for P-256.
type PublicKey struct {
	Alg string `json:"alg"`
	Pub string `json:"pub"`
}

// Limit is a named number a program may enforce, such as "max-projects".
type Limit struct {
	Name  string `json:"name"`
	Value int64  `json:"value"`
}

// Device binds a license to one device.
type Device struct {
	ID      string              `json:"id"`   // DeviceID of the key
	Env     fingerprint.EnvKind `json:"env"`  // class of machine at enrolment
	Version int                 `json:"fpv"`  // fingerprint rule version, 1
	Salt    string              `json:"salt"` // standard base64, 32 bytes, per license
	Parts   []fingerprint.Part  `json:"fp"`   // order mac, disk, board, cpu; only usable ones
	Policy  fingerprint.Policy  `json:"pol"`
	Key     PublicKey           `json:"dk"`
}

// Claims is the payload of a license. All times are UTC seconds.
type Claims struct {
	V          int      `json:"v"`     // 1
	Issuer     string   `json:"iss"`   // the vendor, as in its trust anchor
	ID         string   `json:"lic"`   // one per activation (code × device)
	Product    string   `json:"prod"`  // what the program asks for
	Edition    string   `json:"ed"`    // may be ""
	Seats      int64    `json:"seats"` // concurrent uses on this machine, ≥ 1
	Features   []string `json:"feat"`  // sorted, ≤ 64
	Limits     []Limit  `json:"lim"`   // sorted by name, ≤ 64
	Device     Device   `json:"dev"`
	IssuedAt   int64    `json:"iat"` // must lie within the signing key's time of use
	NotBefore  int64    `json:"nbf"`
	Expires    int64    `json:"exp"`  // entitlement end; NoEnd for none
	RenewBy    int64    `json:"ren"`  // contact the merchant before this
	GraceUntil int64    `json:"grc"`  // still runs until this without contact
	Seq        int64    `json:"seq"`  // device chain: grows by one with each answer
	Head       string   `json:"head"` // opaque value that the next request must repeat
	KeySet     int64    `json:"ks"`   // lowest key set version this may be paired with
	Nonce      string   `json:"rn"`   // echo of the request nonce
	ServerTime int64    `json:"st"`   // the merchant's clock when it answered
}

// Notice states. A notice answers a request when no license is (or may be)
// issued, and carries the chain onward exactly as a license does.
const (
	NoticeActive    = "active"    // unfrozen again; a fresh license accompanies it
	NoticeSuspended = "suspended" // frozen by vendor or marketplace
	NoticeRevoked   = "revoked"   // taken back for good
	NoticeReleased  = "released"  // receipt of a release by the operator
	NoticeContested = "contested" // fork seen: keeps working until renew-by, re-bind to settle
)

// Notice is a signed statement about one license.
type Notice struct {
	V          int    `json:"v"`
	Issuer     string `json:"iss"`
	License    string `json:"lic"`
	Product    string `json:"prod"`
	Device     string `json:"dev"`    // device id
	State      string `json:"state"`  // one of the Notice* states
	Reason     string `json:"reason"` // a code, ≤ 64 characters, such as "frozen-by-vendor"
	Seq        int64  `json:"seq"`
	Head       string `json:"head"`
	KeySet     int64  `json:"ks"`
	Nonce      string `json:"rn"`
	ServerTime int64  `json:"st"`
}

// OnlineKey is one of the merchant's signing keys.
type OnlineKey struct {
	ID        string `json:"kid"` // KeyID of the public key
	Use       string `json:"use"` // license, notice or bundle
	Alg       string `json:"alg"`
	Pub       string `json:"pub"`
	NotBefore int64  `json:"nbf"`
	MinIssued int64  `json:"min"` // licenses issued earlier by this key are void; 0 for none
}

// RootKeys is a set of root keys and how many of them must sign.
type RootKeys struct {
	Threshold int         `json:"threshold"`
	Keys      []PublicKey `json:"keys"`
}

// KeySet is the payload of a root-signed key set.
type KeySet struct {
	V          int         `json:"v"`
	Issuer     string      `json:"iss"`
	Version    int64       `json:"ver"` // ≥ 1, only grows
	NotBefore  int64       `json:"nbf"`
	Expires    int64       `json:"exp"` // ≤ 400 days after nbf; past it: cannot renew, licenses stay
	Roots      RootKeys    `json:"roots"`
	Keys       []OnlineKey `json:"keys"`    // sorted by kid
	Revoked    []string    `json:"revoked"` // key ids, sorted
	RevokedLic []string    `json:"revlic"`  // license ids, sorted, ≤ 1024: for machines without network
}

// Anchor is what a program or agent knows of a vendor from birth: the trust
// anchor file, JSON, public.
type Anchor struct {
	V        int      `json:"v"`
	Issuer   string   `json:"iss"`
	Roots    RootKeys `json:"roots"`
	Merchant string   `json:"merchant,omitempty"`  // base URL of the merchant service
	TLSRoots string   `json:"tls_roots,omitempty"` // PEM; when set only these are trusted for TLS
}

// Proof is the device key's answer to one fresh nonce of a program.
type Proof struct {
	V       int    `json:"v"`
	Nonce   string `json:"nonce"` // standard base64 of the program's 32 bytes
	Product string `json:"prod"`
	License string `json:"sha"`   // hex SHA-256 of the license envelope bytes
	Phase   string `json:"phase"` // activation.Phase at this moment
	Runs    bool   `json:"runs"`
	// Missing are the enrolled parts that the agent does not see on its machine, lost
	// or unreadable, sorted.
	Missing []fingerprint.Kind `json:"missing"`
	Time    int64              `json:"time"` // effective time by the agent's time rule
	Boot    string             `json:"boot"` // opaque tag that changes with each boot
}

// Request kinds.
const (
	RequestActivate = "activate"
	RequestRenew    = "renew"
	RequestRelease  = "release"
	RequestRebind   = "rebind" // self-service: settle a contested seat on this device
)

// ObservedPart is what a request says of one part beside the string, so that
// the merchant can tell unreadable from absent.
type ObservedPart struct {
	Kind  fingerprint.Kind  `json:"kind"`
	State fingerprint.State `json:"state"`
	Alt   []string          `json:"alt"` // other spellings to enrol, canonical, sorted
}

// Request is the payload of what a device sends to the merchant, on line or as
// a file. It is signed by the device key that it carries.
type Request struct {
	V           int                 `json:"v"`
	Kind        string              `json:"kind"`
	Issuer      string              `json:"iss"`
	Product     string              `json:"prod"`
	Code        string              `json:"code"` // activation and rebind; else ""
	License     string              `json:"lic"`  // renew, release, rebind; else ""
	Device      string              `json:"dev"`  // DeviceID(Key)
	Key         PublicKey           `json:"dk"`
	Seq         int64               `json:"seq"`  // current chain position, 0 before the first answer
	Head        string              `json:"head"` // "" before the first answer
	Nonce       string              `json:"n"`    // standard base64, 32 bytes, written to disk before sending
	Fingerprint string              `json:"fp"`   // the KooGallery string, raw
	Env         fingerprint.EnvKind `json:"env"`
	Parts       []ObservedPart      `json:"parts"`
	Days        []string            `json:"days"` // YYYY-MM-DD with at least one check since the last answer, sorted, ≤ 400
	Peak        int64               `json:"peak"` // most seats used at once since the last answer, 0 when none was
	KeySet      int64               `json:"ks"`   // key set version held; 0 for none
	Time        int64               `json:"time"` // the device's wall clock, information only
	Offline     bool                `json:"off"`  // made for a file
	Agent       string              `json:"agent"`
}
