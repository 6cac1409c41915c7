//go:build pkcs11

package hsm

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/pkcs11"

	"licenseagent.example/activation/license"
	"licenseagent.example/activation/merchant"
	"licenseagent.example/fingerprint"
)

// softHSM is Debian's libsofthsm2.
const (
	softHSM = "/usr/lib/softhsm/libsofthsm2.so"
	pin     = "87654321"
)

// token makes a SoftHSM token in a directory of its own; the library reads the
// environment when it is initialised.
func token(t *testing.T) (Config, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tokens")
	must0(t, os.Mkdir(dir, 0o700))
	conf := filepath.Join(t.TempDir(), "softhsm.conf")
	must0(t, os.WriteFile(conf, fmt.Appendf(nil, "directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n", dir), 0o600))
	t.Setenv("SOFTHSM2_CONF", conf)
	if out, err := exec.Command("softhsm2-util", "--init-token", "--free", "--label", "vendor", "--so-pin", "12345678", "--pin", pin).CombinedOutput(); err != nil {
		t.Fatalf("softhsm2-util (Debian package softhsm2): %v\n%s", err, out)
	}
	return Config{Module: softHSM, Token: "vendor", PIN: pin}, dir
}

func open(t *testing.T, c Config) *Keys {
	t.Helper()
	k, err := Open(c, rand.Reader)
	must0(t, err)
	t.Cleanup(func() { must0(t, k.Close()) })
	return k
}

func must0(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A key of the token signs what package license verifies, is found again by its
// name, cannot be read out, and is gone after Remove.
func TestKeysOfAToken(t *testing.T) {
	c, _ := token(t)
	k := open(t, c)
	signer, err := k.Create()
	must0(t, err)
	other, err := k.Create()
	must0(t, err)
	kid := license.KeyID(signer.Public())
	if kid == license.KeyID(other.Public()) {
		t.Fatal("two keys are one")
	}
	again, err := k.Load(kid)
	must0(t, err)
	if again.Public() != signer.Public() {
		t.Error("another key was found")
	}
	for _, s := range []license.Signer{signer, again} {
		if sig, err := s.Sign([]byte("message")); err != nil || len(sig) != 64 {
			t.Errorf("%d bytes, %v", len(sig), err)
		}
	}
	objects, err := k.objects(pkcs11.CKO_PRIVATE_KEY, nil)
	must0(t, err)
	if len(objects) != 2 {
		t.Errorf("%d private keys", len(objects))
	}
	for _, o := range objects {
		if v, err := k.module.GetAttributeValue(k.session, o, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_VALUE, nil)}); err == nil {
			t.Errorf("the private key can be read: %d bytes", len(v[0].Value))
		}
	}
	must0(t, k.Remove(kid))
	if _, err := k.Load(kid); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("removed: %v", err)
	}
	if err := k.Remove(kid); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("removed twice: %v", err)
	}
	if _, err := signer.Sign([]byte("message")); !errors.Is(err, merchant.ErrKeyStore) {
		t.Errorf("a removed key signs: %v", err)
	}
	if _, err := other.Sign([]byte("message")); err != nil {
		t.Errorf("its neighbour: %v", err)
	}
}

// Each mistake is named; none repeats the PIN.
func TestTokenThatCannotBeUsed(t *testing.T) {
	c, _ := token(t)
	for what, bad := range map[string]Config{
		"cannot be loaded":             {Module: "/nowhere/lib.so", Token: "vendor", PIN: pin},
		`have the label "other"`:       {Module: softHSM, Token: "other", PIN: pin},
		"cannot log in: pkcs11: 0xA0:": {Module: softHSM, Token: "vendor", PIN: "13572468"},
	} {
		_, err := Open(bad, rand.Reader)
		if !errors.Is(err, merchant.ErrKeyStore) || !strings.Contains(err.Error(), what) || strings.Contains(err.Error(), bad.PIN) {
			t.Errorf("want %q: %v", what, err)
		}
	}
	open(t, c) // a failed attempt leaves nothing behind
}

// A service whose online keys are in a token: init, activation, rotation, a key
// taken back; the token away and back; the session lost.
func TestServiceOnAToken(t *testing.T) {
	ctx := context.Background()
	c, tokens := token(t)
	k := open(t, c)
	dir := t.TempDir()
	for _, d := range []string{"keys", "root"} {
		must0(t, os.Mkdir(filepath.Join(dir, d), 0o700))
	}
	db, err := merchant.OpenSQLite(ctx, filepath.Join(dir, "merchant.db"))
	must0(t, err)
	now := time.Unix(1_800_000_000, 0)
	svc, err := merchant.New(ctx, merchant.Options{DB: db, KeyDir: filepath.Join(dir, "keys"), Keys: k, Clock: func() time.Time { return now }, Rand: rand.Reader})
	must0(t, err)
	t.Cleanup(func() { svc.Close(); must0(t, db.Close()) })
	roots := []string{filepath.Join(dir, "root")}
	anchor, err := svc.InitKeys(ctx, merchant.InitOptions{Issuer: "vendor.example", RootDir: roots[0], Roots: 3, Threshold: 2})
	must0(t, err)
	if files, err := filepath.Glob(filepath.Join(dir, "keys", "*.pem")); err != nil || len(files) != 0 {
		t.Errorf("key files beside the token: %v, %v", files, err)
	}
	codes, _, err := svc.AddCodes(ctx, merchant.CodeSpec{Product: "painter", Devices: 9, Seats: 1, Policy: "balanced"}, 1)
	must0(t, err)
	machines := 0
	activate := func() (string, error) {
		machines++
		seed := make([]byte, 32)
		if _, err := rand.Read(seed); err != nil {
			t.Fatal(err)
		}
		device, err := license.NewEd25519Signer(seed)
		must0(t, err)
		r := license.Request{
			V: 1, Kind: license.RequestActivate, Issuer: "vendor.example", Product: "painter", Code: codes[0], Device: license.DeviceID(device.Public()), Key: device.Public(),
			Nonce:       base64.StdEncoding.EncodeToString(seed),
			Fingerprint: fmt.Sprintf("3C:7C:3F:00:00:%02X|WD-WMAM9X%06d|PF3N%06dX|BFEBFBFF000906EA", machines, machines, machines), Env: fingerprint.Physical, Time: now.Unix(), Agent: "test/1",
		}
		for _, kind := range []fingerprint.Kind{fingerprint.MAC, fingerprint.Disk, fingerprint.Board, fingerprint.CPU} {
			r.Parts = append(r.Parts, license.ObservedPart{Kind: kind, State: fingerprint.OK})
		}
		env, err := license.SealRequest(r, device)
		must0(t, err)
		a, err := svc.Process(ctx, env, license.RequestActivate, "")
		if err != nil {
			return "", err
		}
		set, err := license.OpenKeySet(anchor, nil, a.KeySet)
		must0(t, err)
		if _, err := set.OpenLicense(a.License); err != nil {
			t.Errorf("the license does not verify: %v", err)
		}
		return fmt.Sprint(set.Version), nil
	}
	works := func(what, version string) {
		t.Helper()
		if got, err := activate(); got != version || err != nil {
			t.Errorf("%s: key set %s, %v", what, got, err)
		}
	}
	works("first", "1")
	old, err := svc.RotateKeys(ctx, roots, 0)
	must0(t, err)
	works("rotated", "2")
	_, err = svc.PublishKeys(ctx, roots, old.Keys[:1])
	must0(t, err)
	works("one key taken back", "3")

	// The session is lost: the next signature opens another one.
	must0(t, k.module.Finalize())
	works("the session was lost", "3")

	// The token is away: said in words, nothing is lost, and it goes on by itself.
	must0(t, os.Rename(tokens, tokens+".away"))
	must0(t, os.Mkdir(tokens, 0o700))
	if _, err := activate(); !errors.Is(err, merchant.ErrUnavailable) {
		t.Errorf("without the token: %v", err)
	}
	named := func() bool {
		for _, p := range svc.Check(ctx) {
			if p.Code == "key-store-unavailable" && p.Next.EN != "" && !strings.Contains(p.Detail, pin) {
				return true
			}
		}
		return false
	}
	if !named() {
		t.Error("no problem is named while the token is away")
	}
	must0(t, os.Remove(tokens))
	must0(t, os.Rename(tokens+".away", tokens))
	if named() {
		t.Error("the problem stays when the token is back")
	}
	works("the token is back", "3")
	if _, err := svc.VerifyAudit(ctx); err != nil {
		t.Error(err)
	}
}
