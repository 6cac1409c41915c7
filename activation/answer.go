package activation

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// MaxAnswer bounds an answer file in bytes: license, notice and a key set of
// 128 KiB fit.
const MaxAnswer = 256 << 10

// ParseAnswer reads an answer file: one JSON object whose members license,
// notice and keyset are DSSE envelopes, beside the calendar of days of use. White space added by an editor or a
// mail program is removed again; unknown members are ignored, so that an older
// agent understands a newer merchant. Nothing in the result is verified.
// Errors wrap ErrAnswer and never quote the input.
func ParseAnswer(b []byte) (Answer, error) {
	if len(b) > MaxAnswer {
		return Answer{}, fmt.Errorf("%w: larger than %d bytes", ErrAnswer, MaxAnswer)
	}
	var w struct {
		License, Notice, KeySet json.RawMessage
		Calendar                string
	}
	if err := json.Unmarshal(b, &w); err != nil {
		return Answer{}, fmt.Errorf("%w: this is not an answer file", ErrAnswer)
	}
	a := Answer{Calendar: w.Calendar}
	for _, m := range []struct {
		from json.RawMessage
		to   *[]byte
	}{{w.License, &a.License}, {w.Notice, &a.Notice}, {w.KeySet, &a.KeySet}} {
		if len(m.from) == 0 || string(m.from) == "null" {
			continue
		}
		var out bytes.Buffer
		if err := json.Compact(&out, m.from); err != nil || out.Bytes()[0] != '{' {
			return Answer{}, fmt.Errorf("%w: this is not an answer file", ErrAnswer)
		}
		*m.to = out.Bytes()
	}
	if a.KeySet == nil {
		return Answer{}, fmt.Errorf("%w: the file holds no key set", ErrAnswer)
	}
	return a, nil
}
