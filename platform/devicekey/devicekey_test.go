package devicekey

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"licenseagent.example/platform/securefile"
)

func stateDir(t testing.TB) string {
	t.Helper()
	d, err := securefile.Make(filepath.Join(t.TempDir(), "state"))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	return d.Path()
}

// put writes the key file with the right permission, whatever the content.
func put(t *testing.T, dir string, b []byte) {
	t.Helper()
	d, err := securefile.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := d.WriteFile(FileName, b, securefile.PrivateFile); err != nil {
		t.Fatal(err)
	}
}

// fixed is a random source with known output.
func fixed(b byte) *bytes.Reader { return bytes.NewReader(bytes.Repeat([]byte{b}, secretSize)) }

func TestOpenCreatesOnceAndKeeps(t *testing.T) {
	dir := stateDir(t)
	first, err := Open(dir, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if !first.Created() || first.Alg() != "ed25519" || len(first.PublicBytes()) != ed25519.PublicKeySize {
		t.Errorf("first: created %v, alg %q, %d public bytes", first.Created(), first.Alg(), len(first.PublicBytes()))
	}
	// A failing source proves that the second Open draws nothing.
	second, err := Open(dir, iotest.ErrReader(errors.New("must not be read")))
	if err != nil {
		t.Fatal(err)
	}
	if second.Created() || !bytes.Equal(first.PublicBytes(), second.PublicBytes()) {
		t.Error("the second Open gave another key or called it new")
	}
	if !bytes.Equal(first.Derive("x"), second.Derive("x")) {
		t.Error("Derive differs between two Opens")
	}
	sig, err := second.Sign([]byte("message"))
	if err != nil || !ed25519.Verify(first.PublicBytes(), []byte("message"), sig) {
		t.Errorf("signature does not verify: %v", err)
	}
	fi, err := os.Stat(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	if os.PathSeparator == '/' && fi.Mode() != securefile.PrivateFile {
		t.Errorf("mode %v", fi.Mode())
	}
}

func TestTwoDevicesDiffer(t *testing.T) {
	a, errA := Open(stateDir(t), rand.Reader)
	b, errB := Open(stateDir(t), rand.Reader)
	if errA != nil || errB != nil {
		t.Fatal(errA, errB)
	}
	if bytes.Equal(a.PublicBytes(), b.PublicBytes()) || bytes.Equal(a.Derive("x"), b.Derive("x")) {
		t.Error("two devices share a secret")
	}
}

// Changing the public bytes must not change the key.
func TestPublicBytesIsACopy(t *testing.T) {
	k, err := Open(stateDir(t), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	before := k.PublicBytes()
	clear(k.PublicBytes())
	if !bytes.Equal(before, k.PublicBytes()) {
		t.Error("the caller can change the key")
	}
}

// Derive depends on the label and on its own half of the secret, never on the
// signing half.
func TestDeriveIsIndependentOfSigning(t *testing.T) {
	open := func(sign, local byte) *Key {
		secret := append(bytes.Repeat([]byte{sign}, ed25519.SeedSize), bytes.Repeat([]byte{local}, 32)...)
		k, err := Open(stateDir(t), bytes.NewReader(secret))
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	base, otherSign, otherLocal := open(1, 2), open(3, 2), open(1, 4)
	if !bytes.Equal(base.Derive("store"), otherSign.Derive("store")) {
		t.Error("Derive depends on the signing key")
	}
	if bytes.Equal(base.PublicBytes(), otherSign.PublicBytes()) || !bytes.Equal(base.PublicBytes(), otherLocal.PublicBytes()) {
		t.Error("the public key depends on the wrong half")
	}
	seen := map[string]string{}
	for _, label := range []string{"", "store", "store ", "stor", "mirror"} {
		out := base.Derive(label)
		if len(out) != 32 {
			t.Errorf("%q: %d bytes", label, len(out))
		}
		if other, dup := seen[string(out)]; dup {
			t.Errorf("%q and %q give the same bytes", label, other)
		}
		seen[string(out)] = label
	}
	if bytes.Equal(base.Derive("store"), otherLocal.Derive("store")) {
		t.Error("Derive does not depend on the local secret")
	}
}

// Every single-bit flip and every truncation is refused, the file is left as it
// was found, and the message neither shows the secret nor forgets the next step.
func TestDamageIsRefused(t *testing.T) {
	dir := stateDir(t)
	if _, err := Open(dir, fixed(7)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, FileName)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	secretLine := strings.Split(string(good), "\n")[2][5:]
	damage := func(kind string, b []byte) {
		t.Helper()
		put(t, dir, b)
		_, err := Open(dir, iotest.ErrReader(errors.New("a new key must not be made")))
		if !errors.Is(err, ErrDamaged) {
			t.Fatalf("%s: %v, want ErrDamaged", kind, err)
		}
		if !strings.Contains(err.Error(), "restore the file") || strings.Contains(err.Error(), secretLine[:12]) {
			t.Errorf("%s: message %q", kind, err)
		}
		if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, b) {
			t.Fatalf("%s: the file was changed", kind)
		}
	}
	for i := range good {
		for bit := range 8 {
			b := bytes.Clone(good)
			b[i] ^= 1 << bit
			if _, _, err := decode(b); err == nil {
				t.Errorf("bit %d of byte %d: accepted", bit, i)
			}
			if bit == i%8 && i%8 == 0 { // through the file it takes a flush each
				damage(fmt.Sprintf("bit %d of byte %d", bit, i), b)
			}
		}
		if _, _, err := decode(good[:i]); err == nil {
			t.Errorf("first %d bytes: accepted", i)
		}
	}
	damage("empty", nil)
	damage("without its last byte", good[:len(good)-1])
	damage("doubled", append(bytes.Clone(good), good...))
	damage("CRLF", bytes.ReplaceAll(good, []byte("\n"), []byte("\r\n")))
	damage("other tier", encode("chip", bytes.Repeat([]byte{1}, secretSize)))
	damage("short secret, right sum", encode(TierFile, []byte("x")))
	put(t, dir, good)
	if _, err := Open(dir, fixed(9)); err != nil {
		t.Errorf("the restored file: %v", err)
	}
}

func TestNewerVersionIsSaid(t *testing.T) {
	dir := stateDir(t)
	put(t, dir, []byte("license-agent device key 2\nsomething\n"))
	if _, err := Open(dir, rand.Reader); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "newer version") {
		t.Errorf("%v", err)
	}
}

// A source that runs dry leaves nothing behind.
func TestNoRandomness(t *testing.T) {
	dir := stateDir(t)
	for n := range secretSize {
		if _, err := Open(dir, bytes.NewReader(make([]byte, n))); !errors.Is(err, ErrRand) {
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestDirectoryIsChecked(t *testing.T) {
	if _, err := Open(filepath.Join(t.TempDir(), "none"), rand.Reader); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing directory: %v", err)
	}
	if os.PathSeparator != '/' {
		return // permission bits; the access list is judged in securefile's tests
	}
	dir := stateDir(t)
	if _, err := Open(dir, rand.Reader); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, FileName), 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, rand.Reader); !errors.Is(err, securefile.ErrMode) {
		t.Errorf("key readable by the group: %v", err)
	}
	if err := os.Chmod(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, rand.Reader); !errors.Is(err, securefile.ErrMode) {
		t.Errorf("directory readable by the group: %v", err)
	}
}

// First starts that race end with one key.
func TestFirstStartRace(t *testing.T) {
	for range 20 {
		dir := stateDir(t)
		var wg sync.WaitGroup
		var mu sync.Mutex
		keys := map[string]int{}
		created := 0
		for range 8 {
			wg.Go(func() {
				k, err := Open(dir, rand.Reader)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				keys[string(k.PublicBytes())]++
				if k.Created() {
					created++
				}
			})
		}
		wg.Wait()
		if len(keys) != 1 || created != 1 {
			t.Fatalf("%d different keys, %d called new", len(keys), created)
		}
	}
}

// The same as whole agents do it: with a note beside the key, and whoever has the
// key first owns the directory and sweeps it.
func TestFirstStartRaceUnderAnOwner(t *testing.T) {
	p := Places{Machine: func() []string { return []string{"machine"} }}
	for range 300 {
		dir := stateDir(t)
		var wg sync.WaitGroup
		owner := make(chan *securefile.Lock, 3)
		for range 3 {
			wg.Go(func() {
				k, err := p.Open(dir, rand.Reader)
				if err != nil {
					t.Errorf("one of three first starts: %v", err)
					return
				}
				d, err := securefile.Open(dir)
				if err != nil {
					t.Error(err)
					return
				}
				defer d.Close()
				if l, err := d.Lock(); err == nil {
					owner <- l
					if err := d.Sweep(); err != nil {
						t.Error(err)
					}
				}
				if err := k.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if l := <-owner; len(owner) > 0 {
			t.Error("more than one owner")
		} else if err := l.Unlock(); err != nil {
			t.Error(err)
		}
	}
}

func TestPrintingShowsNoSecret(t *testing.T) {
	k, err := Open(stateDir(t), fixed('Z'))
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q"} {
		out := fmt.Sprintf(verb, k)
		for _, secret := range []string{"ZZZZ", "5a5a5a", "90 90 90", "0x5a, 0x5a"} {
			if strings.Contains(out, secret) {
				t.Errorf("%s shows the secret: %s", verb, out)
			}
		}
	}
}

// The key file of version 1 must be readable for ever.
func TestGoldenFile(t *testing.T) {
	const golden = "license-agent device key 1\n" +
		"tier file\n" +
		"data AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQECAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg==\n"
	secret := append(bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)...)
	text := string(encode(TierFile, secret))
	if !strings.HasPrefix(text, golden+"sum ") {
		t.Errorf("encoding changed:\n%s", text)
	}
	tier, sealed, err := decode([]byte(text))
	if err != nil || tier != TierFile || !bytes.Equal(sealed, secret) {
		t.Errorf("decode: %q, %v", tier, err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(encode(TierFile, make([]byte, secretSize)))
	f.Add([]byte(fileHeader + "\ntier \ndata \nsum \n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		tier, sealed, err := decode(b)
		if err == nil && !bytes.Equal(encode(tier, sealed), b) {
			t.Errorf("accepted a file that is not its own encoding: %q", b)
		}
	})
}

func BenchmarkSign(b *testing.B) {
	k, err := Open(stateDir(b), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	message := make([]byte, 300)
	for b.Loop() {
		if _, err := k.Sign(message); err != nil {
			b.Fatal(err)
		}
	}
}
