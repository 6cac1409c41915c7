package packaging

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// dirty is what an administrator may have set who looks after several instances.
func dirty() []string {
	return []string{
		"PATH=/usr/bin:/bin", "LANG=zh_CN.UTF-8", "LICENSE_AGENT_INSTANCE=cad", "LICENSE_AGENT_DIR=/x", "LICENSE_AGENT_LOG_LEVEL=trace",
		"LICENSE_AGENT_NEWS=a\nb", "STATE_DIRECTORY=/x", "RUNTIME_DIRECTORY=/x", "LOGS_DIRECTORY=/x", "CONFIGURATION_DIRECTORY=/x", "CREDENTIALS_DIRECTORY=/x",
	}
}

// foreign are the variables of dirty that have come through.
func foreign(env string) []string {
	return slices.DeleteFunc(strings.Split(env, "\n"), func(l string) bool {
		return !strings.HasPrefix(l, "LICENSE_AGENT_") && !strings.Contains(l, "_DIRECTORY=")
	})
}

// The services of init scripts get nothing of what their caller has set, which would
// make them another instance. The control: without the script it all comes through.
func TestScriptsForgetTheirCaller(t *testing.T) {
	for _, file := range []string{SysV, OpenRC, ""} {
		script := "\n"
		if file != "" {
			script, _, _ = strings.Cut(text(t, file, Names{}), `[ -x "$daemon" ]`)
		}
		cmd := exec.Command("/bin/sh", "-euc", script+"\nenv")
		cmd.Env = dirty()
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v %s", file, err, out)
		}
		if got := foreign(string(out)); len(got) > 0 != (file == "") {
			t.Errorf("%q lets through %q", file, got)
		}
	}
}

// Nor does the check before the restart of an upgrade. The language comes through.
func TestCheckForgetsItsCaller(t *testing.T) {
	b, err := os.ReadFile("nfpm/scriptlet.sh")
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	program := filepath.Join(root, "usr/bin/license-agent")
	if err := os.MkdirAll(filepath.Dir(program), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, []byte("#!/bin/sh\necho \"$*\"\nenv\nexit 2\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/sh", "-c", string(b)+"\nstartable || startable cam")
	cmd.Env = append(dirty(), "LICENSE_AGENT_ROOT="+root)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("%v", err)
	}
	for _, want := range []string{"\nrun --check-config\n", "\nrun --check-config --instance cam\n", "\nLANG=zh_CN.UTF-8\n"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in %s", want, out)
		}
	}
	if got := foreign(string(out)); len(got) > 0 {
		t.Errorf("it lets through %q", got)
	}
}
