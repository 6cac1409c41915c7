package installer

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"time"

	"licenseagent.example/installer/packaging"
	"licenseagent.example/platform/paths"
	"licenseagent.example/platform/securefile"
	"licenseagent.example/platform/service"
)

var (
	// ErrUnsupported is returned for what this system has no plan for.
	ErrUnsupported = errors.New("installer: not on this operating system")
	// ErrPackaged is returned when the unnamed instance belongs to a package:
	// two owners of one file would undo each other's work.
	ErrPackaged = errors.New("installer: this machine has the agent from a package")
	// ErrMissing is returned by Upgrade when there is nothing to upgrade.
	ErrMissing = errors.New("installer: not installed; use: license-agent install")
)

// Target is the machine, or the image, that an instance is installed on.
type Target struct {
	// Root is the directory that holds the file tree of an image; empty for this
	// machine. In an image nothing is started, and no key is made: a key in an
	// image would make all its copies one device.
	Root string
	// Instance is the name of the instance, "" for the unnamed one.
	Instance string
	// Manager is the service manager as service.Platform names it; empty means
	// the one of this machine, and systemd for an image.
	Manager string
	// Run runs a program of the system, by name, and returns what it printed. nil
	// runs it for real.
	Run func(ctx context.Context, argv ...string) (string, error)
	// Anchor is a trust anchor to install as AnchorName, a plain file name; nil
	// for none. The caller has parsed it.
	Anchor     []byte
	AnchorName string
	// Packaged says that program and registration belong to a package, which
	// cannot express the rest: Windows Installer knows no quotes around the path
	// of a service, no restrictions and no access lists for folders.
	Packaged bool
	// KeepUnhardened keeps a service although the service manager has refused to
	// take a right from it.
	KeepUnhardened bool
	// For tests: hook is told each place at which the process may be killed; live
	// treats Root as a machine that runs; serves and patience are the manager's.
	hook     func(string)
	live     bool
	serves   func(context.Context) error
	patience time.Duration
}

// layout is what a plan speaks about.
type layout struct {
	paths.Paths
	names   packaging.Names
	manager manager
}

// bin is where the program goes: the directory of the File Hierarchy Standard
// for programs that no package owns. It has the label that SELinux wants for a
// service, which /usr/local/lib does not. Each instance has a program of its
// own, so that two vendors can be at two versions.
const bin = "/usr/local/bin"

func (t Target) at(p string) string { return filepath.Join(t.Root, p) }

func (t Target) point(where string) {
	if t.hook != nil {
		t.hook(where)
	}
}

func (t Target) layout() (layout, error) {
	p, err := paths.For(t.Instance)
	if err != nil {
		return layout{}, err
	}
	if err := t.sound(); err != nil {
		return layout{}, err
	}
	if t.Instance == "" {
		// Where deb, rpm and apk register the service; the program tells it from a
		// script that install has written.
		for _, of := range []string{"/usr/lib/systemd/system/" + packaging.Service, "/lib/systemd/system/" + packaging.Service, "/etc/init.d/" + paths.Program} {
			_, err := os.Lstat(t.at(of))
			_, errProgram := os.Lstat(t.at("/usr/bin/" + paths.Program))
			if err == nil && errProgram == nil {
				return layout{}, fmt.Errorf("%w (%s): use apt, dnf or apk, or --instance NAME for another instance beside it", ErrPackaged, of)
			}
		}
	}
	// An instance of the package's template has the same user, folders and socket,
	// and goes with the package. Its user is told by license-agent-user@.service.
	if templated, err := t.line("/etc/passwd", p.Service+":", ":License agent "+t.Instance+" (package):"); err != nil {
		return layout{}, err
	} else if templated {
		return layout{}, fmt.Errorf("%w (%s@%s.service): go on with that one, or use --instance with another name", ErrPackaged, paths.Program, t.Instance)
	}
	if t.Run == nil {
		t.Run = command
	}
	l := layout{Paths: p, names: packaging.Names{Service: p.Service, Instance: t.Instance, Program: path.Join(bin, p.Service)}}
	l.manager, err = t.manage(l)
	return l, err
}

// command runs a program of the system with a short environment: what the
// caller has in PATH or LD_PRELOAD must not decide what root runs.
func command(ctx context.Context, argv ...string) (string, error) {
	if err := keepDescriptors(); err != nil {
		return "", err
	}
	program, _ := find("", argv[0])
	cmd := exec.CommandContext(ctx, program, argv[1:]...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "SYSTEMD_PAGER=", "SYSTEMD_COLORS=0"}
	out, err := cmd.CombinedOutput()
	text := strings.TrimSpace(string(out))
	if err != nil {
		return text, fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, text)
	}
	return text, nil
}

// find looks for a program in the directories of the system at root only.
func find(root, name string) (program string, there bool) {
	if filepath.IsAbs(name) {
		return name, true
	}
	for _, dir := range []string{"/usr/sbin", "/usr/bin", "/sbin", "/bin"} {
		program = filepath.Join(root, dir, name)
		if _, err := os.Stat(program); err == nil {
			return program, true
		}
	}
	return filepath.Join(root, "/usr/bin", name), false // the error will name it
}

// Install plans that the instance is there, starts at boot, and, unless the
// target is an image, runs now. program is the content of the program. What is
// there already is left or replaced, so that Install also repairs and upgrades.
// The configuration and the state are never replaced.
func (t Target) Install(program []byte) (Plan, error) {
	if t.windows() {
		w, err := t.onWindows()
		if err != nil {
			return Plan{}, err
		}
		return w.install(program), nil
	}
	l, err := t.layout()
	if err != nil {
		return Plan{}, err
	}
	config, err := packaging.Text(packaging.Config, l.names)
	if err != nil {
		return Plan{}, err
	}
	if err := t.canHaveUser(l); err != nil {
		return Plan{}, err
	}
	if err := t.canEnable(l); err != nil {
		return Plan{}, err
	}
	t.Run = l.manager.run
	steps := []Step{l.manager.remember()}
	dirs := []string{bin, "/etc"}
	for _, f := range l.manager.files {
		dirs = append(dirs, path.Dir(f.path))
	}
	if l.manager.sysusers != "" {
		dirs = append(dirs, path.Dir(l.manager.sysusers))
	}
	for _, dir := range chains(dirs...) {
		steps = append(steps, t.shared(dir))
	}
	steps = append(steps,
		t.file(l.names.Program, program, 0o755, false),
		t.directory(l.Config), t.directory(path.Join(l.Config, "anchors")),
		t.file(path.Join(l.Config, packaging.Config), []byte(config), securefile.PublicFile, true),
	)
	if t.Anchor != nil {
		steps = append(steps, t.file(path.Join(l.Config, "anchors", t.AnchorName), t.Anchor, securefile.PublicFile, false))
	}
	steps = append(steps, l.manager.user(t)...)
	for _, f := range l.manager.files {
		steps = append(steps, t.file(f.path, []byte(f.text), f.mode, false))
	}
	return t.inside(Plan{append(steps, l.manager.enable(), l.manager.start())})
}

// canHaveUser refuses a name that is too long for the user of a service. Where the
// user is there, made by tools that take more, the instance goes on.
func (t Target) canHaveUser(l layout) error {
	if len(t.Instance) <= paths.MaxUser {
		return nil
	}
	if there, err := t.account("/etc/passwd", l.Service); err != nil || there {
		return err
	}
	return fmt.Errorf("%w: no user can be called %s; nothing was changed; use --instance with a name of at most %d characters", paths.ErrInstance, l.Service, paths.MaxUser)
}

// canEnable refuses a system without the tool by which a script starts at boot: most
// containers look like System V and have none, and the plan would end at that step.
func (t Target) canEnable(l layout) error {
	if t.Run != nil || l.manager.systemd { // systemd's is there where systemd is
		return nil
	}
	root, name := "", l.manager.on[0][0]
	if name == "chroot" {
		root, name = l.manager.on[0][1], l.manager.on[0][2]
	}
	if _, there := find(root, name); there {
		return nil
	}
	return fmt.Errorf("nothing was changed; %s is not here: %w", name, service.ErrNoManager)
}

// Upgrade is Install on a machine that has the instance, and ErrMissing
// elsewhere.
func (t Target) Upgrade(program []byte) (Plan, error) {
	if t.windows() {
		w, err := t.onWindows()
		if err != nil {
			return Plan{}, err
		}
		return w.upgrade(program)
	}
	l, err := t.layout()
	if err != nil {
		return Plan{}, err
	}
	if _, err := os.Lstat(t.at(l.names.Program)); errors.Is(err, fs.ErrNotExist) {
		return Plan{}, ErrMissing
	}
	return t.Install(program)
}

// Uninstall plans that program and service are gone. State and configuration
// stay, so that the same version or a later one goes on with the same license;
// purge removes them and the user as well.
func (t Target) Uninstall(purge bool) (Plan, error) {
	if t.windows() {
		w, err := t.onWindows()
		if err != nil {
			return Plan{}, err
		}
		return w.uninstall(purge), nil
	}
	l, err := t.layout()
	if err != nil {
		return Plan{}, err
	}
	t.Run = l.manager.run
	steps := []Step{l.manager.disable()}
	for _, dir := range l.manager.wants { // a systemctl that was killed had made it, and no link in it
		steps = append(steps, t.vacant(dir))
	}
	for _, f := range l.manager.files {
		steps = append(steps, t.absent(f.path))
		if dir := path.Dir(f.path); path.Base(dir) == "system-generators" { // most machines have none
			steps = append(steps, t.vacant(dir))
		}
	}
	steps = append(steps, l.manager.forget())
	if purge && l.manager.sysusers != "" {
		steps = append(steps, t.absent(l.manager.sysusers), t.vacant(path.Dir(l.manager.sysusers)))
	}
	steps = append(steps, t.absent(l.names.Program))
	// From here on there is no way back.
	if !l.manager.image {
		steps = append(steps, t.gone(l.Runtime, "the socket"))
	}
	if purge {
		steps = append(steps, t.gone(l.State, "licenses and device key"), t.gone(l.Config, "configuration and trust anchors"))
		if l.manager.systemd {
			for _, unit := range []string{".socket", ".service"} {
				steps = append(steps, t.gone("/etc/systemd/system/"+l.Service+unit+".d", "what was added to the unit"))
			}
		} else { // no journal
			steps = append(steps, t.gone(l.Logs+".log", "what the service has said"))
		}
		steps = append(steps, l.manager.noUser(t)...)
	}
	return t.inside(Plan{steps})
}

// windows says whether the target is a Windows machine, which has plans of its own.
func (t Target) windows() bool { return t.platform() == "windows-service" }

// account says whether a line of passwd(5) or group(5) has this name.
func (t Target) account(file, name string) (bool, error) { return t.line(file, name+":", "") }

// line says whether a line of a file begins so and has this in it.
func (t Target) line(file, begin, within string) (bool, error) {
	f, err := os.Open(t.at(file))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close() //nolint:errcheck // read only
	sc := bufio.NewScanner(f)
	for sc.Scan() {
		if strings.HasPrefix(sc.Text(), begin) && strings.Contains(sc.Text(), within) {
			return true, nil
		}
	}
	return false, sc.Err()
}

// platform is the service manager to plan for.
func (t Target) platform() string {
	switch {
	case t.Manager != "":
		return t.Manager
	case t.Root != "":
		return "linux-systemd"
	}
	return service.Platform()
}
