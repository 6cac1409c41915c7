package installer

import (
	"context"
	"errors"
	"strings"
	"testing"
)

func TestUnstarted(t *testing.T) {
	show := func(id, state, status string) string {
		code := "1"
		if status == "9" {
			code = "2" // CLD_KILLED
		}
		return "ExecMainCode=" + code + "\nExecMainStatus=" + status + "\nId=" + id + ".service\nActiveState=" + state
	}
	for name, c := range map[string]struct {
		instance, says, want string
		status               int
		err                  error
	}{
		"credential":         {"", show("license-agent", "activating", "243"), "license-agent.service", StatusCredentials, nil},
		"given up":           {"", show("license-agent", "failed", "243"), "license-agent.service", StatusCredentials, nil},
		"user":               {"", show("license-agent", "activating", "217"), "license-agent.service", 217, nil},
		"template":           {"cad", show("license-agent-cad", "inactive", "0") + "\n\n" + show("license-agent@cad", "activating", "243"), "license-agent@cad.service", StatusCredentials, nil},
		"of install":         {"cad", show("license-agent-cad", "failed", "243") + "\n\n" + show("license-agent@cad", "inactive", "0"), "license-agent-cad.service", StatusCredentials, nil},
		"its own failure":    {"", show("license-agent", "activating", "2"), "license-agent.service", 2, nil},
		"starts":             {"", show("license-agent", "activating", "0"), "", 0, nil},
		"stopped since":      {"", show("license-agent", "inactive", "243"), "", 0, nil},
		"runs again":         {"", show("license-agent", "active", "243"), "", 0, nil},
		"killed":             {"", show("license-agent", "failed", "9"), "", 0, nil},
		"not of systemd's":   {"", show("license-agent", "failed", "255"), "", 0, nil},
		"nonsense":           {"", "Failed to connect", "", 0, nil},
		"systemctl has none": {"", show("license-agent", "failed", "243"), "", 0, errors.New("no systemd")},
	} {
		var asked []string
		run := func(_ context.Context, argv ...string) (string, error) { asked = argv; return c.says, c.err }
		unit, status := Target{Instance: c.instance, Run: run}.Unstarted(t.Context())
		if unit != c.want || status != c.status {
			t.Errorf("%s: %q %d", name, unit, status)
		}
		want := "license-agent.service"
		if c.instance != "" {
			want = "license-agent-cad.service license-agent@cad.service"
		}
		if got := strings.Join(asked[4:], " "); got != want {
			t.Errorf("%s: asked for %s", name, got)
		}
	}
}
