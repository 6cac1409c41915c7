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
	"licenseagent.example/activation/merchant/admin"
)

// An export is checked row by row: whatever happened to it on its way is seen,
// and what is good is copied byte for byte.
func TestExportIsFollowed(t *testing.T) {
	s := openShop(t)
	s.command("codes", "add", "--product", "painter", "--count", "5", "--out", filepath.Join(t.TempDir(), "codes"))
	text := s.command("audit", "export")
	lines := strings.SplitAfter(strings.TrimSuffix(text, "\n"), "\n")
	rows := len(lines) - 1
	var copied bytes.Buffer
	var v admin.Verified
	check(t, followExport(strings.NewReader(text), &copied, &v))
	if copied.String() != text || int(v.Rows) != rows || rows < 6 {
		t.Fatalf("%d rows of %d, copied %v", v.Rows, rows, copied.String() == text)
	}
	join := func(list ...[]string) string {
		var b strings.Builder
		for _, l := range list {
			b.WriteString(strings.Join(l, ""))
		}
		return b.String()
	}
	last := lines[rows:]
	for name, c := range map[string]struct {
		text string
		want error
	}{
		"nothing":            {"", merchant.ErrAudit},
		"without the end":    {join(lines[:rows]), merchant.ErrAudit},
		"cut":                {text[:len(text)/2], merchant.ErrAudit},
		"first row dropped":  {join(lines[1:]), merchant.ErrAudit},
		"a row dropped":      {join(lines[:2], lines[3:]), merchant.ErrAudit},
		"last row dropped":   {join(lines[:rows-1], last), merchant.ErrAudit},
		"two rows swapped":   {join(lines[:2], lines[3:4], lines[2:3], lines[4:]), merchant.ErrAudit},
		"a row twice":        {join(lines[:3], lines[2:]), merchant.ErrAudit},
		"a word changed":     {strings.Replace(text, "painter", "printer", 1), merchant.ErrAudit},
		"another number":     {join(lines[:rows], []string{`{"verified":1}`}), merchant.ErrAudit},
		"no JSON":            {join([]string{"hello\n"}, lines), merchant.ErrAudit},
		"no JSON at its end": {join(lines[:rows], []string{`{"verified":x}`}), merchant.ErrAudit},
		"a line without end": {`{"seq":` + strings.Repeat("1", 2<<20), merchant.ErrAudit},
	} {
		if err := followExport(strings.NewReader(c.text), nil, new(admin.Verified)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	told := join(lines[:2], []string{`{"error":{"code":"audit-broken","message":"m","hint":"h"}}` + "\n"})
	var e *admin.Error
	if err := followExport(strings.NewReader(told), nil, new(admin.Verified)); !errors.As(err, &e) || e.Code != admin.CodeAuditBroken {
		t.Errorf("an error at the end: %v", err)
	}
}

// Codes that were made are never lost: they are in the file when something goes
// wrong later, and a file without any is not left behind.
func TestCodesAreKept(t *testing.T) {
	s := openShop(t)
	dir := t.TempDir()
	out := filepath.Join(dir, "codes")
	s.command("codes", "add", "--product", "painter", "--count", "1500", "--out", out)
	text, err := os.ReadFile(out)
	check(t, err)
	info, err := os.Stat(out)
	check(t, err)
	if n := strings.Count(string(text), "\n"); n != 1500 || info.Mode().Perm() != merchant.PrivateFile {
		t.Errorf("%d codes, mode %o", n, info.Mode().Perm())
	}
	seen := map[string]bool{}
	for _, c := range strings.Fields(string(text)) {
		if _, own := merchant.NormaliseCode(c); !own || seen[c] {
			t.Fatalf("not a code of ours, or twice")
		}
		seen[c] = true
	}
	broken := errors.New("x")
	f, err := os.Create(filepath.Join(dir, "part"))
	check(t, err)
	defer f.Close()
	o := codesAddOptions{out: f.Name()}
	if err := o.interrupted(broken, f, 1000); !errors.Is(err, broken) || !strings.Contains(err.Error(), "holds the 1000 codes") {
		t.Errorf("in the middle: %v", err)
	}
	if err := o.interrupted(broken, nil, 1000); err.Error() != "x" {
		t.Errorf("without a file: %v", err)
	}
	if err := o.interrupted(broken, f, 0); !errors.Is(err, broken) {
		t.Errorf("at once: %v", err)
	}
	if _, err := os.Stat(f.Name()); !errors.Is(err, os.ErrNotExist) {
		t.Error("an empty file was left behind")
	}
}

// A token is read from one line of a private file (merchant.TestReadSecret), and
// what is wrong has its exit code.
func TestSecretLine(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		check(t, os.WriteFile(path, []byte(text), mode))
		check(t, os.Chmod(path, mode))
		return path
	}
	for name, text := range map[string]string{"plain": "lmt_x", "line": "lmt_x\n", "mail": " \r\nlmt_x\r\n"} {
		if got, err := secretLine(write(name, text, 0o600), "x"); err != nil || got != "lmt_x" {
			t.Errorf("%s: %q %v", name, got, err)
		}
	}
	for path, exit := range map[string]int{
		write("open", "CANARY", 0o640):                           exitPermission,
		write("empty", "\n", 0o600):                              exitUsage,
		write("long", "CANARY"+strings.Repeat(" ", 4096), 0o600): exitUsage,
		filepath.Join(dir, "none"):                               exitUsage,
	} {
		_, err := secretLine(path, "x")
		if got := exitCode(t.Context(), err); got != exit || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "CANARY") {
			t.Errorf("%s: exit %d, want %d: %v", filepath.Base(path), got, exit, err)
		}
	}
}

// The language of a sentence is that of the environment, in the order of the C
// library.
func TestLanguage(t *testing.T) {
	for _, c := range []struct {
		env  map[string]string
		want string
	}{
		{nil, ""},
		{map[string]string{"LANG": "zh_CN.UTF-8"}, "zh-CN"},
		{map[string]string{"LANG": "de_DE"}, ""},
		{map[string]string{"LANG": "zh_CN", "LC_MESSAGES": "en_US"}, ""},
		{map[string]string{"LANG": "C", "LC_ALL": "zh_TW", "LC_MESSAGES": "en_US"}, "zh-CN"},
	} {
		a := &app{env: func(name string) string { return c.env[name] }}
		if got := a.lang(); got != c.want {
			t.Errorf("%v: %q", c.env, got)
		}
	}
}

// A whole code is told from other words that people search for.
func TestCodesOnTheCommandLine(t *testing.T) {
	for what, is := range map[string]bool{
		"CSM71-60VT4-C842S-MQ3RS-PQ24T": true, "csm7160vt4c842smq3rspq24t": true, "CSM71 60VT4 C842S MQ3RS PQ24T": true,
		"PQ24T": false, "…PQ24T": false, "c-30kb68sj30ya": false, "lic-dhxvraewnf8escgdd3tj": false, "order-7": false,
	} {
		if looksLikeCode(what) != is {
			t.Errorf("%s: %v", what, !is)
		}
	}
	a := &app{env: func(string) string { return "" }, stdout: new(bytes.Buffer), stderr: new(bytes.Buffer)}
	if code := a.run(context.Background(), []string{"find", "CSM71-60VT4-C842S-MQ3RS-PQ24T"}); code != exitUsage {
		t.Errorf("a code on the command line: exit %d", code)
	}
}
