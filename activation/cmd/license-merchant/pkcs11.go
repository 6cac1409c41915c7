package main

import (
	"errors"
	"io/fs"

	"licenseagent.example/activation/license"
	"licenseagent.example/activation/merchant"
	"licenseagent.example/activation/merchant/hsm"
)

// pkcs11Section is [pkcs11]: a token that keeps the online keys, for programs
// built with the tag pkcs11.
type pkcs11Section struct {
	Module string `toml:"module"`   // path of the PKCS#11 library; "" keeps the keys in files
	Token  string `toml:"token"`    // label of the token
	PIN    string `toml:"pin_file"` // file of mode 0600 that holds the PIN; LICENSE_MERCHANT_PKCS11_PIN wins
}

// keyStore opens the store of the online keys, nil for files. It must be closed
// after the service.
func (a *app) keyStore(c pkcs11Section) (merchant.KeyStore, func() error, error) {
	if c == (pkcs11Section{}) {
		return nil, func() error { return nil }, nil
	}
	if c.Module == "" || c.Token == "" {
		return nil, nil, usage("[pkcs11] needs module, the library of the token, and token, its label")
	}
	pin, err := a.pin(c)
	if err != nil {
		return nil, nil, err
	}
	keys, err := hsm.Open(hsm.Config{Module: c.Module, Token: c.Token, PIN: pin}, a.rand)
	if err != nil {
		return nil, nil, err
	}
	return tokenFirst{keys, merchant.FileKeys{Dir: a.path("keys"), Rand: a.rand}}, keys.Close, nil
}

// tokenFirst makes keys in the token, and signs with older ones from their files
// until they are replaced.
type tokenFirst struct {
	*hsm.Keys
	files merchant.FileKeys
}

// Load looks into the token, then for a file.
func (k tokenFirst) Load(kid string) (license.Signer, error) {
	signer, err := k.Keys.Load(kid)
	if errors.Is(err, fs.ErrNotExist) {
		return k.files.Load(kid)
	}
	return signer, err
}

// pin is never an argument: those are seen by everybody on the machine.
func (a *app) pin(c pkcs11Section) (string, error) {
	if pin := a.env("LICENSE_MERCHANT_PKCS11_PIN"); pin != "" {
		return pin, nil
	}
	if c.PIN == "" {
		return "", usage("[pkcs11] needs pin_file, or LICENSE_MERCHANT_PKCS11_PIN in the environment")
	}
	return secretLine(a.path(c.PIN), "the PIN of the token")
}
