//go:build !windows

package devicekey

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
)

// sealInfo separates the sealing key from anything else that may be derived
// from the same credential.
const sealInfo = "license-agent device key seal v1"

// minSeal is the least length of the secret that the system hands over.
const minSeal = 32

// seal encrypts the secret under what the operating system hands over on this
// machine only. Without that the permission of the file is all that keeps it,
// and the tier says so.
func seal(from string, secret []byte) (sealed []byte, tier string, err error) {
	if from == "" {
		return secret, TierFile, nil
	}
	aead, err := sealer(from)
	if err != nil {
		return nil, "", err
	}
	return aead.Seal(nil, nil, secret, []byte(fileHeader)), TierOS, nil
}

func unseal(from, tier string, sealed []byte) ([]byte, error) {
	switch {
	case tier == TierFile:
		return sealed, nil
	case tier != TierOS:
		return nil, errors.New("unknown tier")
	case from == "":
		return nil, fmt.Errorf("%w, or the credential that opens it is not handed over any more", ErrForeignMachine)
	}
	aead, err := sealer(from)
	if err != nil {
		return nil, err
	}
	// The file's own sum has been checked, so what does not open was sealed under
	// another machine's credential.
	secret, err := aead.Open(nil, nil, sealed, []byte(fileHeader))
	if err != nil {
		return nil, ErrForeignMachine
	}
	return secret, nil
}

func sealer(from string) (cipher.AEAD, error) {
	secret, err := os.ReadFile(from)
	if err != nil {
		// As text: a credential that is missing is no missing key file.
		return nil, fmt.Errorf("%w: %s", ErrCredential, err.Error())
	}
	if len(secret) < minSeal {
		return nil, fmt.Errorf("%w: %s holds %d bytes, at least %d are needed", ErrCredential, from, len(secret), minSeal)
	}
	key, err := hkdf.Key(sha256.New, secret, nil, sealInfo, 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}
