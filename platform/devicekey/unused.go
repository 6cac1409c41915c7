package devicekey

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"licenseagent.example/platform/securefile"
)

// UnusedName is the file beside the key which says that nothing was ever signed
// with it, so that nobody can know it, and on which machine it was made:
//
//	license-agent unused device key 1
//	key <SHA-256 of the key file, hexadecimal>
//	seen <the same of each of Places.Machine, - for one that is not known>
//
// It is written before the key and removed before the first signature. A key
// without it, or with that of another key, counts as used and is never replaced:
// so every interruption errs on the side of the license.
const UnusedName = "device.key.unused"

const unusedHeader = "license-agent unused device key 1"

// unused is the content of the file. While a key is being replaced it names two.
type unused struct{ keys, seen []string }

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

func (u unused) encode() []byte {
	var b strings.Builder
	b.WriteString(unusedHeader + "\n")
	for _, k := range u.keys {
		b.WriteString("key " + k + "\n")
	}
	for _, s := range u.seen {
		b.WriteString("seen " + s + "\n")
	}
	return []byte(b.String())
}

func decodeUnused(b []byte) (unused, error) {
	var u unused
	lines := strings.Split(string(b), "\n")
	if lines[0] != unusedHeader || lines[len(lines)-1] != "" {
		return u, errors.New("devicekey: not the note of an unused key")
	}
	for _, line := range lines[1 : len(lines)-1] {
		k, isKey := strings.CutPrefix(line, "key ")
		s, isSeen := strings.CutPrefix(line, "seen ")
		switch {
		case isKey:
			u.keys = append(u.keys, k)
		case isSeen:
			u.seen = append(u.seen, s)
		default:
			return u, errors.New("devicekey: unknown line in the note of an unused key")
		}
	}
	return u, nil
}

// here is what the machine shows now. No serial number is written anywhere.
func (p Places) here() []string {
	var seen []string
	for _, text := range p.Machine() {
		if text == "" {
			seen = append(seen, "-")
			continue
		}
		seen = append(seen, sum([]byte("license-agent machine v1\n"+text)))
	}
	return seen
}

// elsewhere says whether something that is known of both machines differs. That
// a repair or a plugged adapter looks the same costs nothing: nobody knows the key.
func (u unused) elsewhere(here []string) bool {
	for i := range min(len(u.seen), len(here)) {
		if u.seen[i] != "-" && here[i] != "-" && u.seen[i] != here[i] {
			return true
		}
	}
	return false
}

// note reads what lies beside the key with this content; false: it was used.
func note(d *securefile.Dir, content []byte) (unused, bool, error) {
	b, err := d.ReadFile(UnusedName, maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return unused{}, false, nil
	}
	if err != nil {
		return unused{}, false, err
	}
	u, err := decodeUnused(b)
	return u, err == nil && slices.Contains(u.keys, sum(content)), nil
}

// look reads the key. other is true when it was never used and was made on
// another machine, of which this one is a copy: then it is to be replaced.
func (p Places) look(d *securefile.Dir) (k *Key, other bool, u unused, err error) {
	content, err := d.ReadFile(FileName, maxFile)
	if err != nil {
		return nil, false, u, err
	}
	u, fresh, err := note(d, content)
	if err != nil {
		return nil, false, u, err
	}
	k, err = p.open(d, content)
	if k != nil && fresh {
		k.unused = d.Path()
	}
	if !fresh || p.Machine == nil {
		return k, false, u, err
	}
	// What was sealed for another machine, or is in another chip, does not open.
	if errors.Is(err, ErrForeignMachine) || errors.Is(err, ErrCleared) {
		return nil, true, u, nil
	}
	// On the machine itself a chip that is away may come back.
	if errors.Is(err, ErrNoChip) && u.elsewhere(p.here()) {
		return nil, true, u, nil
	}
	return k, err == nil && u.elsewhere(p.here()), u, err
}

// replace makes a new key in the place of one that nobody knows. The state that
// was sealed under the old one is put aside by the store, as one that is foreign.
func (p Places) replace(d *securefile.Dir, rand io.Reader) (*Key, error) {
	// Not under a running agent, which may be about to use its key.
	lock, err := d.Lock()
	if err != nil {
		return nil, err
	}
	defer lock.Unlock() //nolint:errcheck // it ends with the handle
	old, other, u, err := p.look(d)
	if err != nil || !other {
		return old, err // somebody else was faster
	}
	if err := closed(old); err != nil { // a chip has little room
		return nil, err
	}
	made := &claim{dir: d, tpm: p.TPM, turns: newTurns(p.after)}
	k, err := p.renew(d, made, old, u, rand)
	made.end(k != nil)
	return k, err
}

// renew makes the new key of a replacement and puts it in the place of the old one.
func (p Places) renew(d *securefile.Dir, made *claim, old *Key, u unused, rand io.Reader) (*Key, error) {
	content, why, err := p.create(made, rand)
	if err != nil {
		return nil, err
	}
	for _, f := range p.steps(u, content) {
		if err := d.WriteFile(f.name, f.data, securefile.PrivateFile); err != nil {
			return nil, err
		}
	}
	if old != nil && old.chip != nil {
		old.chip.forget()
	}
	k, err := p.read(d)
	if err != nil {
		return nil, err
	}
	k.created = true
	k.note = "these files were copied from another machine before anything was activated there: this one has a device key of its own now"
	if why != "" {
		k.note += "; " + why
	}
	return k, nil
}

type written struct {
	name string
	data []byte
}

// steps are the files of a replacement in their order. Cut off after the first one
// the old key is still there and still to be replaced; after the second the new one
// is, which costs nothing.
func (p Places) steps(old unused, key []byte) []written {
	both := unused{append(slices.Clone(old.keys), sum(key)), old.seen}
	return []written{
		{UnusedName, both.encode()},
		{FileName, key},
		{UnusedName, unused{[]string{sum(key)}, p.here()}.encode()},
	}
}

// closed closes a key that may not be there.
func closed(k *Key) error {
	if k == nil {
		return nil
	}
	return k.Close()
}

// use notes, once and before the first signature, that the key may be known.
func (k *Key) use() error {
	k.using.Lock()
	defer k.using.Unlock()
	if k.unused == "" {
		return nil
	}
	d, err := securefile.Open(k.unused)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUse, err)
	}
	defer d.Close() //nolint:errcheck // nothing was written through it
	if err := d.Remove(UnusedName); err != nil {
		return fmt.Errorf("%w: %w", ErrUse, err)
	}
	k.unused = ""
	return nil
}
