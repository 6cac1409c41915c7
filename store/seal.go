package store

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// tagSize is the length of the AES-GCM tag at the end of each sealed value.
const tagSize = 16

// sealer seals and opens values under keys derived from the device key.
// bbolt data pages carry no checksum, so a damaged page can return any value;
// the seal makes such a value a refusal. It also hides the pending request,
// which holds the authorization code.
type sealer struct {
	aead    cipher.AEAD // AES-256-GCM with a random nonce in front
	fileKey []byte      // HMAC key for whole files
	id      string      // tells "damaged" from "written under another key"
}

func newSealer(key []byte) (*sealer, error) {
	if len(key) < 32 {
		return nil, fmt.Errorf("%w: %d bytes, at least 32 are needed", ErrKey, len(key))
	}
	derive := func(info string, n int) ([]byte, error) {
		return hkdf.Key(sha256.New, key, nil, "license-agent store v1 "+info, n)
	}
	k, err := derive("seal", 32)
	if err != nil {
		return nil, err
	}
	fileKey, err := derive("file", 32)
	if err != nil {
		return nil, err
	}
	id, err := derive("id", 8)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(k)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	return &sealer{aead: aead, fileKey: fileKey, id: hex.EncodeToString(id)}, nil
}

// seal binds the value to its place: a sealed value moved to another key or
// bucket does not open.
func (s *sealer) seal(e entry, plain []byte) []byte {
	return s.aead.Seal(nil, nil, plain, e.bound())
}

func (s *sealer) open(e entry, sealed []byte) ([]byte, error) {
	plain, err := s.aead.Open(nil, nil, sealed, e.bound())
	if err != nil {
		return nil, errSeal
	}
	return plain, nil
}

// fileMAC is the keyed digest of a whole file.
func (s *sealer) fileMAC(label string, content []byte) string {
	h := hmac.New(sha256.New, s.fileKey)
	h.Write([]byte(label + "\x00"))
	h.Write(content)
	return hex.EncodeToString(h.Sum(nil))
}

// tag names one sealed value: nonce and content decide it.
func tag(sealed []byte) string {
	if len(sealed) < tagSize {
		return ""
	}
	return hex.EncodeToString(sealed[len(sealed)-tagSize:])
}
