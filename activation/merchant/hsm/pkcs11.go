//go:build pkcs11

package hsm

import (
	"crypto/ed25519"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"

	"github.com/miekg/pkcs11"

	"licenseagent.example/activation/license"
	"licenseagent.example/activation/merchant"
)

// What PKCS#11 3.0 added for Ed25519 (sections 2.3.5, 2.3.10 and 2.3.14 of
// "PKCS #11 Cryptographic Token Interface Current Mechanisms").
const (
	ckkEdwards    = 0x40
	ckmEdwardsGen = 0x1055
	ckmEdDSA      = 0x1057
)

// label is that of all our keys; the CKA_ID is drawn for each.
const label = "license-merchant"

// Keys is a token with a session that is logged in.
type Keys struct {
	config Config
	rand   io.Reader

	mu      sync.Mutex
	module  *pkcs11.Ctx
	session pkcs11.SessionHandle
	ours    bool // we initialised the library, which a process does once
	live    bool
}

// Open loads the library, finds the token and logs in. Errors wrap
// merchant.ErrKeyStore.
func Open(c Config, rand io.Reader) (*Keys, error) {
	k := &Keys{config: c, rand: rand}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.module = pkcs11.New(c.Module); k.module == nil {
		return nil, fmt.Errorf("%w: the library %s cannot be loaded", merchant.ErrKeyStore, c.Module)
	}
	if err := k.connect(); err != nil {
		return nil, errors.Join(err, k.close())
	}
	return k, nil
}

// connect opens the session. The caller holds the lock.
func (k *Keys) connect() error {
	err := k.module.Initialize()
	if err == nil {
		k.ours = true
	} else if !errors.Is(err, pkcs11.Error(pkcs11.CKR_CRYPTOKI_ALREADY_INITIALIZED)) {
		return failed("initialise the library", err)
	}
	slot, err := k.slot()
	if err != nil {
		return err
	}
	if k.session, err = k.module.OpenSession(slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION); err != nil {
		return failed("open a session", err)
	}
	err = k.module.Login(k.session, pkcs11.CKU_USER, k.config.PIN)
	if err != nil && !errors.Is(err, pkcs11.Error(pkcs11.CKR_USER_ALREADY_LOGGED_IN)) {
		return errors.Join(failed("log in", err), k.module.CloseSession(k.session))
	}
	k.live = true
	return nil
}

// slot finds the one token of the label.
func (k *Keys) slot() (uint, error) {
	slots, err := k.module.GetSlotList(true)
	if err != nil {
		return 0, failed("list the tokens", err)
	}
	var found []uint
	for _, s := range slots {
		info, err := k.module.GetTokenInfo(s)
		if err == nil && info.Label == k.config.Token {
			found = append(found, s)
		}
	}
	if len(found) != 1 {
		return 0, fmt.Errorf("%w: %d of %d tokens have the label %q", merchant.ErrKeyStore, len(found), len(slots), k.config.Token)
	}
	return found[0], nil
}

// Close ends the session.
func (k *Keys) Close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.close()
}

func (k *Keys) close() error {
	var errs []error
	if k.live {
		errs = append(errs, k.module.CloseSession(k.session))
	}
	if k.ours {
		errs = append(errs, k.module.Finalize())
	}
	k.live, k.ours = false, false
	return errors.Join(errs...)
}

func failed(what string, err error) error {
	return fmt.Errorf("%w: cannot %s: %w", merchant.ErrKeyStore, what, err)
}

// retried runs something with the session. A module that was restarted, or a
// token that was taken out and put back, knows the old session no more: then it
// is run once more with a new one.
func (k *Keys) retried(do func() error) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.live {
		if err := do(); err == nil || errors.Is(err, fs.ErrNotExist) {
			return err
		}
		_ = k.close() // the session is broken, and so may be its end
	}
	if err := k.connect(); err != nil {
		_ = k.close() // so that the next attempt looks for the tokens anew
		return err
	}
	return do()
}

// Create makes a key pair in the token, whose private half never leaves it.
func (k *Keys) Create() (signer license.Signer, err error) {
	id := make([]byte, 16)
	if _, err := io.ReadFull(k.rand, id); err != nil {
		return nil, fmt.Errorf("hsm: drawing an id: %w", err)
	}
	curve, err := asn1.MarshalWithParams("edwards25519", "printable") // curveName, as in RFC 8032's own naming
	if err != nil {
		return nil, fmt.Errorf("hsm: %w", err)
	}
	err = k.retried(func() error {
		public, _, err := k.module.GenerateKeyPair(k.session, []*pkcs11.Mechanism{pkcs11.NewMechanism(ckmEdwardsGen, nil)},
			[]*pkcs11.Attribute{
				pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_PUBLIC_KEY), pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, ckkEdwards),
				pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true), pkcs11.NewAttribute(pkcs11.CKA_VERIFY, true), pkcs11.NewAttribute(pkcs11.CKA_EC_PARAMS, curve),
				pkcs11.NewAttribute(pkcs11.CKA_LABEL, label), pkcs11.NewAttribute(pkcs11.CKA_ID, id),
			},
			[]*pkcs11.Attribute{
				pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_PRIVATE_KEY), pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, ckkEdwards),
				pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true), pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, true), pkcs11.NewAttribute(pkcs11.CKA_SIGN, true),
				pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, true), pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, false),
				pkcs11.NewAttribute(pkcs11.CKA_LABEL, label), pkcs11.NewAttribute(pkcs11.CKA_ID, id),
			})
		if err != nil {
			return failed("create a key", err)
		}
		pub, err := k.public(public)
		if err != nil {
			return err
		}
		signer = &tokenSigner{keys: k, public: pub, id: id}
		return nil
	})
	return signer, err
}

// Load finds a key by its public half: the token knows no kid.
func (k *Keys) Load(kid string) (signer license.Signer, err error) {
	err = k.retried(func() error {
		id, pub, err := k.find(kid)
		signer = &tokenSigner{keys: k, public: pub, id: id}
		return err
	})
	if err != nil {
		return nil, err
	}
	return signer, nil
}

// Remove destroys both halves of a key.
func (k *Keys) Remove(kid string) error {
	return k.retried(func() error {
		id, _, err := k.find(kid)
		if err != nil {
			return err
		}
		for _, class := range []uint{pkcs11.CKO_PRIVATE_KEY, pkcs11.CKO_PUBLIC_KEY} {
			objects, err := k.objects(class, id)
			if err != nil {
				return err
			}
			for _, o := range objects {
				if err := k.module.DestroyObject(k.session, o); err != nil {
					return failed("remove a key", err)
				}
			}
		}
		return nil
	})
}

// find returns the CKA_ID and the public half of a key; fs.ErrNotExist when the
// token has none.
func (k *Keys) find(kid string) ([]byte, license.PublicKey, error) {
	objects, err := k.objects(pkcs11.CKO_PUBLIC_KEY, nil)
	if err != nil {
		return nil, license.PublicKey{}, err
	}
	for _, o := range objects {
		pub, err := k.public(o)
		if err != nil {
			return nil, pub, err
		}
		if license.KeyID(pub) != kid {
			continue
		}
		id, err := k.module.GetAttributeValue(k.session, o, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_ID, nil)})
		if err != nil {
			return nil, pub, failed("read a key", err)
		}
		return id[0].Value, pub, nil
	}
	return nil, license.PublicKey{}, fmt.Errorf("hsm: key %s: %w", kid, fs.ErrNotExist)
}

// objects lists our keys of a class, those with an id when one is given.
func (k *Keys) objects(class uint, id []byte) ([]pkcs11.ObjectHandle, error) {
	want := []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_CLASS, class), pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, ckkEdwards), pkcs11.NewAttribute(pkcs11.CKA_LABEL, label),
	}
	if id != nil {
		want = append(want, pkcs11.NewAttribute(pkcs11.CKA_ID, id))
	}
	if err := k.module.FindObjectsInit(k.session, want); err != nil {
		return nil, failed("look for keys", err)
	}
	var all []pkcs11.ObjectHandle
	for {
		some, _, err := k.module.FindObjects(k.session, 64)
		if err != nil {
			return nil, errors.Join(failed("look for keys", err), k.module.FindObjectsFinal(k.session))
		}
		if len(some) == 0 {
			break
		}
		all = append(all, some...)
	}
	if err := k.module.FindObjectsFinal(k.session); err != nil {
		return nil, failed("look for keys", err)
	}
	return all, nil
}

// public reads a public key: 32 bytes, by most tokens inside an OCTET STRING.
func (k *Keys) public(o pkcs11.ObjectHandle) (license.PublicKey, error) {
	point, err := k.module.GetAttributeValue(k.session, o, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_EC_POINT, nil)})
	if err != nil {
		return license.PublicKey{}, failed("read a key", err)
	}
	raw := point[0].Value
	if len(raw) != ed25519.PublicKeySize {
		var inner []byte
		if rest, err := asn1.Unmarshal(raw, &inner); err != nil || len(rest) > 0 || len(inner) != ed25519.PublicKeySize {
			return license.PublicKey{}, fmt.Errorf("%w: a public key of %d bytes is no Ed25519 key", merchant.ErrKeyStore, len(raw))
		}
		raw = inner
	}
	return license.PublicKey{Alg: license.AlgEd25519, Pub: base64.StdEncoding.EncodeToString(raw)}, nil
}

// tokenSigner signs with one key of the token.
type tokenSigner struct {
	keys   *Keys
	public license.PublicKey
	id     []byte
}

func (s *tokenSigner) Public() license.PublicKey { return s.public }

// Sign makes a signature in the token and checks it: what a broken token or
// library returned must not reach a device.
func (s *tokenSigner) Sign(message []byte) (signature []byte, err error) {
	k := s.keys
	err = k.retried(func() error {
		// Handles end with the session: the key is found again each time.
		objects, err := k.objects(pkcs11.CKO_PRIVATE_KEY, s.id)
		if err != nil {
			return err
		}
		if len(objects) != 1 {
			return fmt.Errorf("%w: the token has %d private keys for %s", merchant.ErrKeyStore, len(objects), license.KeyID(s.public))
		}
		if err := k.module.SignInit(k.session, []*pkcs11.Mechanism{pkcs11.NewMechanism(ckmEdDSA, nil)}, objects[0]); err != nil {
			return failed("sign", err)
		}
		if signature, err = k.module.Sign(k.session, message); err != nil {
			return failed("sign", err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	pub, err := base64.StdEncoding.DecodeString(s.public.Pub)
	if err != nil || !ed25519.Verify(pub, message, signature) {
		return nil, fmt.Errorf("%w: the token made a signature that does not verify", merchant.ErrKeyStore)
	}
	return signature, nil
}
