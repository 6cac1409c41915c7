package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"

	"licenseagent.example/docs/promise"
)

// released is when the releases of these tests were.
var released = time.Unix(1767225600, 0)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// goTool runs the go command of this machine.
func goTool(t *testing.T, env []string, args ...string) string {
	t.Helper()
	out, err := tryGo(env, args...)
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func tryGo(env []string, args ...string) (string, error) {
	cmd := exec.Command("go", args...)
	cmd.Dir = "../.."
	cmd.Env = append(append(os.Environ(), "CGO_ENABLED=0"), env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func program(t *testing.T, pkg string, env ...string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), filepath.Base(pkg))
	goTool(t, env, "build", "-trimpath", "-o", to, "./"+pkg)
	return to
}

// P39: what is inside each program is known, counted, and equal to what another
// reader finds; a dependency that changes unseen stops the build.
func TestP39Dependencies(t *testing.T) {
	var counts []string
	caught, tries := 0, 0
	for pkg, most := range map[string]int{"agent/cmd/license-agent": 28, "activation/cmd/license-merchant": 60} {
		file := program(t, pkg)
		bom, err := sbom(file, "1.0.0", released)
		check(t, err)
		printed := goTool(t, nil, "version", "-m", file)
		if err := sameAs(bom, printed); err != nil {
			t.Error(err)
		}
		all := *bom.Components
		modules := len(all) - 1 // the standard library is one component
		counts = append(counts, fmt.Sprintf("%s %d", filepath.Base(pkg), modules))
		if modules > most || modules < 5 {
			t.Errorf("%s holds %d modules, at most %d", pkg, modules, most)
		}
		for _, c := range all {
			if strings.Contains(c.Name, "cyclonedx") || c.Name == "golang.org/x/mod" || strings.Contains(c.Name, "testscript") || strings.Contains(c.Name, "go-cmp") {
				t.Errorf("%s links %s, which is for tools and tests", pkg, c.Name)
			}
		}
		// The control: each component left out, renamed or at another version.
		for i := range all {
			for _, change := range []func(*cdx.Component) bool{
				func(*cdx.Component) bool { return false },
				func(c *cdx.Component) bool { c.Version += "1"; return true },
				func(c *cdx.Component) bool { c.Name += "x"; return true },
			} {
				var other []cdx.Component
				for j, c := range all {
					if j != i || change(&c) {
						other = append(other, c)
					}
				}
				tries++
				if errors.Is(sameAs(&cdx.BOM{Components: &other}, printed), errDrift) {
					caught++
				}
			}
		}
		var text bytes.Buffer
		check(t, writeSBOM(&text, bom))
		var again cdx.BOM
		check(t, cdx.NewBOMDecoder(&text, cdx.BOMFileFormatJSON).Decode(&again))
		if err := sameAs(&again, printed); err != nil {
			t.Errorf("written and read again: %v", err)
		}
	}
	if caught != tries {
		t.Errorf("%d of %d changed bills of materials were noticed", caught, tries)
	}
	drift := driftStops(t)
	vendored := vendoredOffline(t)
	promise.Reached(t, "P39", fmt.Sprintf("modules: %s; bill of materials equal to go version -m; %d of %d changes of it noticed; license-agent built from %d vendored modules without cache or proxy; %d kinds of drift stop the build", strings.Join(counts, ", "), caught, tries, vendored, drift),
		"with go.mod and go.sum as they are the build works; without vendored modules it does not")
}

// vendoredOffline builds the agent on a machine that has this tree, the vendored
// modules and a compiler, and neither modules nor a proxy. It returns how many
// modules the program holds, the same ones as the ordinary build.
func vendoredOffline(t *testing.T) int {
	t.Helper()
	dir := t.TempDir()
	for name := range strings.SplitSeq(strings.TrimRight(git(t, "ls-files", "-z"), "\x00"), "\x00") {
		b, err := os.ReadFile(filepath.Join("../..", name))
		check(t, err)
		check(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		check(t, os.WriteFile(filepath.Join(dir, name), b, 0o644))
	}
	goTool(t, nil, "-C", dir, "mod", "vendor")
	to := filepath.Join(t.TempDir(), "license-agent")
	build := func() (string, error) {
		return tryGo([]string{"GOPROXY=off", "GOMODCACHE=" + t.TempDir()}, "build", "-C", dir, "-mod=vendor", "-trimpath", "-o", to, "./agent/cmd/license-agent")
	}
	if out, err := build(); err != nil {
		t.Fatalf("vendored: %v\n%s", err, out)
	}
	// The sums stand in go.sum: the go command does not write them from vendored modules.
	modules := func(file string) string {
		bom, err := sbom(file, "1.0.0", released)
		check(t, err)
		var names []string
		for _, c := range *bom.Components {
			names = append(names, c.Name+" "+c.Version)
		}
		return strings.Join(names, "\n")
	}
	got, want := modules(to), modules(program(t, "agent/cmd/license-agent"))
	if got != want {
		t.Errorf("vendored:\n%s\notherwise:\n%s", got, want)
	}
	check(t, os.RemoveAll(filepath.Join(dir, "vendor/go.etcd.io")))
	if _, err := build(); err == nil {
		t.Error("the build works without a module that it needs")
	}
	return strings.Count(got, "\n") // one line is the standard library
}

// driftStops builds with other go.mod and go.sum files: unchanged it works,
// with a changed checksum, a missing one and another version it does not.
func driftStops(t *testing.T) int {
	t.Helper()
	mod, err := os.ReadFile("../../go.mod")
	check(t, err)
	sum, err := os.ReadFile("../../go.sum")
	check(t, err)
	// Every module is unpacked anew, as on another machine: the go command does not
	// look again at what it has unpacked.
	build := func(mod, sum string) error {
		dir := t.TempDir()
		check(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte(mod), 0o644))
		check(t, os.WriteFile(filepath.Join(dir, "go.sum"), []byte(sum), 0o644))
		cache := strings.TrimSpace(goTool(t, nil, "env", "GOMODCACHE"))
		out, err := tryGo([]string{"GOMODCACHE=" + t.TempDir(), "GOPROXY=file://" + filepath.ToSlash(cache) + "/cache/download", "GOSUMDB=off", "GOFLAGS=-mod=readonly -modcacherw"},
			"build", "-modfile="+filepath.Join(dir, "go.mod"), "-o", os.DevNull, "./store")
		if err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
		return err
	}
	if err := build(string(mod), string(sum)); err != nil {
		t.Fatalf("the unchanged files do not build: %v", err)
	}
	line := ""
	for l := range strings.Lines(string(sum)) {
		if strings.HasPrefix(l, "go.etcd.io/bbolt ") && !strings.Contains(l, "/go.mod ") {
			line = l
		}
	}
	other := strings.Replace(line, "h1:", "h1:AAAA", 1)
	other = other[:len(line)-6] + "=\n"
	kinds := 0
	for name, c := range map[string][2]string{
		"another checksum": {string(mod), strings.Replace(string(sum), line, other, 1)},
		"no checksum":      {string(mod), strings.Replace(string(sum), line, "", 1)},
		"another version":  {strings.Replace(string(mod), "go.etcd.io/bbolt v1.5.0", "go.etcd.io/bbolt v1.4.0", 1), string(sum)},
		"not required":     {strings.Replace(string(mod), "	go.etcd.io/bbolt v1.5.0\n", "", 1), string(sum)},
	} {
		if c[0] == string(mod) && c[1] == string(sum) {
			t.Fatalf("%s: nothing was changed", name)
		}
		if err := build(c[0], c[1]); err == nil {
			t.Errorf("%s: the build works", name)
		} else {
			kinds++
		}
	}
	return kinds
}

// A release that was received: everything that may have happened to it on the
// way is noticed, and openssl finds the same signature good.
func TestSignedAndVerified(t *testing.T) {
	made := func() string {
		dir := t.TempDir()
		check(t, os.MkdirAll(filepath.Join(dir, "bin"), 0o755))
		for name, text := range map[string]string{"bin/a": "one", "bin/b": "two", "notes.txt": "three"} {
			check(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
		}
		check(t, sign(dir, "", "1.2.3", strings.Repeat("ab", 20), "licenseagent.example", "linux/amd64", released))
		return dir
	}
	dir := made()
	key := filepath.Join(t.TempDir(), "key.pem")
	b, err := os.ReadFile(filepath.Join(dir, keyFile))
	check(t, err)
	check(t, os.WriteFile(key, b, 0o644))
	st, err := verify(dir, key)
	check(t, err)
	if len(st.Subject) != 3 || st.Predicate.BuildDefinition.ExternalParameters.Version != "1.2.3" || st.PredicateType != "https://slsa.dev/provenance/v1" {
		t.Errorf("%+v", st)
	}
	if got, want := st.Predicate.BuildDefinition.ExternalParameters.Command, `make release VERSION=1.2.3 TARGETS="linux/amd64"`; got != want {
		t.Errorf("made by %s, want %s", got, want)
	}
	for _, c := range [][]string{
		{"openssl", "pkeyutl", "-verify", "-pubin", "-inkey", key, "-rawin", "-in", sumsFile, "-sigfile", signatureFile},
		{"sha256sum", "--quiet", "-c", sumsFile},
	} {
		cmd := exec.Command(c[0], c[1:]...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v: %v %s", c, err, out)
		}
	}
	other, err := x509.MarshalPKIXPublicKey(ed25519.NewKeyFromSeed(make([]byte, 32)).Public())
	check(t, err)
	wrong := filepath.Join(t.TempDir(), "wrong.pem")
	check(t, os.WriteFile(wrong, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: other}), 0o644))
	if _, err := verify(dir, wrong); !errors.Is(err, errSignature) {
		t.Errorf("another key: %v", err)
	}
	write := func(name, text string) func(string) error {
		return func(dir string) error { return os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644) }
	}
	for name, c := range map[string]struct {
		spoil func(dir string) error
		want  error
	}{
		"changed": {write("bin/a", "One"), errChecksum},
		"more":    {write("bin/c", "x"), errChecksum},
		"less":    {func(dir string) error { return os.Remove(filepath.Join(dir, "notes.txt")) }, errChecksum},
		"relisted": {func(dir string) error {
			check(t, write("bin/a", "One")(dir))
			l, err := checksums(dir)
			check(t, err)
			return write(sumsFile, string(sumsText(l)))(dir)
		}, errSignature},
		"no provenance":  {func(dir string) error { return os.Remove(filepath.Join(dir, provenanceFile)) }, os.ErrNotExist},
		"bad provenance": {write(provenanceFile, "{}"), errSignature},
		"provenance of another release": {func(dir string) error {
			old := made()
			check(t, write("notes.txt", "four")(old))
			check(t, sign(old, "", "1.2.2", strings.Repeat("cd", 20), "licenseagent.example", "linux/amd64", released))
			b, err := os.ReadFile(filepath.Join(old, provenanceFile))
			check(t, err)
			return write(provenanceFile, string(b))(dir)
		}, errProvenance},
	} {
		dir := made()
		check(t, c.spoil(dir))
		if _, err := verify(dir, key); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// A vendor's engineer outside of this tree, with the static module proxy and
// the ordinary cache for what others have written, without network.
func TestModuleProxy(t *testing.T) {
	commit := strings.TrimSpace(git(t, "rev-parse", "HEAD"))
	dir := t.TempDir()
	module, err := modulePath("../../go.mod")
	check(t, err)
	version := moduleVersion("0.0.0~git", commit, released)
	check(t, proxy(dir, "../..", commit, module, version, released))
	if list, err := os.ReadFile(filepath.Join(dir, module, "@v/list")); err != nil || string(list) != version+"\n" {
		t.Errorf("%q %v", list, err)
	}
	outside := t.TempDir()
	check(t, os.WriteFile(filepath.Join(outside, "go.mod"), []byte("module vendor.example/cad\n\ngo 1.26\n"), 0o644))
	check(t, os.WriteFile(filepath.Join(outside, "main.go"), []byte(`package main

import (
	"fmt"

	"`+module+`/agent/client"
	"`+module+`/agent/embed"
)

func main() { fmt.Printf("%T %T\n", client.Client{}, embed.Config{}) }
`), 0o644))
	cache := strings.TrimSpace(goTool(t, nil, "env", "GOMODCACHE"))
	in := func(proxies string, args ...string) (string, error) {
		cmd := exec.Command("go", args...)
		cmd.Dir = outside
		cmd.Env = append(os.Environ(), "GOPROXY="+proxies, "GONOSUMDB="+module, "GOSUMDB=off", "GOFLAGS=-mod=mod -modcacherw", "GOMODCACHE="+filepath.Join(outside, "cache"), "CGO_ENABLED=0", "GOWORK=off")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	// Whoever tried the documented steps has this module in the cache.
	others := t.TempDir()
	first, _, _ := strings.Cut(module, "/")
	hosts, err := os.ReadDir(filepath.Join(cache, "cache/download"))
	check(t, err)
	for _, h := range hosts {
		if h.Name() != first {
			check(t, os.Symlink(filepath.Join(cache, "cache/download", h.Name()), filepath.Join(others, h.Name())))
		}
	}
	both := "file://" + filepath.ToSlash(dir) + ",file://" + filepath.ToSlash(others)
	if out, err := in(both, "get", module+"/agent/client@latest", module+"/agent/embed@latest"); err != nil {
		t.Fatalf("go get: %v\n%s", err, out)
	}
	out, err := in(both, "run", ".")
	if err != nil || strings.TrimSpace(out) != "client.Client embed.Config" {
		t.Errorf("%v %s", err, out)
	}
	// The control: without our tree there is no such module.
	if out, err := in("file://"+filepath.ToSlash(others), "get", module+"/agent/api@latest"); err == nil {
		t.Errorf("found without the proxy: %s", out)
	}
}

func git(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = "../.."
	out, err := cmd.Output()
	check(t, err)
	return string(out)
}

func TestModuleVersion(t *testing.T) {
	commit := strings.Repeat("0123456789", 4)
	for release, want := range map[string]string{
		"1.2.3": "v1.2.3", "1.2.3-rc.1": "v1.2.3-rc.1", "0.0.0~git20260101.abc": "v0.0.0-20260101000000-012345678901", "2.0.0": "v0.0.0-20260101000000-012345678901",
	} {
		if got := moduleVersion(release, commit, released); got != want {
			t.Errorf("%s: %s, want %s", release, got, want)
		}
	}
}

// The command that stands in the provenance makes the same files, and all targets are
// those of .ci/release.
func TestCommand(t *testing.T) {
	for targets, want := range map[string]string{"": "make release VERSION=1.0.0", everything: "make release VERSION=1.0.0", "linux/arm64 windows/amd64": `make release VERSION=1.0.0 TARGETS="linux/arm64 windows/amd64"`} {
		if got := command("1.0.0", targets); got != want {
			t.Errorf("%q: %s, want %s", targets, got, want)
		}
	}
	script, err := os.ReadFile("../../.ci/release")
	check(t, err)
	if !strings.Contains(string(script), "TARGETS=${TARGETS:-"+everything+"}\n") {
		t.Errorf(".ci/release builds other targets than %s", everything)
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{nil, {"finish"}, {"verify", "x"}, {"zip", "x"}, {"other"}} {
		if err := run(args, os.Stderr); err == nil || !strings.Contains(err.Error(), "usage") {
			t.Errorf("%v: %v", args, err)
		}
	}
}
