package installer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/registry"

	"licenseagent.example/installer/packaging"
	"licenseagent.example/platform/ipc"
	"licenseagent.example/platform/paths"
	"licenseagent.example/platform/securefile"
	"licenseagent.example/platform/service"
)

// windowsTarget is one instance on this Windows.
type windowsTarget struct {
	Target
	paths.Paths
	control *service.Control
	folder  string // below Program Files, where only administrators may write
	program string
	sid     string // of the service's virtual account
}

// onWindows finds out what a plan speaks about. Program Files and ProgramData
// come from the system's table of known folders, not from the environment,
// which belongs to whoever started this.
func (t Target) onWindows() (windowsTarget, error) {
	w := windowsTarget{Target: t}
	if t.Root != "" {
		return w, fmt.Errorf("%w: there are no images on Windows", ErrUnsupported)
	}
	var err error
	if w.Paths, err = paths.For(t.Instance); err != nil {
		return w, err
	}
	files, err := windows.KnownFolderPath(windows.FOLDERID_ProgramFiles, 0)
	if err != nil {
		return w, fmt.Errorf("installer: Program Files folder: %w", err)
	}
	w.folder = filepath.Join(files, w.Service)
	w.program = filepath.Join(w.folder, paths.Program+".exe")
	w.sid = ipc.ServiceSID(w.Service)
	display := "License Agent"
	arguments := []string{"run"}
	if t.Instance != "" {
		display += " (" + t.Instance + ")"
		arguments = append(arguments, "--instance", t.Instance)
	}
	w.control, err = service.NewControl(service.Definition{
		Name: w.Service, DisplayName: display, Executable: w.program, Arguments: arguments,
		Description: "Keeps the licenses of this machine alive and answers programs that ask whether they may run.",
	})
	if err != nil {
		return w, err
	}
	if t.Packaged {
		if _, err := os.Lstat(w.program); err != nil {
			return w, fmt.Errorf("%w: the package has not put %s there: %w", ErrMissing, w.program, err)
		}
		return w, nil
	}
	if owner := packageOf(w.Service); owner != "" {
		return w, fmt.Errorf("%w (%s): use Apps in the settings or msiexec, or --instance NAME for another instance beside it", ErrPackaged, owner)
	}
	return w, nil
}

// packageKey is where a package says that an instance is its own.
const packageKey = `SOFTWARE\license-agent\`

// packageOf names the package that has installed the instance, "" for none.
func packageOf(service string) string {
	k, err := registry.OpenKey(registry.LOCAL_MACHINE, packageKey+service, registry.QUERY_VALUE)
	if err != nil {
		return ""
	}
	defer k.Close()
	product, _, err := k.GetStringValue("Package")
	if err != nil {
		return ""
	}
	return product
}

// base is the folder below ProgramData that holds the others.
func (w windowsTarget) base() string { return filepath.Dir(w.State) }

// install plans that the instance is there and runs.
func (w windowsTarget) install(program []byte) Plan {
	steps := []Step{w.settle(false), w.remember()}
	if !w.Packaged {
		steps = append(steps, w.directory(w.folder), w.pause(program), w.file(w.program, program, 0o755, false))
	}
	steps = append(steps,
		w.granted(w.base(), securefile.GrantConfig), w.granted(w.Config, securefile.GrantConfig),
		w.granted(filepath.Join(w.Config, "anchors"), securefile.GrantConfig), w.granted(w.State, securefile.GrantState),
		w.granted(w.Runtime, securefile.GrantPublic),
		w.config(),
	)
	if w.Anchor != nil {
		steps = append(steps, w.file(filepath.Join(w.Config, "anchors", w.AnchorName), w.Anchor, securefile.PublicFile, false))
	}
	return Plan{append(steps, w.register(), w.configure(), w.start())}
}

// upgrade is install where there is something.
func (w windowsTarget) upgrade(program []byte) (Plan, error) {
	if _, err := os.Lstat(w.program); errors.Is(err, fs.ErrNotExist) {
		return Plan{}, ErrMissing
	}
	return w.install(program), nil
}

// uninstall plans that service and program are gone.
func (w windowsTarget) uninstall(purge bool) Plan {
	steps := []Step{w.settle(w.Packaged), w.unregister()}
	if !w.Packaged {
		steps = append(steps, w.delete(), w.vacant(w.folder))
	}
	// From here on there is no way back.
	if purge {
		steps = append(steps, w.gone(w.base(), "licenses, device key, configuration and trust anchors"))
	} else {
		steps = append(steps, w.gone(w.Runtime, "the public copies of the licenses"))
	}
	return Plan{steps}
}

// config writes the default configuration, unless there is one.
func (w windowsTarget) config() Step {
	text, err := packaging.Text(packaging.Config, packaging.Names{Service: w.Service, Instance: w.Target.Instance})
	step := w.file(filepath.Join(w.Config, packaging.Config), []byte(strings.ReplaceAll(text, "\n", "\r\n")), securefile.PublicFile, true)
	if err != nil {
		step.Do = func(context.Context) error { return err }
	}
	return step
}

// granted makes a folder below ProgramData with its access list.
func (w windowsTarget) granted(path string, g securefile.Grant) Step {
	made := false
	return Step{
		Text: "create " + path + " with its access list",
		Done: func(context.Context) (bool, error) { return securefile.Granted(path, w.sid, g) },
		Do: func(context.Context) error {
			_, err := os.Lstat(path)
			made = errors.Is(err, fs.ErrNotExist)
			w.point("grant " + filepath.Base(path))
			return securefile.MakeGranted(path, w.sid, g)
		},
		Undo: func(context.Context) error {
			if !made {
				return nil
			}
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			return nil
		},
	}
}

// state asks the manager; a service that it does not know does not run.
func (w windowsTarget) state() (service.State, error) {
	s, err := w.control.State()
	if errors.Is(err, service.ErrNotInstalled) {
		return service.StateStopped, nil
	}
	return s, err
}

// settle waits for what the service manager goes on with when a run was killed:
// a service that is being started is not one that runs, one that is being stopped
// holds its program, and one that is marked for deletion cannot be made again.
func (w windowsTarget) settle(mayStay bool) Step {
	return Step{
		Text: "wait for what an interrupted run began",
		Done: func(context.Context) (bool, error) { return w.control.Settled() },
		Do: func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			w.point("settle")
			err := w.control.Settle(ctx)
			if mayStay && errors.Is(err, service.ErrMarkedForDeletion) {
				return nil
			}
			return err
		},
		Undo: func(context.Context) error { return nil }, // time has passed
	}
}

// remember starts what ran before, when everything after it was taken back.
func (w windowsTarget) remember() Step {
	ran := false
	return Step{
		Do: func(context.Context) error {
			s, err := w.state()
			ran = s == service.StateRunning
			return err
		},
		Undo: func(ctx context.Context) error {
			if !ran {
				return nil
			}
			return w.run(ctx)
		},
	}
}

// run starts the service unless it runs already, and waits until it answers.
func (w windowsTarget) run(ctx context.Context) error {
	if s, err := w.control.State(); err != nil || s == service.StateRunning {
		return err
	}
	if err := w.control.Start(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return w.control.Await(ctx)
}

// stop stops the service and waits until its process has let go of the files.
func (w windowsTarget) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if s, err := w.state(); err != nil || s == service.StateStopped {
		return err
	}
	return w.control.Stop(ctx)
}

// pause stops the service while the program is exchanged: Windows does not
// replace a program that runs.
func (w windowsTarget) pause(program []byte) Step {
	return Step{
		Text:    "stop " + w.Service + " while its program is replaced",
		Changes: []string{w.Service},
		Done: func(context.Context) (bool, error) {
			s, err := w.state()
			if err != nil || s == service.StateStopped {
				return true, err
			}
			now, err := save(w.program)
			return now != nil && string(now.content) == string(program), err
		},
		Do:   func(ctx context.Context) error { w.point("pause"); return w.stop(ctx) },
		Undo: func(context.Context) error { return nil }, // remember starts it
	}
}

// register makes the service known.
func (w windowsTarget) register() Step {
	made := false
	return Step{
		Text: "register service " + w.Service,
		Done: func(context.Context) (bool, error) {
			_, err := w.control.State()
			if errors.Is(err, service.ErrNotInstalled) {
				return false, nil
			}
			return err == nil, err
		},
		Do: func(context.Context) error {
			made = true
			w.point("register")
			return w.tolerate(w.control.Install())
		},
		Undo: func(ctx context.Context) error {
			if !made {
				return nil
			}
			return w.forget(ctx)
		},
	}
}

// configure gives a service that an older version, a package or a person has
// made the settings that Install gives.
func (w windowsTarget) configure() Step {
	return Step{
		Text: "give service " + w.Service + " its account and restrictions",
		Done: func(context.Context) (bool, error) {
			d, err := w.control.Differs()
			if errors.Is(err, service.ErrNotInstalled) {
				return false, nil // an earlier step will have registered it
			}
			return err == nil && len(d) == 0, err
		},
		Do: func(context.Context) error {
			w.point("configure")
			return w.tolerate(w.control.Configure())
		},
		Undo: func(context.Context) error { return nil }, // the settings only take rights away
	}
}

// tolerate lets a service with more rights than intended stay where the
// operator has said so.
func (w windowsTarget) tolerate(err error) error {
	if errors.Is(err, service.ErrNotHardened) {
		if w.KeepUnhardened {
			return nil
		}
		return fmt.Errorf("%w; this is not a Windows that the agent knows: --keep-unhardened installs it all the same", err)
	}
	return err
}

func (w windowsTarget) start() Step {
	return Step{
		Text: "start " + w.Service,
		Done: func(context.Context) (bool, error) {
			s, err := w.state()
			return s == service.StateRunning, err
		},
		After: after(w.Service), // it was stopped
		Do:    func(ctx context.Context) error { w.point("start"); return w.run(ctx) },
		Undo:  w.stop, // remember starts what ran before
	}
}

// forget stops the service and removes it.
func (w windowsTarget) forget(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := w.control.Uninstall(ctx); err != nil && !errors.Is(err, service.ErrNotInstalled) {
		return err
	}
	return w.control.Trace()
}

func (w windowsTarget) unregister() Step {
	var was, ran bool
	return Step{
		Text: "stop and remove service " + w.Service,
		Done: func(context.Context) (bool, error) {
			_, err := w.control.State()
			if errors.Is(err, service.ErrNotInstalled) {
				return !w.control.Traced(), nil
			}
			return false, err
		},
		Do: func(ctx context.Context) error {
			s, err := w.control.State()
			was, ran = err == nil, s == service.StateRunning
			w.point("unregister")
			err = w.forget(ctx)
			if w.Packaged && errors.Is(err, service.ErrMarkedForDeletion) {
				return nil // it has stopped, and goes when the last window that shows it is closed
			}
			return err
		},
		Undo: func(ctx context.Context) error {
			if !was {
				return nil
			}
			if _, err := w.control.State(); errors.Is(err, service.ErrNotInstalled) {
				if err := w.control.Install(); err != nil && !errors.Is(err, service.ErrNotHardened) {
					return err
				}
			}
			if ran {
				return w.run(ctx)
			}
			return nil
		},
	}
}

// delete removes the program. Windows does not delete a program that runs, and
// the one that runs may be this one: it is renamed, so that its name is free,
// and removed at the next start of the system.
func (w windowsTarget) delete() Step {
	step := w.absent(w.program)
	remove := step.Do
	step.Do = func(ctx context.Context) error {
		err := remove(ctx)
		if err == nil || !errors.Is(err, fs.ErrPermission) {
			return err
		}
		self, errSelf := os.Executable()
		if errSelf != nil || !strings.EqualFold(self, w.program) {
			return fmt.Errorf("%w; find out which program runs from there or holds it open, for example a virus scanner, and run the command again", err)
		}
		part := partial(w.program)
		if err := os.Rename(w.program, part); err != nil {
			return err
		}
		return errors.Join(atRestart(part), atRestart(w.folder))
	}
	return step
}

// atRestart makes the system remove a file or an empty folder when it starts.
func atRestart(path string) error {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return err
	}
	return windows.MoveFileEx(name, nil, windows.MOVEFILE_DELAY_UNTIL_REBOOT)
}
