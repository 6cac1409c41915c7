package architecture_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// debian runs a line of bash that has the functions of .ci/debian, as the suites
// have them, with programs of the test's in front of the system's.
func debian(t *testing.T, programs, line string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command("bash", append([]string{"-c", "set -euo pipefail; . .ci/debian; " + line, "suite"}, args...)...)
	cmd.Env = []string{"PATH=" + programs + ":/usr/bin:/bin"}
	out, err := cmd.Output()
	return strings.TrimSpace(string(out)), err
}

// The suites find where Debian comes from in each form that apt has had for it,
// and do without any.
func TestMirror(t *testing.T) {
	for name, c := range map[string]struct {
		file, text, want string
	}{
		"deb822":         {"sources.list.d/debian.sources", "Types: deb\n# https://snapshot.example/debian\nURIs: https://one.example/debian\nSuites: bookworm\n\nURIs: https://security.example/\n", "https://one.example/debian"},
		"another name":   {"sources.list.d/cloud.sources", "URIs: https://two.example/debian\n", "https://two.example/debian"},
		"a line":         {"sources.list", "# deb http://commented.example x main\ndeb-src http://source.example/ bookworm main\ndeb http://three.example/debian bookworm main\n", "http://three.example/debian"},
		"with options":   {"sources.list", "deb [ arch=amd64 signed-by=/usr/share/keyrings/x.gpg ] https://four.example/debian bookworm main\n", "https://four.example/debian"},
		"a list of many": {"sources.list.d/local.list", "deb https://five.example/debian bookworm main\n", "https://five.example/debian"},
		"nothing":        {"trusted", "", "http://deb.debian.org/debian"},
		"emptied":        {"sources.list", "# see sources.list.d\n", "http://deb.debian.org/debian"},
	} {
		apt := t.TempDir()
		if err := os.MkdirAll(filepath.Join(apt, "sources.list.d"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(apt, c.file), []byte(c.text), 0o644); err != nil {
			t.Fatal(err)
		}
		if got, err := debian(t, "/nowhere", `mirror "$1"`, apt); err != nil || got != c.want {
			t.Errorf("%s: %q %v, want %q", name, got, err, c.want)
		}
	}
}

// A root that could not be made whole is not kept: the next run would boot it.
func TestHalfMadeRootIsNotKept(t *testing.T) {
	programs, to := t.TempDir(), filepath.Join(t.TempDir(), "root")
	fake := func(then string) {
		t.Helper()
		// The fifth argument is the root, after options, packages and suite.
		if err := os.WriteFile(filepath.Join(programs, "mmdebstrap"), []byte("#!/bin/sh\nmkdir -p \"$5\" && : >\"$5/half\"\n"+then+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	fake("exit 1")
	// As a suite may call it: bash has no set -e in a command substitution.
	for _, line := range []string{`root "$1" bookworm dash`, `at=$(root "$1" bookworm dash && echo "$1"); echo "$at"`} {
		if out, err := debian(t, programs, line, to); err == nil {
			t.Errorf("%s: a failed mmdebstrap was called a success: %s", line, out)
		}
		if _, err := os.Stat(to); err == nil {
			t.Fatalf("%s: the half root is kept", line)
		}
	}
	fake(": >\"$5/whole\"")
	if out, err := debian(t, programs, `root "$1" bookworm dash`, to); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	if _, err := os.Stat(filepath.Join(to, "whole")); err != nil {
		t.Error(err)
	}
	fake("exit 1")
	if out, err := debian(t, programs, `root "$1" bookworm dash`, to); err != nil {
		t.Errorf("what is there is made again: %v %s", err, out)
	}
}
