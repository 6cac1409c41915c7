package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"licenseagent.example/activation/license"
	"licenseagent.example/agent/api"
	"licenseagent.example/installer"
	"licenseagent.example/platform/paths"
	"licenseagent.example/platform/securefile"
	"licenseagent.example/platform/service"
	"licenseagent.example/store"
)

// installOptions are shared by install, upgrade, uninstall and plan.
type installOptions struct {
	root, manager    string
	anchor, merchant string
	purge            bool
	packaged, keep   bool
}

func (o *installOptions) flags(c *cobra.Command) {
	c.Flags().StringVar(&o.root, "root", "", "directory with the files of an image: nothing is started there and no key is made")
	c.Flags().StringVar(&o.manager, "manager", "", "linux-systemd, linux-openrc or unix-systemv; default: the one of this machine")
	c.Flags().BoolVar(&o.packaged, "packaged", false, "for packages on Windows: program and registration are the package's, do the rest")
	if err := c.Flags().MarkHidden("packaged"); err != nil {
		panic(err) // the line above defines it
	}
}

// vendor adds the options of commands that may make a vendor known.
func (o *installOptions) vendor(c *cobra.Command) {
	c.Flags().StringVar(&o.anchor, "anchor", "", "trust anchor file of the vendor to install")
	c.Flags().StringVar(&o.merchant, "merchant", "", "with --anchor: URL of the merchant service as it is reached from here, instead of the one in the file")
	c.Flags().BoolVar(&o.keep, "keep-unhardened", false, "Windows: keep the service even if the service manager refuses to take rights from it")
}

func (a *app) installCmd() *cobra.Command {
	var o installOptions
	c := &cobra.Command{
		Use:   "install",
		Short: "Install this program as a service, where there is no package for it",
		Long: `Copies this program to its place, makes the user or account, the units or the
service and a default configuration, and starts it. What is there already stays; running it
again repairs an installation that was interrupted. If a step fails, what was
done is taken back. Nothing is activated and the network is not used.
"license-agent plan install" shows the steps first.

` + exitHelp,
		Args: a.args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return a.change(c.Context(), "install", o) },
	}
	o.flags(c)
	o.vendor(c)
	return c
}

// wholeMachine refuses what seems to confine a command that nothing confines: who
// removes the agent of a folder would lose the licenses of the machine. A product's
// shell may have set the socket, which is asked nothing here. What a package runs
// has the variables of Windows Installer's service and means the machine.
func (a *app) wholeMachine(verb string, o installOptions) error {
	given := ""
	switch {
	case a.typed.socket != "":
		given = "--socket"
	case a.typed.dir != "":
		given = "--dir"
	case a.dir != "" && !o.packaged:
		given = "LICENSE_AGENT_DIR"
	default:
		return nil
	}
	return a.advised(api.CodeUsage, fmt.Errorf("nothing was changed: %s is about the whole machine and not about %s", verb, given),
		"Run it without "+given+"; --root DIR is for the files of an image.",
		"请去掉 "+given+" 后重新运行；如要处理镜像中的文件，请用 --root 目录。")
}

// planOf makes the plan of one verb; wholeMachine was asked before.
func (a *app) planOf(verb string, o installOptions) (installer.Plan, error) {
	t := installer.Target{Root: o.root, Instance: a.instance, Manager: o.manager, Packaged: o.packaged, KeepUnhardened: o.keep}
	if err := a.readVendor(&t, o); err != nil {
		return installer.Plan{}, err
	}
	if verb == "uninstall" {
		p, err := t.Uninstall(o.purge)
		return p, a.installProblem(err)
	}
	// A program that cannot read the state or the configuration would be installed
	// and not start.
	if p, err := paths.For(a.instance); err == nil {
		if err := store.CheckVersion(filepath.Join(o.root, p.State)); err != nil {
			return installer.Plan{}, a.installProblem(err)
		}
		if err := readable(filepath.Join(o.root, p.Config, configName)); err != nil {
			return installer.Plan{}, a.problem(api.CodeConfig, fmt.Errorf("nothing was changed: %w", err))
		}
	}
	exe, err := a.executable()
	if err != nil {
		return installer.Plan{}, err
	}
	var program []byte // a package has put it there
	if !o.packaged {
		if program, err = os.ReadFile(exe); err != nil {
			return installer.Plan{}, err
		}
	}
	if verb == "upgrade" {
		p, err := t.Upgrade(program)
		return p, a.installProblem(err)
	}
	p, err := t.Install(program)
	return p, a.installProblem(err)
}

// readable reads the configuration of the target as the service will: not with the
// environment of this caller. On Windows the plan itself puts access lists right,
// so a file that others may change is not refused before.
func readable(config string) error {
	_, err := settle(config, func(string) string { return "" }, nil)
	if runtime.GOOS == "windows" && errors.As(err, new(*securefile.Error)) {
		return nil
	}
	return err
}

// readVendor reads the trust anchor that is to be installed. It is parsed here,
// so that a wrong file is told before anything happens.
func (a *app) readVendor(t *installer.Target, o installOptions) error {
	if o.anchor == "" {
		if o.merchant != "" {
			return a.problem(api.CodeUsage, errors.New("--merchant needs --anchor: the file says whom to trust there"))
		}
		return nil
	}
	f, err := os.Open(o.anchor)
	if err != nil {
		return a.problem(api.CodeFileAccess, err)
	}
	defer f.Close() //nolint:errcheck // read only
	b, err := io.ReadAll(io.LimitReader(f, maxAnchor+1))
	if err != nil {
		return a.problem(api.CodeFileAccess, err)
	}
	anchor, err := license.ParseAnchor(b)
	if err != nil {
		return a.problem(api.CodeConfig, fmt.Errorf("%s: %w", o.anchor, err))
	}
	if o.merchant != "" {
		anchor.Merchant = o.merchant
		if b, err = anchor.Encode(); err != nil {
			return a.problem(api.CodeUsage, fmt.Errorf("--merchant %q: %w", o.merchant, err))
		}
	}
	t.Anchor, t.AnchorName = b, anchorName(anchor.Issuer)
	return nil
}

// anchorName is the file of one vendor's anchor: its issuer, with what a file
// name may not contain left out. One vendor has one file, whatever the name of
// the file that was given.
func anchorName(issuer string) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' {
			return r
		}
		return '_'
	}, issuer)
	return strings.Trim(name, ".") + ".json"
}

// change carries a plan out and says each step.
func (a *app) change(ctx context.Context, verb string, o installOptions) error {
	if err := a.wholeMachine(verb, o); err != nil {
		return err
	}
	if os.Geteuid() > 0 { // -1 on Windows
		return a.problem(api.CodePermission, errors.New("installing and removing changes the system: run it as root"))
	}
	wait, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	release, err := installer.Target{Root: o.root}.Exclusive(wait)
	if err != nil {
		return a.installProblem(fmt.Errorf("nothing was changed: %w", err))
	}
	defer release()
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

// installProblem gives the installer's refusals their code. What cannot be done here
// was well understood: more help with the options would not help.
func (a *app) installProblem(err error) error {
	switch {
	case errors.Is(err, paths.ErrInstance):
		return a.problem(api.CodeUsage, err)
	case errors.Is(err, installer.ErrMissing):
		return a.advised(api.CodeInstall, err, "Nothing was changed; install it first: license-agent install", "未作任何更改；请先安装：license-agent install")
	case errors.Is(err, installer.ErrPackaged):
		return a.advised(api.CodeInstall, err, "Nothing was changed; use what the cause names: the tool of the package, or another --instance.",
			"未作任何更改；请使用“原因”中列出的办法：软件包的工具，或另一个 --instance。")
	case errors.Is(err, service.ErrNoManager), errors.Is(err, installer.ErrUnsupported):
		return a.advised(api.CodeInstall, err, "Leave out --manager, or name linux-systemd, linux-openrc or unix-systemv; without any of them, do what the cause says.",
			"请去掉 --manager，或指定 linux-systemd、linux-openrc、unix-systemv 之一；若都没有，请按“原因”处理。")
	}
	if err == nil {
		return nil
	}
	if errors.Is(err, service.ErrAccess) {
		return a.problem(api.CodePermission, err)
	}
	e := a.asProblem(err)
	// Nothing that the running agent could meet, or a folder of the system's, which is
	// not to be closed as the agent's own are.
	if e.Code == api.CodeInternal || e.Code == api.CodeStateUnsafe {
		e = api.NewError(api.CodeInstall, a.language())
	}
	return fmt.Errorf("%w: %w", e, err) // the code that fits, and the step that failed
}
