// Package devicekey keeps the key by which a device proves that it is the one a
// license was issued to.
//
// The key is made on the device at first start and never leaves it. It lives in
// a file of its own, so that losing the store does not lose the device's
// identity, and so that a copied store without the key is worth nothing.
//
// Where the key lies decides what a copy of the files is worth; Tier says so
// truthfully. "file": whoever can read the file as root can copy the key; such
// a clone is caught by the device chain online and by the fingerprint offline.
// "os": the file is sealed by the operating system for this machine, a copy of
// it is useless elsewhere, and administrators of the same machine can still
// extract it. Keys that cannot leave a chip have algorithms of their own, which
// is why Alg and PublicBytes are part of the interface from the beginning.
//
// It is not part of the stable API.
package devicekey

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"licenseagent.example/platform/securefile"
)

// FileName is the name of the key file in the state directory.
const FileName = "device.key"

// AlgEd25519 is the only algorithm of keys in files (RFC 8032). It is
// deterministic, so a weak random generator at signing time cannot leak it.
const AlgEd25519 = "ed25519"

// Values of Tier.
const (
	TierFile = "file" // a file that only the agent's account can read
	TierOS   = "os"   // the file is sealed by the operating system for this machine
)

// maxFile bounds what is read; a sealed file is about 500 bytes.
const maxFile = 8 << 10

var (
	// ErrDamaged is returned when a key file exists and cannot be used. It is
	// never replaced automatically: a new key is a new device, and every license
	// would have to be activated again.
	ErrDamaged = errors.New("devicekey: the key file is damaged")
	// ErrRand is returned when the random source did not deliver.
	ErrRand = errors.New("devicekey: no randomness")
	// ErrForeignMachine is returned when the file is in order but was sealed by
	// the operating system of another machine or installation.
	ErrForeignMachine = errors.New("devicekey: the key was sealed on another machine")
)

// Key is an opened device key. It is safe for use by several goroutines. Its
// String and Format forms never show the secret, whatever the verb.
type Key struct {
	tier    string
	private ed25519.PrivateKey
	local   []byte // root of Derive, independent of the signing key
	created bool
}

// Open reads the key of the state directory dir, or makes one from rand if
// there is none. The directory must exist and is checked as securefile does;
// the file appears as a whole or not at all and is never replaced. Two
// processes that open a new directory at once get the same key.
//
// Errors: ErrDamaged and ErrForeignMachine with the next step, ErrRand, and
// those of securefile for directories and files open to others.
func Open(dir string, rand io.Reader) (*Key, error) {
	d, err := securefile.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	k, err := read(d)
	if !errors.Is(err, fs.ErrNotExist) {
		return k, err
	}
	secret := make([]byte, secretSize)
	if _, err := io.ReadFull(rand, secret); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRand, err)
	}
	sealed, tier, err := seal(secret)
	if err != nil {
		return nil, err
	}
	err = d.Create(FileName, encode(tier, sealed), securefile.PrivateFile)
	if errors.Is(err, securefile.ErrExists) {
		return read(d) // somebody else was faster, and theirs is the key
	}
	if err != nil {
		return nil, err
	}
	// Read back what is on the disk: a key that cannot be read again would be
	// noticed only at the next start, after licenses were bound to it.
	if k, err = read(d); err == nil {
		k.created = true
	}
	return k, err
}

func read(d *securefile.Dir) (*Key, error) {
	b, err := d.ReadFile(FileName, maxFile)
	if err != nil {
		return nil, err
	}
	where := filepath.Join(d.Path(), FileName)
	tier, sealed, err := decode(b)
	if err != nil {
		return nil, damaged(where, err)
	}
	secret, err := unseal(tier, sealed)
	if errors.Is(err, ErrForeignMachine) {
		return nil, fmt.Errorf("%w: %s: move the file away and activate again; the old activation must be released by the vendor", err, where)
	}
	if err != nil || len(secret) != secretSize {
		return nil, damaged(where, err)
	}
	return &Key{
		tier:    tier,
		private: ed25519.NewKeyFromSeed(secret[:ed25519.SeedSize]),
		local:   secret[ed25519.SeedSize:],
	}, nil
}

func damaged(where string, why error) error {
	if why == nil {
		why = errors.New("wrong length")
	}
	return fmt.Errorf("%w: %s: %w: restore the file from a backup of this machine, or move it away and activate again", ErrDamaged, where, why)
}

// Alg names the signature algorithm: AlgEd25519.
func (k *Key) Alg() string { return AlgEd25519 }

// PublicBytes is the public key in the raw form of the algorithm, 32 bytes for
// Ed25519. The caller may keep and change the slice.
func (k *Key) PublicBytes() []byte {
	return append([]byte(nil), k.private.Public().(ed25519.PublicKey)...)
}

// Sign signs msg as it is, without hashing it first (RFC 8032 PureEdDSA). The
// caller decides what is signed; bytes that come from outside must never get
// here unframed, or the agent would be a signing oracle.
func (k *Key) Sign(msg []byte) ([]byte, error) { return ed25519.Sign(k.private, msg), nil }

// Tier says how well the key is kept: TierFile or TierOS.
func (k *Key) Tier() string { return k.tier }

// Created reports whether Open made the key just now, which means that this
// device has never been activated under it.
func (k *Key) Created() bool { return k.created }

// Derive returns 32 secret bytes for one local purpose, for example the MAC key
// of the store, by HKDF-SHA-256 (RFC 5869) over a secret that is not the
// signing key: knowing a derived value helps neither to sign nor to derive
// another. The same key and label always give the same bytes.
func (k *Key) Derive(label string) []byte {
	out, err := hkdf.Expand(sha256.New, k.local, "license-agent device key v1 derive "+label, 32)
	if err != nil {
		panic("devicekey: " + err.Error()) // impossible: 32 bytes are below the limit of 255 blocks
	}
	return out
}

// String keeps the secret out of logs and error texts.
func (k *Key) String() string { return "device key (" + AlgEd25519 + ", tier " + k.tier + ")" }

// GoString keeps the secret out of %#v.
func (k *Key) GoString() string { return k.String() }
