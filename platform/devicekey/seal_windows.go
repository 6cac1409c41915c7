package devicekey

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/windows"
)

// entropy is mixed into the seal so that the blob of another program of this
// machine is not taken for a key by accident. It is not secret.
const entropy = "license-agent device key 1"

// seal encrypts the secret by DPAPI for this machine. Machine scope, because a
// service account has no loaded profile; the file's access list keeps the
// machine's other users away, since any of them could ask DPAPI to open it.
func seal(_ string, secret []byte) (sealed []byte, tier string, err error) {
	in, extra := blob(secret), blob([]byte(entropy))
	var out windows.DataBlob
	err = windows.CryptProtectData(&in, nil, &extra, 0, nil, windows.CRYPTPROTECT_LOCAL_MACHINE|windows.CRYPTPROTECT_UI_FORBIDDEN, &out)
	if err != nil {
		return nil, "", fmt.Errorf("devicekey: CryptProtectData: %w", err)
	}
	return take(out), TierOS, nil
}

func unseal(_, tier string, sealed []byte) ([]byte, error) {
	if tier != TierOS {
		return nil, errors.New("unknown tier")
	}
	in, extra := blob(sealed), blob([]byte(entropy))
	var out windows.DataBlob
	// The file's own sum has been checked, so a blob that does not open was
	// sealed with another machine's secret.
	if err := windows.CryptUnprotectData(&in, nil, &extra, 0, nil, windows.CRYPTPROTECT_UI_FORBIDDEN, &out); err != nil {
		return nil, fmt.Errorf("%w (%w)", ErrForeignMachine, err)
	}
	return take(out), nil
}

func blob(b []byte) windows.DataBlob {
	if len(b) == 0 {
		return windows.DataBlob{}
	}
	return windows.DataBlob{Size: uint32(len(b)), Data: &b[0]}
}

// take copies a blob that Windows allocated and frees it, overwritten.
func take(b windows.DataBlob) []byte {
	memory := unsafe.Slice(b.Data, b.Size)
	out := append([]byte(nil), memory...)
	clear(memory)
	windows.LocalFree(windows.Handle(unsafe.Pointer(b.Data)))
	return out
}
