package devicekey

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math/big"
	"strings"
	"testing"

	"golang.org/x/sys/windows"
)

// fakeTPM answers as the platform provider does: keys live in it, its opaque
// blobs are worth nothing elsewhere, public keys come as BCRYPT_ECCPUBLIC_BLOB,
// signatures as r‖s. What it cannot show is whether a real chip agrees.
type fakeTPM struct {
	kind     uint32 // NCRYPT_IMPL_TYPE_PROPERTY: 0x11 is hardware with a generator of its own
	seed     string // of the storage root key: another one after a clear
	keys     map[uintptr]*ecdsa.PrivateKey
	made     map[string]*ecdsa.PrivateKey // by blob
	open     int                          // handles that were not given back
	next     uintptr
	openErr  error
	kindErr  error
	makeErr  error
	loadErr  error
	signErr  error // once
	spoil    bool  // signatures are wrong
	shortSig bool
}

func newFakeTPM() *fakeTPM {
	return &fakeTPM{kind: 0x11, seed: "a", keys: map[uintptr]*ecdsa.PrivateKey{}, made: map[string]*ecdsa.PrivateKey{}}
}

func (f *fakeTPM) handle() uintptr { f.next++; f.open++; return f.next }

func (f *fakeTPM) cng(t *testing.T) cng {
	return cng{
		open: func() (uintptr, error) {
			if f.openErr != nil {
				return 0, f.openErr
			}
			return f.handle(), nil
		},
		number: func(_ uintptr, property string) (uint32, error) {
			if property != "Impl Type" {
				t.Errorf("asked for %q", property)
			}
			return f.kind, f.kindErr
		},
		make: func(uintptr) (uintptr, error) {
			if f.makeErr != nil {
				return 0, f.makeErr
			}
			k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			h := f.handle()
			f.keys[h] = k
			return h, nil
		},
		export: func(key uintptr, kind string) ([]byte, error) {
			k := f.keys[key]
			point, err := k.PublicKey.Bytes()
			if err != nil {
				t.Fatal(err)
			}
			switch kind {
			case "OpaqueKeyBlob":
				blob := f.seed + string(point[1:9])
				f.made[blob] = k
				return []byte(blob), nil
			case "ECCPUBLICBLOB":
				b := binary.LittleEndian.AppendUint32([]byte("ECS1"), 32)
				return append(b, point[1:]...), nil
			}
			return nil, windows.Errno(0x80090029)
		},
		load: func(_ uintptr, blob []byte) (uintptr, error) {
			k := f.made[string(blob)]
			if f.loadErr != nil {
				return 0, f.loadErr
			}
			if k == nil || !strings.HasPrefix(string(blob), f.seed) {
				return 0, windows.Errno(0x8028009f)
			}
			h := f.handle()
			f.keys[h] = k
			return h, nil
		},
		sign: func(key uintptr, digest []byte) ([]byte, error) {
			k := f.keys[key]
			if err := f.signErr; err != nil {
				f.signErr = nil
				return nil, err
			}
			if k == nil {
				return nil, windows.Errno(0x80090026) // NTE_INVALID_HANDLE
			}
			r, s, err := ecdsa.Sign(rand.Reader, k, digest)
			if err != nil {
				t.Fatal(err)
			}
			out := append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
			if f.spoil {
				out[0] ^= 1
			}
			if f.shortSig {
				out = out[:63]
			}
			return out, nil
		},
		free: func(h uintptr) { f.open--; delete(f.keys, h) },
	}
}

// The key signs, is the same after a restart, and nothing secret of it is in the
// file; handles that went stale are made again, and none is lost.
func TestKeyInThePlatformProvider(t *testing.T) {
	f := newFakeTPM()
	local := bytes.Repeat([]byte{7}, 32)
	content, err := f.cng(t).makeKey(local)
	if err != nil || bytes.Contains(content, local) {
		t.Fatalf("%v\n%s", err, content)
	}
	if f.open != 0 {
		t.Errorf("%d handles are open after the key was made", f.open)
	}
	k, got, err := f.cng(t).openKey(newTurns(nil), content)
	if err != nil || !bytes.Equal(got, local) {
		t.Fatalf("%v, local %x", err, got)
	}
	key := &Key{tier: TierTPM, chip: k, local: got}
	verifies := func(message string) {
		t.Helper()
		sig, err := key.Sign([]byte(message))
		if err != nil {
			t.Fatal(err)
		}
		pub, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), key.PublicBytes())
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256([]byte(message))
		if !ecdsa.Verify(pub, sum[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])) {
			t.Errorf("%s: does not verify", message)
		}
	}
	verifies("one")
	clear(f.keys) // the key isolation service was restarted
	verifies("two")
	f.signErr = windows.Errno(0x80090030) // NTE_DEVICE_NOT_READY, as after sleep
	verifies("three")
	if key.Alg() != AlgP256 || key.Tier() != TierTPM || key.HasCounter() {
		t.Errorf("%v, counter %v", key, key.HasCounter())
	}
	if _, err := key.Count(); !errors.Is(err, ErrChip) {
		t.Errorf("count: %v", err)
	}
	if err := key.Close(); err != nil || f.open != 0 {
		t.Errorf("%v, %d handles are open", err, f.open)
	}
	verifies("after close") // loads it again
}

// Each refusal has its name, and each name its next step.
func TestPlatformProviderRefuses(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*fakeTPM)
		want   error
	}{
		{"no TPM", func(f *fakeTPM) { f.openErr = windows.Errno(0x8028400f) }, ErrNoChip},
		{"no such provider", func(f *fakeTPM) { f.openErr = windows.Errno(0x80090016) }, ErrNoChip},
		{"the name opens something in software", func(f *fakeTPM) { f.kind = 2 }, ErrNoChip},
		{"does not say what it is", func(f *fakeTPM) { f.kindErr = windows.Errno(0x80090027) }, ErrNoChip},
		{"not ready", func(f *fakeTPM) { f.openErr = windows.Errno(0x80090030) }, ErrChip},
		{"no P-256", func(f *fakeTPM) { f.makeErr = windows.Errno(0x80090029) }, ErrChip},
		{"its own key is not taken back", func(f *fakeTPM) { f.loadErr = windows.Errno(0x80090009) }, ErrChip},
		{"wrong signature", func(f *fakeTPM) { f.spoil = true }, ErrChip},
		{"short signature", func(f *fakeTPM) { f.shortSig = true }, ErrChip},
	} {
		f := newFakeTPM()
		c.change(f)
		_, err := f.cng(t).makeKey(make([]byte, 32))
		if !errors.Is(err, c.want) || f.open != 0 {
			t.Errorf("%s: %v, want %v; %d handles open", c.name, err, c.want, f.open)
		}
		// Nobody has asked for the chip: the key goes to the next place, and the
		// note says why unless the machine simply has none.
		note, err := Places{TPM: DefaultTPM}.without(err)
		if err != nil || (note == "") != (c.want == ErrNoChip) {
			t.Errorf("%s: note %q, %v", c.name, note, err)
		}
	}
}

// A key file opens on its own machine and chip only.
func TestPlatformKeyElsewhere(t *testing.T) {
	f := newFakeTPM()
	content, err := f.cng(t).makeKey(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	open := func(f *fakeTPM, content []byte) error {
		_, _, err := f.cng(t).openKey(newTurns(nil), content)
		if err == nil {
			return nil
		}
		return chipProblem(`C:\state\device.key`, DefaultTPM, err)
	}
	f.seed = "b"
	if err := open(f, content); !errors.Is(err, ErrCleared) || !strings.Contains(err.Error(), "activate again") {
		t.Errorf("cleared: %v", err)
	}
	f.seed, f.openErr = "a", windows.Errno(0x8028400f)
	if err := open(f, content); !errors.Is(err, ErrNoChip) || !strings.Contains(err.Error(), "firmware's setup") {
		t.Errorf("switched off: %v", err)
	}
	f.openErr = nil
	var file chipFile
	if err := json.Unmarshal(content, &file); err != nil {
		t.Fatal(err)
	}
	file.Sealed[len(file.Sealed)-1] ^= 1 // what DPAPI of another machine finds
	foreign, err := json.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := open(f, foreign); !errors.Is(err, ErrForeignMachine) {
		t.Errorf("another machine: %v", err)
	}
	for _, bad := range []string{"", "{}", "null", `{"blob":"AA==","public":"AA=="}`, string(content[:len(content)-2])} {
		if err := open(f, []byte(bad)); !errors.Is(err, ErrDamaged) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if err := open(f, content); err != nil { // control
		t.Error(err)
	}
}

// The system's own provider. Where there is no TPM behind it the key is sealed
// by DPAPI, and Tier says so; where there is one the key is in it.
func TestDefaultPlace(t *testing.T) {
	dir := stateDir(t)
	k, err := Places{TPM: DefaultTPM}.Open(dir, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%v, note %q", k, k.Note())
	_, errChip := systemCNG().connect()
	if (k.Tier() == TierTPM) == errors.Is(errChip, ErrNoChip) || k.Tier() == TierFile {
		t.Errorf("tier %s, provider %v", k.Tier(), errChip)
	}
	again, err := Places{TPM: NoTPM}.Open(dir, rand.Reader)
	if err != nil || !bytes.Equal(again.PublicBytes(), k.PublicBytes()) || again.Tier() != k.Tier() {
		t.Errorf("opened again without a TPM in the settings: %v, %v", again, err)
	}
	if sealed, err := (Places{TPM: NoTPM}).Open(stateDir(t), rand.Reader); err != nil || sealed.Tier() != TierOS {
		t.Errorf("without a TPM: %v, %v", sealed, err)
	}
}

// A blob that is no public key over P-256 is refused.
func TestECPoint(t *testing.T) {
	good := append(binary.LittleEndian.AppendUint32([]byte("ECS1"), 32), make([]byte, 64)...)
	if p, err := ecPoint(good); err != nil || len(p) != 65 || p[0] != 4 {
		t.Errorf("%x, %v", p, err)
	}
	for _, b := range [][]byte{nil, good[:71], append([]byte("ECS3"), good[4:]...), append(binary.LittleEndian.AppendUint32([]byte("ECS1"), 48), make([]byte, 64)...)} {
		if p, err := ecPoint(b); err == nil {
			t.Errorf("%x gave %x", b, p)
		}
	}
}
