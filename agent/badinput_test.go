//go:build linux

package agent_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// Whatever stands where a serial should be, the agent starts, the license runs
// (board and address still match), and why says what is wrong with the disk.
func TestBadInputIsExplained(t *testing.T) {
	b := newVendor(t, nil).machine(t)
	b.boot("laptop")
	b.activate("balanced")
	serial := ""
	b.must(filepath.WalkDir(b.under.Host.Root, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && d.Name() == "serial" {
			serial = p
		}
		return err
	}))
	good, err := os.ReadFile(serial)
	b.must(err)
	text := func(s string) func() error {
		return func() error { return os.WriteFile(serial, []byte(s), 0o600) }
	}
	for _, c := range []struct {
		name          string
		put           func() error
		state, result string
		reason, flag  string
	}{
		{name: "as it was", put: text(string(good)), state: "ok", result: "match"},
		{name: "64 KiB", put: text(strings.Repeat("S", 64<<10)), state: "unreadable", result: "unreadable", reason: "longer than 256 bytes"},
		{name: "a pipe that blocks", put: func() error { return unix.Mkfifo(serial, 0o600) }, state: "unreadable", result: "unreadable", reason: "not a plain file"},
		{name: "a directory", put: func() error { return os.Mkdir(serial, 0o700) }, state: "unreadable", result: "unreadable", reason: "not a plain file"},
		{name: "control characters", put: text("S\x01\x1b[2J|,\n"), state: "ok", result: "changed", flag: "drift"},
		{name: "bytes that are not UTF-8", put: text("S\xff\xfe77"), state: "ok", result: "changed", flag: "drift"},
		{name: "nothing but zeros", put: text(strings.Repeat("\x00", 20)), state: "absent", result: "absent", flag: "drift"},
		{name: "gone", put: func() error { return nil }, state: "absent", result: "absent", flag: "drift"},
	} {
		b.must(os.RemoveAll(serial))
		b.must(c.put())
		b.start()
		x := b.why()
		if v := x.License.Verdict; !v.Runs || c.flag != "" && !slices.Contains(v.Flags, c.flag) {
			t.Errorf("%s: runs %v, flags %v", c.name, v.Runs, v.Flags)
		}
		for _, p := range x.Device.Parts {
			if p.Kind == "disk" && (p.State != c.state || p.Result != c.result || !strings.Contains(p.Reason, c.reason)) {
				t.Errorf("%s: the disk is %s, %s (%q), want %s, %s (%q)", c.name, p.State, p.Result, p.Reason, c.state, c.result, c.reason)
			}
			shown := p.Reason + strings.Join(p.Now, "")
			if strings.ContainsFunc(shown, unicode.IsControl) || !utf8.ValidString(shown) {
				t.Errorf("%s: raw bytes are shown: %q %q", c.name, p.Reason, p.Now)
			}
		}
	}
}
