//go:build e2e

package systemd

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// onDisk is every file that an installation could leave in a root, ours with content.
// Left out is what the tools of passwd(5) keep as the copy of the state before, and
// the temporary files of a systemd-sysusers that was killed with its caller.
func onDisk(t *testing.T, root string) map[string]string {
	t.Helper()
	out := map[string]string{}
	noise := regexp.MustCompile(`^/etc/((passwd|group|shadow|gshadow|subuid|subgid)-|\.pwd\.lock|\.#(passwd|group|shadow|gshadow)\w+)$`)
	for _, dir := range []string{"etc", "usr/local", "usr/lib/systemd", "usr/lib/sysusers.d", "var/lib", "run"} {
		must(t, filepath.WalkDir(filepath.Join(root, dir), func(name string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			rel := strings.TrimPrefix(name, root)
			fi, err := d.Info()
			if err != nil || noise.MatchString(rel) {
				return err
			}
			text := fi.Mode().String()
			if fi.Mode().IsRegular() && !strings.Contains(rel, "license-agent") {
				text += fmt.Sprint(fi.Size()) // of the system's own
			} else if fi.Mode().IsRegular() {
				b, err := os.ReadFile(name)
				if err != nil {
					return err
				}
				text += fmt.Sprintf(" %x", sha256.Sum256(b))
			}
			out[rel] = text
			return nil
		}))
	}
	// The numbers of users may differ; the lines of passwd(5) are compared by name.
	// systemd-sysusers replaces its four files one after the other and, killed in
	// between, does not add the missing line of shadow(5) later; without it nobody
	// can log in, and with it neither.
	delete(out, "/etc/shadow")
	delete(out, "/etc/gshadow")
	for _, file := range []string{"passwd", "group"} {
		var names []string
		for _, line := range strings.Split(string(read(t, filepath.Join(root, "etc", file))), "\n") {
			name, _, _ := strings.Cut(line, ":")
			names = append(names, name)
		}
		out["/etc/"+file] = strings.Join(names, " ")
	}
	return out
}

// A hundred installations by the program itself, killed with all their helpers at
// random points: each ends installed, or clean, after one more run.
func TestInterrupted(t *testing.T) {
	program, root := agentProgram(t, "NEW"), disk(t, base(t))
	command := func(argv ...string) *exec.Cmd {
		cmd := exec.Command(program, append(argv, "--root", root)...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		return cmd
	}
	whole := func(argv ...string) time.Duration {
		t.Helper()
		began := time.Now()
		if out, err := command(argv...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v %s", argv, err, out)
		}
		return time.Since(began)
	}
	install, purge := []string{"install"}, []string{"uninstall", "--purge"}
	took := whole(install...)
	installed := onDisk(t, root)
	whole(purge...)
	clean := onDisk(t, root)
	if cmp.Diff(installed, clean) == "" {
		t.Fatal("nothing was installed")
	}
	cut, between := 0, 0
	for tries := 0; cut < 100; tries++ {
		if tries == 1000 {
			t.Fatalf("only %d of %d were cut off", cut, tries)
		}
		cmd := command(install...)
		must(t, cmd.Start())
		time.Sleep(time.Duration(rand.Int64N(int64(took)))) // polls nothing: the random point
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)     //nolint:errcheck // it may have ended
		if err := cmd.Wait(); err == nil {
			took = max(took*9/10, time.Millisecond) // it was faster than that
			whole(purge...)
			continue
		}
		cut++
		if now := onDisk(t, root); cmp.Diff(installed, now) != "" && cmp.Diff(clean, now) != "" {
			between++
		}
		if cut%2 == 0 {
			whole(install...)
			if diff := cmp.Diff(installed, onDisk(t, root)); diff != "" {
				t.Fatalf("cut off %d, installed again: %s", cut, diff)
			}
		}
		whole(purge...)
		if diff := cmp.Diff(clean, onDisk(t, root)); diff != "" {
			t.Fatalf("cut off %d, removed: %s", cut, diff)
		}
	}
	t.Logf("%d installations cut off at random points, %d of them in between: all installed or clean after one more run", cut, between)
	if between == 0 {
		t.Error("the control: none was cut off in between, so this shows nothing")
	}
}

// Several runs at once, as of configuration management and of an administrator
// beside it: each succeeds, and what is there is an installation or nothing.
func TestAtOnce(t *testing.T) {
	program, root := agentProgram(t, "NEW"), disk(t, base(t))
	all := func(runs ...[]string) {
		t.Helper()
		said := make([]bytes.Buffer, len(runs))
		cmds := make([]*exec.Cmd, len(runs))
		for i, argv := range runs {
			cmds[i] = exec.Command(program, append(argv, "--root", root)...)
			cmds[i].Stdout, cmds[i].Stderr = &said[i], &said[i]
			must(t, cmds[i].Start())
		}
		for i, cmd := range cmds {
			if err := cmd.Wait(); err != nil {
				t.Errorf("%v: %v %s", runs[i], err, said[i].String())
			}
		}
	}
	install, purge := []string{"install"}, []string{"uninstall", "--purge"}
	all(install)
	installed := onDisk(t, root)
	all(purge)
	clean := onDisk(t, root)
	for n := range 20 {
		all(install, install, install)
		if diff := cmp.Diff(installed, onDisk(t, root)); diff != "" {
			t.Fatalf("installed at once, %d: %s", n, diff)
		}
		all(purge, install, purge)
		now := onDisk(t, root)
		if cmp.Diff(clean, now) != "" && cmp.Diff(installed, now) != "" {
			t.Fatalf("neither installed nor removed, %d: %s", n, cmp.Diff(clean, now))
		}
		all(purge, purge)
		if diff := cmp.Diff(clean, onDisk(t, root)); diff != "" {
			t.Fatalf("removed at once, %d: %s", n, diff)
		}
	}
}

// remembered is what list-units says of a unit without a file and without a process,
// for which systemd has not looked yet whether it may forget it: under load it took
// more than five seconds to.
const remembered = " not-found *inactive *dead"

// ours is what the machine has of an installation: names and modes of files, lines
// of users, units and processes. It takes one command, a snapshot takes ten. What
// the store keeps in its folder is its own affair, the folder itself is not.
func (m *machine) ours() string {
	m.t.Helper()
	return m.run("sh", "-c", `
		find /etc /usr /var/lib /run -xdev -path '*license-agent*' -printf '%p %M %u\n' | grep -v -e '^/var/lib/\(dpkg/info\|license-agent/\)' -e '^/run/\(systemd\|credentials\)' | sort
		cut -d: -f1 /etc/passwd /etc/group | grep license-a
		systemctl list-units --all --plain --no-legend --no-pager 'license-agent*' | grep -v '`+remembered+`'
		pgrep -x license-agent >/dev/null && echo it runs
		true`)
}

// Where a service manager runs: installations by the program and by dpkg, killed
// with all their helpers at random points. What they asked systemd for goes on.
// Each ends installed after one more run, and then nothing is left of it.
func TestInterruptedOnSystemd(t *testing.T) {
	m := inContainer(t, disk(t, base(t)), 20)
	m.put("/root/license-agent", read(t, agentProgram(t, "NEW")), 0o755)
	_, deb := packageFile(t, "NEW", "_amd64.deb")
	m.put("/root/agent.deb", deb, 0o644)
	for _, c := range []struct {
		name    string
		cuts    int
		install []string
		again   [][]string // the one more run
		purge   []string
		whole   []string // a run on a whole installation says this
	}{
		{
			"license-agent install", 20,
			[]string{"/root/license-agent", "install"},
			[][]string{{"/root/license-agent", "install"}},
			[]string{"/root/license-agent", "uninstall", "--purge"},
			[]string{"/root/license-agent", "install"},
		},
		{
			"dpkg -i", 6,
			[]string{"dpkg", "-i", "/root/agent.deb"},
			// What dpkg and apt tell to do, which comes first. A package that was cut off
			// while its files were unpacked is not configured: "you should reinstall it".
			[][]string{
				{"sh", "-c", `said=$(dpkg --configure -a 2>&1) || case $said in *"reinstall it before"*);; *) echo "$said"; exit 1;; esac`},
				{"dpkg", "-i", "/root/agent.deb"},
			},
			[]string{"dpkg", "-P", "license-agent"},
			[]string{"dpkg", "--verify", "license-agent"},
		},
	} {
		ok := t.Run(c.name, func(t *testing.T) {
			m.t = t
			before, clean := m.snapshot(), m.ours()
			began := time.Now()
			m.run(c.install...)
			took := time.Since(began)
			m.active()
			installed := m.ours()
			words := m.run(c.whole...)
			m.run(c.purge...)
			cut, between := 0, 0
			for tries := 0; cut < c.cuts; tries++ {
				if tries == 10*c.cuts {
					t.Fatalf("only %d of %d were cut off", cut, tries)
				}
				if !m.cut(time.Duration(rand.Int64N(int64(took))), c.install...) {
					took = max(took*9/10, time.Millisecond) // it was faster than that
					m.run(c.purge...)
					continue
				}
				cut++
				if now := m.ours(); now != installed && now != clean {
					between++
				}
				for _, argv := range c.again {
					if out, err := m.try(argv...); err != nil {
						t.Fatalf("cut off %d, %q: %v %s\n%s", cut, argv, err, out, m.run("journalctl", "--no-pager", "-n", "60"))
					}
				}
				m.active()
				if diff := cmp.Diff(installed, m.ours()); diff != "" {
					t.Fatalf("cut off %d, installed again: %s", cut, diff)
				}
				if now := m.run(c.whole...); now != words {
					t.Fatalf("cut off %d, installed again: %s", cut, now)
				}
				m.run(c.purge...)
				if diff := cmp.Diff(clean, m.ours()); diff != "" {
					t.Fatalf("cut off %d, removed: %s", cut, diff)
				}
			}
			m.run("find", "/etc", "-name", ".#*", "-delete") // of a systemd-sysusers that was killed too, see onDisk
			if diff := left(before, m.snapshot()); len(diff) > 0 {
				t.Errorf("after %d cuts: %v", cut, diff)
			}
			t.Logf("%d cut off at random points, %d of them in between: all installed after one more run, and clean after removal", cut, between)
			if between == 0 {
				t.Error("the control: none was cut off in between, so this shows nothing")
			}
		})
		if m.t = t; !ok {
			return // what follows would begin on what is left
		}
	}
}
