package devicekey

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"licenseagent.example/installer/e2e/swtpm"
)

func verifies(t *testing.T, k *Key, message string) bool {
	t.Helper()
	sig, err := k.Sign([]byte(message))
	if err != nil {
		t.Fatal(err)
	}
	pub, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), k.PublicBytes())
	if err != nil || len(sig) != 64 {
		t.Fatalf("%v, %d bytes", err, len(sig))
	}
	sum := sha256.Sum256([]byte(message))
	return ecdsa.Verify(pub, sum[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:]))
}

func openAt(t *testing.T, dir, tpm string) *Key {
	t.Helper()
	k, err := Places{TPM: tpm}.Open(dir, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() }) //nolint:errcheck // the chip may be off
	return k
}

// The key signs, is the same after a restart of agent and chip, and nothing
// secret of it is in the file.
func TestKeyInTheChip(t *testing.T) {
	tpm, dir := swtpm.New(t), stateDir(t)
	first := openAt(t, dir, tpm.Socket)
	if first.Tier() != "tpm" || first.Alg() != "p256-sha256" || !first.Created() || first.Note() != "" || !verifies(t, first, "one") {
		t.Fatalf("%v, created %v, note %q", first, first.Created(), first.Note())
	}
	public, derived := first.PublicBytes(), first.Derive("store")
	file, err := os.ReadFile(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(file, first.local) || len(file) > maxFile {
		t.Errorf("the file of %d bytes shows the secret", len(file))
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	tpm.Stop()
	tpm.Start(t)
	again := openAt(t, dir, tpm.Socket)
	if again.Created() || !bytes.Equal(again.PublicBytes(), public) || !bytes.Equal(again.Derive("store"), derived) || !verifies(t, again, "two") {
		t.Error("another key after a restart")
	}
	// The machine sleeps and the chip forgets what was loaded.
	tpm.Stop()
	tpm.Start(t)
	if !verifies(t, again, "three") {
		t.Error("the signature after sleep does not verify")
	}
}

// What the chip says of the loaded key: made inside, and never to be given out
// (a chip refuses to duplicate an object that is fixed, TPM 2.0 Part 3, 13.1).
func TestPrivatePartDoesNotLeaveTheChip(t *testing.T) {
	k := openAt(t, stateDir(t), swtpm.New(t).Socket)
	err := k.chip.with(func(tp transport.TPM) error {
		rsp, err := tpm2.ReadPublic{ObjectHandle: k.chip.key.Handle}.Execute(tp)
		if err != nil {
			return err
		}
		area, err := rsp.OutPublic.Contents()
		if err != nil {
			return err
		}
		if a := area.ObjectAttributes; !a.FixedTPM || !a.FixedParent || !a.SensitiveDataOrigin || a.EncryptedDuplication || a.Restricted || a.Decrypt {
			t.Errorf("attributes %+v", a)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// The counter grows, across power cuts too, and one that was removed and made
// again starts above: deleting it is no way back.
func TestCounter(t *testing.T) {
	tpm, dir := swtpm.New(t), stateDir(t)
	k := openAt(t, dir, tpm.Socket)
	last, err := k.Count()
	if err != nil || !k.HasCounter() {
		t.Fatal(err)
	}
	for range 3 {
		n, err := k.Bump()
		if err != nil || n != last+1 {
			t.Fatalf("%d after %d, %v", n, last, err)
		}
		tpm.Stop()
		tpm.Start(t)
		if now, err := k.Count(); err != nil || now != n {
			t.Fatalf("%d became %d over a power cut, %v", n, now, err)
		}
		last = n
	}
	err = k.chip.with(func(tp transport.TPM) error {
		h := tpm2.TPMHandle(k.chip.file.Counter)
		pub, err := tpm2.NVReadPublic{NVIndex: h}.Execute(tp)
		if err != nil {
			return err
		}
		// Another program of this machine may not touch it.
		_, err = tpm2.NVIncrement{
			AuthHandle: tpm2.AuthHandle{Handle: h, Name: pub.NVName, Auth: tpm2.PasswordAuth(nil)},
			NVIndex:    tpm2.NamedHandle{Handle: h, Name: pub.NVName},
		}.Execute(tp)
		if err == nil {
			t.Error("anybody can bump the counter")
		}
		_, err = tpm2.NVUndefineSpace{AuthHandle: tpm2.TPMRHOwner, NVIndex: tpm2.NamedHandle{Handle: h, Name: pub.NVName}}.Execute(tp)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if n, err := k.Count(); err != nil || n <= last {
		t.Errorf("the counter that was removed at %d begins at %d again, %v", last, n, err)
	}
}

// A cut between making the counter and its first step leaves one without a value: the
// next who reads it takes the step.
func TestCounterWithoutValue(t *testing.T) {
	tpm := swtpm.New(t)
	k := openAt(t, stateDir(t), tpm.Socket)
	last, err := k.Bump()
	if err != nil {
		t.Fatal(err)
	}
	k.chip.forget()
	if err := define(direct(t, tpm), k.chip.file.Counter, k.chip.auth); err != nil {
		t.Fatal(err)
	}
	n, err := k.Count()
	if err != nil || n <= last {
		t.Fatalf("%d after %d, %v", n, last, err)
	}
	if again, err := k.Count(); err != nil || again != n {
		t.Errorf("%d became %d, %v", n, again, err)
	}
	// The same where counting comes first: one step, not two.
	k.chip.forget()
	if err := define(direct(t, tpm), k.chip.file.Counter, k.chip.auth); err != nil {
		t.Fatal(err)
	}
	first, err := k.Bump()
	if err != nil || first <= n {
		t.Fatalf("%d after %d, %v", first, n, err)
	}
	if again, err := k.Count(); err != nil || again != first {
		t.Errorf("%d became %d, %v", first, again, err)
	}
}

// Each way in which a chip can be lost has its error and its next step, and the
// file stays as it is: a new key would be a new device.
func TestLostChips(t *testing.T) {
	clear := func(t *testing.T, socket string) {
		t.Helper()
		tp, err := connect(socket)
		if err != nil {
			t.Fatal(err)
		}
		defer tp.Close()
		if _, err := (tpm2.Clear{AuthHandle: tpm2.TPMRHLockout}).Execute(tp); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name string
		lose func(*testing.T, *swtpm.TPM) string // what is there afterwards
		want error
		say  string
	}{
		{"no chip", func(t *testing.T, p *swtpm.TPM) string { return filepath.Join(t.TempDir(), "tpmrm0") }, ErrNoChip, "switch the TPM on in the firmware's setup"},
		{"setting taken away", func(*testing.T, *swtpm.TPM) string { return "" }, ErrNoChip, "setting tpm"},
		{"cleared", func(t *testing.T, p *swtpm.TPM) string { clear(t, p.Socket); return p.Socket }, ErrCleared, "was cleared"},
		{"mainboard swapped", func(t *testing.T, p *swtpm.TPM) string { return swtpm.New(t).Socket }, ErrForeignMachine, "another mainboard"},
		{"not a chip", func(t *testing.T, p *swtpm.TPM) string { return "/etc/hostname" }, ErrChip, "not a device"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tpm, dir := swtpm.New(t), stateDir(t)
			k := openAt(t, dir, tpm.Socket)
			before, err := os.ReadFile(filepath.Join(dir, FileName))
			if err != nil {
				t.Fatal(err)
			}
			if err := k.Close(); err != nil {
				t.Fatal(err)
			}
			_, err = Places{TPM: c.lose(t, tpm)}.Open(dir, rand.Reader)
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.say) {
				t.Errorf("%v, want %v", err, c.want)
			}
			after, err := os.ReadFile(filepath.Join(dir, FileName))
			if err != nil || !bytes.Equal(before, after) {
				t.Error("the file was changed")
			}
			// Control: with its own chip in order the same file opens, unless that
			// chip was cleared.
			if c.want != ErrCleared {
				openAt(t, dir, tpm.Socket)
			}
		})
	}
}

// A machine without a chip gets a key in a file, and says why; a chip that comes
// later does not change which device this is.
func TestNoChipAtFirst(t *testing.T) {
	dir, missing := stateDir(t), filepath.Join(t.TempDir(), "tpmrm0")
	k, err := Places{TPM: missing}.Open(dir, rand.Reader)
	if err != nil || k.Tier() != TierFile || k.Note() != "no TPM at "+missing+": the device key is kept without one" {
		t.Fatalf("%v, %q, %v", k, k.Note(), err)
	}
	later := openAt(t, dir, swtpm.New(t).Socket)
	if later.Tier() != TierFile || later.HasCounter() || !bytes.Equal(later.PublicBytes(), k.PublicBytes()) {
		t.Errorf("%v after a chip was put in", later)
	}
	if _, err := later.Count(); !errors.Is(err, ErrChip) {
		t.Errorf("a counter without a chip: %v", err)
	}
	// A chip that refuses is no reason to make a lesser key.
	dir = stateDir(t)
	if _, err := (Places{TPM: "/etc/hostname"}).Open(dir, rand.Reader); !errors.Is(err, ErrChip) {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// direct talks to a chip past the code under test.
func direct(t *testing.T, chip *swtpm.TPM) transport.TPM {
	t.Helper()
	tp, err := connect(chip.Socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tp.Close() }) //nolint:errcheck // the chip goes too
	return tp
}

// An owner password is named, because the administrator can do something about it.
func TestOwnerPassword(t *testing.T) {
	tpm, dir := swtpm.New(t), stateDir(t)
	openAt(t, dir, tpm.Socket).Close()
	tp := direct(t, tpm)
	if _, err := (tpm2.HierarchyChangeAuth{AuthHandle: tpm2.TPMRHOwner, NewAuth: tpm2.TPM2BAuth{Buffer: []byte("taken")}}).Execute(tp); err != nil {
		t.Fatal(err)
	}
	_, err := Places{TPM: tpm.Socket}.Open(stateDir(t), rand.Reader)
	if !errors.Is(err, ErrChip) || !strings.Contains(err.Error(), "owner password of the TPM is set; take it away, or set tpm to nothing") {
		t.Error(err)
	}
	// A key that is in the chip already does not get into a file by a setting.
	_, err = Places{TPM: tpm.Socket}.Open(dir, rand.Reader)
	if !errors.Is(err, ErrChip) || !strings.Contains(err.Error(), "owner password of the TPM is set; take it away, or move "+filepath.Join(dir, FileName)+" away") {
		t.Error(err)
	}
}

// A chip that takes no password for a while, because somebody has tried too many,
// goes on for the agent: nothing of its is under that protection.
func TestLockedOut(t *testing.T) {
	tpm, dir := swtpm.New(t), stateDir(t)
	openAt(t, dir, tpm.Socket).Close()
	tp := direct(t, tpm)
	// TPM2_DictionaryAttackParameters (TPM 2.0 Part 3, 25.3), no try for 1000 seconds;
	// go-tpm does not have it.
	said, err := tp.Send([]byte{0x80, 2, 0, 0, 0, 39, 0, 0, 1, 0x3a, 0x40, 0, 0, 0xa, 0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0xe8, 0, 0, 3, 0xe8})
	if err != nil || len(said) < 10 || !bytes.Equal(said[6:10], make([]byte, 4)) {
		t.Fatalf("%v, % x", err, said)
	}
	parent, err := root(tp)
	if err != nil {
		t.Fatal(err)
	}
	defer flush(tp, parent)
	protected := signing()
	protected.ObjectAttributes.NoDA = false
	made, err := tpm2.Create{ParentHandle: parent, InPublic: tpm2.New2B(protected)}.Execute(tp)
	if err != nil {
		t.Fatal(err)
	}
	other, _, err := loadObject(tp, parent, tpm2.Marshal(made.OutPublic), tpm2.Marshal(made.OutPrivate))
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(nil)
	_, err = tpm2.Sign{
		KeyHandle: other, Digest: tpm2.TPM2BDigest{Buffer: digest[:]},
		Validation: tpm2.TPMTTKHashCheck{Tag: tpm2.TPMSTHashCheck},
	}.Execute(tp)
	if !errors.Is(err, tpm2.TPMRCLockout) {
		t.Fatalf("control: a key under the protection: %v", err)
	}
	flush(tp, other)
	k := openAt(t, dir, tpm.Socket)
	if n, err := k.Bump(); err != nil || !verifies(t, k, "locked out") {
		t.Errorf("%d, %v", n, err)
	}
}

// A file that lies is damage, not a crash.
func TestChipFileDamage(t *testing.T) {
	tpm, dir := swtpm.New(t), stateDir(t)
	openAt(t, dir, tpm.Socket).Close()
	content, err := os.ReadFile(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	_, good, err := decode(content)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*chipFile){
		"public cut":   func(f *chipFile) { f.Public = f.Public[:10] },
		"public empty": func(f *chipFile) { f.Public = nil },
		"private flip": func(f *chipFile) { f.Private[20] ^= 1 },
		"sealed flip":  func(f *chipFile) { f.Sealed[20] ^= 1 },
		"parts mixed":  func(f *chipFile) { f.Public, f.Private = f.SealPublic, f.Sealed },
	} {
		var f chipFile
		if err := json.Unmarshal(good, &f); err != nil {
			t.Fatal(err)
		}
		change(&f)
		b, err := json.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		put(t, dir, encode(TierTPM, b))
		if _, err := (Places{TPM: tpm.Socket}).Open(dir, rand.Reader); !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrChip) {
			t.Errorf("%s: %v", name, err)
		}
	}
	put(t, dir, encode(TierTPM, []byte("[1]")))
	if _, err := (Places{TPM: tpm.Socket}).Open(dir, rand.Reader); !errors.Is(err, ErrDamaged) {
		t.Error(err)
	}
	put(t, dir, content)
	if k := openAt(t, dir, tpm.Socket); !verifies(t, k, "whole again") {
		t.Error("the whole file does not open")
	}
}

// Several callers at once get their own signatures.
func TestChipIsShared(t *testing.T) {
	tpm := swtpm.New(t)
	k := openAt(t, stateDir(t), tpm.Socket)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 5 {
				if !verifies(t, k, strings.Repeat("x", i*5+j)) {
					t.Error("a signature does not verify")
				}
			}
		})
	}
	wg.Wait()
}

// Sealed by what the system hands over: a copy of the files is worthless without it.
func TestSealedByCredential(t *testing.T) {
	dir, cred := stateDir(t), filepath.Join(t.TempDir(), "device-seal")
	other := filepath.Join(t.TempDir(), "other")
	for path, b := range map[string]byte{cred: 1, other: 2} {
		if err := os.WriteFile(path, bytes.Repeat([]byte{b}, 32), 0o400); err != nil {
			t.Fatal(err)
		}
	}
	k, err := Places{Seal: cred}.Open(dir, rand.Reader)
	if err != nil || k.Tier() != TierOS {
		t.Fatal(k, err)
	}
	file, err := os.ReadFile(filepath.Join(dir, FileName))
	if err != nil || bytes.Contains(file, k.private.Seed()) {
		t.Error("the file shows the key", err)
	}
	if again, err := (Places{Seal: cred}).Open(dir, rand.Reader); err != nil || !bytes.Equal(again.PublicBytes(), k.PublicBytes()) {
		t.Error(err)
	}
	for place, say := range map[string]string{other: "another machine", "": "not handed over any more"} {
		if _, err := (Places{Seal: place}).Open(dir, rand.Reader); !errors.Is(err, ErrForeignMachine) || !strings.Contains(err.Error(), say) {
			t.Errorf("%q: %v", place, err)
		}
	}
}

// A credential that cannot be used is no damage to the file that it has sealed: who
// moved that away would lose the seat. Without a key yet it is made again.
func TestUnusableCredential(t *testing.T) {
	dir, cred := stateDir(t), filepath.Join(t.TempDir(), "device-seal")
	if err := os.WriteFile(cred, make([]byte, minSeal), 0o400); err != nil {
		t.Fatal(err)
	}
	first, err := Places{Seal: cred}.Open(dir, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	bad := t.TempDir()
	short, folder := filepath.Join(bad, "short"), filepath.Join(bad, "folder")
	if err := errors.Join(os.WriteFile(short, make([]byte, minSeal-1), 0o400), os.Mkdir(folder, 0o700)); err != nil {
		t.Fatal(err)
	}
	for _, place := range []string{short, folder, filepath.Join(bad, "none")} {
		_, err := Places{Seal: place}.Open(dir, rand.Reader)
		if !errors.Is(err, ErrCredential) || errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "put the old credential back") || strings.Contains(err.Error(), "make it again") {
			t.Errorf("%s: %v", place, err)
		}
		fresh := stateDir(t)
		_, err = Places{Seal: place}.Open(fresh, rand.Reader)
		if !errors.Is(err, ErrCredential) || !strings.Contains(err.Error(), "make it again") || strings.Contains(err.Error(), "put the old") {
			t.Errorf("%s, at a first start: %v", place, err)
		}
		if left, err := os.ReadDir(fresh); err != nil || len(left) != 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	}
	if again, err := (Places{Seal: cred}).Open(dir, rand.Reader); err != nil || !same(first, again) {
		t.Errorf("with the old credential: %v", err)
	}
}

// BenchmarkSignInChip is against a software chip; a real one takes 10 to 100 times as long.
func BenchmarkSignInChip(b *testing.B) {
	tpm := swtpm.New(b)
	k, err := Places{TPM: tpm.Socket}.Open(stateDir(b), rand.Reader)
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
