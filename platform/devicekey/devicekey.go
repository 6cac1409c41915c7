// Package devicekey keeps the key by which a device proves that it is the one a
// license was issued to.
//
// The key is made on the device at first start and never leaves it; one with
// which nothing was signed yet stays behind when its files are copied. It lives in
// a file of its own, so that losing the store does not lose the device's
// identity, and so that a copied store without the key is worth nothing.
//
// Where the key lies decides what a copy of the files is worth; Tier says so
// truthfully. "file": whoever can read the file as root can copy the key; such
// a clone is caught by the device chain online and by the fingerprint offline.
// "os": the file is sealed by the operating system for this machine, a copy of
// it is useless elsewhere, and administrators of the same machine can still
// extract it. "tpm": the key was made in the machine's TPM 2.0 and cannot leave
// it; the file holds what only this chip can load, and a counter of the chip
// shows when old files were put back (docs/adr/0007-device-key-in-the-tpm.md; on Windows there is no counter).
//
// The tier is chosen once, when the key is made, and never changed behind the
// operator's back: another key is another device.
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
	"sync"
	"time"

	"licenseagent.example/platform/securefile"
)

// FileName is the name of the key file in the state directory.
const FileName = "device.key"

// Values of Alg. Keys in files are Ed25519 (RFC 8032): it is deterministic, so a
// weak random generator at signing time cannot leak the key. Keys in chips are
// ECDSA over P-256 with SHA-256, because that is what every TPM 2.0 can do.
const (
	AlgEd25519 = "ed25519"
	AlgP256    = "p256-sha256"
)

// Values of Tier.
const (
	TierFile = "file" // a file that only the agent's account can read
	TierOS   = "os"   // the file is sealed by the operating system for this machine
	TierTPM  = "tpm"  // the key is in the machine's TPM and cannot leave it
)

// NoTPM, as Places.TPM, is none, where the default would be one.
const NoTPM = "none"

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
	// ErrCleared is returned when the key was in this machine's TPM and somebody
	// has cleared it, in the firmware's setup or from the operating system.
	ErrCleared = errors.New("devicekey: the TPM of this machine was cleared, and the device key with it")
	// ErrNoChip is returned when the key is in a TPM and none can be reached.
	ErrNoChip = errors.New("devicekey: the device key is in a TPM, and there is none here")
	// ErrChip is returned when a TPM is there and does not do what it is asked to.
	ErrChip = errors.New("devicekey: the TPM refuses")
	// ErrCredential is returned when what the system hands over to seal the key is too
	// short or cannot be read. The key file is in order.
	ErrCredential = errors.New("devicekey: the credential that seals the key cannot be used")
	// errOwned is beside ErrChip when an administrator can do something about it.
	// What else can be done depends on whether the key is in the chip already.
	errOwned = errors.New("the owner password of the TPM is set")
	// errFull is beside ErrChip when the chip has no room for a counter. Which counter
	// is whose, the chip does not say.
	errFull = errors.New("the TPM has no room for a counter; tpm2_nvreadpublic lists what is in it, counters of license-agent lie from 0x01800000 to 0x01bfffff and are 8 bytes long: take those out that no program of this machine uses (tpm2_nvundefine)")
	// ErrUse is returned when the disk does not take that the key is used from now
	// on. Nothing was signed.
	ErrUse = errors.New("devicekey: the first use of the key could not be noted")
)

// Key is an opened device key. It is safe for use by several goroutines. Its
// String and Format forms never show the secret, whatever the verb.
type Key struct {
	tier    string
	private ed25519.PrivateKey // nil with a chip
	chip    *chip              // nil without
	local   []byte             // root of Derive, independent of the signing key
	created bool
	note    string

	using  sync.Mutex
	unused string // directory of the note that nothing was signed yet, "" when something may be
}

// Places says where a key may be kept better than in a file. The zero value:
// nowhere. A key that exists stays where it is.
type Places struct {
	// TPM is the device of a TPM 2.0 with a resource manager (/dev/tpmrm0), or the
	// Unix socket of an emulator; "" for none. Where the device does not exist the
	// next best place is taken, and Key.Note says so. On Windows DefaultTPM is the
	// platform provider of CNG, which is used where there is one, and any other
	// name is none.
	TPM string
	// Seal is a file with at least 32 secret bytes that the operating system hands
	// over on this machine only, such as a credential of systemd (systemd.exec(5),
	// LoadCredentialEncrypted=); "" for none. Not used on Windows, which has DPAPI.
	Seal string
	// Machine returns what tells this machine from a copy of it, always in the
	// same order, "" for what is not known. A key with which nothing was signed
	// yet is made anew when one of them has changed: an image of a machine that ran
	// before it was activated gives as many devices as copies
	// (docs/adr/0016-keys-nobody-knows.md). It is called only while nothing was
	// signed. nil: a key is never made anew.
	Machine func() []string

	after func(time.Duration) <-chan time.Time // nil: time.After
}

// Open is Places{}.Open: a key in a file, on Windows sealed by DPAPI.
func Open(dir string, rand io.Reader) (*Key, error) { return Places{}.Open(dir, rand) }

// Open reads the key of the state directory dir, or makes one if there is none,
// in the best of the places and else in a file, from rand. The directory must
// exist and is checked as securefile does; the file appears as a whole or not at
// all, and is never replaced once something was signed. Two processes that open a
// new directory at once get the same key.
//
// Errors: ErrDamaged, ErrForeignMachine, ErrCleared, ErrNoChip, ErrChip and
// ErrCredential with the next step, ErrRand, and those of securefile for directories and files open
// to others, and securefile.ErrLocked when a key would have to be made anew under
// an agent that runs.
func (p Places) Open(dir string, rand io.Reader) (*Key, error) {
	d, err := securefile.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	if p.Machine != nil {
		p.Machine = sync.OnceValue(p.Machine) // it reads hardware
	}
	// Of first starts at once a slower one may meet the other's note in the moment
	// in which it takes its place, or lose a temporary file to the agent that owns
	// the directory by then and sweeps it: then there is a key to be read.
	const tries = 4
	for range tries {
		k, err := p.openIn(d, rand)
		if !errors.Is(err, securefile.ErrChanged) && !errors.Is(err, fs.ErrNotExist) {
			return k, err
		}
	}
	return p.openIn(d, rand)
}

// openIn is one attempt of Open.
func (p Places) openIn(d *securefile.Dir, rand io.Reader) (*Key, error) {
	k, other, _, err := p.look(d)
	if other {
		if err := closed(k); err != nil {
			return nil, err
		}
		return p.replace(d, rand)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return k, err
	}
	made := &claim{dir: d, tpm: p.TPM, turns: newTurns(p.after)}
	k, err = p.first(d, made, rand)
	made.end(k != nil && k.created)
	return k, err
}

// first makes the key of a directory that has none. Of two first starts at once one
// loses, and gets the other's.
func (p Places) first(d *securefile.Dir, made *claim, rand io.Reader) (*Key, error) {
	content, note, err := p.create(made, rand)
	if err != nil {
		return nil, err
	}
	if p.Machine != nil {
		// Who loses may have written its note over the other's: then the key counts as
		// used.
		if err := d.WriteFile(UnusedName, unused{[]string{sum(content)}, p.here()}.encode(), securefile.PrivateFile); err != nil {
			return nil, err
		}
	}
	err = d.Create(FileName, content, securefile.PrivateFile)
	if errors.Is(err, securefile.ErrExists) {
		return p.read(d) // somebody else was faster, and theirs is the key
	}
	if err != nil {
		return nil, err
	}
	// Read back what is on the disk: a key that cannot be read again would be
	// noticed only at the next start, after licenses were bound to it.
	k, err := p.read(d)
	if err == nil {
		k.created, k.note = true, note
	}
	return k, err
}

// create makes the content of a new key file. The note says why a place that
// was asked for could not be used. The caller ends the claim.
func (p Places) create(made *claim, rand io.Reader) (content []byte, note string, err error) {
	secret := make([]byte, secretSize)
	if _, err := io.ReadFull(rand, secret); err != nil {
		return nil, "", fmt.Errorf("%w: %w", ErrRand, err)
	}
	if p.TPM != "" && p.TPM != NoTPM && (DefaultTPM == "" || p.TPM == DefaultTPM) {
		made.recover()
		b, err := inTurn(made.turns, openLimit, func() ([]byte, error) {
			return makeInChip(p.TPM, secret[ed25519.SeedSize:], made.take)
		})
		if err == nil {
			return encode(TierTPM, b), "", nil
		}
		if note, err = p.without(err); err != nil {
			return nil, "", err
		}
	}
	sealed, tier, err := seal(p.Seal, secret)
	if errors.Is(err, ErrCredential) {
		return nil, "", fmt.Errorf("%w: make it again", err) // nothing was sealed with it yet
	}
	return encode(tier, sealed), note, err
}

// without decides whether the key may be made without the chip that failed. Only
// where there is none at all: a chip that refuses is an error, because a key once
// made in a file would stay there, unless nobody has asked for the chip.
func (p Places) without(err error) (note string, _ error) {
	switch {
	case errors.Is(err, ErrNoChip) && tpmOptional:
		return "", nil // an ordinary machine
	case errors.Is(err, ErrNoChip):
		return "no TPM at " + p.TPM + ": the device key is kept without one", nil
	case tpmOptional:
		return "the device key is kept without the TPM: " + err.Error(), nil
	case errors.Is(err, errOwned):
		err = fmt.Errorf("%w; take it away, or set tpm to nothing and keep the key in a file", err)
	case errors.Is(err, errFull):
		err = fmt.Errorf("%w, or set tpm to nothing and keep the key in a file", err)
	}
	return "", err
}

func (p Places) read(d *securefile.Dir) (*Key, error) {
	k, _, _, err := p.look(d)
	return k, err
}

// open opens the key that the content of the file describes.
func (p Places) open(d *securefile.Dir, b []byte) (*Key, error) {
	where := filepath.Join(d.Path(), FileName)
	tier, sealed, err := decode(b)
	if err != nil {
		return nil, damaged(where, err)
	}
	if tier == TierTPM {
		q := newTurns(p.after)
		k, err := inTurn(q, openLimit, func() (*Key, error) {
			c, local, err := openChip(q, p.TPM, sealed)
			return &Key{tier: tier, chip: c, local: local}, err
		})
		if err != nil {
			return nil, chipProblem(where, p.TPM, err)
		}
		return k, nil
	}
	secret, err := unseal(p.Seal, tier, sealed)
	if errors.Is(err, ErrForeignMachine) {
		return nil, fmt.Errorf("%w: %s: move the file away and activate again; the old activation must be released by the vendor", err, where)
	}
	if errors.Is(err, ErrCredential) {
		return nil, fmt.Errorf("%w: put the old credential back, which has sealed %s", err, where)
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

// chipProblem adds file and next step to what openChip returns.
func chipProblem(where, device string, err error) error {
	if device == "" {
		device = "no device is set"
	}
	switch {
	case errors.Is(err, ErrNoChip):
		return fmt.Errorf("%w (%s): switch the TPM on in the firmware's setup and let the agent use it (setting tpm); if the mainboard was replaced, move %s away, have the vendor release the old activation, and activate again", err, device, where)
	case errors.Is(err, ErrCleared):
		return fmt.Errorf("%w: move %s away, have the vendor release the old activation, and activate again", err, where)
	case errors.Is(err, ErrForeignMachine):
		return fmt.Errorf("%w: another mainboard, or the files of another machine: move %s away, have the vendor release the old activation, and activate again", err, where)
	case errors.Is(err, errOwned):
		return fmt.Errorf("%w; take it away, or move %s away, have the vendor release the old activation, and activate again", err, where)
	case errors.Is(err, ErrChip):
		return err
	}
	return damaged(where, err)
}

func damaged(where string, why error) error {
	if why == nil {
		why = errors.New("wrong length")
	}
	return fmt.Errorf("%w: %s: %w: restore the file from a backup of this machine, or move it away and activate again", ErrDamaged, where, why)
}

// Alg names the signature algorithm: AlgEd25519, or AlgP256 in a chip.
func (k *Key) Alg() string {
	if k.chip != nil {
		return AlgP256
	}
	return AlgEd25519
}

// PublicBytes is the public key in the raw form of the algorithm: 32 bytes for
// Ed25519, the uncompressed point of 65 bytes for P-256 (SEC 1, 2.3.3). The
// caller may keep and change the slice.
func (k *Key) PublicBytes() []byte {
	if k.chip != nil {
		return append([]byte(nil), k.chip.public...)
	}
	return append([]byte(nil), k.private.Public().(ed25519.PublicKey)...)
}

// Sign signs msg as it is: PureEdDSA (RFC 8032), or ECDSA over its SHA-256 as
// the numbers r‖s of 32 bytes each. The caller decides what is signed; bytes
// that come from outside must never get here unframed, or the agent would be a
// signing oracle. A chip signs one message at a time and may fail, or not answer
// within a few seconds: ErrChip. The first signature is made when the disk has noted it: ErrUse.
func (k *Key) Sign(msg []byte) ([]byte, error) {
	if err := k.use(); err != nil {
		return nil, err
	}
	if k.chip != nil {
		return k.chip.sign(msg)
	}
	return ed25519.Sign(k.private, msg), nil
}

// Tier says how well the key is kept: TierFile, TierOS or TierTPM.
func (k *Key) Tier() string { return k.tier }

// Note says in one line, when Open made the key, why a better place that was asked
// for was not used, and that it took the place of one that was copied; "" otherwise.
func (k *Key) Note() string { return k.note }

// Created reports whether Open made the key just now, which means that this
// device has never been activated under it.
func (k *Key) Created() bool { return k.created }

// HasCounter reports whether the key has a counter in its chip.
func (k *Key) HasCounter() bool { return k.chip != nil && k.chip.counts() }

// Count reads the counter that belongs to the key. It only ever grows, whatever
// happens to files: one that is remembered in a file and is behind the chip's
// was put back from an older copy. A counter that somebody has removed from the
// chip begins again above every value it ever had (TPM 2.0 Part 1, 37.2.6).
// Error: ErrChip, also where HasCounter is false.
func (k *Key) Count() (int64, error) {
	if k.chip == nil {
		return 0, ErrChip
	}
	return k.chip.count(false)
}

// Bump adds one to the counter and returns the new value. Errors as for Count.
func (k *Key) Bump() (int64, error) {
	if k.chip == nil {
		return 0, ErrChip
	}
	return k.chip.count(true)
}

// Derive returns 32 secret bytes for one local purpose, for example the MAC key
// of the store, by HKDF-SHA-256 (RFC 5869) over a secret that is not the
// signing key: knowing a derived value helps neither to sign nor to derive
// another. The same key and label always give the same bytes.
func (k *Key) Derive(label string) []byte { return derive(k.local, label) }

func derive(local []byte, label string) []byte {
	out, err := hkdf.Expand(sha256.New, local, "license-agent device key v1 derive "+label, 32)
	if err != nil {
		panic("devicekey: " + err.Error()) // impossible: 32 bytes are below the limit of 255 blocks
	}
	return out
}

// Close gives the chip back; the key cannot sign any more.
func (k *Key) Close() error {
	if k.chip == nil {
		return nil
	}
	return k.chip.close()
}

// String keeps the secret out of logs and error texts.
func (k *Key) String() string { return "device key (" + k.Alg() + ", tier " + k.tier + ")" }

// GoString keeps the secret out of %#v.
func (k *Key) GoString() string { return k.String() }
