//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"licenseagent.example/activation"
	"licenseagent.example/agent/api"
	"licenseagent.example/installer"
	"licenseagent.example/installer/packaging"
	"licenseagent.example/platform/devicekey"
	"licenseagent.example/platform/ipc"
	"licenseagent.example/platform/securefile"
	"licenseagent.example/platform/service"
	"licenseagent.example/store"
)

func TestParseConfig(t *testing.T) {
	for _, c := range []struct {
		text, want string // want is part of the error, or "key=value"
	}{
		{"", ""},
		{"warn_days = 3", "warn_days=3"},
		{`admin_groups = ["wheel", 7]`, "admin_groups=wheel,7"},
		{`proxy = "direct"`, "proxy=direct"},
		{"warn_day = 3", `f: line 1: unknown key "warn_day", did you mean "warn_days"?`},
		{"# loglevel = 1\n\nproxy = ''\n  loglevel = 'x'", `f: line 4: unknown key "loglevel", did you mean "log_level"?`},
		{"warn_days_more = 1\n'warn_day' = 1", `f: line 2: unknown key "warn_day",`}, // the first by name
		{"server.url = 'x'", `f: line 1: unknown key "server", known are admin_groups, log_format,`},
		{"\"\\u0061\" = 1", `f: unknown key "a", known are`},
		{"warn_days = 3.5", "want a text, a number or a list"},
		{"\r\n[section]\r\nx = 1", `f: line 2: unknown key "section"`},
		{"warn_days = 1\nwarn_days = 2", "line 2"},
		{"= 1", "line 1"},
	} {
		got, err := parseConfig("f", c.text)
		if name, value, ok := strings.Cut(c.want, "="); ok && err == nil {
			if got[name] != value {
				t.Errorf("%q: %v, want %s", c.text, got, c.want)
			}
			continue
		}
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.text, err, c.want)
		}
	}
}

// The configuration that is installed shows every setting with its default, and
// nothing that does not exist.
func TestShippedConfigShowsEverySetting(t *testing.T) {
	text, err := packaging.Text(packaging.Config, packaging.Names{})
	if err != nil {
		t.Fatal(err)
	}
	shown, err := parseConfig(packaging.Config, regexp.MustCompile(`(?m)^#(\w+ = )`).ReplaceAllString(text, "$1"))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for _, k := range knownSettings() {
		want[strings.ReplaceAll(k.name, "-", "_")] = k.def
	}
	if diff := cmp.Diff(want, shown); diff != "" {
		t.Error(diff)
	}
	if acts, err := parseConfig(packaging.Config, text); err != nil || len(acts) != 0 {
		t.Errorf("what is installed sets %v, %v", acts, err)
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"", "ab", 2}, {"kitten", "sitting", 3}, {"log_levle", "log_level", 2}, {"same", "same", 0}} {
		if got := distance(c.a, c.b); got != c.want || distance(c.b, c.a) != c.want {
			t.Errorf("distance(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

func TestSettingsSources(t *testing.T) {
	s := settings{"proxy": {Name: "proxy", Value: "http://user:secret@proxy:3128", Source: "file"}}
	for _, v := range s.list() {
		if strings.Contains(v.Value, "secret") {
			t.Error("the bundle would show the proxy's password")
		}
	}
	if s.get("proxy") != "http://user:secret@proxy:3128" {
		t.Error("list changed the setting itself")
	}
}

// Text from outside cannot rewrite the screen, and columns line up in both languages.
func TestTable(t *testing.T) {
	var b bytes.Buffer
	tab := &table{out: &b}
	tab.row("phase", "active")
	tab.row("阶段", "\x1b[2Jevil\r\nsecond\u0085line\xff")
	tab.optional("absent", "")
	if err := tab.print(); err != nil {
		t.Fatal(err)
	}
	want := "  phase  active\n  阶段   ?[2Jevil??second?line�\n"
	if b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}

func TestWhen(t *testing.T) {
	for in, want := range map[int64]string{0: "", 253402300799: "", 1798963200: "2027-01-03 08:00 UTC"} {
		if got := when(in); got != want {
			t.Errorf("when(%d) = %q", in, got)
		}
	}
}

// Every word that the sources ask for exists in both languages.
func TestLabels(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	used := regexp.MustCompile(`a\.label\("([a-z]+)"\)`)
	n := 0
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range used.FindAllStringSubmatch(string(b), -1) {
			n++
			if en, zh := labels(m[1]); en == m[1] && zh == m[1] {
				t.Errorf("%s asks for the word %q, which has no text", f, m[1])
			}
		}
	}
	if n < 40 {
		t.Errorf("found only %d uses: the test looks at the wrong place", n)
	}
}

// Every way in which a start can fail has its code and exit code.
func TestEveryFailureHasItsCode(t *testing.T) {
	a := &app{env: func(string) string { return "" }, stderr: &bytes.Buffer{}}
	for _, c := range []struct {
		err  error
		code string
		exit int
	}{
		{fmt.Errorf("x: %w", store.ErrOwned), api.CodeStateInUse, 1},
		{store.ErrUnsafe, api.CodeStateUnsafe, 5},
		{&securefile.Error{Path: "/x", Err: securefile.ErrMode}, api.CodeStateUnsafe, 5},
		{&securefile.Error{Path: "/x", Err: securefile.ErrService}, api.CodeStateUnsafe, 5},
		{store.ErrNewerSchema, api.CodeStateNewer, 1},
		{store.ErrCommit, api.CodeStorage, 1},
		{fmt.Errorf("%w: %w", store.ErrCommit, syscall.ENOSPC), api.CodeStorageFull, 1},
		{&securefile.Error{Path: "/x", Err: syscall.EROFS}, api.CodeStorage, 1},
		{&securefile.Error{Path: "/x", Err: syscall.EIO}, api.CodeStorage, 1},
		{ipc.ErrInUse, api.CodeSocketTaken, 5},
		{ipc.ErrStale, api.CodeSocketTaken, 5},
		{ipc.ErrDirectory, api.CodeSocketTaken, 5},
		{ipc.ErrPath, api.CodeUsage, 2},
		{devicekey.ErrDamaged, api.CodeDeviceKey, 1},
		{devicekey.ErrForeignMachine, api.CodeDeviceKey, 1},
		{devicekey.ErrCleared, api.CodeDeviceKey, 1},
		{devicekey.ErrNoChip, api.CodeDeviceKey, 1},
		{devicekey.ErrChip, api.CodeDeviceKey, 1},
		{devicekey.ErrCredential, api.CodeDeviceKey, 1},
		{fs.ErrPermission, api.CodePermission, 5},
		{fs.ErrNotExist, api.CodeFileAccess, 2},
		{context.Canceled, api.CodeInterrupted, 130},
		{activation.ErrUnreachable, api.CodeUnreachable, 6},
		{&activation.RefusedError{Code: "code-used-up", Message: "No."}, api.CodeRefused, 7},
		{errors.New("unknown command \"x\""), api.CodeUsage, 2},
		{errors.New("something else"), api.CodeInternal, 1},
		{&api.Error{Code: api.CodeNotRunning}, api.CodeNotRunning, 4},
	} {
		if e := a.asProblem(c.err); e.Code != c.code {
			t.Errorf("%v: %s, want %s", c.err, e.Code, c.code)
		}
		if exit := a.report(c.err); exit != c.exit {
			t.Errorf("%v ends with %d, want %d", c.err, exit, c.exit)
		}
	}
	if exit := a.report(unlicensed{}); exit != api.ExitNotLicensed {
		t.Errorf("unlicensed ends with %d", exit)
	}
}

// A folder that others may change is the system's while something is installed; what
// the disk says has the same next step at any time.
func TestFailuresOfAnInstallation(t *testing.T) {
	a := &app{env: func(string) string { return "" }, stderr: &bytes.Buffer{}}
	for cause, code := range map[error]string{
		securefile.ErrMode: api.CodeInstall, securefile.ErrOwner: api.CodeInstall, errors.New("else"): api.CodeInstall,
		syscall.EROFS: api.CodeStorage, syscall.EIO: api.CodeStorage, syscall.ENOSPC: api.CodeStorageFull,
	} {
		err := a.installProblem(&securefile.Error{Path: "/x", Err: cause})
		if e := (*api.Error)(nil); !errors.As(err, &e) || e.Code != code {
			t.Errorf("%v: %v, want %s", cause, err, code)
		}
	}
}

// Root who runs the agent by hand beside its service is not told to take the folder
// over, which the service could not read then.
func TestFolderOfTheServiceIsLeftToIt(t *testing.T) {
	for _, lang := range []string{api.English, api.Chinese} {
		var said bytes.Buffer
		a := &app{env: func(string) string { return "" }, stderr: &said, lang: lang, instance: "cad", executable: os.Executable}
		a.report(fmt.Errorf("%w: x", &securefile.Error{Path: "/x", Err: securefile.ErrService}))
		if !strings.Contains(said.String(), "/etc/init.d/license-agent-cad start") || strings.Contains(said.String(), "0700") {
			t.Errorf("%s: %s", lang, said.String())
		}
	}
}

// Who asks an instance that does not run is not sent to start another one.
func TestNextStepNamesTheInstance(t *testing.T) {
	for _, lang := range []string{api.English, api.Chinese} {
		for instance, want := range map[string][]string{
			"":    {"systemctl start license-agent,", "rc-service license-agent start", "/etc/init.d/license-agent start", "sc start license-agent,", "license-agent run"},
			"cad": {"systemctl start license-agent-cad / license-agent@cad,", "rc-service license-agent-cad start", "/etc/init.d/license-agent-cad start", "sc start license-agent-cad,", " --instance cad run"},
		} {
			var said bytes.Buffer
			a := &app{env: func(string) string { return "" }, stderr: &said, lang: lang, instance: instance, executable: os.Executable}
			a.report(fmt.Errorf("%w: x", api.NewError(api.CodeNotRunning, lang)))
			for _, w := range want {
				if !strings.Contains(strings.NewReplacer("，", ",", "、", ",").Replace(said.String()), w) {
					t.Errorf("%s, instance %q: %q is not said: %s", lang, instance, w, said.String())
				}
			}
		}
	}
}

// No next step sends who asks one instance to another one: each command in each of
// them is known. A code would be redeemed in the agent of another vendor.
func TestCommandsNameTheInstance(t *testing.T) {
	exe := "/usr/local/bin/license-agent-cad"
	a := &app{instance: "cad", executable: func() (string, error) { return exe, nil }}
	bare := regexp.MustCompile(`(^|[^-./a-z])license-agent [a-z]+`)
	n := 0
	for _, lang := range []string{api.English, api.Chinese} {
		a.lang = lang
		hints := []string{a.label("activate"), service.ErrNoManager.Error(), installer.ErrMissing.Error()}
		for _, row := range api.Codes() {
			_, hint := api.Sentence(row.Code, lang)
			hints = append(hints, a.named(&api.Error{Code: row.Code, Hint: hint}).Hint)
		}
		for _, pair := range api.Causes() {
			code, cause, _ := strings.Cut(pair, "/")
			_, hint := api.SentenceFor(code, cause, lang)
			hints = append(hints, hint)
		}
		for _, hint := range hints {
			said := a.mine(hint)
			n += strings.Count(said, "license-agent-cad --instance cad ")
			if left := bare.FindString(said); left != "" {
				t.Errorf("%s: %q is about another instance: %s", lang, left, said)
			}
		}
	}
	var screen bytes.Buffer // here the words come from the agent
	a.stdout = &screen
	if err := a.printLicense(api.License{LastError: &api.Error{Hint: "license-agent renew"}}); err != nil || !strings.Contains(screen.String(), "license-agent-cad --instance cad renew\n") {
		t.Errorf("%v: %s", err, &screen)
	}
	if n < 30 {
		t.Errorf("%d commands found: the test looks at the wrong place", n)
	}
	for run, want := range map[string]string{
		"/usr/bin/license-agent": "license-agent --instance cad renew.", `license-agent.exe`: "license-agent --instance cad renew.",
		"/tmp/.license-agent-cad.x/install": "license-agent-cad --instance cad renew.", // a bundle's copy, which goes
	} {
		exe = run
		if got := a.mine("license-agent renew."); got != want {
			t.Errorf("%s: %q, want %q", run, got, want)
		}
	}
	a.instance = ""
	if got := a.mine("license-agent renew"); got != "license-agent renew" {
		t.Errorf("without an instance: %q", got)
	}
}

// Who has to put a trust anchor somewhere is told where, of each instance, and not of
// an agent that was named by its socket.
func TestNextStepNamesTheAnchorsDirectory(t *testing.T) {
	dir := t.TempDir()
	for _, lang := range []string{api.English, api.Chinese} {
		for _, code := range []string{api.CodeNoAnchor, api.CodeUnknownIssuer} {
			for want, a := range map[string]*app{
				filepath.Join("license-agent", "anchors"): {}, filepath.Join("license-agent-cad", "anchors"): {instance: "cad"},
				filepath.Join(dir, "license-agent", "etc", "anchors"): {dir: dir}, "": {socket: "/srv/agent.sock"},
			} {
				a.lang, a.executable = lang, os.Executable
				got := a.named(api.NewError(code, lang)).Hint
				if want != "" && !strings.Contains(got, want) || want == "" && strings.Contains(got, "license-agent") {
					t.Errorf("%s, %s: no %q in %s", code, lang, want, got)
				}
			}
		}
	}
}

// What cannot be done here was understood: nobody is sent to --help.
func TestRefusalsOfTheInstallerHaveANextStep(t *testing.T) {
	for _, lang := range []string{api.English, api.Chinese} {
		a := &app{env: func(string) string { return "" }, lang: lang}
		seen := map[string]bool{}
		for _, cause := range []error{installer.ErrPackaged, installer.ErrMissing, installer.ErrUnsupported, service.ErrNoManager} {
			e := (*api.Error)(nil)
			err := a.installProblem(fmt.Errorf("%w (x)", cause))
			if !errors.As(err, &e) || e.Code != api.CodeInstall || e.Hint == "" || !errors.Is(err, cause) {
				t.Errorf("%v: %v", cause, err)
			}
			seen[e.Hint] = true
		}
		if _, general := api.Sentence(api.CodeInstall, lang); len(seen) != 3 || seen[general] {
			t.Errorf("%s: %v", lang, seen)
		}
	}
}

// One socket has many spellings, and run accepts one; ".." is not the same place
// for who asks and who listens.
func TestSpellingOfTheSocket(t *testing.T) {
	for given, want := range map[string]string{
		"": "", "/x//run/./agent.sock": "/x/run/agent.sock", "/x/run/agent.sock/": "/x/run/agent.sock",
		"/x/..y/agent.sock": "/x/..y/agent.sock", "/x/link/../agent.sock": "/x/link/../agent.sock", "x//agent.sock": "x//agent.sock",
	} {
		a := &app{stdout: &bytes.Buffer{}, stderr: &bytes.Buffer{}, env: func(name string) string {
			return map[string]string{"LICENSE_AGENT_SOCKET": given}[name]
		}}
		if code := a.run(t.Context(), []string{"version"}); code != api.ExitOK || a.socket != want {
			t.Errorf("%q becomes %q, want %q; exit %d", given, a.socket, want, code)
		}
	}
}

// The code is one line; where it comes from does not change it.
func TestReadCode(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	a := &app{env: func(string) string { return "" }, stderr: &bytes.Buffer{}}
	for name, text := range map[string]string{"plain": "AAAA-BBBB", "line": "AAAA-BBBB\n", "dos": "AAAA-BBBB\r\n", "spaces": "  AAAA-BBBB  \n"} {
		path := file(name, text)
		if got, err := a.readCode(codeOptions{file: path}); err != nil || got != "AAAA-BBBB" {
			t.Errorf("%s from a file: %q %v", name, got, err)
		}
		in, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		a.stdin = in
		if got, err := a.readCode(codeOptions{}); err != nil || got != "AAAA-BBBB" {
			t.Errorf("%s from standard input: %q %v", name, got, err)
		}
		in.Close()
	}
	for name, text := range map[string]string{"empty": "\n", "long": strings.Repeat("A", 300), "two": "AAAA\nBBBB\n", "escape": "AA\x1b[2J"} {
		if _, err := a.readCode(codeOptions{file: file(name, text)}); err == nil {
			t.Errorf("%s is accepted", name)
		} else if strings.Contains(err.Error(), "AAAA") {
			t.Errorf("%s: the error quotes the code: %v", name, err)
		}
	}
}
