package installer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"licenseagent.example/platform/paths"
	"licenseagent.example/platform/securefile"
	"licenseagent.example/platform/service"
)

// image is a file tree with what an empty system has.
func image(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("an installer is tested as root: the files must belong to root")
	}
	root := t.TempDir()
	for _, dir := range []string{"etc/init.d", "usr/local/bin", "run", "var/lib", "etc/sysusers.d", "etc/systemd/system"} {
		must(t, os.MkdirAll(filepath.Join(root, dir), 0o755))
	}
	must(t, os.WriteFile(filepath.Join(root, "etc/passwd"), []byte("root:x:0:0::/root:/bin/sh\n"), 0o644))
	must(t, os.WriteFile(filepath.Join(root, "etc/group"), []byte("root:x:0:\n"), 0o644))
	return root
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// tree is every file with its mode and content.
func tree(t *testing.T, root string) map[string]string {
	t.Helper()
	out := map[string]string{}
	must(t, filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		text := fi.Mode().String()
		if fi.Mode().IsRegular() {
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			text += " " + string(b)
		}
		out[strings.TrimPrefix(p, root)] = text
		return nil
	}))
	return out
}

// world is the part of a system that the tools change, on files below root, so
// that it outlives a process that is killed.
type world struct {
	root  string
	shell bool // the tools of accounts are busybox's, as on a plain Alpine
	calls []string
	fail  string // a command that begins so fails
	hook  func(string)
	pid   int // of the service, where it is a real process
}

func (w *world) at(p string) string { return filepath.Join(w.root, p) }

func (w *world) run(_ context.Context, argv ...string) (string, error) {
	line := strings.Join(argv, " ")
	w.calls = append(w.calls, line)
	if w.hook != nil {
		w.hook(line)
	}
	if w.fail != "" && strings.HasPrefix(line, w.fail) {
		return "", fmt.Errorf("%s: failed", line)
	}
	last := argv[len(argv)-1]
	if accounts := []string{"useradd", "groupadd", "userdel", "groupdel"}; w.shell && slices.Contains(accounts, argv[0]) {
		return "", fmt.Errorf("%s: %w", argv[0], fs.ErrNotExist)
	}
	if argv[0] == "chroot" && argv[1] == w.root {
		argv = argv[2:]
	}
	switch {
	case slices.Contains([]string{"adduser", "addgroup", "deluser", "delgroup"}, argv[0]):
		return "", w.applet(argv)
	case argv[0] == "groupadd":
		return "", w.line("etc/group", last, true)
	case argv[0] == "systemd-sysusers":
		return "", w.account(strings.TrimSuffix(filepath.Base(last), ".conf"), true)
	case argv[0] == "useradd":
		return "", w.account(last, true)
	case argv[0] == "userdel":
		return "", w.account(last, false)
	case argv[0] == "groupdel":
		return "", w.line("etc/group", last, false)
	case argv[0] == "update-rc.d":
		return "", w.numbers(last)
	case strings.HasPrefix(line, "/etc/init.d/"):
		return "", w.script(last)
	case strings.Contains(line, " enable "), strings.Contains(line, " disable "):
		return "", w.links(strings.Contains(line, " enable "), argv)
	case strings.HasPrefix(line, "systemctl show -p ActiveState"):
		if _, err := os.Stat(w.at("run/active")); err == nil {
			return fmt.Sprintf("ActiveState=active\nMainPID=%d\nNeedDaemonReload=no", w.pid), nil
		}
		return "ActiveState=inactive\nMainPID=0\nNeedDaemonReload=no", nil
	case strings.HasPrefix(line, "systemctl show -p LoadState"):
		return "loaded", nil
	case argv[0] == "systemctl" && (argv[1] == "restart" || argv[1] == "start"):
		return "", os.WriteFile(w.at("run/active"), nil, 0o644)
	case argv[0] == "systemctl" && argv[1] == "stop":
		if err := os.Remove(w.at("run/active")); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	return "", nil
}

func (w *world) links(on bool, argv []string) error {
	for _, unit := range argv[slices.IndexFunc(argv, func(s string) bool { return strings.HasSuffix(s, "able") })+1:] {
		dir := "etc/systemd/system/multi-user.target.wants"
		if strings.HasSuffix(unit, ".socket") {
			dir = "etc/systemd/system/sockets.target.wants"
		}
		link := w.at(filepath.Join(dir, unit))
		os.Remove(link) //nolint:errcheck // it need not be there
		if on {
			if err := errors.Join(os.MkdirAll(filepath.Dir(link), 0o755), os.Symlink("../"+unit, link)); err != nil {
				return err
			}
		} else {
			os.Remove(filepath.Dir(link)) //nolint:errcheck // as systemctl does: only when it is empty
		}
		if w.hook != nil {
			w.hook("link " + unit)
		}
	}
	return nil
}

func (w *world) account(name string, there bool) error {
	return errors.Join(w.line("etc/passwd", name, there), w.line("etc/group", name, there), w.adminsToo(there))
}

func (w *world) adminsToo(there bool) error {
	if there {
		return w.line("etc/group", admins, true)
	}
	return nil
}

func (w *world) line(file, name string, there bool) error {
	b, err := os.ReadFile(w.at(file))
	if err != nil {
		return err
	}
	lines := slices.DeleteFunc(strings.SplitAfter(string(b), "\n"), func(s string) bool { return strings.HasPrefix(s, name+":") })
	if there {
		lines = append(lines, name+":x:900:900::/:/usr/sbin/nologin\n")
	}
	// As the real tools: a new file and a rename.
	must := os.WriteFile(w.at(file+"+"), []byte(strings.Join(lines, "")), 0o644)
	return errors.Join(must, os.Rename(w.at(file+"+"), w.at(file)))
}

func (w *world) target(live bool) Target {
	return Target{Root: w.root, Run: w.run, hook: w.hook, live: live, serves: w.serves, patience: time.Millisecond}
}

func install(t *testing.T, target Target, program string) error {
	t.Helper()
	p, err := target.Install([]byte(program))
	must(t, err)
	return p.Apply(t.Context(), nobody)
}

func uninstall(t *testing.T, target Target, purge bool) error {
	t.Helper()
	p, err := target.Uninstall(purge)
	must(t, err)
	return p.Apply(t.Context(), nobody)
}

// The whole life with the real tools of systemd working on an image.
func TestLifeInAnImage(t *testing.T) {
	root := image(t)
	target := Target{Root: root, Instance: "cad", Manager: "linux-systemd"}
	before := tree(t, root)
	must(t, install(t, target, "one"))
	for p, want := range map[string]string{
		"/usr/local/bin/license-agent-cad":                                      "-rwxr-xr-x one",
		"/etc/license-agent-cad/anchors":                                        "drwxr-xr-x",
		"/etc/systemd/system/license-agent-cad.service":                         "ExecStart=/usr/local/bin/license-agent-cad run --instance cad\n",
		"/etc/systemd/system/license-agent-cad.socket":                          "ListenStream=/run/license-agent-cad/agent.sock\n",
		"/etc/systemd/system/multi-user.target.wants/license-agent-cad.service": "Lrwxrwxrwx",
		"/etc/systemd/system/sockets.target.wants/license-agent-cad.socket":     "Lrwxrwxrwx",
		"/etc/passwd":                            "license-agent-cad:x:",
		"/etc/license-agent-cad/agent.toml":      "-rw-r--r--",
		"/etc/sysusers.d/license-agent-cad.conf": "license-agent-cad",
	} {
		if got := tree(t, root)[p]; !strings.Contains(got, want) {
			t.Errorf("%s is %q, want %q", p, got, want)
		}
	}
	// A second time nothing is needed; the administrator's configuration stays.
	config := filepath.Join(root, "etc/license-agent-cad/agent.toml")
	must(t, os.WriteFile(config, []byte("warn_days = 3\n"), 0o644))
	state := filepath.Join(root, "var/lib/license-agent-cad")
	must(t, os.Mkdir(state, 0o700))
	must(t, os.WriteFile(filepath.Join(state, "state.db"), []byte("kept"), 0o600))
	installed := tree(t, root)
	p, err := target.Install([]byte("one"))
	must(t, err)
	lines, err := p.Look(t.Context())
	must(t, err)
	for _, l := range lines {
		if l.Needed {
			t.Errorf("still needed: %s", l.Text)
		}
	}
	must(t, p.Apply(t.Context(), func(s string) { t.Errorf("done again: %s", s) }))
	up, err := target.Upgrade([]byte("two"))
	must(t, err)
	must(t, up.Apply(t.Context(), nobody))
	installed["/usr/local/bin/license-agent-cad"] = "-rwxr-xr-x two"
	if diff := cmp.Diff(installed, tree(t, root)); diff != "" {
		t.Errorf("an upgrade changed more than the program: %s", diff)
	}
	must(t, uninstall(t, target, false))
	after := tree(t, root)
	for _, p := range []string{"/var/lib/license-agent-cad/state.db", "/etc/license-agent-cad/agent.toml"} {
		if after[p] == "" {
			t.Errorf("uninstall took %s away", p)
		}
	}
	for p := range after {
		if strings.HasPrefix(p, "/usr/local/bin/license") || strings.HasPrefix(p, "/etc/systemd/system/") && strings.Contains(p, "license-agent") {
			t.Errorf("uninstall left %s", p)
		}
	}
	must(t, uninstall(t, target, true))
	must(t, uninstall(t, target, true))
	left := tree(t, root)
	for p := range left {
		if before[p] == "" && !slices.Contains([]string{"/etc/.pwd.lock", "/etc/passwd-", "/etc/group-", "/etc/shadow", "/etc/shadow-", "/etc/gshadow", "/etc/gshadow-"}, p) {
			t.Errorf("left over: %s", p)
		}
	}
	for _, file := range []string{"/etc/passwd", "/etc/group"} {
		if strings.Contains(left[file], "license") {
			t.Errorf("%s still has %q", file, left[file])
		}
	}
}

// Whatever command fails, the files are as before.
func TestEachFailureIsTakenBack(t *testing.T) {
	sure := 0
	for _, fail := range []string{"systemd-sysusers", "systemctl --root=", "systemctl enable", "systemctl daemon-reload", "systemctl restart", "systemctl start"} {
		w := &world{root: image(t)}
		before := tree(t, w.root)
		w.fail = fail
		err := install(t, w.target(true), "one")
		if err == nil {
			continue // this way does not use the command
		}
		sure++
		w.fail = ""
		now := tree(t, w.root)
		delete(now, "/etc/group") // the group of administrators may stay: others may be in it
		delete(before, "/etc/group")
		if diff := cmp.Diff(before, now); diff != "" {
			t.Errorf("%s failed (%v) and this is left: %s", fail, err, diff)
		}
	}
	if sure < 4 {
		t.Errorf("only %d failures were seen", sure)
	}
}

// A new program that does not start is replaced by the old one, which runs.
func TestUpgradeGoesBack(t *testing.T) {
	w := &world{root: image(t)}
	must(t, install(t, w.target(true), "one"))
	before := tree(t, w.root)
	first := true
	w.hook = func(line string) {
		w.fail = ""
		if strings.HasPrefix(line, "systemctl restart") && first {
			first, w.fail = false, line // the new program does not start, the old one will
		}
	}
	w.calls = nil
	p, err := w.target(true).Upgrade([]byte("two"))
	must(t, err)
	if err := p.Apply(t.Context(), nobody); !errors.Is(err, ErrUndone) {
		t.Errorf("%v", err)
	}
	if diff := cmp.Diff(before, tree(t, w.root)); diff != "" {
		t.Error(diff)
	}
	if last := w.calls[len(w.calls)-1]; last != "systemctl restart license-agent.service" {
		t.Errorf("the old program was not started: %v", w.calls)
	}
}

// A failing removal leaves a service that runs.
func TestUninstallGoesBack(t *testing.T) {
	w := &world{root: image(t)}
	must(t, install(t, w.target(true), "one"))
	before := tree(t, w.root)
	w.hook = func(line string) {
		w.fail = ""
		if line == "systemctl daemon-reload" && !slices.Contains(w.calls[:len(w.calls)-1], line) {
			w.fail = line
		}
	}
	w.calls = nil
	if err := uninstall(t, w.target(true), true); !errors.Is(err, ErrUndone) {
		t.Errorf("%v", err)
	}
	if diff := cmp.Diff(before, tree(t, w.root)); diff != "" {
		t.Error(diff)
	}
}

func TestRefusals(t *testing.T) {
	root := image(t)
	if _, err := (Target{Root: root}).Upgrade(nil); !errors.Is(err, ErrMissing) {
		t.Errorf("nothing installed: %v", err)
	}
	if _, err := (Target{Root: root, Instance: "../x"}).Install(nil); !errors.Is(err, paths.ErrInstance) {
		t.Errorf("instance: %v", err)
	}
	if _, err := (Target{Root: root, Manager: "linux-upstart"}).Install(nil); !errors.Is(err, service.ErrNoManager) {
		t.Errorf("manager: %v", err)
	}
	// An image of a distribution with another manager, or with none.
	for manager, tool := range map[string]string{"unix-systemv": "usr/sbin/update-rc.d", "linux-openrc": "sbin/rc-update"} {
		target := Target{Root: root, Manager: manager}
		if _, err := target.Install(nil); !errors.Is(err, service.ErrNoManager) || !strings.Contains(err.Error(), filepath.Base(tool)+" is not here") {
			t.Errorf("%s without its tool: %v", manager, err)
		}
		must(t, os.MkdirAll(filepath.Join(root, filepath.Dir(tool)), 0o755))
		must(t, os.WriteFile(filepath.Join(root, tool), nil, 0o755))
		if _, err := target.Install(nil); err != nil {
			t.Errorf("%s: %v", manager, err)
		}
	}
	for what, c := range map[string]struct {
		spoil func(root string) error
		want  error
	}{
		"link in the place of the program": {func(r string) error {
			return os.Symlink("/etc/passwd", filepath.Join(r, "usr/local/bin/license-agent"))
		}, securefile.ErrNotRegular},
		"file in the place of a directory": {func(r string) error {
			return os.WriteFile(filepath.Join(r, "etc/license-agent"), nil, 0o644)
		}, securefile.ErrNotDirectory},
		"directory that others may change": {func(r string) error { return os.Chmod(filepath.Join(r, "usr/local/bin"), 0o777) }, securefile.ErrMode},
	} {
		w := &world{root: image(t)}
		must(t, c.spoil(w.root))
		before := tree(t, w.root)
		if err := install(t, w.target(false), "one"); !errors.Is(err, c.want) || !errors.Is(err, ErrUndone) {
			t.Errorf("%s: %v", what, err)
		}
		if diff := cmp.Diff(before, tree(t, w.root)); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
	// An instance of the package's template has user, folders and socket of the same
	// names as one of ours; the control is one that somebody else has made.
	for comment, want := range map[string]error{"License agent cad (package)": ErrPackaged, "License agent": nil} {
		w := &world{root: image(t)}
		must(t, os.WriteFile(w.at("etc/passwd"), []byte("license-agent-cad-2:x:8:8:License agent cad-2 (package):/:/x\nlicense-agent-cad:x:9:9:"+comment+":/:/x\n"), 0o644))
		target := w.target(false)
		target.Instance = "cad"
		_, errInstall := target.Install(nil)
		_, errUninstall := target.Uninstall(true)
		if !errors.Is(errInstall, want) || !errors.Is(errUninstall, want) || want != nil && !strings.Contains(errInstall.Error(), "license-agent@cad.service") {
			t.Errorf("beside the user %q: %v, %v", comment, errInstall, errUninstall)
		}
	}
	// No user is made for a longer name; where tools that take it have made one, the
	// instance goes on. It can be removed in any case.
	for user, want := range map[string]error{"": paths.ErrInstance, "license-agent-acme-my-cad-desktop:x:9:9::/:/x\n": nil} {
		w := &world{root: image(t)}
		must(t, os.WriteFile(w.at("etc/passwd"), []byte(user), 0o644))
		must(t, os.MkdirAll(w.at("usr/local/bin"), 0o755))
		must(t, os.WriteFile(w.at("usr/local/bin/license-agent-acme-my-cad-desktop"), []byte("old"), 0o755))
		target := w.target(false)
		target.Instance = "acme-my-cad-desktop"
		_, errInstall := target.Install(nil)
		_, errUpgrade := target.Upgrade(nil)
		_, errUninstall := target.Uninstall(true)
		if !errors.Is(errInstall, want) || !errors.Is(errUpgrade, want) || errUninstall != nil {
			t.Errorf("user %q: %v, %v, %v", user, errInstall, errUpgrade, errUninstall)
		}
	}
	for registered, manager := range map[string]string{
		"usr/lib/systemd/system/license-agent.service": "linux-systemd",
		"lib/systemd/system/license-agent.service":     "linux-systemd",
		"etc/init.d/license-agent":                     "linux-openrc", // of the apk, and of the deb without systemd
	} {
		w := &world{root: image(t)}
		for _, f := range []string{registered, "usr/bin/license-agent"} {
			must(t, os.MkdirAll(w.at(filepath.Dir(f)), 0o755))
			must(t, os.WriteFile(w.at(f), []byte("of the package"), 0o755))
		}
		target := w.target(false)
		target.Manager = manager
		if _, err := target.Install(nil); !errors.Is(err, ErrPackaged) || !strings.Contains(err.Error(), "/"+registered) {
			t.Errorf("beside a package's %s: %v", registered, err)
		}
		if _, err := target.Uninstall(true); !errors.Is(err, ErrPackaged) {
			t.Errorf("the package's %s would be removed: %v", registered, err)
		}
		target.Instance = "cad"
		if _, err := target.Install(nil); err != nil {
			t.Errorf("an instance beside a package's %s: %v", registered, err)
		}
	}
}

// Init scripts: made executable, enabled and started by the right commands.
func TestOtherManagers(t *testing.T) {
	for manager, enable := range map[string]string{
		"unix-systemv": "update-rc.d license-agent defaults",
		"linux-openrc": "rc-update add license-agent default",
	} {
		w := &world{root: image(t)}
		target := w.target(true)
		target.Manager = manager
		must(t, install(t, target, "one"))
		fi, err := os.Stat(w.at("etc/init.d/license-agent"))
		must(t, err)
		if fi.Mode().Perm() != 0o755 {
			t.Errorf("%s: mode %v", manager, fi.Mode())
		}
		for _, want := range []string{enable, "/etc/init.d/license-agent restart"} {
			if !slices.Contains(w.calls, want) {
				t.Errorf("%s: %q was not called: %v", manager, want, w.calls)
			}
		}
		log := w.at("var/log/license-agent.log") // made by the script
		must(t, os.MkdirAll(filepath.Dir(log), 0o755))
		must(t, os.WriteFile(log, nil, 0o640))
		must(t, uninstall(t, target, false))
		if _, err := os.Stat(log); err != nil {
			t.Errorf("%s: uninstall without purge: %v", manager, err)
		}
		must(t, uninstall(t, target, true))
		for p := range tree(t, w.root) {
			if strings.Contains(p, "license-agent") {
				t.Errorf("%s: %s is left", manager, p)
			}
		}
	}
}
