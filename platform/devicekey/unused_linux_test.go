package devicekey

import (
	"bytes"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"licenseagent.example/installer/e2e/swtpm"
)

func TestMachineID(t *testing.T) {
	const id = "0123456789abcdef0123456789abcdef"
	for text, want := range map[string]string{
		id + "\n": id, id: id, "": "", "\n": "", "uninitialized\n": "", "0123\n": "", id + "0\n": "", "0123456789ABCDEF0123456789abcdef": "",
	} {
		if got := machineID(text); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}

// A key that was sealed on the machine that was copied does not open in the copy.
// Unused it is replaced, used it is the device of the other machine.
func TestCopiesOfASealedKey(t *testing.T) {
	credential := func(b byte) string {
		name := filepath.Join(t.TempDir(), "device-seal")
		if err := os.WriteFile(name, bytes.Repeat([]byte{b}, minSeal), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	dir := stateDir(t)
	golden, here := on("id-1"), on("id-1")
	golden.Seal, here.Seal = credential(1), credential(2)
	first := mustOpen(t, golden, dir)
	k := mustOpen(t, here, copied(t, dir))
	if k.Tier() != TierOS || same(first, k) || k.Note() == "" {
		t.Errorf("tier %q, note %q", k.Tier(), k.Note())
	}
	if _, err := first.Sign([]byte("a request")); err != nil {
		t.Fatal(err)
	}
	if _, err := here.Open(copied(t, dir), rand.Reader); !errors.Is(err, ErrForeignMachine) {
		t.Errorf("a used key: %v", err)
	}
}

// The same with chips: another one, and one that was copied with the virtual
// machine. Of the latter the counter of the old key is given back.
func TestCopiesOfAKeyInAChip(t *testing.T) {
	tpm, dir := swtpm.New(t), stateDir(t)
	golden, here := on("id-1"), on("id-2")
	golden.TPM, here.TPM = tpm.Socket, tpm.Socket
	first := mustOpen(t, golden, dir)
	counter := tpm2.TPMHandle(first.chip.file.Counter)

	other := on("id-1")
	other.TPM = swtpm.New(t).Socket
	k := mustOpen(t, other, copied(t, dir))
	if k.Tier() != TierTPM || same(first, k) || !verifies(t, k, "one") {
		t.Errorf("another chip: tier %q", k.Tier())
	}

	copy := copied(t, dir)
	k = mustOpen(t, here, copy)
	if k.Tier() != TierTPM || same(first, k) || !verifies(t, k, "two") {
		t.Errorf("a copied chip: tier %q", k.Tier())
	}
	if _, err := k.Count(); err != nil {
		t.Error(err)
	}
	err := k.chip.with(func(tp transport.TPM) error {
		_, err := tpm2.NVReadPublic{NVIndex: counter}.Execute(tp)
		return err
	})
	if !errors.Is(err, tpm2.TPMRCHandle) {
		t.Errorf("the counter of the old key is left: %v", err)
	}
	here.TPM = swtpm.New(t).Socket
	if _, err := here.Open(copy, rand.Reader); !errors.Is(err, ErrForeignMachine) {
		t.Errorf("a used key in another chip: %v", err)
	}
}

// An image that ran on a machine with a chip starts on one without: nobody knows the
// key. On the machine itself a chip that is away for a while costs no key, and a used
// key stays the device's.
func TestCopyWithoutTheChip(t *testing.T) {
	tpm, dir := swtpm.New(t), stateDir(t)
	golden, bare, unset := on("id-1"), on("id-2"), on("id-2")
	golden.TPM, bare.TPM = tpm.Socket, filepath.Join(t.TempDir(), "tpmrm0")
	first := mustOpen(t, golden, dir)
	for say, here := range map[string]Places{"no TPM at " + bare.TPM: bare, "copied from another machine": unset} {
		k := mustOpen(t, here, copied(t, dir))
		if k.Tier() != TierFile || !k.Created() || !strings.Contains(k.Note(), say) {
			t.Errorf("%s: tier %s, note %q", say, k.Tier(), k.Note())
		}
	}
	golden.TPM = bare.TPM
	if _, err := golden.Open(dir, rand.Reader); !errors.Is(err, ErrNoChip) {
		t.Errorf("the machine itself without its chip: %v", err)
	}
	if _, err := first.Sign([]byte("a request")); err != nil {
		t.Fatal(err)
	}
	if _, err := bare.Open(copied(t, dir), rand.Reader); !errors.Is(err, ErrNoChip) {
		t.Errorf("a used key: %v", err)
	}
}
