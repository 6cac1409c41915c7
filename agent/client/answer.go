package client

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"licenseagent.example/activation/license"
	"licenseagent.example/agent/api"
)

// answer is what an agent said to a check, taken apart.
type answer struct {
	license, keySet, proof  []byte // envelopes
	licenseHash, keySetHash string
	said                    api.Verdict // the agent's own words

	// start is the text up to the proof: as long as the license is the same,
	// answers differ only behind it.
	start []byte
}

// read takes an answer apart. When it starts as a does, only the rest is new:
// nine tenths of an answer are the license and the key set, and reading them as
// JSON, as base64 and into their hashes costs as much as the proof's signature.
func (a *answer) read(raw []byte) (*answer, error) {
	var in api.CheckAnswer
	if rest, same := bytes.CutPrefix(raw, a.start); same && len(a.start) > 0 && bytes.HasPrefix(rest, []byte(`"`)) {
		err := json.Unmarshal(append([]byte("{"), rest...), &in)
		// A member that comes again would count instead of the first one.
		if err == nil && in.License == "" && in.KeySet == "" {
			out := *a
			out.said = in.Verdict
			out.proof, err = envelope("proof", in.Proof)
			return &out, err
		}
		in = api.CheckAnswer{}
	}
	if err := json.Unmarshal(raw, &in); err != nil {
		return nil, err
	}
	out := &answer{said: in.Verdict}
	var err error
	if out.license, err = envelope("license", in.License); err != nil {
		return nil, err
	}
	if out.keySet, err = envelope("key set", in.KeySet); err != nil {
		return nil, err
	}
	if out.proof, err = envelope("proof", in.Proof); err != nil {
		return nil, err
	}
	out.licenseHash, out.keySetHash = license.Hash(out.license), license.Hash(out.keySet)
	if start := fmt.Appendf(nil, `{"license":%q,"keyset":%q,`, in.License, in.KeySet); bytes.HasPrefix(raw, start) {
		out.start = start
	}
	return out, nil
}

func envelope(name, text string) ([]byte, error) {
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return b, nil
}
