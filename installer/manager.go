package installer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"licenseagent.example/installer/packaging"
	"licenseagent.example/platform/paths"
	"licenseagent.example/platform/securefile"
	"licenseagent.example/platform/service"
)

// manager is what a plan needs from one service manager. The library that
// platform/service uses installs and starts in one go; a plan needs the parts,
// each with its way back, and works on images too.
type manager struct {
	run      func(context.Context, ...string) (string, error)
	name     string // of the service
	owner    string
	program  string // path below the root
	image    bool
	systemd  bool
	sysusers string // path of the user's declaration, "" where users are made by command
	files    []managed
	reads    []string                    // what a service that runs is restarted for, when it changes
	links    func() (enabled, left bool) // of the boot: those that start it, and any at all
	wants    []string                    // folders of systemd's links, which it removes when they are empty
	on, off  [][]string                  // commands that enable and disable
	barred   [][]string                  // where links can say that it is not to start: commands that make those
	// Where the manager does not say it: nil when the program on the disk answers,
	// and how long that may take after a start.
	serves   func(context.Context) error
	patience time.Duration
}

// patience is how long a service may take to get ready, and to end.
const patience = 30 * time.Second

// ErrSilent is returned for a service that was started and does not answer.
var ErrSilent = errors.New("installer: it was started and does not answer")

// managed is a file that belongs to the service manager.
type managed struct {
	path, text string
	mode       fs.FileMode
}

// manage fills a manager for the target.
func (t Target) manage(l layout) (manager, error) {
	m := manager{run: t.Run, name: l.Service, owner: l.Service, program: t.at(l.names.Program), image: t.Root != "" && !t.live, serves: t.serves, patience: t.patience}
	if m.serves == nil {
		m.serves = func(ctx context.Context) error { return answers(ctx, l.Socket, m.program) }
	}
	if m.patience == 0 {
		m.patience = patience
	}
	want := map[string]string{}
	in := func(argv ...string) []string { // tools that know no other root than their own
		if m.image {
			return append([]string{"chroot", t.Root}, argv...)
		}
		return argv
	}
	switch platform := t.platform(); platform {
	case "linux-systemd":
		m.systemd = true
		m.sysusers = "/etc/sysusers.d/" + l.Service + ".conf"
		dir := "/etc/systemd/system"
		want[packaging.Socket], want[packaging.Service] = path.Join(dir, l.Service+".socket"), path.Join(dir, l.Service+".service")
		want[packaging.Generator] = path.Join("/etc/systemd/system-generators", l.Service)
		m.wants = []string{path.Join(dir, "sockets.target.wants"), path.Join(dir, "multi-user.target.wants")}
		m.links = named(t.at(path.Join(m.wants[0], l.Service+".socket")), t.at(path.Join(m.wants[1], l.Service+".service")))
		ctl := []string{"systemctl"}
		if m.image {
			ctl = append(ctl, "--root="+t.Root)
		}
		units := []string{l.Service + ".socket", l.Service + ".service"}
		m.on = [][]string{append(append(ctl[:len(ctl):len(ctl)], "enable"), units...)}
		m.off = [][]string{append(append(ctl[:len(ctl):len(ctl)], "disable"), units...)}
	case "linux-openrc":
		want[packaging.OpenRC] = "/etc/init.d/" + l.Service
		m.links = named(t.at("/etc/runlevels/default/" + l.Service))
		m.on, m.off = [][]string{in("rc-update", "add", l.Service, "default")}, [][]string{in("rc-update", "del", l.Service, "default")}
	case "unix-systemv":
		want[packaging.SysV] = "/etc/init.d/" + l.Service
		m.links = numbered(t.at("/etc"), l.Service)
		// defaults leaves the links of a service that was disabled as they are.
		defaults := in("update-rc.d", l.Service, "defaults")
		m.on, m.off = [][]string{defaults, in("update-rc.d", l.Service, "enable")}, [][]string{in("update-rc.d", "-f", l.Service, "remove")}
		m.barred = [][]string{defaults, in("update-rc.d", l.Service, "disable")}
	case "":
		return m, service.ErrNoManager
	default:
		return m, fmt.Errorf("%w: %s is not supported", service.ErrNoManager, platform)
	}
	for _, name := range []string{packaging.Socket, packaging.Service, packaging.Generator, packaging.OpenRC, packaging.SysV} {
		to := want[name]
		if to == "" {
			continue
		}
		text, err := packaging.Text(name, l.names)
		if err != nil {
			return m, err
		}
		mode := fs.FileMode(0o755)
		if name == packaging.Socket || name == packaging.Service {
			mode = securefile.PublicFile
		}
		m.files = append(m.files, managed{to, text, mode})
	}
	m.reads = []string{l.names.Program}
	if m.systemd { // which says so, NeedDaemonReload; a script runs once
		m.reads = append(m.reads, want[packaging.Service])
	}
	return m, nil
}

// all runs commands until one fails.
func (m manager) all(ctx context.Context, commands [][]string) error {
	for _, c := range commands {
		if _, err := m.run(ctx, c...); err != nil {
			return err
		}
	}
	return nil
}

// named are links whose names are known.
func named(links ...string) func() (enabled, left bool) {
	return func() (bool, bool) {
		there := 0
		for _, l := range links {
			if _, err := os.Lstat(l); err == nil {
				there++
			}
		}
		return there == len(links), there > 0
	}
}

// numbered are the links of System V. Their numbers are insserv's: they depend on
// what else the machine starts.
func numbered(etc, name string) func() (enabled, left bool) {
	return func() (enabled, left bool) {
		found, err := fs.Glob(os.DirFS(etc), "rc?.d/[SK][0-9][0-9]"+name)
		for _, l := range found {
			enabled = enabled || strings.HasPrefix(l, "rc2.d/S")
		}
		return enabled, err == nil && len(found) > 0
	}
}

// enabled says whether the service starts at boot.
func (m manager) enabled() bool {
	enabled, _ := m.links()
	return enabled
}

// boot are the commands that bring back what the links say now, nil if they do not
// speak of the service.
func (m manager) boot() [][]string {
	switch enabled, left := m.links(); {
	case enabled:
		return m.on
	case left && m.barred != nil:
		return m.barred
	}
	return nil
}

func (m manager) enable() Step {
	before, as := m.enabled(), m.boot()
	return Step{
		Text: "start " + m.name + " at every boot",
		Done: func(context.Context) (bool, error) { return m.enabled(), nil },
		Do:   func(ctx context.Context) error { return m.all(ctx, m.on) },
		Undo: func(ctx context.Context) error {
			switch {
			case before:
				return nil
			case as == nil:
				return m.all(ctx, m.off)
			}
			return m.all(ctx, as)
		},
	}
}

// running says whether the service runs, and whether it runs the program that
// is on the disk now: a run killed between the two leaves an old process.
func (m manager) running(ctx context.Context) (runs, current bool) {
	if m.image {
		return false, false
	}
	if !m.systemd {
		_, err := m.run(ctx, "/etc/init.d/"+m.name, "status")
		return err == nil, err == nil && m.serves(ctx) == nil
	}
	out, err := m.run(ctx, "systemctl", "show", "-p", "ActiveState,MainPID,NeedDaemonReload", m.name+".service")
	if err != nil || !strings.Contains(out, "ActiveState=active") {
		return false, false
	}
	for _, line := range strings.Split(out, "\n") {
		if pid, ok := strings.CutPrefix(line, "MainPID="); ok {
			exe, err := os.Stat("/proc/" + pid + "/exe")
			disk, errDisk := os.Stat(m.program)
			current = err == nil && errDisk == nil && os.SameFile(exe, disk)
		}
	}
	return true, current && strings.Contains(out, "NeedDaemonReload=no")
}

// remember restarts what ran before, when everything after it was taken back.
func (m manager) remember() Step {
	var ran bool
	return Step{
		Do: func(ctx context.Context) error { ran, _ = m.running(ctx); return nil },
		Undo: func(ctx context.Context) error {
			if m.image {
				return nil
			}
			return m.bring(ctx, ran)
		},
	}
}

// bring makes the manager read its files again and the service run or not.
func (m manager) bring(ctx context.Context, run bool) error {
	var commands [][]string
	script := "/etc/init.d/" + m.name
	switch {
	case m.systemd && run:
		// The socket stays open: callers wait in its queue during the restart.
		commands = [][]string{{"systemctl", "daemon-reload"}, {"systemctl", "start", m.name + ".socket"}, {"systemctl", "restart", m.name + ".service"}}
	case m.systemd:
		commands = [][]string{{"systemctl", "daemon-reload"}}
	case run:
		if _, err := m.run(ctx, script, "restart"); err != nil {
			return err
		}
		return m.await(ctx)
	}
	err := m.all(ctx, commands)
	if !run && unbooted(err) {
		return nil // there is nobody who would have to read anything again
	}
	return err
}

// await waits until the program on the disk answers.
func (m manager) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, m.patience)
	defer cancel()
	for {
		err := m.serves(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w within %s, see /var/log/%s.log: %w", ErrSilent, m.patience, m.name, err)
		case <-time.After(pollTime):
		}
	}
}

// pollTime is how often await asks.
const pollTime = 100 * time.Millisecond

// unbooted says whether systemctl found no systemd, as in a container.
func unbooted(err error) bool {
	return err != nil && strings.Contains(err.Error(), "not been booted with systemd")
}

func (m manager) start() Step {
	return Step{
		Text: "start " + m.name + " now, or restart it if it runs an older program",
		Done: func(ctx context.Context) (bool, error) {
			_, current := m.running(ctx)
			return current || m.image, nil
		},
		After: func(changed []string) (bool, error) {
			if m.image {
				return false, nil
			}
			return after(m.reads...)(changed)
		},
		Do:   func(ctx context.Context) error { return m.bring(ctx, true) },
		Undo: m.stop, // remember starts what ran before
	}
}

func (m manager) stop(ctx context.Context) error {
	if m.image {
		return nil
	}
	if m.systemd {
		_, err := m.run(ctx, "systemctl", "stop", m.name+".socket", m.name+".service")
		if err != nil && (strings.Contains(err.Error(), "not loaded") || unbooted(err)) {
			return nil
		}
		return err
	}
	if _, err := os.Stat("/etc/init.d/" + m.name); err != nil {
		return nil
	}
	_, err := m.run(ctx, "/etc/init.d/"+m.name, "stop")
	return err
}

// disable stops the service and takes it out of the boot.
func (m manager) disable() Step {
	var ran bool
	var as [][]string
	return Step{
		Text: "stop " + m.name + " and do not start it at boot any more",
		Done: func(ctx context.Context) (bool, error) {
			runs, _ := m.running(ctx)
			_, left := m.links()
			_, err := os.Lstat(path.Join("/run", m.name, paths.SocketName))
			return !runs && !left && (m.image || err != nil), nil
		},
		Do: func(ctx context.Context) error {
			ran, _ = m.running(ctx)
			as = m.boot()
			if err := m.stop(ctx); err != nil {
				return err
			}
			return m.all(ctx, m.off)
		},
		Undo: func(ctx context.Context) error {
			if err := m.all(ctx, as); err != nil {
				return err
			}
			if ran {
				return m.bring(ctx, true)
			}
			return nil
		},
	}
}

// forget makes systemd drop the removed units from its memory.
func (m manager) forget() Step {
	return Step{
		Text: "make the service manager forget " + m.name,
		After: func(changed []string) (bool, error) {
			units := slices.ContainsFunc(m.files, func(f managed) bool { return slices.Contains(changed, f.path) })
			return units && m.systemd && !m.image, nil
		},
		Done: func(ctx context.Context) (bool, error) {
			if m.image || !m.systemd {
				return true, nil
			}
			out, err := m.run(ctx, "systemctl", "show", "-p", "LoadState", "--value", m.name+".service")
			return err == nil && strings.TrimSpace(out) == "not-found", nil
		},
		Do: func(ctx context.Context) error {
			m.run(ctx, "systemctl", "reset-failed", m.name+".service", m.name+".socket") //nolint:errcheck // usually nothing has failed
			_, err := m.run(ctx, "systemctl", "daemon-reload")
			return err
		},
		Undo: func(ctx context.Context) error { return m.bring(ctx, false) },
	}
}
