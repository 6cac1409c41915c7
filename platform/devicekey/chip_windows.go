package devicekey

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"

	"golang.org/x/sys/windows"
)

// DefaultTPM is the TPM that a new key is made in unless the settings say
// otherwise: Windows hands it to every service by its platform provider, which
// owns the chip, so that nothing has to be opened and nothing can be cleared.
const DefaultTPM = "platform"

// tpmOptional: the chip was not asked for by a person, so that one which refuses
// is a note and the key goes to the next best place.
const tpmOptional = true

// chipFile is what the key file holds. The blob is the key as only the chip that
// made it can load it (Chromium keeps its unexportable keys the same way); local
// is sealed by DPAPI, because the provider has no call for sealing.
type chipFile struct {
	Blob   []byte `json:"blob"`
	Public []byte `json:"public"` // uncompressed point
	Sealed []byte `json:"sealed"`
}

// chip is an opened key in the platform provider. There is no counter: the provider
// has no call for one.
type chip struct {
	api    cng
	file   chipFile
	public []byte

	turns         *turns
	provider, key uintptr // whose turn it is: 0 after a failure
}

// The states that have a name of their own (winerror.h).
const (
	tbsNoTPM     = windows.Errno(0x8028400f) // TBS_E_TPM_NOT_FOUND
	notFound     = windows.Errno(0x80090035) // NTE_DEVICE_NOT_FOUND
	noKeyset     = windows.Errno(0x80090016) // NTE_BAD_KEYSET: the provider is not registered
	notSupported = windows.Errno(0x80090029) // NTE_NOT_SUPPORTED
	noProperty   = windows.Errno(0x80090027) // NTE_INVALID_PARAMETER: a provider that does not say what it is
	tpmIntegrity = windows.Errno(0x8028009f) // TPM_20_E_INTEGRITY: not made by this chip
	tpmParent    = windows.Errno(0x8028008b) // TPM_20_E_HANDLE: the storage root key is another one
)

// connect opens the provider if it is a chip's: elsewhere than on Windows the
// name may open something in software.
func (c cng) connect() (uintptr, error) {
	p, err := c.open()
	if err == nil {
		var kind uint32
		if kind, err = c.number(p, implProperty); err == nil && kind&implHardware == 0 {
			err = notSupported
		}
		if err == nil {
			return p, nil
		}
		c.free(p)
	}
	for _, none := range []error{tbsNoTPM, notFound, noKeyset, notSupported, noProperty, windows.ERROR_PROC_NOT_FOUND, windows.ERROR_MOD_NOT_FOUND} {
		if errors.Is(err, none) {
			return 0, ErrNoChip
		}
	}
	return 0, fmt.Errorf("%w: %w", ErrChip, err)
}

func makeInChip(_ string, local []byte, _ func(uint32) error) ([]byte, error) {
	return systemCNG().makeKey(local)
}

// makeKey makes a key in the chip and the content of the key file. The key is
// tried before it is used: a key once made stays, so one that the chip does not
// take back or that signs wrongly must never become the device's.
func (c cng) makeKey(local []byte) ([]byte, error) {
	provider, err := c.connect()
	if err != nil {
		return nil, err
	}
	defer c.free(provider)
	key, err := c.make(provider)
	if err != nil {
		return nil, fmt.Errorf("%w: making the key: %w", ErrChip, err)
	}
	defer c.free(key)
	var f chipFile
	if f.Blob, err = c.export(key, blobOpaque); err == nil {
		var public []byte
		if public, err = c.export(key, blobPublic); err == nil {
			f.Public, err = ecPoint(public)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%w: reading the key: %w", ErrChip, err)
	}
	if f.Sealed, _, err = seal("", local); err != nil {
		return nil, err
	}
	content, err := json.Marshal(f)
	if err != nil {
		return nil, err
	}
	trial, _, err := c.openKey(newTurns(nil), content)
	if err != nil {
		return nil, fmt.Errorf("%w: the new key cannot be loaded: %w", ErrChip, err)
	}
	defer trial.close() //nolint:errcheck // it is forgotten either way
	message := []byte("license-agent device key trial")
	sig, err := trial.sign(message)
	if err != nil {
		return nil, err
	}
	pub, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), f.Public)
	sum := sha256.Sum256(message)
	if err != nil || !ecdsa.Verify(pub, sum[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])) {
		return nil, fmt.Errorf("%w: the signature of the new key does not verify", ErrChip)
	}
	return content, nil
}

func openChip(q *turns, _ string, content []byte) (*chip, []byte, error) {
	return systemCNG().openKey(q, content)
}

// openKey loads the key into the chip and opens the local secret. An error that
// is none of the sentinels means that the file is damaged. The caller has the turn.
func (c cng) openKey(q *turns, content []byte) (*chip, []byte, error) {
	k := &chip{api: c, turns: q}
	d := json.NewDecoder(bytes.NewReader(content))
	d.DisallowUnknownFields()
	if err := d.Decode(&k.file); err != nil || len(k.file.Blob) == 0 || len(k.file.Public) != 65 {
		return nil, nil, errors.New("not the description of a key in a TPM")
	}
	local, err := unseal("", TierOS, k.file.Sealed)
	if err != nil {
		return nil, nil, err
	}
	k.public = k.file.Public
	if err := k.load(); err != nil {
		return nil, nil, err
	}
	return k, local, nil
}

// load connects and loads the key. The caller has the turn.
func (k *chip) load() error {
	provider, err := k.api.connect()
	if err != nil {
		return err
	}
	key, err := k.api.load(provider, k.file.Blob)
	if err == nil {
		k.provider, k.key = provider, key
		return nil
	}
	k.api.free(provider)
	if errors.Is(err, tpmIntegrity) || errors.Is(err, tpmParent) {
		return fmt.Errorf("%w, or it has another TPM now (%w)", ErrCleared, err)
	}
	return fmt.Errorf("%w: loading the key: %w", ErrChip, err)
}

// drop forgets the handles. The caller has the turn.
func (k *chip) drop() {
	if k.key != 0 {
		k.api.free(k.key)
		k.api.free(k.provider)
		k.key, k.provider = 0, 0
	}
}

func (k *chip) close() error {
	_, err := inTurn(k.turns, commandLimit, func() (struct{}, error) {
		k.drop()
		return struct{}{}, nil
	})
	return err
}

// sign signs the SHA-256 of msg.
func (k *chip) sign(msg []byte) ([]byte, error) {
	digest := sha256.Sum256(msg)
	return inTurn(k.turns, commandLimit, func() ([]byte, error) { return k.signDigest(digest[:]) })
}

// signDigest signs in turn. A handle that went stale (the machine slept, the key
// isolation service was restarted) is made again once.
func (k *chip) signDigest(digest []byte) ([]byte, error) {
	if k.key != 0 {
		if sig, err := k.api.sign(k.key, digest); err == nil && len(sig) == 64 {
			return sig, nil
		}
		k.drop()
	}
	if err := k.load(); err != nil {
		return nil, err
	}
	sig, err := k.api.sign(k.key, digest)
	if err == nil && len(sig) != 64 {
		err = errors.New("not an ECDSA signature over P-256")
	}
	if err != nil {
		return nil, fmt.Errorf("%w: signing: %w", ErrChip, err)
	}
	return sig, nil
}

func (*chip) count(bool) (int64, error) { return 0, ErrChip }

func (*chip) counts() bool { return false }

func (*chip) forget() {} // the provider knows nothing of the key

func takeOut(string, uint32) error { return nil } // there are none

// ecPoint turns a BCRYPT_ECCPUBLIC_BLOB (bcrypt.h: magic, length, X, Y) into an
// uncompressed point.
func ecPoint(b []byte) ([]byte, error) {
	const magic = 0x31534345 // BCRYPT_ECDSA_PUBLIC_P256_MAGIC
	if len(b) != 72 || binary.LittleEndian.Uint32(b) != magic || binary.LittleEndian.Uint32(b[4:]) != 32 {
		return nil, errors.New("not a public key over P-256")
	}
	return append([]byte{4}, b[8:]...), nil
}
