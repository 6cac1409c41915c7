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
func KeyID(k PublicKey) string { return keyName("sha256:", k) }

// DeviceID names a device by its key: as KeyID, with the prefix "dev:".
func DeviceID(k PublicKey) string { return keyName("dev:", k) }

func keyName(prefix string, k PublicKey) string {
	raw, err := k.raw()
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(append([]byte(k.Alg+"\n"), raw...))
	return prefix + hex.EncodeToString(sum[:16])
}

// Check says whether the key can be used at all: known algorithm, right
// length, standard base64, not a point that makes signatures worthless. The
// error wraps ErrKey.
func (k PublicKey) Check() error {
	_, err := k.raw()
	return err
}

// raw returns the bytes of a usable public key.
func (k PublicKey) raw() ([]byte, error) {
	b, err := decode64(k.Pub)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrKey, err)
	}
	switch k.Alg {
	case AlgEd25519:
		if len(b) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("%w: ed25519 key of %d bytes", ErrKey, len(b))
		}
		if weakEd25519(b) {
			return nil, fmt.Errorf("%w: ed25519 point of small order or in a second spelling", ErrKey)
		}
	case AlgP256:
		if _, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), b); err != nil {
			return nil, fmt.Errorf("%w: not an uncompressed P-256 point", ErrKey)
		}
	default:
		return nil, fmt.Errorf("%w: unknown algorithm", ErrKey)
	}
	return b, nil
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
	n := new(big.Int).SetBytes(y[:])
	p := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	if n.Cmp(p) >= 0 || n.Cmp(big.NewInt(1)) <= 0 { // order 4: y = 0; order 1: y = 1
		return true
	}
	if n.Cmp(new(big.Int).Sub(p, big.NewInt(1))) == 0 { // order 2: y = -1
		return true
	}
	switch hex.EncodeToString(y[:]) { // the two y of order 8
	case "05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826",
		"7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7":
		return true
	}
	return false
}

// verifySignature checks one raw signature. Lengths come first: Java 17's
// Ed25519 accepts a signature with a trailing zero byte.
func verifySignature(k PublicKey, message, sig []byte) bool {
	pub, err := k.raw()
	if err != nil || len(sig) != 64 {
		return false
	}
	switch k.Alg {
	case AlgEd25519:
		return ed25519.Verify(pub, message, sig)
	case AlgP256:
		key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), pub)
		if err != nil {
			return false
		}
		hash := sha256.Sum256(message)
		r, s := new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])
		return ecdsa.Verify(key, hash[:], r, s)
	}
	return false
}
