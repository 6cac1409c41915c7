//go:build pkcs11

package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// The program with its online keys in SoftHSM, see make pkcs11.
func TestPKCS11Scripts(t *testing.T) { testscript.Run(t, scripts("testdata/pkcs11")) }
