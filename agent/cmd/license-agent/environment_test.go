package main

import (
	"bytes"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What ATTACK_SURFACE.md says that the program believes of its environment is
// what it asks for: the options of every command, and beside them each setting
// of "run" and the directories of systemd. The control is a document without one
// of the settings.
func TestEnvironmentIsListed(t *testing.T) {
	text, err := os.ReadFile("../../../platform/ATTACK_SURFACE.md")
	if err != nil {
		t.Fatal(err)
	}
	asked := func(args ...string) (names []string) {
		a := &app{stdout: &bytes.Buffer{}, stderr: &bytes.Buffer{}, env: func(name string) string {
			names = append(names, name)
			return ""
		}}
		a.run(t.Context(), args) // whatever comes of it: there may be no configuration here
		slices.Sort(names)
		return slices.Compact(names)
	}
	every, run := asked("version"), asked("run", "--check-config")
	for _, k := range knownSettings() {
		if name := "LICENSE_AGENT_" + strings.ToUpper(strings.ReplaceAll(k.name, "-", "_")); !slices.Contains(run, name) {
			t.Errorf("the setting %s does not come from %s", k.name, name)
		}
	}
	if len(run) != len(every)+len(knownSettings())+5 { // systemd.exec(5)
		t.Errorf("run asks for %q, every command for %q", run, every)
	}
	wrong := func(document string) (out []string) {
		_, table, _ := strings.Cut(document, "\n### Environment\n")
		table, _, _ = strings.Cut(table, "\n#")
		said := map[string]string{}
		for _, row := range regexp.MustCompile("(?m)^\\| `([A-Z_]+)` \\| (run|every command) \\|").FindAllStringSubmatch(table, -1) {
			said[row[1]] = row[2]
		}
		for _, name := range run {
			want := "run"
			if slices.Contains(every, name) {
				want = "every command"
			}
			if said[name] != want {
				out = append(out, name)
			}
			delete(said, name)
		}
		for name := range said {
			out = append(out, "never asked for: "+name)
		}
		return out
	}
	if list := wrong(string(text)); len(list) > 0 {
		t.Errorf("ATTACK_SURFACE.md: %q", list)
	}
	without := strings.Replace(string(text), "| `LICENSE_AGENT_TPM` | run |", "| `LICENSE_AGENT_TMP` | run |", 1)
	if list := wrong(without); !slices.Equal(list, []string{"LICENSE_AGENT_TPM", "never asked for: LICENSE_AGENT_TMP"}) {
		t.Errorf("control: %q", list)
	}
}
