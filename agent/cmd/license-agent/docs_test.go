//go:build linux

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra/doc"
)

// Manual pages and shell completion are made here and not in the program, which
// then needs no Markdown library on a customer's machine. With DOCS_OUT they
// stay, for the packages: man1/*.1 and completion/{bash,zsh,fish}. DOCS_DATE,
// in seconds, makes them reproducible.
func TestManualPagesAndCompletion(t *testing.T) {
	out := os.Getenv("DOCS_OUT")
	if out == "" {
		out = t.TempDir()
	}
	date := time.Unix(0, 0).UTC()
	if s := os.Getenv("DOCS_DATE"); s != "" {
		d, err := time.ParseDuration(s + "s")
		if err != nil {
			t.Fatal(err)
		}
		date = date.Add(d)
	}
	for _, dir := range []string{"man1", "completion"} {
		if err := os.MkdirAll(filepath.Join(out, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	root := (&app{version: "docs"}).root()
	root.DisableAutoGenTag = true
	header := &doc.GenManHeader{Section: "1", Date: &date, Source: "license-agent", Manual: "License agent"}
	if err := doc.GenManTree(root, header, filepath.Join(out, "man1")); err != nil {
		t.Fatal(err)
	}
	for shell, write := range map[string]func(string) error{
		"bash": func(f string) error { return root.GenBashCompletionFileV2(f, true) },
		"zsh":  root.GenZshCompletionFile,
		"fish": func(f string) error { return root.GenFishCompletionFile(f, true) },
	} {
		file := filepath.Join(out, "completion", shell)
		if err := write(file); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(file)
		if err != nil || !bytes.Contains(b, []byte("license-agent")) {
			t.Errorf("%s: %v, %d bytes", shell, err, len(b))
		}
	}
	pages, err := filepath.Glob(filepath.Join(out, "man1", "*.1"))
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]string{}
	for _, p := range pages {
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		have[filepath.Base(p)] = string(b)
	}
	for _, c := range root.Commands() {
		page := have["license-agent-"+c.Name()+".1"]
		switch {
		case c.Hidden && page != "":
			t.Errorf("%s is hidden and has a page", c.Name())
		case !c.Hidden && c.Name() != "help" && !strings.Contains(page, ".SH NAME"):
			t.Errorf("%s has no page", c.Name())
		}
	}
	// The units refer to these two.
	for _, name := range []string{"license-agent.1", "license-agent-run.1"} {
		if !strings.Contains(have[name], "license-agent") {
			t.Errorf("%s is missing", name)
		}
	}
}
