package devicekey

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"licenseagent.example/installer/e2e/swtpm"
)

// counters are the numbers of all counters in the chip.
func counters(t *testing.T, chip *swtpm.TPM) []tpm2.TPMHandle {
	t.Helper()
	rsp, err := tpm2.GetCapability{Capability: tpm2.TPMCapHandles, Property: firstCounter, PropertyCount: 254}.Execute(direct(t, chip))
	if err != nil {
		t.Fatal(err)
	}
	h, err := rsp.CapabilityData.Data.Handles()
	if err != nil {
		t.Fatal(err)
	}
	return h.Handle
}

// obstruct puts something that is no file where one is to be written, which stands
// for a disk that takes nothing.
func obstruct(t *testing.T, dir, name string) (clear func()) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Join(path, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
	}
}

// A service that is started again every two seconds on a disk that takes nothing does
// not fill the chip: at a first start and while a key is replaced, whichever file it
// is that cannot be written.
func TestFailedStartsLeaveNoCounter(t *testing.T) {
	for _, c := range []struct {
		name, file string
		copied     bool
	}{
		{"the note of the counter", CounterName, false},
		{"the note that nothing was signed", UnusedName, false},
		{"the first note of a copy", CounterName, true},
	} {
		tpm, dir, here := swtpm.New(t), stateDir(t), on("id-1")
		here.TPM = tpm.Socket
		had := 0
		if c.copied {
			mustOpen(t, here, dir).Close() //nolint:errcheck // returns none
			here, had = on("id-2"), 1
			here.TPM = tpm.Socket
		}
		clear := obstruct(t, dir, c.file)
		for range 3 {
			if _, err := here.Open(dir, rand.Reader); err == nil {
				t.Fatalf("%s: control: a key was made", c.name)
			}
		}
		if n := counters(t, tpm); len(n) != had {
			t.Errorf("%s: %d counters in the chip", c.name, len(n))
		}
		clear()
		k := mustOpen(t, here, dir)
		if n := counters(t, tpm); !k.Created() || len(n) != 1 || uint32(n[0]) != k.chip.file.Counter {
			t.Errorf("%s: in the chip are %v", c.name, n)
		}
		if _, err := os.Stat(filepath.Join(dir, CounterName)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: the note of the counter is left: %v", c.name, err)
		}
	}
}

// What fails later than the first file: the replacement's last ones, and the key of
// somebody who was faster.
func TestLaterFailuresLeaveNoCounter(t *testing.T) {
	tpm, dir := swtpm.New(t), stateDir(t)
	here := on("id-1")
	here.TPM = tpm.Socket
	slow := here
	slow.Machine = func() []string { // after the chip was asked and before the key is written
		put(t, dir, encode(TierFile, make([]byte, secretSize)))
		return []string{"id-1"}
	}
	k := mustOpen(t, slow, dir)
	if n := counters(t, tpm); k.Tier() != TierFile || k.Created() || len(n) != 0 {
		t.Errorf("who lost the race has %s and left %v", k, n)
	}

	dir = stateDir(t)
	slow.Machine = func() []string {
		obstruct(t, dir, FileName)
		return []string{"id-1"}
	}
	if _, err := slow.Open(dir, rand.Reader); err == nil {
		t.Fatal("control: a key was made")
	}
	if n := counters(t, tpm); len(n) != 0 {
		t.Errorf("where the key could not be written are left %v", n)
	}
}

// Killed between chip and disk: the next start finds what was left by its note, and
// takes out nothing that is not of an agent.
func TestKilledBetweenChipAndDisk(t *testing.T) {
	tpm, dir := swtpm.New(t), stateDir(t)
	if err := os.WriteFile(filepath.Join(dir, CounterName), []byte(counterHeader+"\nindex 0x01812345\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tp := direct(t, tpm)
	if err := define(tp, 0x01812345, []byte("lost")); err != nil {
		t.Fatal(err)
	}
	k := openAt(t, dir, tpm.Socket)
	if n := counters(t, tpm); len(n) != 1 || uint32(n[0]) != k.chip.file.Counter {
		t.Errorf("in the chip are %v", n)
	}

	for name, foreign := range map[string]struct {
		index uint32
		data  uint16
		kind  tpm2.TPMANV
	}{
		"plain memory":        {0x01812346, 8, tpm2.TPMANV{AuthWrite: true, AuthRead: true, NoDA: true}},
		"the owner's counter": {0x01812347, 8, tpm2.TPMANV{NT: tpm2.TPMNTCounter, OwnerWrite: true, OwnerRead: true}},
		"elsewhere":           {0x01c12348, 8, counterKind()},
	} {
		_, err := tpm2.NVDefineSpace{AuthHandle: tpm2.TPMRHOwner, PublicInfo: tpm2.New2B(tpm2.TPMSNVPublic{
			NVIndex: tpm2.TPMHandle(foreign.index), NameAlg: tpm2.TPMAlgSHA256, DataSize: foreign.data, Attributes: foreign.kind,
		})}.Execute(tp)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := takeOut(tpm.Socket, foreign.index); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := readPublic(tp, foreign.index); err != nil {
			t.Errorf("%s was taken out: %v", name, err)
		}
	}
}

// The counter is on the disk before it is in the chip, and one that cannot be noted is
// not made.
func TestCounterIsNotedFirst(t *testing.T) {
	tpm, made := swtpm.New(t), errors.New("no")
	_, err := makeInChip(tpm.Socket, make([]byte, 32), func(index uint32) error {
		if _, err := readPublic(direct(t, tpm), index); !errors.Is(err, tpm2.TPMRCHandle) {
			t.Errorf("it is in the chip already: %v", err)
		}
		return made
	})
	if n := counters(t, tpm); !errors.Is(err, made) || len(n) != 0 {
		t.Errorf("%v, %v", err, n)
	}
}

// A chip without room says what it is, and how room is made.
func TestFullChip(t *testing.T) {
	tpm, dir := swtpm.New(t), stateDir(t)
	fill(t, direct(t, tpm))
	_, err := Places{TPM: tpm.Socket}.Open(dir, rand.Reader)
	if !errors.Is(err, ErrChip) {
		t.Fatal(err)
	}
	for _, say := range []string{"TPM_RC_NV_SPACE", "no room for a counter", "0x01800000 to 0x01bfffff", "tpm2_nvundefine", "or set tpm to nothing"} {
		if !strings.Contains(err.Error(), say) {
			t.Errorf("%q is not said: %v", say, err)
		}
	}
	// Control: with a little room there is a key.
	if err := takeOut(tpm.Socket, firstCounter); err != nil {
		t.Fatal(err)
	}
	openAt(t, dir, tpm.Socket)
}

// fill leaves no room in the chip for one more counter.
func fill(t *testing.T, tp transport.TPM) {
	t.Helper()
	for index := uint32(firstCounter); ; index++ {
		err := define(tp, index, binary.BigEndian.AppendUint32(nil, index))
		if errors.Is(err, tpm2.TPMRCNVSpace) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
