package service

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	kardianos "github.com/kardianos/service"
)

// Definition says what the service manager should know about one instance.
type Definition struct {
	Name        string   // license-agent or license-agent-NAME
	DisplayName string   // shown in lists of services
	Description string   // one sentence
	Executable  string   // absolute path of the program; it may contain spaces
	Arguments   []string // "run" and options
	// User is the account. Empty means the default: on Windows the virtual
	// account NT SERVICE\Name, elsewhere what Script says.
	User string
	// Script is the text of the unit or init script for the manager found here,
	// see Platform. The caller owns it, because packages ship the same text.
	// Empty takes the library's own script on managers other than systemd, whose
	// default unit would run as root without any confinement and is refused.
	Script string
}

// Control asks the service manager of this machine about one service.
type Control struct {
	def      Definition
	manager  kardianos.Service
	platform string
	harden   func(Definition) error
	// exit finds the service's process and gives a function that waits for its
	// end; nil where the manager's "stopped" means that it has ended.
	exit func(name string) (wait func(context.Context) error, err error)
	// look tells what State does not: what the service is about to be, and
	// whether it is marked for deletion; nil where no manager has that.
	look func(name string) (state State, marked bool, err error)
}

// Platform names the service manager of this machine as kardianos/service does:
// "linux-systemd", "linux-openrc", "unix-systemv", "linux-upstart",
// "windows-service", or "" if there is none.
func Platform() string { return kardianos.Platform() }

// NewControl prepares to talk to the manager; nothing is changed yet.
func NewControl(def Definition) (*Control, error) {
	platform := Platform()
	cfg, err := config(def, platform)
	if err != nil {
		return nil, err
	}
	m, err := kardianos.New(nothing{}, cfg)
	if errors.Is(err, kardianos.ErrNoServiceSystemDetected) {
		return nil, ErrNoManager
	}
	if err != nil {
		return nil, fmt.Errorf("service: %w", err)
	}
	return &Control{def: def, manager: m, platform: platform, harden: harden, exit: processExit(), look: looker()}, nil
}

// nothing stands where the library wants a program: Control never runs one.
type nothing struct{}

func (nothing) Start(kardianos.Service) error { return nil }
func (nothing) Stop(kardianos.Service) error  { return nil }

// config translates a definition for one platform. Options go in with exactly
// the types that the library looks for; it ignores others silently.
func config(def Definition, platform string) (*kardianos.Config, error) {
	bad := func(what string) error { return fmt.Errorf("%w: %s", ErrDefinition, what) }
	switch {
	case def.Name == "" || strings.ContainsAny(def.Name, " \t/\\\"'%"):
		return nil, bad("name")
	case !filepath.IsAbs(def.Executable) || strings.ContainsAny(def.Executable, "\"\n"):
		return nil, bad("executable must be an absolute path without quotes")
	case platform == "linux-systemd" && def.Script == "":
		return nil, bad("no unit text for systemd")
	case strings.Contains(def.Script, "{{"):
		// The library would take that for a template of its own.
		return nil, bad("script contains {{")
	}
	cfg := &kardianos.Config{
		Name: def.Name, DisplayName: def.DisplayName, Description: def.Description,
		Executable: def.Executable, Arguments: def.Arguments, UserName: def.User,
		Option: kardianos.KeyValue{},
	}
	switch platform {
	case "windows-service":
		cfg.UserName = def.account()
		cfg.Option["DelayedAutoStart"] = true
		cfg.Option["StartType"] = "automatic"
	case "linux-systemd":
		cfg.Option["SystemdScript"] = def.Script
	case "linux-openrc":
		cfg.Option["OpenRCScript"] = def.Script
	case "linux-upstart":
		cfg.Option["UpstartScript"] = def.Script
	case "linux-rcs":
		cfg.Option["RCSScript"] = def.Script
	case "unix-systemv":
		cfg.Option["SysvScript"] = def.Script
	}
	return cfg, nil
}

// Install makes the service known and starts it at every boot from now on; it
// does not start it now. If the manager refuses half-way, what was done is
// undone. ErrNotHardened means that it is installed, see there.
func (c *Control) Install() error {
	switch _, err := c.State(); {
	case err == nil:
		return fmt.Errorf("%w: %s", ErrExists, c.def.Name)
	case errors.Is(err, ErrAccess):
		return err
	}
	if err := classify(c.manager.Install()); err != nil {
		err = fmt.Errorf("service: install %s: %w", c.def.Name, err)
		if errors.Is(err, ErrMarkedForDeletion) || errors.Is(err, ErrAccess) {
			return err // nothing was made
		}
		if undo := classify(c.manager.Uninstall()); undo != nil && !errors.Is(undo, ErrNotInstalled) {
			err = fmt.Errorf("%w (and what was made could not be removed: %w)", err, undo)
		}
		return err
	}
	if err := c.harden(c.def); err != nil {
		return fmt.Errorf("%w: %w", ErrNotHardened, err)
	}
	return nil
}

// Uninstall stops the service, waits for it, and makes the manager forget it.
// ErrNotInstalled if it does not know it.
func (c *Control) Uninstall(ctx context.Context) error {
	state, err := c.State()
	if err != nil {
		return err
	}
	if state != StateStopped {
		if err := c.Stop(ctx); err != nil {
			return err
		}
	}
	err = classify(c.manager.Uninstall())
	if err != nil && !errors.Is(err, ErrMarkedForDeletion) { // which it was before
		// Somebody else was quicker, or what came after the removal failed.
		if _, now := c.State(); errors.Is(now, ErrNotInstalled) {
			return nil
		}
		return fmt.Errorf("service: remove %s: %w", c.def.Name, err)
	}
	return c.vanish(ctx, time.After)
}

// vanish waits until the manager has forgotten a removed service. Windows keeps
// it, marked for deletion, while anybody has it open, and refuses to make it
// again. A short while is normal: managers let go of it after their answer, and a
// program that is ending when it has ended.
func (c *Control) vanish(ctx context.Context, after func(time.Duration) <-chan time.Time) error {
	for range vanishTries {
		if _, err := c.State(); err != nil {
			if errors.Is(err, ErrNotInstalled) {
				return nil
			}
			return err
		}
		select {
		case <-after(vanishPause):
		case <-ctx.Done():
			return fmt.Errorf("%w: %s: %w", ErrMarkedForDeletion, c.def.Name, ctx.Err())
		}
	}
	return fmt.Errorf("%w: %s", ErrMarkedForDeletion, c.def.Name)
}

// vanish looks so often, so long apart: as long as an agent may take to end.
const (
	vanishTries = int(StopTimeout / vanishPause)
	vanishPause = 100 * time.Millisecond
)

// Start asks the manager to start the service; one that runs, or is about to, is
// left alone.
func (c *Control) Start() error {
	if err := classify(c.manager.Start()); err != nil && !errors.Is(err, errRuns) {
		return fmt.Errorf("service: start %s: %w", c.def.Name, err)
	}
	return nil
}

// Stop asks the manager to stop the service and waits until it has, or until
// ctx ends (ErrStopTimeout): the library itself would wait for ever.
func (c *Control) Stop(ctx context.Context) error {
	ended, err := c.ending()
	if err != nil {
		return fmt.Errorf("service: stop %s: %w", c.def.Name, err)
	}
	done := make(chan error, 1)
	go func() { done <- classify(c.manager.Stop()) }()
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("service: stop %s: %w", c.def.Name, err)
		}
		return ended(ctx)
	case <-ctx.Done():
		return fmt.Errorf("%w: %s: %w", ErrStopTimeout, c.def.Name, ctx.Err())
	}
}

// ending finds the process that the service has now, and gives a function that
// waits for its end (ErrStopTimeout).
func (c *Control) ending() (wait func(context.Context) error, err error) {
	if c.exit == nil {
		return func(context.Context) error { return nil }, nil
	}
	exit, err := c.exit(c.def.Name)
	if err != nil {
		return nil, classify(err)
	}
	return func(ctx context.Context) error {
		if err := exit(ctx); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrStopTimeout, c.def.Name, err)
		}
		return nil
	}, nil
}

// State asks the manager: StateRunning or StateStopped. ErrNotInstalled if it
// does not know the service.
func (c *Control) State() (State, error) {
	s, err := c.manager.Status()
	if err != nil && strings.Contains(err.Error(), "failed state") {
		// The library reports a unit that systemd gave up on as a nameless error;
		// it is installed and does not run.
		return StateStopped, nil
	}
	if err != nil {
		return StateUnknown, classify(err)
	}
	switch s {
	case kardianos.StatusRunning:
		return StateRunning, nil
	case kardianos.StatusStopped:
		return StateStopped, nil
	}
	return StateUnknown, nil
}

// classify gives known errors our names and leaves the others as they are.
func classify(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, kardianos.ErrNotInstalled):
		return ErrNotInstalled
	case errors.Is(err, kardianos.ErrNoServiceSystemDetected):
		return ErrNoManager
	}
	return classifySystem(err)
}
