package client

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"

	"licenseagent.example/activation/license"
)

// answer is what an agent said to a check, taken apart, without the proof: that
// is new in every answer, the rest stays for days.
type answer struct {
	license, keySet         []byte // envelopes
	licenseHash, keySetHash string
	flags                   []string // the agent's own words
	message, nextStep       string

	start, end []byte // the text around the proof; empty when it is not the usual one
}

// read takes the text of an answer apart. When only the proof is another one than
// in a, that is found without parsing and a itself returned: reading license and
// key set as JSON, as base64 and into their hashes costs as much as the proof's
// signature.
func (a *answer) read(raw []byte) (*answer, []byte, error) {
	if proof, same := a.again(raw); same {
		return a, proof, nil
	}
	in, err := readMembers(raw)
	if err != nil {
		return nil, nil, err
	}
	said := in.object("verdict")
	out := &answer{flags: said.words("flags"), message: said.word("message"), nextStep: said.word("next_step")}
	if out.license, err = in.envelope("license"); err != nil {
		return nil, nil, err
	}
	if out.keySet, err = in.envelope("keyset"); err != nil {
		return nil, nil, err
	}
	proof, err := in.envelope("proof")
	if err != nil {
		return nil, nil, err
	}
	out.licenseHash, out.keySetHash = license.Hash(out.license), license.Hash(out.keySet)
	out.around(raw, in)
	return out, proof, nil
}

// around remembers the text around the proof. A member that comes again behind
// it would count instead of the first one, so that there must be none.
func (a *answer) around(raw []byte, in members) {
	proof := in["proof"]
	start := fmt.Appendf(nil, `{"license":%s,"keyset":%s,"proof":`, in["license"], in["keyset"])
	end, usual := bytes.CutPrefix(raw, append(bytes.Clone(start), proof...))
	if !usual || len(proof) < len(`"x"`) || proof[0] != '"' {
		return
	}
	more, err := readMembers(fmt.Appendf(nil, `{"":""%s`, end))
	if err == nil && !more.has("license") && !more.has("keyset") && !more.has("proof") {
		a.start, a.end = append(start, '"'), fmt.Appendf(nil, `"%s`, end)
	}
}

// again is the proof of a text that differs from that of a in nothing else.
func (a *answer) again(raw []byte) ([]byte, bool) {
	rest, same := bytes.CutPrefix(raw, a.start)
	text, too := bytes.CutSuffix(rest, a.end)
	// The decoder skips line breaks, which JSON does not allow there.
	if !same || !too || len(a.start) == 0 || bytes.ContainsAny(text, "\r\n") {
		return nil, false
	}
	proof, err := base64.StdEncoding.Strict().AppendDecode(nil, text)
	return proof, err == nil
}

// envelope is a member in base64, in its one spelling: the decoder skips line breaks.
func (m members) envelope(name string) ([]byte, error) {
	text, err := m.text(name)
	if i := strings.IndexAny(text, "\r\n"); i >= 0 {
		err = base64.CorruptInputError(i)
	}
	var b []byte
	if err == nil {
		b, err = base64.StdEncoding.Strict().DecodeString(text)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return b, nil
}
