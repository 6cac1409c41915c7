package installer

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// serve makes the service of a world a real process, which is known by the file that
// it runs: each start of it starts the program on the disk.
func serve(t *testing.T, w *world) {
	var cmd *exec.Cmd
	stop := func() {
		if cmd != nil {
			cmd.Process.Kill() //nolint:errcheck // Wait says it
			cmd.Wait()         //nolint:errcheck // killed
			cmd, w.pid = nil, 0
		}
	}
	t.Cleanup(stop)
	w.hook = func(line string) {
		switch {
		case line == "systemctl restart license-agent.service":
			stop()
			cmd = exec.Command(w.at("usr/local/bin/license-agent"), "1000")
			must(t, cmd.Start())
			w.pid = cmd.Process.Pid
		case strings.HasPrefix(line, "systemctl stop "):
			stop()
		}
	}
}

// What a plan shows as needed is done when it is carried out, and nothing else is.
func TestLookSaysWhatApplyDoes(t *testing.T) {
	b, err := os.ReadFile("/bin/sleep")
	must(t, err)
	program, fresh := string(b), string(b)+"a later one"
	write := func(name, text string) func(*testing.T, *world, Target) {
		return func(t *testing.T, w *world, _ Target) {
			must(t, os.MkdirAll(filepath.Dir(w.at(name)), 0o755))
			must(t, os.WriteFile(w.at(name), []byte(text), 0o644))
		}
	}
	type change = func(*testing.T, *world, Target)
	nothing := func(*testing.T, *world, Target) {}
	for name, before := range map[string]change{
		"as installed":                   nothing,
		"another instance is there":      write("etc/license-agent-cad/agent.toml", ""),
		"a generator of somebody else":   write("etc/systemd/system-generators/theirs", ""),
		"a unit that was changed":        write("etc/systemd/system/license-agent.service", "[Service]\n"),
		"a socket that was changed":      write("etc/systemd/system/license-agent.socket", "[Socket]\n"),
		"a program that was changed":     func(t *testing.T, w *world, _ Target) { must(t, os.Remove(w.at("usr/local/bin/license-agent"))) },
		"a script that was changed":      write("etc/init.d/license-agent", "#!/bin/sh\n"),
		"removed":                        func(t *testing.T, _ *world, target Target) { must(t, uninstall(t, target, false)) },
		"purged":                         func(t *testing.T, _ *world, target Target) { must(t, uninstall(t, target, true)) },
		"what a killed run left of both": write("etc/systemd/system-generators/.license-agent.part", ""),
	} {
		for _, manager := range []string{"linux-systemd", "unix-systemv", "linux-openrc"} {
			for _, live := range []bool{true, false} {
				if !live && manager != "linux-systemd" {
					continue // an image has no service in it that would differ
				}
				for verb, plan := range map[string]func(Target) (Plan, error){
					"install": func(t Target) (Plan, error) { return t.Install([]byte(program)) },
					"upgrade": func(t Target) (Plan, error) { return t.Install([]byte(fresh)) },
					"remove":  func(t Target) (Plan, error) { return t.Uninstall(false) },
					"purge":   func(t Target) (Plan, error) { return t.Uninstall(true) },
				} {
					w := &world{root: image(t)}
					serve(t, w)
					target := w.target(live)
					target.Manager = manager
					must(t, install(t, target, program))
					before(t, w, target)
					p, err := plan(target)
					must(t, err)
					lines, err := p.Look(t.Context())
					must(t, err)
					var shown, done []string
					for _, l := range lines {
						if l.Needed {
							shown = append(shown, l.Text)
						}
					}
					must(t, p.Apply(t.Context(), func(text string) { done = append(done, text) }))
					if diff := cmp.Diff(shown, done); diff != "" {
						t.Errorf("%s of %s, %s, live %v: %s", verb, name, manager, live, diff)
					}
				}
			}
		}
	}
}
