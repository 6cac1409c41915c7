// Package architecture_test holds the tree against its own architecture: the
// folder list, who may import whom, and the habits that a count can show.
// The table below is the one in docs/architecture.md, for GOOS=linux and windows.
package architecture_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"
)

const module = "licenseagent.example"

// rule says what one package may import. "*" in ours means everything but other commands.
type rule struct {
	ours  []string
	third []string
}

func table() map[string]rule {
	xsys := "golang.org/x/sys"
	return map[string]rule{
		"platform/paths":      {nil, []string{xsys}},
		"platform/ipc":        {nil, []string{xsys, "github.com/Microsoft/go-winio"}},
		"platform/securefile": {nil, []string{xsys}},
		"platform/devicekey":  {[]string{"platform/securefile"}, []string{xsys, "github.com/google/go-tpm"}},
		"platform/clock":      {nil, []string{xsys}},
		"platform/service":    {nil, []string{xsys, "github.com/kardianos/service", "github.com/coreos/go-systemd/v22"}},

		"platform/terminal": {nil, []string{xsys}},

		"fingerprint":                 {},
		"fingerprint/probe":           {[]string{"fingerprint"}, []string{xsys}},
		"fingerprint/probe/probetest": {nil, []string{"github.com/rogpeppe/go-internal"}}, // recorded hosts for tests
		"fingerprint/collect":         {[]string{"fingerprint", "fingerprint/probe"}, []string{"github.com/shirou/gopsutil/v3", "github.com/jaypipes/ghw"}},

		"activation/license":                   {[]string{"fingerprint"}, nil},
		"activation":                           {[]string{"activation/license", "fingerprint"}, nil},
		"activation/activationtest":            {[]string{"activation", "activation/license", "fingerprint"}, nil},
		"activation/protocol":                  {[]string{"activation", "activation/license", "fingerprint"}, []string{"github.com/cenkalti/backoff/v5"}},
		"activation/protocol/protocoltest":     {}, // endpoints for tests
		"activation/koogallery":                {},
		"activation/koogallery/koogallerytest": {[]string{"activation/koogallery"}, nil},
		"activation/merchant": {
			[]string{"activation", "activation/protocol", "activation/license", "activation/koogallery", "fingerprint"}, // activation: Decide, for the support view
			[]string{"github.com/jackc/pgx/v5", "modernc.org/sqlite", "github.com/pressly/goose/v3", "github.com/prometheus/client_golang"},
		},
		// miekg/pkcs11 is C and comes in with the build tag pkcs11 only, see TestNoC.
		"activation/merchant/hsm":          {[]string{"activation/license", "activation/merchant"}, []string{"github.com/miekg/pkcs11"}},
		"activation/merchant/merchanttest": {nil, []string{"github.com/jackc/pgx/v5"}}, // a PostgreSQL for tests
		"activation/merchant/admin":        {[]string{"activation", "activation/merchant", "activation/protocol"}, nil},

		"store":           {[]string{"activation", "platform/securefile"}, []string{"go.etcd.io/bbolt"}},
		"store/storetest": {},
		"agent/api":       {},
		"agent/seats":     {[]string{"activation"}, nil},
		"agent/localapi":  {[]string{"agent/api", "agent/seats", "activation", "platform/ipc"}, []string{"github.com/prometheus/client_golang"}},
		"agent/client": {
			[]string{"agent/api", "platform/ipc", "platform/paths", "platform/clock", "activation/license", "fingerprint", "fingerprint/probe"}, nil,
		},
		"agent": {[]string{"agent/api", "agent/localapi", "agent/seats", "activation", "fingerprint"}, nil},

		"installer":                 {[]string{"platform/paths", "platform/securefile", "platform/service", "platform/ipc", "installer/packaging"}, []string{xsys}},
		"installer/packaging":       {},
		"installer/bundle":          {[]string{"activation/license", "installer/bundle/manifest", "platform/paths"}, nil},
		"installer/bundle/manifest": {[]string{"activation/license", "platform/paths"}, nil}, // the reading side: the agent inside a bundle checks it

		"docs/promise": {}, // for tests: what a proof reached
		"docs/surface": {}, // for tests: what lies on the disk

		"installer/e2e/swtpm":       {},                                        // software TPMs for tests
		"installer/e2e/vm/guest":    {nil, []string{xsys}},                     // process 1 of a test machine, never shipped
		"installer/e2e/wine/udisks": {nil, []string{"github.com/godbus/dbus"}}, // the disk of a test machine, never shipped
	}
}

// roots are composition roots: they may import everything that the forbidden list does not name.
func roots() map[string][]string {
	cli := []string{"github.com/spf13/cobra", "github.com/BurntSushi/toml"}
	return map[string][]string{
		"installer/packaging/msi":         nil, // build tool, never shipped
		"agent/embed":                     nil,
		"agent/client/example":            nil,
		"agent/bindings/fixture/live":     nil, // a test program, never shipped
		"agent/cmd/license-agent":         cli,
		"activation/cmd/license-merchant": cli,
		"installer/release":               {"github.com/CycloneDX/cyclonedx-go", "golang.org/x/mod"}, // a tool of .ci/release, never shipped
	}
}

type pkg struct {
	ImportPath   string
	Name         string
	Dir          string
	Imports      []string
	GoFiles      []string
	TestGoFiles  []string
	XTestGoFiles []string
	Deps         []string
	Standard     bool
	Module       *struct{ Path string }
	Error        *struct{ Err string }
}

func (p pkg) short() string { return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/") }

// list runs go list; an architecture test that cannot ask the compiler must fail.
func list(t *testing.T, goos string, args ...string) []pkg {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-json"}, args...)...)
	cmd.Env = append(os.Environ(), "GOOS="+goos, "GOARCH=amd64", "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pkgs []pkg
	for dec := json.NewDecoder(bufio.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	return pkgs
}

func TestImports(t *testing.T) {
	tbl, rts := table(), roots()
	for _, goos := range []string{"linux", "windows"} {
		for _, p := range list(t, goos, "./...") {
			name := p.short()
			if name == "" || len(p.GoFiles) == 0 {
				continue
			}
			third, isRoot := rts[name]
			r, known := tbl[name]
			if !isRoot && !known {
				t.Errorf("%s: a package that the architecture does not list; add it to the table with what it may import, or put the code where it belongs", name)
				continue
			}
			for _, imp := range p.Imports {
				for _, msg := range judge(name, imp, isRoot, r, third) {
					t.Errorf("GOOS=%s %s", goos, msg)
				}
			}
		}
	}
}

func judge(name, imp string, isRoot bool, r rule, rootThird []string) []string {
	var bad []string
	if why := forbidden(name, imp); why != "" {
		bad = append(bad, name+" imports "+imp+": "+why)
	}
	switch {
	case strings.HasPrefix(imp, module+"/"):
		short := strings.TrimPrefix(imp, module+"/")
		if strings.Contains(short, "/cmd/") {
			bad = append(bad, name+" imports the command "+short+": commands are imported by none")
		}
		if !isRoot && !slices.Contains(r.ours, short) {
			bad = append(bad, name+" may not import "+short)
		}
		if name == "agent/embed" && (strings.HasPrefix(short, "activation/merchant") || strings.HasPrefix(short, "activation/koogallery")) {
			bad = append(bad, name+" may not import "+short)
		}
	case strings.Contains(strings.SplitN(imp, "/", 2)[0], "."):
		allowed := r.third
		if isRoot {
			allowed = rootThird
		}
		if !slices.ContainsFunc(allowed, func(m string) bool { return imp == m || strings.HasPrefix(imp, m+"/") }) {
			bad = append(bad, name+" may not import the module of "+imp)
		}
	}
	return bad
}

// forbidden names imports that only few may have, with the reason.
func forbidden(name, imp string) string {
	inside := func(dirs ...string) bool {
		return slices.ContainsFunc(dirs, func(d string) bool { return name == d || strings.HasPrefix(name, d+"/") })
	}
	cmd := strings.Contains(name, "/cmd/")
	switch imp {
	case "os/exec":
		if !inside("installer", "store", "fingerprint/collect") {
			return "running other programs is an attack surface; store and collect may run their own binary, the installer its plan"
		}
	case "log":
		if !cmd {
			return "libraries take a *slog.Logger; the standard logger is a global"
		}
	case "unsafe":
		if !inside("platform", "fingerprint/probe", "installer/e2e") {
			return "memory tricks stay where the operating system demands them"
		}
	}
	return ""
}

// The judge itself is tested: a rule that lets everything pass would go unseen.
func TestJudgeCanSayNo(t *testing.T) {
	tbl := table()
	for _, c := range []struct{ name, imp string }{
		{"fingerprint", module + "/store"},
		{"activation", "go.etcd.io/bbolt"},
		{"agent", "os/exec"},
		{"agent/localapi", "log"},
		{"activation/license", "unsafe"},
		{"agent", module + "/agent/cmd/license-agent"},
	} {
		if len(judge(c.name, c.imp, false, tbl[c.name], nil)) == 0 {
			t.Errorf("%s may import %s", c.name, c.imp)
		}
	}
	if msgs := judge("store", "go.etcd.io/bbolt", false, tbl["store"], nil); len(msgs) != 0 {
		t.Error(msgs)
	}
}

func TestAgentBinaryHoldsNoSecretsOfTheVendor(t *testing.T) {
	for _, goos := range []string{"linux", "windows"} {
		modules := map[string]bool{}
		for _, p := range list(t, goos, "-deps", "./agent/cmd/license-agent") {
			for _, no := range []string{module + "/activation/merchant", module + "/activation/koogallery", "database/sql", "modernc.org/sqlite", "github.com/jackc/pgx"} {
				if strings.HasPrefix(p.ImportPath, no) {
					t.Errorf("GOOS=%s: license-agent links %s; issuing code must never reach a customer's machine", goos, p.ImportPath)
				}
			}
			if p.Module != nil && p.Module.Path != module {
				modules[p.Module.Path] = true
			}
		}
		var names []string
		for m := range modules {
			names = append(names, m)
		}
		sort.Strings(names)
		t.Logf("GOOS=%s: %d modules: %s", goos, len(names), strings.Join(names, " "))
		if len(names) > 28 {
			t.Errorf("GOOS=%s: license-agent links %d modules, the promise is 28", goos, len(names))
		}
		listed, err := os.ReadFile("docs/adr/0001-modules-of-the-agent.md")
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range names {
			if !strings.Contains(string(listed), "`"+m+"`") {
				t.Errorf("GOOS=%s: module %s is linked into license-agent without its reason in docs/adr/0001-modules-of-the-agent.md", goos, m)
			}
		}
	}
}

// The binaries that are shipped hold no C, whether cgo is on or off; only the
// build tag pkcs11 brings some, the bridge to the libraries of tokens.
func TestNoC(t *testing.T) {
	c := func(goos, tags, cmd string) (found []string) {
		ask := exec.Command("go", "list", "-deps", "-tags", tags, "-f", "{{if and .CgoFiles (not .Standard)}}{{.ImportPath}}{{end}}", cmd)
		ask.Env = append(os.Environ(), "CGO_ENABLED=1", "GOOS="+goos)
		out, err := ask.Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.Fields(string(out))
	}
	for _, goos := range []string{"linux", "windows"} {
		for _, cmd := range []string{"./agent/cmd/license-agent", "./activation/cmd/license-merchant"} {
			if got := c(goos, "", cmd); len(got) != 0 {
				t.Errorf("GOOS=%s %s: C in %v", goos, cmd, got)
			}
		}
	}
	if got := c("linux", "pkcs11", "./activation/cmd/license-merchant"); !slices.Equal(got, []string{"github.com/miekg/pkcs11"}) {
		t.Errorf("with the tag pkcs11: C in %v; this test cannot fail", got)
	}
}

func TestTopLevelFolders(t *testing.T) {
	want := []string{"activation", "agent", "docs", "fingerprint", "installer", "platform", "store"}
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") && e.Name() != "bin" && e.Name() != "dist" {
			got = append(got, e.Name())
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("top-level folders are %v, the architecture lists %v", got, want)
	}
}

// sources calls f for each Go file of ours that is not test data.
func sources(t *testing.T, f func(file string, test bool)) {
	t.Helper()
	err := filepath.WalkDir(".", func(p string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && p != "." && (strings.HasPrefix(name, ".") || name == "testdata" || name == "bin" || name == "dist" || name == "node_modules") {
			return filepath.SkipDir
		}
		if !d.IsDir() && path.Ext(name) == ".go" {
			f(filepath.ToSlash(p), strings.HasSuffix(name, "_test.go"))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
