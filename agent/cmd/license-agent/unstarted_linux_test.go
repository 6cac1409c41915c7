package main

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"

	"licenseagent.example/agent/api"
)

// What systemd does not start says nothing itself, nor does what ends at each start,
// whether the socket is open or not: status says it, and no other agent's trouble.
func TestStatusNamesWhatSystemdCannotStart(t *testing.T) {
	for name, c := range map[string]struct {
		instance, dir, socket, status string
		told, sealed                  bool
	}{
		"credential":     {"", "", "", "243", true, true},
		"user":           {"", "", "", "217", true, false},
		"bundle":         {"cad", "", "/run/license-agent-cad/agent.sock", "243", true, true},
		"configuration":  {"", "", "", "2", true, false},
		"runs":           {"", "", "", "0", false, false},
		"somewhere else": {"", "", "/tmp/agent.sock", "243", false, false},
		"no service":     {"", t.TempDir(), "", "243", false, false},
	} {
		for _, lang := range []string{api.English, api.Chinese} {
			for _, code := range []string{api.CodeTimeout, api.CodeNotRunning} {
				var said bytes.Buffer
				a := &app{env: func(string) string { return "" }, stderr: &said, lang: lang, instance: c.instance, dir: c.dir, socket: c.socket, executable: os.Executable}
				a.systemctl = func(_ context.Context, argv ...string) (string, error) {
					return "Id=" + argv[4] + "\nActiveState=activating\nExecMainCode=1\nExecMainStatus=" + c.status, nil
				}
				exit := a.report(a.silent(t.Context(), api.NewError(code, lang)))
				if exit != api.ExitNotRunning || !strings.Contains(said.String(), code) {
					t.Errorf("%s: %d %s", name, exit, &said)
				}
				words := "systemd cannot start license-agent"
				if c.status == "2" {
					words = "license-agent.service ends at each start"
					if c.told != strings.Contains(said.String(), "run --check-config") || !strings.Contains(said.String(), "journalctl -u license-agent.service") {
						t.Errorf("%s, %s: no way out: %s", name, lang, &said)
					}
				}
				told := strings.Contains(said.String(), words) && strings.Contains(said.String(), "status="+c.status)
				if sealed := strings.Contains(said.String(), "seal.conf"); told != c.told || sealed != c.sealed {
					t.Errorf("%s, %s, %s: %s", name, lang, code, &said)
				}
			}
		}
	}
}
