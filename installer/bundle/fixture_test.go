package bundle

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"licenseagent.example/activation/license"
	"licenseagent.example/installer/bundle/manifest"
)

func must[T any](t testing.TB) func(T, error) T {
	t.Helper()
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// programs are built once for all tests of this package.
var (
	build   = map[string]func() (string, error){}
	standIn = map[string]func() (string, error){}
)

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "bundle")
	if err != nil {
		panic(err)
	}
	for _, target := range manifest.Targets() {
		standIn[target] = sync.OnceValues(func() (string, error) { return buildStandIn(filepath.Join(dir, "stand-in"), target) })
		build[target] = sync.OnceValues(func() (string, error) {
			goos, goarch, _ := strings.Cut(target, "/")
			out := filepath.Join(dir, goos+"-"+goarch, "license-agent")
			cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", out, "../../agent/cmd/license-agent")
			cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+goos, "GOARCH="+goarch)
			said, err := cmd.CombinedOutput()
			if err != nil {
				err = errors.New(string(said))
			}
			return out, err
		})
	}
	code := m.Run()
	os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	os.Exit(code)
}

// buildStandIn makes a program with the agent's name and a tenth of its size, for
// tests that pack and check and never run it.
func buildStandIn(dir, target string) (string, error) {
	main, name := "agent/cmd/license-agent", "license-agent-"+strings.ReplaceAll(target, "/", "-")
	err := os.MkdirAll(filepath.Join(dir, main), 0o755)
	for name, text := range map[string]string{"go.mod": "module licenseagent.example\n\ngo 1.26\n", main + "/main.go": "package main\n\nfunc main() {}\n"} {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	goos, goarch, _ := strings.Cut(target, "/")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", name, "./"+main)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOOS="+goos, "GOARCH="+goarch)
	if said, failed := cmd.CombinedOutput(); failed != nil {
		err = errors.Join(err, errors.New(string(said)))
	}
	return filepath.Join(dir, name), err
}

func agent(t testing.TB, target string) string {
	t.Helper()
	return must[string](t)(build[target]())
}

// vendor is one vendor with its keys.
type vendor struct {
	roots                      []license.Signer
	license, notice, signsThis license.Signer
	anchor                     license.Anchor
	set                        license.KeySet
}

func signer(t testing.TB, name string) license.Signer {
	t.Helper()
	seed := sha256.Sum256([]byte(name))
	return must[license.Signer](t)(license.NewEd25519Signer(seed[:]))
}

const made = 1767225600 // 2026-01-01

func newVendor(t testing.TB, name string) *vendor {
	t.Helper()
	v := &vendor{
		roots:   []license.Signer{signer(t, name+" root 1"), signer(t, name+" root 2")},
		license: signer(t, name+" license"), notice: signer(t, name+" notice"), signsThis: signer(t, name+" bundle"),
	}
	roots := license.RootKeys{Threshold: 2, Keys: []license.PublicKey{v.roots[0].Public(), v.roots[1].Public()}}
	v.anchor = license.Anchor{V: 1, Issuer: name, Roots: roots, Merchant: "https://license." + name + ".example"}
	v.set = license.KeySet{V: 1, Issuer: name, Version: 1, NotBefore: made, Expires: made + 300*86400, Roots: roots, Revoked: []string{}, RevokedLic: []string{}}
	for use, s := range map[string]license.Signer{license.UseLicense: v.license, license.UseNotice: v.notice, license.UseBundle: v.signsThis} {
		k := license.OnlineKey{ID: license.KeyID(s.Public()), Use: use, Alg: s.Public().Alg, Pub: s.Public().Pub, NotBefore: made}
		i := 0
		for i < len(v.set.Keys) && v.set.Keys[i].ID < k.ID {
			i++
		}
		v.set.Keys = append(v.set.Keys[:i], append([]license.OnlineKey{k}, v.set.Keys[i:]...)...)
	}
	return v
}

func (v *vendor) keySet(t testing.TB) []byte {
	t.Helper()
	return must[[]byte](t)(license.SealKeySet(v.set, v.roots...))
}

// working are options whose scripts can be run: with the real agent, and not
// compressed, which takes half a minute under the race detector.
func (v *vendor) working(t testing.TB, product string) Options {
	t.Helper()
	o := v.options(t, product)
	o.Agent, o.Format = agent(t, o.Target), "tar"
	return o
}

// options make a bundle of a small product: a shell script that says what it was
// given and then waits. The agent in it is a stand-in.
func (v *vendor) options(t testing.TB, product string) Options {
	t.Helper()
	app := t.TempDir()
	check(t, os.WriteFile(filepath.Join(app, "product"), []byte(program), 0o755))
	check(t, os.MkdirAll(filepath.Join(app, "share"), 0o755))
	check(t, os.WriteFile(filepath.Join(app, "share", "data.txt"), []byte(strings.Repeat("data ", 1000)), 0o644))
	target := "linux/" + runtime.GOARCH
	return Options{
		Name: product, Version: "1.0", Target: target, App: app, Start: []string{"product", "it's", "--port=1"},
		Agent: must[string](t)(standIn[target]()), Anchor: v.anchor, Format: "tar.gz", Out: t.TempDir(),
		Made: time.Unix(made, 0), Signer: v.signsThis, KeySet: v.keySet(t),
	}
}

// addHook puts the commands for a stage into a product's folder.
func addHook(t testing.TB, app, file, text string) {
	t.Helper()
	check(t, os.MkdirAll(filepath.Join(app, "hooks"), 0o755))
	check(t, os.WriteFile(filepath.Join(app, "hooks", file), []byte(text), 0o644))
}

const program = `#!/bin/sh
echo "started $* instance=$LICENSE_AGENT_INSTANCE socket=$LICENSE_AGENT_SOCKET"
trap 'echo stopping; exit 0' TERM
while :; do sleep 0.05; done
`

func (v *vendor) bundle(t testing.TB, o Options) string {
	t.Helper()
	file, m, err := Build(o)
	check(t, err)
	if m.Issuer != v.anchor.Issuer {
		t.Fatalf("%+v", m)
	}
	return file
}

// unpack is what a marketplace does; modes of zip files are dropped as some
// unpackers do.
func unpack(t testing.TB, file string) string {
	t.Helper()
	dir := t.TempDir()
	put := func(name string, mode os.FileMode, r io.Reader) {
		to := filepath.Join(dir, filepath.FromSlash(name))
		check(t, os.MkdirAll(filepath.Dir(to), 0o755))
		f := must[*os.File](t)(os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode))
		_, err := io.Copy(f, r)
		check(t, errors.Join(err, f.Close()))
	}
	if strings.HasSuffix(file, ".zip") {
		z := must[*zip.ReadCloser](t)(zip.OpenReader(file))
		defer z.Close() //nolint:errcheck // read only
		for _, e := range z.File {
			r := must[io.ReadCloser](t)(e.Open())
			put(e.Name, 0o644, r)
			check(t, r.Close())
		}
		return dir
	}
	f := must[*os.File](t)(os.Open(file))
	defer f.Close() //nolint:errcheck // read only
	r := io.Reader(f)
	if strings.HasSuffix(file, ".gz") {
		r = must[*gzip.Reader](t)(gzip.NewReader(f))
	}
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return dir
		}
		check(t, err)
		put(h.Name, h.FileInfo().Mode(), tr)
	}
}
