package bundle

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"licenseagent.example/activation/license"
	"licenseagent.example/installer/bundle/manifest"
	"licenseagent.example/platform/paths"
)

// Each format for each system, as a file and unpacked; and the same input gives the
// same bytes.
func TestMadeAndVerified(t *testing.T) {
	for _, target := range manifest.Targets() {
		for _, format := range manifest.Formats() {
			t.Run(target+" "+format, func(t *testing.T) { madeAndVerified(t, target, format) })
		}
	}
}

func madeAndVerified(t *testing.T, target, format string) {
	v := newVendor(t, "acme")
	o := v.options(t, "My CAD")
	o.Format, o.Target, o.Agent = format, target, must[string](t)(standIn[target]())
	program, suffix := "license-agent", ".sh"
	if strings.HasPrefix(target, "windows/") {
		program, suffix = "license-agent.exe", ".cmd"
		check(t, os.Rename(filepath.Join(o.App, "product"), filepath.Join(o.App, "product.exe")))
		o.Start = []string{"product.exe", "--port=1"}
	}
	file := v.bundle(t, o)
	if filepath.Base(file) != "My-CAD."+format {
		t.Errorf("%s", file)
	}
	for _, path := range []string{file, unpack(t, file)} {
		m, err := manifest.Verify(path, &v.anchor, nil)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if m.Name != "My CAD" || m.Target != target || m.Instance != "acme-my-cad" || m.Made != made || manifest.ProperName(path, m) != nil {
			t.Errorf("%+v", m)
		}
	}
	dir := unpack(t, file)
	top := must[[]fs.DirEntry](t)(os.ReadDir(dir))
	if len(top) != 3 || top[0].Name() != "bin" || top[1].Name() != "license" || top[2].Name() != "scripts" {
		t.Errorf("top: %v", top)
	}
	if packed := must[[]byte](t)(os.ReadFile(filepath.Join(dir, "bin", program))); !bytes.Equal(packed, must[[]byte](t)(os.ReadFile(o.Agent))) {
		t.Errorf("bin/%s is not the agent for %s", program, target)
	}
	for _, stage := range manifest.Stages() {
		if _, err := os.Stat(filepath.Join(dir, "scripts", stage+suffix)); err != nil {
			t.Error(err)
		}
	}
	again := o
	again.Out = t.TempDir()
	if !bytes.Equal(must[[]byte](t)(os.ReadFile(file)), must[[]byte](t)(os.ReadFile(v.bundle(t, again)))) {
		t.Errorf("%s: the same input gave other bytes", format)
	}
	if _, _, err := Build(o); !errors.Is(err, ErrExists) {
		t.Errorf("over an older one: %v", err)
	}
	other := o // the agent for another system
	targets := manifest.Targets()
	other.Out, other.Target = t.TempDir(), targets[(slices.Index(targets, target)+1)%len(targets)]
	if _, _, err := Build(other); !errors.Is(err, ErrInput) {
		t.Errorf("the agent for %s in a bundle for %s: %v", target, other.Target, err)
	}
	moved := filepath.Join(t.TempDir(), "other."+format)
	check(t, os.Rename(file, moved))
	m := must[*manifest.Manifest](t)(manifest.Verify(moved, nil, nil))
	if manifest.ProperName(moved, m) == nil {
		t.Error("another name passes")
	}
}

// tampered are changes to an unpacked bundle. listed says whether the list of
// digests is brought up to date afterwards, as a careful attacker does.
func tampered() []struct {
	name  string
	want  error
	spoil func(t *testing.T, dir string, v *vendor)
} {
	type row = struct {
		name  string
		want  error
		spoil func(t *testing.T, dir string, v *vendor)
	}
	write := func(name, content string) func(*testing.T, string, *vendor) {
		return func(t *testing.T, dir string, _ *vendor) {
			check(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
			check(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644))
		}
	}
	return []row{
		{"a file more", manifest.ErrAltered, write("bin/plugin.so", "x")},
		{"a file more, listed", manifest.ErrAltered, func(t *testing.T, dir string, v *vendor) { write("bin/plugin.so", "x")(t, dir, v); relist(t, dir) }},
		{"a folder more", manifest.ErrNotBundle, write("lib/plugin.so", "x")},
		{"a file at the top", manifest.ErrNotBundle, write("README", "x")},
		{"a file less", manifest.ErrAltered, func(t *testing.T, dir string, _ *vendor) {
			check(t, os.Remove(filepath.Join(dir, "bin/share/data.txt")))
		}},
		{"a file less, listed", manifest.ErrAltered, func(t *testing.T, dir string, _ *vendor) {
			check(t, os.Remove(filepath.Join(dir, "bin/share/data.txt")))
			relist(t, dir)
		}},
		{"a script less", manifest.ErrAltered, func(t *testing.T, dir string, _ *vendor) { check(t, os.Remove(filepath.Join(dir, "scripts/stop.sh"))) }},
		{"no manifest", manifest.ErrNotBundle, func(t *testing.T, dir string, _ *vendor) { check(t, os.Remove(filepath.Join(dir, manifest.Signed))) }},
		{"no list", manifest.ErrNotBundle, func(t *testing.T, dir string, _ *vendor) { check(t, os.Remove(filepath.Join(dir, manifest.Sums))) }},
		{"a link", manifest.ErrNotBundle, func(t *testing.T, dir string, _ *vendor) {
			check(t, os.Remove(filepath.Join(dir, "bin/share/data.txt")))
			check(t, os.Symlink("/etc/passwd", filepath.Join(dir, "bin/share/data.txt")))
		}},
		{"a linked folder", manifest.ErrNotBundle, func(t *testing.T, dir string, _ *vendor) { check(t, os.Symlink("/etc", filepath.Join(dir, "bin/etc"))) }},
		{"set-user-ID", manifest.ErrNotBundle, func(t *testing.T, dir string, _ *vendor) {
			check(t, os.Chmod(filepath.Join(dir, "bin/product"), 0o755|fs.ModeSetuid))
		}},
		{"the agent, listed", manifest.ErrAltered, func(t *testing.T, dir string, v *vendor) { write("bin/license-agent", "x")(t, dir, v); relist(t, dir) }},
		{"manifest signed by the license key", manifest.ErrUntrusted, func(t *testing.T, dir string, v *vendor) { relist(t, dir); resign(t, dir, v.license) }},
		{"manifest signed by the notice key", manifest.ErrUntrusted, func(t *testing.T, dir string, v *vendor) { resign(t, dir, v.notice) }},
		{"manifest signed by a root key", manifest.ErrUntrusted, func(t *testing.T, dir string, v *vendor) { resign(t, dir, v.roots[0]) }},
		{"manifest signed by a stranger", manifest.ErrUntrusted, func(t *testing.T, dir string, _ *vendor) { resign(t, dir, signer(t, "stranger")) }},
		{"another vendor's whole license folder", manifest.ErrUntrusted, func(t *testing.T, dir string, _ *vendor) { remake(t, dir, newVendor(t, "evil")) }},
		{"another vendor of the same name", manifest.ErrUntrusted, func(t *testing.T, dir string, v *vendor) {
			other := newVendor(t, "evil")
			other.anchor.Issuer, other.set.Issuer = v.anchor.Issuer, v.set.Issuer
			remake(t, dir, other)
		}},
		{"the bundle key is revoked", manifest.ErrUntrusted, func(t *testing.T, dir string, v *vendor) {
			again := *v
			again.set.Revoked = []string{license.KeyID(v.signsThis.Public())}
			again.set.Version++
			remake(t, dir, &again)
		}},
	}
}

// relist writes the list anew, as somebody who changed a file would.
func relist(t *testing.T, dir string) {
	t.Helper()
	var lines []string
	check(t, filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		name := filepath.ToSlash(must[string](t)(filepath.Rel(dir, p)))
		if err != nil || d.IsDir() || name == manifest.Sums || name == manifest.Signed {
			return err
		}
		sum := sha256.Sum256(must[[]byte](t)(os.ReadFile(p)))
		lines = append(lines, hex.EncodeToString(sum[:])+"  "+name+"\n")
		return nil
	}))
	slices.SortFunc(lines, func(a, b string) int { return strings.Compare(a[66:], b[66:]) })
	check(t, os.WriteFile(filepath.Join(dir, manifest.Sums), []byte(strings.Join(lines, "")), 0o644))
}

// resign makes a manifest that fits the list, signed by any key.
func resign(t *testing.T, dir string, s license.Signer) {
	t.Helper()
	var env struct{ Payload []byte }
	check(t, json.Unmarshal(must[[]byte](t)(os.ReadFile(filepath.Join(dir, manifest.Signed))), &env))
	var m manifest.Manifest
	check(t, json.Unmarshal(env.Payload, &m))
	list := must[[]byte](t)(os.ReadFile(filepath.Join(dir, manifest.Sums)))
	sum := sha256.Sum256(list)
	m.Sums, m.Files, m.Size = hex.EncodeToString(sum[:]), int64(bytes.Count(list, []byte("\n"))), 0
	for line := range strings.Lines(string(list)) {
		fi := must[fs.FileInfo](t)(os.Stat(filepath.Join(dir, strings.TrimSpace(line[66:]))))
		m.Size += fi.Size()
	}
	check(t, os.WriteFile(filepath.Join(dir, manifest.Signed), must[[]byte](t)(license.Seal(license.TypeBundle, m, s)), 0o644))
}

// remake makes the whole license folder anew with another vendor's keys.
func remake(t *testing.T, dir string, v *vendor) {
	t.Helper()
	check(t, os.WriteFile(filepath.Join(dir, manifest.Anchor), must[[]byte](t)(v.anchor.Encode()), 0o644))
	check(t, os.WriteFile(filepath.Join(dir, manifest.KeySet), v.keySet(t), 0o644))
	relist(t, dir)
	resign(t, dir, v.signsThis)
}

// listOnly is the control: what a package without a signature can check.
func listOnly(t *testing.T, dir string) bool {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, manifest.Sums))
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(b)) {
		content, err := os.ReadFile(filepath.Join(dir, strings.TrimSpace(line[66:])))
		if sum := sha256.Sum256(content); err != nil || hex.EncodeToString(sum[:]) != line[:64] {
			return false
		}
	}
	return true
}

func TestTampered(t *testing.T) {
	v := newVendor(t, "acme")
	file := v.bundle(t, v.options(t, "My CAD"))
	fooled := 0
	for _, c := range tampered() {
		dir := unpack(t, file)
		c.spoil(t, dir, v)
		if m, err := manifest.Verify(dir, &v.anchor, nil); !errors.Is(err, c.want) || m != nil {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if listOnly(t, dir) {
			fooled++
		}
	}
	t.Logf("%d of %d refused; a list of digests alone lets %d pass", len(tampered()), len(tampered()), fooled)
	if fooled < 8 {
		t.Errorf("the control passes only %d: the test shows nothing", fooled)
	}
}

// Who has stolen a key that was taken back packs the key set of the time before.
// Who knows a later one of this vendor refuses, and nobody else's counts.
func TestKeyTakenBack(t *testing.T) {
	v := newVendor(t, "acme")
	file := v.bundle(t, v.options(t, "My CAD"))
	later := v.set
	later.Version, later.Revoked = 2, []string{license.KeyID(v.signsThis.Public())}
	if m, err := manifest.Verify(file, &v.anchor, &later); !errors.Is(err, manifest.ErrUntrusted) || !errors.Is(err, license.ErrKeyRevoked) || m != nil {
		t.Errorf("%v", err)
	}
	same, foreign := v.set, later
	foreign.Issuer = "other"
	for what, held := range map[string]*license.KeySet{"none": nil, "the same": &same, "another vendor's": &foreign} {
		if _, err := manifest.Verify(file, &v.anchor, held); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// One byte of each file in turn, and of the archive itself.
func TestOneByte(t *testing.T) {
	v := newVendor(t, "acme")
	file := v.bundle(t, v.options(t, "My CAD"))
	dir := unpack(t, file)
	n := 0
	check(t, filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b := must[[]byte](t)(os.ReadFile(p))
		at := n * 7919 % len(b)
		b[at] ^= 4
		check(t, os.WriteFile(p, b, 0o644))
		if _, err := manifest.Verify(dir, &v.anchor, nil); err == nil {
			t.Errorf("%s: byte %d changed and nobody noticed", p, at)
		} else if !errors.Is(err, manifest.ErrAltered) && !errors.Is(err, manifest.ErrUntrusted) && !errors.Is(err, manifest.ErrNotBundle) {
			t.Errorf("%s: %v has no class", p, err)
		}
		b[at] ^= 4
		check(t, os.WriteFile(p, b, 0o644))
		n++
		return nil
	}))
	if _, err := manifest.Verify(dir, &v.anchor, nil); err != nil || n < 15 {
		t.Errorf("put back, %d files: %v", n, err)
	}
	for _, format := range manifest.Formats() {
		o := v.options(t, "My CAD")
		o.Format = format
		whole := must[[]byte](t)(os.ReadFile(v.bundle(t, o)))
		bad := filepath.Join(t.TempDir(), "My-CAD."+format)
		for i := range 3 {
			b := slices.Clone(whole)
			b[len(b)/4*(i+1)-1] ^= 1
			check(t, os.WriteFile(bad, b, 0o644))
			if _, err := manifest.Verify(bad, &v.anchor, nil); err == nil {
				t.Errorf("%s: a changed byte passes", format)
			}
		}
		check(t, os.WriteFile(bad, whole[:len(whole)*2/3], 0o644))
		if _, err := manifest.Verify(bad, &v.anchor, nil); !errors.Is(err, manifest.ErrAltered) {
			t.Errorf("%s cut off: %v", format, err)
		}
	}
}

// What a bundle cannot be made of is said before anything is written.
func TestRefusedInput(t *testing.T) {
	v := newVendor(t, "acme")
	for name, spoil := range map[string]func(*Options){
		"name":           func(o *Options) { o.Name = "a\nb" },
		"no name":        func(o *Options) { o.Name = "" },
		"format":         func(o *Options) { o.Format = "rar" },
		"target":         func(o *Options) { o.Target = "plan9/386" },
		"other target":   func(o *Options) { o.Target = "windows/arm64" },
		"not an agent":   func(o *Options) { o.Agent = filepath.Join(o.App, "product") },
		"wrong program":  func(o *Options) { o.Agent = os.Args[0] },
		"start":          func(o *Options) { o.Start = []string{"nothing"} },
		"instance":       func(o *Options) { o.Instance = "No Such" },
		"other merchant": func(o *Options) { o.Merchant = "https://elsewhere.example" },
		"no merchant":    func(o *Options) { o.Anchor.Merchant = "" },
		"http":           func(o *Options) { o.Anchor.Merchant, o.Merchant = "", "http://license.acme.example" },
		"link outside":   func(o *Options) { check(t, os.Symlink("/etc/passwd", filepath.Join(o.App, "link"))) },
		"agent twice":    func(o *Options) { check(t, os.WriteFile(filepath.Join(o.App, "License-Agent"), nil, 0o644)) },
		"case": func(o *Options) { // not beside each other when sorted
			for _, name := range []string{"B", "a", "b"} {
				check(t, os.WriteFile(filepath.Join(o.App, "share", name), nil, 0o644))
			}
		},
		"colon":          func(o *Options) { check(t, os.WriteFile(filepath.Join(o.App, "Foo::Bar.3"), nil, 0o644)) },
		"newline":        func(o *Options) { check(t, os.WriteFile(filepath.Join(o.App, "a\nb"), nil, 0o644)) },
		"folder's point": func(o *Options) { check(t, os.Rename(filepath.Join(o.App, "share"), filepath.Join(o.App, "share."))) },
		"set-user-ID":    func(o *Options) { check(t, os.Chmod(filepath.Join(o.App, "product"), 0o755|fs.ModeSetuid)) },
		"empty folder":   func(o *Options) { check(t, os.Mkdir(filepath.Join(o.App, "share", "plugins"), 0o755)) },
		"which program": func(o *Options) {
			o.Start = nil
			check(t, os.WriteFile(filepath.Join(o.App, "b"), []byte("#!/bin/sh\n"), 0o755))
		},
	} {
		o := v.options(t, "My CAD")
		spoil(&o)
		_, _, err := Build(o)
		if !errors.Is(err, ErrInput) || errors.Is(err, manifest.ErrNotBundle) {
			t.Errorf("%s: %v", name, err)
		}
		if left := must[[]fs.DirEntry](t)(os.ReadDir(o.Out)); len(left) != 0 {
			t.Errorf("%s left %v", name, left)
		}
	}
	o := v.options(t, "My CAD")
	o.Signer = v.license // the key of another use
	if _, _, err := Build(o); !errors.Is(err, manifest.ErrUntrusted) {
		t.Errorf("signed by the license key: %v", err)
	}
	if left := must[[]fs.DirEntry](t)(os.ReadDir(o.Out)); len(left) != 0 {
		t.Errorf("left %v", left)
	}
}

func TestInstanceNames(t *testing.T) {
	seen := map[string]string{}
	for _, c := range [][3]string{
		{"acme", "My CAD", "acme-my-cad"},
		{"acme", "CAD", "acme-cad"},
		{"acme-my", "CAD", ""},
		{"acme", "我的设计", ""},
		{"acme", "你的设计", ""},
		{"other", "我的设计", ""},
		{"a.very.long.name.of.a.vendor", "with a product that is called so", ""},
		{"a.very.long.name.of.a.vendor", "with a product that is called no", ""},
	} {
		got := Instance(c[0], c[1], paths.MaxUser)
		if c[2] != "" && got != c[2] {
			t.Errorf("%v: %s", c, got)
		}
		if len(got) > paths.MaxUser || got == "" {
			t.Errorf("%v: %q", c, got)
		}
		if other, ok := seen[got]; ok {
			t.Errorf("%v and %s are both %s", c, other, got)
		}
		seen[got] = fmt.Sprint(c)
	}
}

// Where a user limits the name of an instance it is short, and Windows, where none
// does, has the longer ones.
func TestDefaultNamePerSystem(t *testing.T) {
	v := newVendor(t, "acme")
	for _, target := range []string{"linux/" + runtime.GOARCH, "windows/amd64"} {
		o := v.options(t, "My CAD Professional")
		o.Target, o.Agent = target, must[string](t)(standIn[target]())
		m, _, err := o.manifest()
		check(t, err)
		if m.Windows() && m.Instance != "acme-my-cad-professional" || !m.Windows() && len(m.Instance) > paths.MaxUser {
			t.Errorf("%s: %s", target, m.Instance)
		}
	}
}
