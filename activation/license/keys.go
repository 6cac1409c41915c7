package license

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/big"
	"strings"
)

// Signer makes raw signatures with one key: a root key, an issuing key or a
// device key, in a file or in a TPM.
type Signer interface {
	// Public returns the public half.
	Public() PublicKey
	// Sign signs message as it is (the algorithm hashes, not the caller) and
	// returns 64 bytes: R‖S of RFC 8032 for ed25519; for p256-sha256 the
	// numbers r‖s, 32 bytes each, big-endian — not ASN.1 DER.
	Sign(message []byte) ([]byte, error)
}

type ed25519Signer struct {
	key ed25519.PrivateKey
	pub PublicKey
}

// NewEd25519Signer returns a signer for the 32-byte private seed of RFC 8032.
// The seed is copied. Other lengths give ErrKey.
func NewEd25519Signer(seed []byte) (Signer, error) {
	if len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("%w: seed of %d bytes, want %d", ErrKey, len(seed), ed25519.SeedSize)
	}
	key := ed25519.NewKeyFromSeed(seed)
	pub := key[ed25519.SeedSize:]
	return &ed25519Signer{key: key, pub: PublicKey{Alg: AlgEd25519, Pub: base64.StdEncoding.EncodeToString(pub)}}, nil
}

func (s *ed25519Signer) Public() PublicKey { return s.pub }

func (s *ed25519Signer) Sign(message []byte) ([]byte, error) {
	return ed25519.Sign(s.key, message), nil
}

// KeyID names a key: "sha256:" and the hex of the first 16 bytes of
// SHA-256(alg, line feed, raw public key). It is "" for an unusable key.
func KeyID(k PublicKey) string {
	p, _ := k.parse()
	return p.id
}

// DeviceID names a device by its key: as KeyID, with the prefix "dev:".
func DeviceID(k PublicKey) string {
	digest, ok := strings.CutPrefix(KeyID(k), keyPrefix)
	if !ok {
		return ""
	}
	return "dev:" + digest
}

// Check says whether the key can be used at all: known algorithm, right
// length, standard base64, not a point that makes signatures worthless. The
// error wraps ErrKey.
func (k PublicKey) Check() error {
	_, err := k.parse()
	return err
}

const keyPrefix = "sha256:"

// key is a usable public key, taken apart. The zero key verifies nothing.
type key struct {
	id  string
	raw []byte
	ec  *ecdsa.PublicKey // of a P-256 key, else nil
}

func (k PublicKey) parse() (key, error) {
	b, err := decode64(k.Pub)
	if err != nil {
		return key{}, fmt.Errorf("%w: %v", ErrKey, err)
	}
	p := key{raw: b}
	switch k.Alg {
	case AlgEd25519:
		if len(b) != ed25519.PublicKeySize {
			return key{}, fmt.Errorf("%w: ed25519 key of %d bytes", ErrKey, len(b))
		}
		if weakEd25519(b) {
			return key{}, fmt.Errorf("%w: ed25519 point of small order or in a second spelling", ErrKey)
		}
	case AlgP256:
		if p.ec, err = ecdsa.ParseUncompressedPublicKey(elliptic.P256(), b); err != nil {
			return key{}, fmt.Errorf("%w: not an uncompressed P-256 point", ErrKey)
		}
	default:
		return key{}, fmt.Errorf("%w: unknown algorithm", ErrKey)
	}
	sum := sha256.Sum256(append([]byte(k.Alg+"\n"), b...))
	p.id = keyPrefix + hex.EncodeToString(sum[:16])
	return p, nil
}

// weakEd25519 reports public keys that libraries disagree about: points of
// small order, under which one signature fits every message, and y coordinates
// not reduced mod 2^255-19 (Chalkias et al., "Taming the Many EdDSAs", 2020).
// libsodium refuses them, Go and OpenSSL do not; v1 refuses them everywhere.
func weakEd25519(pub []byte) bool {
	var y [32]byte // big-endian, sign of x removed
	for i, c := range pub {
		y[31-i] = c
	}
	y[0] &= 0x7f
	h := hex.EncodeToString(y[:])
	switch h {
	case "0000000000000000000000000000000000000000000000000000000000000001", // order 1
		"7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffec", // order 2
		"0000000000000000000000000000000000000000000000000000000000000000", // order 4
		"05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826", // order 8
		"7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7":
		return true
	}
	return h >= "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffed"
}

// verifySignature checks one raw signature.
func verifySignature(k PublicKey, message, sig []byte) bool {
	p, err := k.parse()
	return err == nil && p.verify(message, sig)
}

// verify checks one raw signature. Lengths come first: Java 17's Ed25519
// accepts a signature with a trailing zero byte.
func (k key) verify(message, sig []byte) bool {
	switch {
	case len(sig) != 64:
		return false
	case k.ec != nil:
		hash := sha256.Sum256(message)
		r, s := new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])
		return ecdsa.Verify(k.ec, hash[:], r, s)
	}
	return len(k.raw) == ed25519.PublicKeySize && ed25519.Verify(k.raw, message, sig)
}
