// Package hsm keeps the online signing keys in a PKCS#11 token: a hardware
// security module, a smart card, a cloud's key service with such a library.
// What is in the token cannot be read out, not by whoever takes the server.
//
// PKCS#11 libraries are C. They are linked only with the build tag pkcs11 and
// cgo; without it Open refuses, and license-merchant stays a static binary.
//
// It is not stable API.
package hsm

import (
	"errors"

	"licenseagent.example/activation/merchant"
)

// ErrNotBuilt is returned by Open in a program that was built without PKCS#11.
var ErrNotBuilt = errors.New("hsm: this program was built without PKCS#11; build it with CGO_ENABLED=1 go build -tags pkcs11 ./activation/cmd/license-merchant")

// Config names a token. The PIN is nowhere but in memory: no error repeats it.
type Config struct {
	Module string // path of the PKCS#11 library
	Token  string // label of the token
	PIN    string // of the token's user
}

// Keys are the online keys of a token. They are safe for concurrent use; one
// signature is made at a time.
var _ merchant.KeyStore = (*Keys)(nil)
