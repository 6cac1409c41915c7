package client

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"licenseagent.example/agent/api"
)

func sayAnswer(t *testing.T, license, keySet, proof string) []byte {
	t.Helper()
	e := base64.StdEncoding.EncodeToString
	b, err := json.Marshal(api.CheckAnswer{
		License: e([]byte(license)), KeySet: e([]byte(keySet)), Proof: e([]byte(proof)),
		Verdict: api.Verdict{Phase: "active", Runs: true, Message: "Said.", Flags: []string{"drift"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// agree reads an answer from nothing and after another one, which must not matter.
func agree(t *testing.T, before *answer, raw []byte) (fast bool) {
	t.Helper()
	plain, proof, err := (&answer{}).read(raw)
	after, proofAfter, errAfter := before.read(raw)
	if (err == nil) != (errAfter == nil) {
		t.Errorf("%q: %v alone, %v after another answer", raw, err, errAfter)
	}
	if err != nil || errAfter != nil {
		return false
	}
	if diff := cmp.Diff(plain, after, cmp.AllowUnexported(answer{})); diff != "" {
		t.Errorf("%q is read in two ways:\n%s", raw, diff)
	}
	if !bytes.Equal(proof, proofAfter) {
		t.Errorf("%q has two proofs: %q and %q", raw, proof, proofAfter)
	}
	return after == before
}

// What was remembered never changes what an answer says.
func TestAnswerIsReadOneWay(t *testing.T) {
	first := sayAnswer(t, "license one", "key set one", "proof one")
	before, _, err := (&answer{}).read(first)
	if err != nil || len(before.start) == 0 {
		t.Fatalf("%v %+v", err, before)
	}
	next := sayAnswer(t, "license one", "key set one", "proof two")
	if !agree(t, before, next) {
		t.Error("the same license was read again")
	}
	if agree(t, before, bytes.Replace(next, []byte("Said."), []byte("Told."), 1)) {
		t.Error("other words of the agent were not read")
	}
	if agree(t, before, sayAnswer(t, "license two", "key set one", "proof two")) || agree(t, before, sayAnswer(t, "license one", "key set two", "proof two")) {
		t.Error("another license was taken for the same")
	}
	// A member that comes twice counts as the last one, in any spelling.
	encode := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	other := encode("license two")
	for _, member := range []string{"license", "LICENSE", "keyset", "KeySet", "lic\\u0065nse", "proof", "PROOF"} {
		for _, place := range []string{`"proof"`, `"verdict"`} {
			for _, text := range []string{other, encode("license one"), encode("proof two"), ""} {
				twice := bytes.Replace(next, []byte(place), []byte(`"`+member+`":"`+text+`",`+place), 1)
				if agree(t, before, twice) {
					t.Errorf("a second %s was not seen", member)
				}
				// Nor may such an answer be the one that the next is compared with.
				if kept, _, err := (&answer{}).read(twice); err == nil {
					agree(t, kept, bytes.Replace(twice, []byte(encode("proof two")), []byte("eA=="), 1))
				}
			}
		}
	}
	for _, text := range []string{"", "{", "{}", "null", "[]", string(before.start), string(before.start) + "}", string(next) + "x", " " + string(next), strings.Replace(string(next), `"proof":`, `"proof": `, 1)} {
		agree(t, before, []byte(text))
	}
	for i := range next {
		for _, change := range []byte{'"', '}', '\\', 'x', ','} {
			b := bytes.Clone(next)
			b[i] = change
			agree(t, before, b)
		}
		agree(t, before, next[:i])
	}
	// Control: the start alone does not tell that a member comes again.
	twice := bytes.Replace(next, []byte(`"verdict"`), []byte(`"license":"`+other+`","verdict"`), 1)
	if !bytes.HasPrefix(twice, before.start) {
		t.Error("the control differs at its start")
	}
}

func BenchmarkAnswer(b *testing.B) {
	long := strings.Repeat("x", 3000)
	raw := []byte(`{"license":"` + base64.StdEncoding.EncodeToString([]byte(long)) + `","keyset":"` + base64.StdEncoding.EncodeToString([]byte(long)) + `","proof":"eA==","verdict":{"phase":"active","runs":true}}`)
	before, _, err := (&answer{}).read(raw)
	if err != nil {
		b.Fatal(err)
	}
	for name, a := range map[string]*answer{"first": {}, "again": before} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, _, err := a.read(raw); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
