//go:build !pkcs11

package hsm

import (
	"io"

	"licenseagent.example/activation/license"
)

// Keys of a program without PKCS#11 cannot be opened.
type Keys struct{}

// Open returns ErrNotBuilt.
func Open(Config, io.Reader) (*Keys, error) { return nil, ErrNotBuilt }

// Create returns ErrNotBuilt.
func (*Keys) Create() (license.Signer, error) { return nil, ErrNotBuilt }

// Load returns ErrNotBuilt.
func (*Keys) Load(string) (license.Signer, error) { return nil, ErrNotBuilt }

// Remove returns ErrNotBuilt.
func (*Keys) Remove(string) error { return ErrNotBuilt }

// Close does nothing.
func (*Keys) Close() error { return nil }
