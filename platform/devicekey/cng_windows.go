package devicekey

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/windows"
)

// What ncrypt.h and bcrypt.h call these.
const (
	platformProvider = "Microsoft Platform Crypto Provider" // MS_PLATFORM_CRYPTO_PROVIDER
	algorithmP256    = "ECDSA_P256"                         // BCRYPT_ECDSA_P256_ALGORITHM
	implProperty     = "Impl Type"                          // NCRYPT_IMPL_TYPE_PROPERTY
	implHardware     = 1                                    // NCRYPT_IMPL_HARDWARE_FLAG
	silent           = 0x40                                 // NCRYPT_SILENT_FLAG: no window, a service has no desktop
	blobOpaque       = "OpaqueKeyBlob"                      // BCRYPT_OPAQUE_KEY_BLOB: as only the chip that made it can load it
	blobPublic       = "ECCPUBLICBLOB"                      // BCRYPT_ECCPUBLIC_BLOB
)

// cng is the few calls of Windows' key storage that a key in a chip needs. Each
// error is the status, a windows.Errno.
type cng struct {
	open   func() (provider uintptr, err error)
	number func(object uintptr, property string) (uint32, error)
	make   func(provider uintptr) (key uintptr, err error) // P-256, without a name: nothing is stored outside the key file
	load   func(provider uintptr, blob []byte) (key uintptr, err error)
	export func(key uintptr, kind string) ([]byte, error)
	sign   func(key uintptr, digest []byte) ([]byte, error) // r‖s
	free   func(object uintptr)
}

// systemCNG is ncrypt.dll.
func systemCNG() cng {
	dll := windows.NewLazySystemDLL("ncrypt.dll")
	call := func(name string, args ...uintptr) error {
		p := dll.NewProc(name)
		if err := p.Find(); err != nil {
			return err
		}
		if status, _, _ := p.Call(args...); uint32(status) != 0 {
			return fmt.Errorf("%s: %w", name, windows.Errno(uint32(status)))
		}
		return nil
	}
	text := func(s string) *uint16 { return windows.StringToUTF16Ptr(s) }
	// pin keeps what an address was taken of where it is until the call is over.
	ptr := func(pin *runtime.Pinner, p *uint16) uintptr { pin.Pin(p); return uintptr(unsafe.Pointer(p)) }
	data := func(pin *runtime.Pinner, b []byte) uintptr {
		pin.Pin(&b[0])
		return uintptr(unsafe.Pointer(&b[0]))
	}
	out := func(pin *runtime.Pinner, v *uintptr) uintptr { pin.Pin(v); return uintptr(unsafe.Pointer(v)) }
	size := func(pin *runtime.Pinner, v *uint32) uintptr { pin.Pin(v); return uintptr(unsafe.Pointer(v)) }
	return cng{
		open: func() (uintptr, error) {
			var pin runtime.Pinner
			defer pin.Unpin()
			h := new(uintptr)
			err := call("NCryptOpenStorageProvider", out(&pin, h), ptr(&pin, text(platformProvider)), 0)
			return *h, err
		},
		number: func(object uintptr, property string) (uint32, error) {
			var pin runtime.Pinner
			defer pin.Unpin()
			b, n := make([]byte, 4), new(uint32)
			err := call("NCryptGetProperty", object, ptr(&pin, text(property)), data(&pin, b), uintptr(len(b)), size(&pin, n), silent)
			return binary.LittleEndian.Uint32(b), err
		},
		make: func(provider uintptr) (uintptr, error) {
			var pin runtime.Pinner
			defer pin.Unpin()
			h := new(uintptr)
			if err := call("NCryptCreatePersistedKey", provider, out(&pin, h), ptr(&pin, text(algorithmP256)), 0, 0, 0); err != nil {
				return 0, err
			}
			if err := call("NCryptFinalizeKey", *h, silent); err != nil {
				call("NCryptFreeObject", *h) //nolint:errcheck // the first error counts
				return 0, err
			}
			return *h, nil
		},
		load: func(provider uintptr, blob []byte) (uintptr, error) {
			var pin runtime.Pinner
			defer pin.Unpin()
			h := new(uintptr)
			err := call("NCryptImportKey", provider, 0, ptr(&pin, text(blobOpaque)), 0, out(&pin, h), data(&pin, blob), uintptr(len(blob)), silent)
			return *h, err
		},
		export: func(key uintptr, kind string) ([]byte, error) {
			var pin runtime.Pinner
			defer pin.Unpin()
			b, n := make([]byte, maxFile/2), new(uint32)
			err := call("NCryptExportKey", key, 0, ptr(&pin, text(kind)), 0, data(&pin, b), uintptr(len(b)), size(&pin, n), silent)
			return b[:min(int(*n), len(b))], err
		},
		sign: func(key uintptr, digest []byte) ([]byte, error) {
			var pin runtime.Pinner
			defer pin.Unpin()
			b, n := make([]byte, 128), new(uint32)
			err := call("NCryptSignHash", key, 0, data(&pin, digest), uintptr(len(digest)), data(&pin, b), uintptr(len(b)), size(&pin, n), silent)
			return b[:min(int(*n), len(b))], err
		},
		free: func(object uintptr) { call("NCryptFreeObject", object) }, //nolint:errcheck // nothing could be done
	}
}
