package client

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"licenseagent.example/activation/license"
	"licenseagent.example/agent/api"
)

// answer is what an agent said to a check, taken apart, without the proof: that
// is new in every answer, the rest stays for days.
type answer struct {
	license, keySet         []byte // envelopes
	licenseHash, keySetHash string
	said                    api.Verdict // the agent's own words

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
	var in api.CheckAnswer
	if err := json.Unmarshal(raw, &in); err != nil {
		return nil, nil, err
	}
	out := &answer{said: in.Verdict}
	var err error
	if out.license, err = envelope("license", in.License); err != nil {
		return nil, nil, err
	}
	if out.keySet, err = envelope("key set", in.KeySet); err != nil {
		return nil, nil, err
	}
	proof, err := envelope("proof", in.Proof)
	if err != nil {
		return nil, nil, err
	}
	out.licenseHash, out.keySetHash = license.Hash(out.license), license.Hash(out.keySet)
	out.around(raw, in)
	return out, proof, nil
}

// around remembers the text around the proof. A member that comes again behind
// it would count instead of the first one, so that there must be none.
func (a *answer) around(raw []byte, in api.CheckAnswer) {
	start := fmt.Appendf(nil, `{"license":%q,"keyset":%q,"proof":"`, in.License, in.KeySet)
	end, usual := bytes.CutPrefix(raw, fmt.Appendf(nil, `%s%s"`, start, in.Proof))
	if !usual || in.Proof == "" {
		return
	}
	var more api.CheckAnswer
	if json.Unmarshal(fmt.Appendf(nil, `{"proof":""%s`, end), &more) == nil && more.License == "" && more.KeySet == "" && more.Proof == "" {
		a.start, a.end = start, fmt.Appendf(nil, `"%s`, end)
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
	proof, err := base64.StdEncoding.AppendDecode(nil, text)
	return proof, err == nil
}

func envelope(name, text string) ([]byte, error) {
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return b, nil
}
