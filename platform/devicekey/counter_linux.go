package devicekey

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
)

// Counters live in the handles that the TCG leaves to the owner (Registry of
// Reserved TPM 2.0 Handles, 2.2.2): 0x01800000 to 0x01BFFFFF.
const (
	firstCounter = 0x01800000
	counterMask  = 0x003FFFFF
)

// freshCounter makes a counter under a number that nobody uses.
func freshCounter(t transport.TPM, auth []byte, take func(index uint32) error) (uint32, error) {
	for range 16 {
		var b [4]byte
		if _, err := rand.Read(b[:]); err != nil {
			return 0, fmt.Errorf("%w: %w", ErrRand, err)
		}
		index := firstCounter | binary.BigEndian.Uint32(b[:])&counterMask
		// Before it is claimed: what is claimed may be taken out.
		if _, err := readPublic(t, index); err == nil {
			continue
		} else if !errors.Is(err, tpm2.TPMRCHandle) {
			return 0, refused("making the counter", err)
		}
		if err := take(index); err != nil {
			return 0, err
		}
		if err := define(t, index, auth); err != nil {
			return 0, refused("making the counter", err)
		}
		_, err := step(t, index, auth, true) // a counter has no value before
		return index, err
	}
	return 0, refused("making the counter", tpm2.TPMRCNVDefined)
}

func readPublic(t transport.TPM, index uint32) (*tpm2.NVReadPublicResponse, error) {
	return tpm2.NVReadPublic{NVIndex: tpm2.TPMHandle(index)}.Execute(t)
}

// counterKind is what all counters of the agent have in common.
func counterKind() tpm2.TPMANV {
	return tpm2.TPMANV{NT: tpm2.TPMNTCounter, AuthWrite: true, AuthRead: true, NoDA: true}
}

// define reserves eight bytes of the chip's memory. The counter has a password
// of its own, so that no other program of this machine makes the agent believe
// that its files are old; the owner can remove it, and that is seen.
func define(t transport.TPM, index uint32, auth []byte) error {
	_, err := tpm2.NVDefineSpace{
		AuthHandle: tpm2.TPMRHOwner, Auth: tpm2.TPM2BAuth{Buffer: auth},
		PublicInfo: tpm2.New2B(tpm2.TPMSNVPublic{
			NVIndex: tpm2.TPMHandle(index), NameAlg: tpm2.TPMAlgSHA256, DataSize: 8,
			Attributes: counterKind(),
		}),
	}.Execute(t)
	return err
}

// step reads the counter, after adding one with bump.
func step(t transport.TPM, index uint32, auth []byte, bump bool) (int64, error) {
	handle := tpm2.TPMHandle(index)
	mine := func() (tpm2.AuthHandle, error) { // its name changes with the first step
		pub, err := readPublic(t, index)
		if err != nil {
			return tpm2.AuthHandle{}, err
		}
		if area, err := pub.NVPublic.Contents(); err == nil && !area.Attributes.Written {
			bump = true // cut off after it was made: it has no value yet
		}
		return tpm2.AuthHandle{Handle: handle, Name: pub.NVName, Auth: tpm2.PasswordAuth(auth)}, nil
	}
	h, err := mine()
	if errors.Is(err, tpm2.TPMRCHandle) { // somebody has removed it: it starts above every earlier value
		bump = true
		if err = define(t, index, auth); err == nil {
			h, err = mine()
		}
	}
	if err != nil {
		return 0, refused("counter", err)
	}
	if bump {
		if _, err := (tpm2.NVIncrement{AuthHandle: h, NVIndex: tpm2.NamedHandle{Handle: h.Handle, Name: h.Name}}).Execute(t); err != nil {
			return 0, refused("counting", err)
		}
		if h, err = mine(); err != nil {
			return 0, refused("counter", err)
		}
	}
	rsp, err := tpm2.NVRead{AuthHandle: h, NVIndex: tpm2.NamedHandle{Handle: h.Handle, Name: h.Name}, Size: 8}.Execute(t)
	if err != nil || len(rsp.Data.Buffer) != 8 {
		return 0, refused("reading the counter", err)
	}
	return int64(binary.BigEndian.Uint64(rsp.Data.Buffer)), nil
}

func (*chip) counts() bool { return true }

func (c *chip) count(bump bool) (int64, error) {
	return inTurn(c.turns, commandLimit, func() (n int64, err error) {
		err = c.with(func(t transport.TPM) error {
			n, err = step(t, c.file.Counter, c.auth, bump)
			bump = false // never twice for one call
			return err
		})
		return n, err
	})
}

// forget takes the counter out of the chip, for a key that nobody will ask again.
// One that stays behind costs eight bytes and says nothing.
func (c *chip) forget() {
	takeOutInTurn(c.turns, c.path, c.file.Counter) //nolint:errcheck // see above
}

// takeOut takes a counter out of the chip at path. What is not there, or was not
// made by an agent, is none. The caller has the turn.
func takeOut(path string, index uint32) error {
	t, err := connect(path)
	if err != nil {
		return err
	}
	defer t.Close() //nolint:errcheck // nothing was loaded
	pub, err := readPublic(t, index)
	if errors.Is(err, tpm2.TPMRCHandle) {
		return nil
	}
	if err != nil {
		return refused("counter", err)
	}
	area, err := pub.NVPublic.Contents()
	if err != nil {
		return refused("counter", err)
	}
	kind := area.Attributes
	kind.Written = false
	if kind != counterKind() || area.DataSize != 8 || index&^counterMask != firstCounter {
		return nil
	}
	h := tpm2.NamedHandle{Handle: tpm2.TPMHandle(index), Name: pub.NVName}
	if _, err := (tpm2.NVUndefineSpace{AuthHandle: tpm2.TPMRHOwner, NVIndex: h}).Execute(t); err != nil {
		return refused("taking the counter out", err)
	}
	return nil
}
