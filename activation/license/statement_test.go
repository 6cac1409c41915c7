package license

import "testing"

// A statement and the kinds of SPEC.md never stand for each other, whoever
// signed, and a statement obeys exactly the key that it is opened with.
func TestStatements(t *testing.T) {
	f := newFixture(t)
	release := edSigner(t, "release key")
	body := struct {
		Name string `json:"name"`
	}{"ü"}
	env := must[[]byte](t)(SealStatement(body, release))
	got := body
	got.Name = ""
	if err := OpenStatement(release.Public(), env, &got); err != nil || got != body {
		t.Errorf("%+v %v", got, err)
	}
	for _, s := range append([]Signer{f.licenseKey, f.noticeKey, f.bundleKey, f.device}, f.roots...) {
		if err := OpenStatement(s.Public(), env, &got); Code(err) != "signature" {
			t.Errorf("another key: %v", err)
		}
	}
	for kind, open := range f.openers(t) {
		if _, err := open(env); Code(err) != "media-type" && Code(err) != "too-large" {
			t.Errorf("a statement opened as %s: %v", kind, err)
		}
	}
	for _, other := range [][]byte{f.keySetEnv, f.licenseEnv, f.noticeEnv, f.proofEnv, f.requestEnv, must[[]byte](t)(Seal(TypeBundle, &Limit{"a", 1}, f.bundleKey))} {
		for _, s := range []Signer{f.licenseKey, f.noticeKey, f.bundleKey, f.device, f.roots[0]} {
			if err := OpenStatement(s.Public(), other, &got); Code(err) != "media-type" {
				t.Errorf("another kind opened as a statement: %v", err)
			}
		}
	}
	for i := range env {
		bad := append([]byte{}, env...)
		bad[i] ^= 1
		if err := OpenStatement(release.Public(), bad, &got); err == nil {
			t.Errorf("byte %d changed and accepted", i)
		}
	}
	if _, err := Seal(TypeStatement, body, release); Code(err) != "media-type" {
		t.Errorf("%v", err)
	}
}
