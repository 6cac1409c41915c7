package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"licenseagent.example/activation/merchant"
)

// Only a yes is a yes; an empty line, an end of input and anything else are no.
func TestConfirm(t *testing.T) {
	for answer, want := range map[string]bool{
		"y\n": true, "Y\n": true, "yes\n": true, " YES \r\n": true, "y": true,
		"": false, "\n": false, "n\n": false, "no\n": false, "yess\n": false, "\ny\n": false, "ja\n": false,
	} {
		var shown bytes.Buffer
		a := &app{stdin: strings.NewReader(answer), stderr: &shown}
		err := a.confirm(merchant.KeyDraft{}, false)
		if (err == nil) != want || err != nil && !errors.Is(err, errDeclined) {
			t.Errorf("%q: %v", answer, err)
		}
		if !strings.Contains(shown.String(), "Publishes key set") || !strings.Contains(shown.String(), "Go on? [y/N]") {
			t.Errorf("%q: shown %q", answer, shown.String())
		}
	}
	var shown bytes.Buffer
	a := &app{stdin: strings.NewReader(""), stderr: &shown}
	if err := a.confirm(merchant.KeyDraft{}, true); err != nil || strings.Contains(shown.String(), "Go on") || !strings.Contains(shown.String(), "Publishes") {
		t.Errorf("--yes: %v, shown %q", err, shown.String())
	}
}

// A draft that went through a file is the same draft; nothing is written over a
// file that is there, except by whoever adds a signature to it.
func TestDraftFiles(t *testing.T) {
	s := openShop(t)
	ctx := context.Background()
	d, err := s.svc.DraftRotation(ctx, 3600)
	check(t, err)
	path := filepath.Join(t.TempDir(), "draft.json")
	var told bytes.Buffer
	a := &app{stdin: strings.NewReader(""), stderr: &told}
	check(t, a.writeDraft(path, d, os.O_EXCL))
	if err := a.writeDraft(path, d, os.O_EXCL); err == nil {
		t.Error("a draft was written over another file")
	}
	read, err := a.readDraft(path)
	check(t, err)
	if strings.Join(read.Summary(), "\n") != strings.Join(d.Summary(), "\n") || read.SignedBy() != 0 {
		t.Error("the draft in the file says something else")
	}
	check(t, read.Sign([]string{s.app.path("root")}))
	check(t, a.writeDraft(path, read, 0))
	signed, err := a.readDraft(path)
	check(t, err)
	if signed.SignedBy() < 2 || !strings.Contains(told.String(), "of 2 signatures") {
		t.Errorf("%d signatures, told %q", signed.SignedBy(), told.String())
	}
	p, err := s.svc.ImportKeySet(ctx, signed)
	check(t, err)
	if p.Version != 2 {
		t.Errorf("published %+v", p)
	}
	text, err := os.ReadFile(path)
	check(t, err)
	if strings.Contains(string(text), "PRIVATE") {
		t.Error("a draft holds a private key")
	}
}
