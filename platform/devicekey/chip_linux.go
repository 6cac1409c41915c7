package devicekey

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
	"github.com/google/go-tpm/tpm2/transport/linuxtpm"
	"github.com/google/go-tpm/tpm2/transport/linuxudstpm"
)

// DefaultTPM: a TPM has to be asked for. Whoever may open the device may also
// clear it, see docs/adr/0007-device-key-in-the-tpm.md.
const DefaultTPM = ""

// tpmOptional: somebody has asked for the chip, so that one which refuses is an
// error and not a reason to make the key elsewhere.
const tpmOptional = false

// chipFile is what the key file holds: the key and the sealed secret as only
// the chip that made them can load them, and what tells that chip from another.
// The key attributes are fixedTPM and fixedParent, without encryptedDuplication:
// no command of the TPM gives the private part out (TPM 2.0 Part 1, 25.2).
type chipFile struct {
	Public     []byte `json:"public"`
	Private    []byte `json:"private"`
	SealPublic []byte `json:"seal_public"`
	Sealed     []byte `json:"sealed"`
	Root       string `json:"root"` // name of the storage root key: another one after a clear
	Chip       string `json:"chip"` // name of the endorsement key: survives a clear, "" where it cannot be asked for
	Counter    uint32 `json:"counter"`
}

// chip is an opened key.
type chip struct {
	path   string
	file   chipFile
	public []byte
	auth   []byte // of the counter

	turns *turns
	tpm   transport.TPMCloser // whose turn it is: nil after a failure
	key   tpm2.NamedHandle    // the same
}

// connect opens the device, or the socket of an emulator.
func connect(path string) (transport.TPMCloser, error) {
	fi, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || path == "" {
		return nil, ErrNoChip
	}
	var t transport.TPMCloser
	switch {
	case err != nil:
	case fi.Mode()&os.ModeSocket != 0:
		t, err = linuxudstpm.Open(path)
	default:
		t, err = linuxtpm.Open(path)
	}
	switch {
	case errors.Is(err, syscall.ENODEV), errors.Is(err, syscall.ENXIO):
		return nil, ErrNoChip
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%w: %w: let the agent's user open the device (for example by the group tss)", ErrChip, err)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrChip, err)
	}
	return t, nil
}

// refused names a command that failed. An owner password keeps everybody from
// making keys, and is the one cause that an operator can do something about.
func refused(what string, err error) error {
	if errors.Is(err, tpm2.TPMRCBadAuth) || errors.Is(err, tpm2.TPMRCAuthFail) {
		return fmt.Errorf("%w: %s: %w: %w", ErrChip, what, err, errOwned)
	}
	if errors.Is(err, tpm2.TPMRCNVSpace) {
		return fmt.Errorf("%w: %s: %w: %w", ErrChip, what, err, errFull)
	}
	return fmt.Errorf("%w: %s: %w", ErrChip, what, err)
}

// root makes the storage root key anew, which gives the same key until the chip
// is cleared. The caller flushes it.
func root(t transport.TPM) (tpm2.NamedHandle, error) {
	rsp, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpm2.ECCSRKTemplate)}.Execute(t)
	if err != nil {
		return tpm2.NamedHandle{}, refused("storage root key", err)
	}
	return tpm2.NamedHandle{Handle: rsp.ObjectHandle, Name: rsp.Name}, nil
}

func flush(t transport.TPM, h tpm2.NamedHandle) {
	tpm2.FlushContext{FlushHandle: h.Handle}.Execute(t) //nolint:errcheck // the resource manager does it at the latest when we leave
}

func nameText(n tpm2.TPM2BName) string { return hex.EncodeToString(n.Buffer) }

// chipName tells one chip from another, also across a clear. It is "" where the
// endorsement hierarchy has a password: then a clear and a swap look the same.
func chipName(t transport.TPM) string {
	rsp, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHEndorsement, InPublic: tpm2.New2B(tpm2.ECCEKTemplate)}.Execute(t)
	if err != nil {
		return ""
	}
	flush(t, tpm2.NamedHandle{Handle: rsp.ObjectHandle, Name: rsp.Name})
	return nameText(rsp.Name)
}

// signing is the public area of the device key.
func signing() tpm2.TPMTPublic {
	return tpm2.TPMTPublic{
		Type: tpm2.TPMAlgECC, NameAlg: tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true, UserWithAuth: true, NoDA: true, SignEncrypt: true},
		Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{
			CurveID: tpm2.TPMECCNistP256,
			Scheme:  tpm2.TPMTECCScheme{Scheme: tpm2.TPMAlgECDSA, Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSigSchemeECDSA{HashAlg: tpm2.TPMAlgSHA256})},
		}),
	}
}

// makeInChip makes a key and a counter in the chip, seals local to it, and
// returns the content of the key file. take hears of the counter before it is made.
func makeInChip(path string, local []byte, take func(index uint32) error) ([]byte, error) {
	t, err := connect(path)
	if err != nil {
		return nil, err
	}
	defer t.Close() //nolint:errcheck // everything is flushed
	parent, err := root(t)
	if err != nil {
		return nil, err
	}
	defer flush(t, parent)
	key, err := tpm2.Create{ParentHandle: parent, InPublic: tpm2.New2B(signing())}.Execute(t)
	if err != nil {
		return nil, refused("making the key", err)
	}
	sealed, err := tpm2.Create{
		ParentHandle: parent,
		InSensitive: tpm2.TPM2BSensitiveCreate{Sensitive: &tpm2.TPMSSensitiveCreate{
			Data: tpm2.NewTPMUSensitiveCreate(&tpm2.TPM2BSensitiveData{Buffer: local}),
		}},
		InPublic: tpm2.New2B(tpm2.TPMTPublic{
			Type: tpm2.TPMAlgKeyedHash, NameAlg: tpm2.TPMAlgSHA256,
			ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, UserWithAuth: true, NoDA: true},
		}),
	}.Execute(t)
	if err != nil {
		return nil, refused("sealing", err)
	}
	f := chipFile{
		Public: tpm2.Marshal(key.OutPublic), Private: tpm2.Marshal(key.OutPrivate),
		SealPublic: tpm2.Marshal(sealed.OutPublic), Sealed: tpm2.Marshal(sealed.OutPrivate),
		Root: nameText(parent.Name), Chip: chipName(t),
	}
	if f.Counter, err = freshCounter(t, derive(local, "tpm counter"), take); err != nil {
		return nil, err
	}
	return json.Marshal(f)
}

// openChip loads the key into the chip and unseals the local secret. An error
// that is none of the sentinels means that the file is damaged. The caller has
// the turn.
func openChip(q *turns, path string, content []byte) (*chip, []byte, error) {
	c := &chip{path: path, turns: q}
	if err := json.Unmarshal(content, &c.file); err != nil {
		return nil, nil, errors.New("not the description of a key in a TPM")
	}
	local, err := c.load()
	if err != nil {
		return nil, nil, err
	}
	c.auth = derive(local, "tpm counter")
	return c, local, nil
}

// load connects and loads the key; what it has loaded stays until close. The
// caller has the turn.
func (c *chip) load() (local []byte, err error) {
	t, err := connect(c.path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			t.Close() //nolint:errcheck // the first error counts
		}
	}()
	parent, err := root(t)
	if err != nil {
		return nil, err
	}
	defer flush(t, parent)
	if nameText(parent.Name) != c.file.Root {
		if chipName(t) == c.file.Chip && c.file.Chip != "" {
			return nil, ErrCleared
		}
		return nil, ErrForeignMachine
	}
	sealed, _, err := loadObject(t, parent, c.file.SealPublic, c.file.Sealed)
	if err != nil {
		return nil, err
	}
	rsp, err := tpm2.Unseal{ItemHandle: sealed}.Execute(t)
	flush(t, sealed)
	if err != nil {
		return nil, refused("unsealing", err)
	}
	key, public, err := loadObject(t, parent, c.file.Public, c.file.Private)
	if err != nil {
		return nil, err
	}
	p, err := point(public)
	if err != nil {
		flush(t, key)
		return nil, err
	}
	if c.public == nil { // once: it is read out of turn
		c.public = p
	}
	c.tpm, c.key = t, key
	return rsp.OutData.Buffer, nil
}

func loadObject(t transport.TPM, parent tpm2.NamedHandle, public, private []byte) (tpm2.NamedHandle, *tpm2.TPM2BPublic, error) {
	pub, err := tpm2.Unmarshal[tpm2.TPM2BPublic](public)
	if err != nil {
		return tpm2.NamedHandle{}, nil, errors.New("the public part cannot be read")
	}
	priv, err := tpm2.Unmarshal[tpm2.TPM2BPrivate](private)
	if err != nil {
		return tpm2.NamedHandle{}, nil, errors.New("the private part cannot be read")
	}
	rsp, err := tpm2.Load{ParentHandle: parent, InPrivate: *priv, InPublic: *pub}.Execute(t)
	if errors.Is(err, tpm2.TPMRCIntegrity) {
		return tpm2.NamedHandle{}, nil, errors.New("the chip does not take its own key back")
	}
	if err != nil {
		return tpm2.NamedHandle{}, nil, refused("loading the key", err)
	}
	return tpm2.NamedHandle{Handle: rsp.ObjectHandle, Name: rsp.Name}, pub, nil
}

// point is the public key as an uncompressed point.
func point(public *tpm2.TPM2BPublic) ([]byte, error) {
	area, err := public.Contents()
	if err != nil {
		return nil, errors.New("the public part cannot be read")
	}
	p, err := area.Unique.ECC()
	if err != nil || len(p.X.Buffer) > 32 || len(p.Y.Buffer) > 32 {
		return nil, errors.New("the public part is not a P-256 key")
	}
	out := make([]byte, 65)
	out[0] = 4
	copy(out[33-len(p.X.Buffer):33], p.X.Buffer)
	copy(out[65-len(p.Y.Buffer):], p.Y.Buffer)
	return out, nil
}

// with runs one command. A connection that was lost (the machine slept, the
// driver was reloaded) is made again once. The caller has the turn.
func (c *chip) with(do func(transport.TPM) error) error {
	if c.tpm != nil {
		err := do(c.tpm)
		if err == nil {
			return nil
		}
		c.drop()
	}
	if _, err := c.load(); err != nil {
		return err
	}
	return do(c.tpm)
}

// drop forgets the connection. The caller has the turn.
func (c *chip) drop() {
	flush(c.tpm, c.key)
	c.tpm.Close() //nolint:errcheck // it may be broken
	c.tpm = nil
}

func (c *chip) close() error {
	_, err := inTurn(c.turns, commandLimit, func() (struct{}, error) {
		if c.tpm != nil {
			c.drop()
		}
		return struct{}{}, nil
	})
	return err
}

func (c *chip) sign(msg []byte) ([]byte, error) {
	digest := sha256.Sum256(msg)
	return inTurn(c.turns, commandLimit, func() (sig []byte, err error) {
		err = c.with(func(t transport.TPM) error {
			sig, err = c.signDigest(t, digest[:])
			return err
		})
		return sig, err
	})
}

func (c *chip) signDigest(t transport.TPM, digest []byte) ([]byte, error) {
	rsp, err := tpm2.Sign{
		KeyHandle: c.key, Digest: tpm2.TPM2BDigest{Buffer: digest},
		InScheme: tpm2.TPMTSigScheme{
			Scheme: tpm2.TPMAlgECDSA, Details: tpm2.NewTPMUSigScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSchemeHash{HashAlg: tpm2.TPMAlgSHA256}),
		},
		Validation: tpm2.TPMTTKHashCheck{Tag: tpm2.TPMSTHashCheck},
	}.Execute(t)
	if err != nil {
		return nil, refused("signing", err)
	}
	made, err := rsp.Signature.Signature.ECDSA()
	if err != nil || len(made.SignatureR.Buffer) > 32 || len(made.SignatureS.Buffer) > 32 {
		return nil, refused("signing", errors.New("not an ECDSA signature"))
	}
	sig := make([]byte, 64)
	copy(sig[32-len(made.SignatureR.Buffer):32], made.SignatureR.Buffer)
	copy(sig[64-len(made.SignatureS.Buffer):], made.SignatureS.Buffer)
	return sig, nil
}
