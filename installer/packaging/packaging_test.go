package packaging

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"licenseagent.example/platform/ipc"
	"licenseagent.example/platform/paths"
	"licenseagent.example/platform/securefile"
)

func text(t *testing.T, file string, n Names) string {
	t.Helper()
	s, err := Text(file, n)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func all() []string {
	return []string{Service, Socket, Sysusers, TemplateService, TemplateSocket, TemplateUser, Generator, Config, OpenRC, SysV, TPM, Seal, AppArmor}
}

// What the packages ship is the file itself, to the byte.
func TestZeroNamesChangeNothing(t *testing.T) {
	for _, file := range all() {
		b, err := os.ReadFile(filepath.Join("files", file))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(b), text(t, file, Names{})); diff != "" {
			t.Errorf("%s: %s", file, diff)
		}
	}
	if _, err := Text("../packaging.go", Names{}); !errors.Is(err, ErrName) {
		t.Errorf("%v", err)
	}
}

// The template units are made from the plain ones and not kept by hand.
// UPDATE=1 writes them.
func TestTemplatesAreTheSameText(t *testing.T) {
	for plain, template := range map[string]string{Service: TemplateService, Socket: TemplateSocket} {
		want := text(t, plain, Template())
		if os.Getenv("UPDATE") == "1" {
			if err := os.WriteFile(filepath.Join("files", template), []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if diff := cmp.Diff(want, text(t, template, Names{})); diff != "" {
			t.Errorf("%s is not what %s says (UPDATE=1 writes it): %s", template, plain, diff)
		}
	}
}

func TestNamesOfAnInstance(t *testing.T) {
	n := Names{Service: "license-agent-cad", Instance: "cad", Program: "/opt/cad/bin/license-agent-cad"}
	for file, want := range map[string][]string{
		Service: {
			"ExecStart=/opt/cad/bin/license-agent-cad run --instance cad\n", "User=license-agent-cad\n", "Group=license-agent-cad\n",
			"Requires=license-agent-cad.socket\n", "Also=license-agent-cad.socket\n", "StateDirectory=license-agent-cad\n",
			"RuntimeDirectory=license-agent-cad\n", "ConfigurationDirectory=license-agent-cad\n", "man:license-agent(1)",
		},
		Socket:    {"ListenStream=/run/license-agent-cad/agent.sock\n"},
		Sysusers:  {"license-agent-cad -", "license-admin"},
		Generator: {"for unit in license-agent-cad.service; do\n"},
		Config:    {"with: license-agent-cad run --instance cad --check-config\n", `option of "license-agent run"`},
		OpenRC: {
			`command="/opt/cad/bin/license-agent-cad"`, `command_args="run --instance cad"`,
			`command_user="license-agent-cad:license-agent-cad"`, `pidfile="/run/license-agent-cad.pid"`,
		},
		SysV: {
			"daemon=/opt/cad/bin/license-agent-cad\n", "-- run --instance cad >>", "Provides:          license-agent-cad\n",
			"user=license-agent-cad\n", "/run/license-agent-cad/agent.sock",
		},
	} {
		got := text(t, file, n)
		for _, w := range want {
			if !strings.Contains(got, w) {
				t.Errorf("%s lacks %q:\n%s", file, w, got)
			}
		}
		// Nothing of the unnamed instance may be left in a line that acts.
		for _, line := range strings.Split(got, "\n") {
			if left := regexp.MustCompile(`(/(run|var/lib|etc|var/log)/license-agent|=license-agent|/usr/bin/license-agent)(\W|$)`).FindString(line); left != "" && !strings.HasPrefix(line, "#") && !strings.Contains(line, "license-agent-cad") {
				t.Errorf("%s: %q speaks of another instance: %s", file, left, line)
			}
		}
	}
}

func TestProgramPathsThatCannotBeWritten(t *testing.T) {
	for _, bad := range []string{"license-agent", "/opt/my cad/a", "/opt/%h/a", "/opt/a\nUser=root", `/opt/"a`, "/opt/../a", "/opt/$(id)", "/opt/a;b", "/opt/a'"} {
		if _, err := Text(Service, Names{Program: bad}); !errors.Is(err, ErrProgram) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// settings are the lines of one unit, by key.
func settings(unit string) map[string][]string {
	out := map[string][]string{}
	for _, line := range strings.Split(unit, "\n") {
		if k, v, ok := strings.Cut(line, "="); ok && !strings.HasPrefix(line, "#") {
			out[k] = append(out[k], v)
		}
	}
	return out
}

// These settings carry a promise each: a change here is a change of the product.
// Paths and permissions are the constants by which the agent judges what it finds.
func TestServicePromises(t *testing.T) {
	p, err := paths.For("")
	if err != nil {
		t.Fatal(err)
	}
	octal := func(m fs.FileMode) string { return fmt.Sprintf("%#o", m) }
	s := settings(text(t, Service, Names{}))
	for file, promised := range map[string]map[string]string{
		Service: {
			"Type": "notify", "NotifyAccess": "main", "WatchdogSec": "60s", "User": p.Service, "Group": p.Service,
			"CapabilityBoundingSet": "", "AmbientCapabilities": "", "NoNewPrivileges": "yes",
			"LoadCredential":         "dmi:/sys/firmware/dmi/tables/DMI",
			"ConfigurationDirectory": filepath.Base(p.Config), "ConfigurationDirectoryMode": octal(securefile.PublicDir),
			"StateDirectory": filepath.Base(p.State), "StateDirectoryMode": octal(securefile.PrivateDir),
			"RuntimeDirectory": filepath.Base(p.Runtime), "RuntimeDirectoryMode": octal(ipc.RuntimeDirMode), "RuntimeDirectoryPreserve": "yes",
			"Restart": "always", "RestartSec": "2s", "StartLimitIntervalSec": "0", "ProtectSystem": "strict", "LimitCORE": "0",
			"Requires": Socket, "Also": Socket,
		},
		Socket: {"ListenStream": p.Socket, "SocketMode": octal(ipc.SocketMode), "DirectoryMode": octal(ipc.RuntimeDirMode)},
	} {
		is := settings(text(t, file, Names{}))
		for key, want := range promised {
			if diff := cmp.Diff([]string{want}, is[key]); diff != "" {
				t.Errorf("%s: %s: %s", file, key, diff)
			}
		}
	}
	if !slices.Contains(s["SetCredential"], "dmi:none") {
		t.Error("a machine without an SMBIOS table would not start")
	}
	for _, no := range []string{"PrivateUsers", "ProcSubset", "DynamicUser", "SupplementaryGroups", "IPAddressDeny"} {
		if s[no] != nil {
			t.Errorf("%s=%v breaks the agent", no, s[no])
		}
	}
}

// The configuration of a template's instance is root's, as that of the unnamed one in
// the packages: systemd would make it the user's, who could then add a trust anchor.
// A name that no user can have ends it before; an /etc that cannot be written does not.
func TestInstancesTrustWhomRootSays(t *testing.T) {
	s := settings(text(t, TemplateUser, Names{}))
	at := settings(text(t, Service, Template()))["ConfigurationDirectory"]
	run := s["ExecStart"]
	if len(run) != 2 || !strings.HasPrefix(run[0], "systemd-sysusers ") || !slices.Equal(at, []string{"license-agent-%i"}) || run[1] != "-mkdir -p /etc/"+at[0]+"/anchors" {
		t.Errorf("%q, of %q", run, at)
	}
	if diff := cmp.Diff([]string{"license-agent@%i.service"}, s["Before"]); diff != "" {
		t.Error(diff)
	}
}

// exposure asks systemd how much a unit could do, 0 to 10.
func exposure(t *testing.T, unit string, threshold string) (string, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), Service)
	if err := os.WriteFile(file, []byte(unit), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold="+threshold, file).CombinedOutput()
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1], err
}

func TestExposure(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Fatal("this test asks systemd-analyze (Debian package systemd): install it")
	}
	for _, file := range []string{Service, TemplateService} {
		line, err := exposure(t, text(t, file, Names{}), "16")
		if err != nil {
			t.Errorf("%s: more than 1.6: %v %s", file, err, line)
		}
		t.Logf("%s: %s", file, line)
		for _, dropIn := range []string{TPM, Seal} {
			with := strings.Replace(text(t, file, Names{}), "[Install]", text(t, dropIn, Names{})+"\n[Install]", 1)
			line, err := exposure(t, with, "16")
			if err != nil {
				t.Errorf("%s with %s: more than 1.6: %v %s", file, dropIn, err, line)
			}
			t.Logf("%s with %s: %s", file, dropIn, line)
		}
	}
	// The control: the same unit without its confinement must be refused.
	bare := regexp.MustCompile(`(?m)^(Protect|Private|Restrict|SystemCall|Capab|NoNew|Memory|Lock|User|Group).*\n`).ReplaceAllString(text(t, Service, Names{}), "")
	if line, err := exposure(t, bare, "16"); err == nil {
		t.Errorf("an open unit passes: %s", line)
	}
}

// systemd's own reader must accept the units. It wants the program to exist.
func TestUnitsVerify(t *testing.T) {
	dir := t.TempDir()
	for _, file := range []string{Service, Socket, TemplateService, TemplateSocket, TemplateUser} {
		s := strings.ReplaceAll(text(t, file, Names{}), program, "/bin/true")
		if err := os.WriteFile(filepath.Join(dir, file), []byte(s), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	verify := func(names ...string) string {
		args := []string{"verify", "--man=no", "--recursive-errors=no"}
		for _, n := range names {
			args = append(args, filepath.Join(dir, n))
		}
		cmd := exec.Command("systemd-analyze", args...)
		cmd.Env = append(os.Environ(), "SYSTEMD_UNIT_PATH="+dir+":")
		out, _ := cmd.CombinedOutput() // the status also counts units of this machine
		var bad []string
		for _, line := range strings.Split(string(out), "\n") {
			if strings.Contains(line, "license-agent") {
				bad = append(bad, line)
			}
		}
		return strings.Join(bad, "\n")
	}
	if bad := verify(Service, Socket, "license-agent@cad.service", "license-agent@cad.socket"); bad != "" {
		t.Error(bad)
	}
	if err := os.WriteFile(filepath.Join(dir, Service), []byte("[Service]\nExecStart=/bin/true\nTypo=yes\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if bad := verify(Service); !strings.Contains(bad, "Typo") {
		t.Errorf("the reader accepts everything: %q", bad)
	}
}

func TestScriptsParse(t *testing.T) {
	for _, file := range []string{OpenRC, SysV, Generator} {
		for _, n := range []Names{{}, {Service: "license-agent-cad", Instance: "cad", Program: "/opt/cad/license-agent"}} {
			cmd := exec.Command("sh", "-n")
			cmd.Stdin = strings.NewReader(text(t, file, n))
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s: %v %s", file, err, out)
			}
		}
	}
	cmd := exec.Command("sh", "-n")
	cmd.Stdin = strings.NewReader(text(t, SysV, Names{}) + "\nif")
	if cmd.Run() == nil {
		t.Error("sh accepts everything")
	}
}
