package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"licenseagent.example/agent/api"
	"licenseagent.example/installer"
	"licenseagent.example/platform/paths"
	"licenseagent.example/platform/service"
)

// installOptions are shared by install, upgrade, uninstall and plan.
type installOptions struct {
	root, manager string
	purge         bool
}

func (o *installOptions) flags(c *cobra.Command) {
	c.Flags().StringVar(&o.root, "root", "", "directory with the files of an image: nothing is started there and no key is made")
	c.Flags().StringVar(&o.manager, "manager", "", "linux-systemd, linux-openrc or unix-systemv; default: the one of this machine")
}

func (a *app) installCmd() *cobra.Command {
	var o installOptions
	c := &cobra.Command{
		Use:   "install",
		Short: "Install this program as a service, where there is no package for it",
		Long: `Copies this program to /usr/local/bin, makes the user, the units and a default
configuration, and starts the service. What is there already stays; running it
again repairs an installation that was interrupted. If a step fails, what was
done is taken back. Nothing is activated and the network is not used.
"license-agent plan install" shows the steps first.

` + exitHelp,
		Args: a.args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return a.change(c.Context(), "install", o) },
	}
	o.flags(c)
	return c
}

// planOf makes the plan of one verb.
func (a *app) planOf(verb string, o installOptions) (installer.Plan, error) {
	t := installer.Target{Root: o.root, Instance: a.instance, Manager: o.manager}
	if verb == "uninstall" {
		p, err := t.Uninstall(o.purge)
		return p, a.installProblem(err)
	}
	exe, err := a.executable()
	if err != nil {
		return installer.Plan{}, err
	}
	program, err := os.ReadFile(exe)
	if err != nil {
		return installer.Plan{}, err
	}
	if verb == "upgrade" {
		p, err := t.Upgrade(program)
		return p, a.installProblem(err)
	}
	p, err := t.Install(program)
	return p, a.installProblem(err)
}

// change carries a plan out and says each step.
func (a *app) change(ctx context.Context, verb string, o installOptions) error {
	if os.Geteuid() > 0 { // -1 on Windows
		return a.problem(api.CodePermission, errors.New("installing and removing changes the system: run it as root"))
	}
	p, err := a.planOf(verb, o)
	if err != nil {
		return err
	}
	steps := []string{}
	err = p.Apply(ctx, func(text string) {
		steps = append(steps, text)
		if a.output == "text" {
			fmt.Fprintln(a.stdout, "  "+printable(text))
		}
	})
	if err != nil {
		return a.installProblem(err)
	}
	if a.output == "json" {
		return a.json(struct {
			Done []string `json:"done"`
		}{steps})
	}
	if len(steps) == 0 {
		fmt.Fprintln(a.stdout, "  "+a.label("nothing"))
	}
	return nil
}

// installProblem gives the installer's refusals their code.
func (a *app) installProblem(err error) error {
	for _, refusal := range []error{installer.ErrPackaged, installer.ErrMissing, installer.ErrUnsupported, paths.ErrInstance, service.ErrNoManager} {
		if errors.Is(err, refusal) {
			return a.problem(api.CodeUsage, err)
		}
	}
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", a.asProblem(err), err) // the code that fits, and the step that failed
}
