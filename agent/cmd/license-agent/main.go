// Command license-agent is the service that answers "may this product run on
// this machine?" and its command line. The commands talk to the running agent;
// only "run" opens the state. It is not stable API; its options, exit codes and
// JSON output are.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"licenseagent.example/agent/api"
	"licenseagent.example/agent/client"
	"licenseagent.example/platform/paths"
	"licenseagent.example/platform/service"
	"licenseagent.example/store"
)

// version is set by the linker: -X main.version=1.2.3.
var version string //nolint:gochecknoglobals // the linker knows no other way

const exitHelp = `Exit codes: 0 ok, 1 unexpected, 2 usage, 3 not licensed, 4 agent not running,
5 permission denied, 6 merchant unreachable, 7 refused by merchant, 130 interrupted.`

// app is what the commands share: the world around the program, as values.
type app struct {
	stdin          *os.File
	stdout, stderr io.Writer
	env            func(string) string
	now            func() time.Time
	rand           io.Reader
	version        string
	executable     func() (string, error)
	systemctl      func(context.Context, ...string) (string, error) // nil: systemd's own

	// Options of every command.
	instance, dir, socket, output, lang string
	// What was typed, before the environment completed it.
	typed struct{ dir, socket string }
}

func main() { launch(time.Now) }

// launch runs the program with a wall clock.
func launch(now func() time.Time) {
	if len(os.Args) > 1 && os.Args[1] == store.ProbeArg {
		os.Exit(store.ProbeMain(os.Args[2:])) // before anything else is set up: it must cost nothing
	}
	// Codes and keys pass through every command; a system that refuses this is
	// no reason to refuse the work.
	_ = service.NoCoreDumps()
	_ = service.TieChildren() // the same
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	a := &app{
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, env: os.Getenv, now: now, rand: rand.Reader,
		version: version, executable: os.Executable,
	}
	code := a.run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// run executes one command line and returns the exit code.
func (a *app) run(ctx context.Context, args []string) int {
	if a.version == "" {
		a.version = "dev"
	}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return api.ExitOK
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = a.problem(api.CodeInterrupted, nil)
	}
	return a.report(err)
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   paths.Program,
		Short: "Ask for, keep and show the licenses of this machine",
		Long: `license-agent keeps the licenses of this machine alive and answers programs that
ask whether they may run. "license-agent run" is the service; every other
command talks to it.

` + exitHelp,
		SilenceUsage:      true,
		SilenceErrors:     true,
		Args:              a.args(cobra.NoArgs),
		PersistentPreRunE: func(*cobra.Command, []string) error { return a.prepare() },
		RunE:              func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return a.problem(api.CodeUsage, err) })
	f := root.PersistentFlags()
	f.StringVar(&a.instance, "instance", "", "another instance of the agent on this machine (LICENSE_AGENT_INSTANCE)")
	f.StringVar(&a.dir, "dir", "", "keep configuration, state and socket below this directory: demonstrations, tests, agents without root (LICENSE_AGENT_DIR)")
	f.StringVar(&a.socket, "socket", "", "socket or pipe of the agent (LICENSE_AGENT_SOCKET)")
	f.StringVar(&a.output, "output", "", "text or json (LICENSE_AGENT_OUTPUT, default text)")
	f.StringVar(&a.lang, "lang", "", "en or zh-CN (LICENSE_AGENT_LANG, default from LC_ALL, LC_MESSAGES, LANG)")
	root.AddCommand(
		a.runCmd(), a.activateCmd(), a.statusCmd(), a.whyCmd(), a.seatsCmd(), a.renewCmd(), a.releaseCmd(), a.rebindCmd(), a.requestCmd(),
		a.importCmd(), a.fingerprintCmd(), a.verifyCmd(), a.simulateCmd(), a.diagnoseCmd(), a.versionCmd(), a.probeCmd(), a.handOverCmd(), a.crossCheckCmd(),
		a.relayCmd(), a.installCmd(), a.upgradeCmd(), a.uninstallCmd(), a.planCmd(), a.verifyBundleCmd(),
	)
	return root
}

// prepare completes the options of every command: flag, environment, default.
func (a *app) prepare() error {
	a.typed.dir, a.typed.socket = a.dir, a.socket
	for _, o := range []struct {
		name string
		to   *string
	}{{"INSTANCE", &a.instance}, {"DIR", &a.dir}, {"SOCKET", &a.socket}, {"OUTPUT", &a.output}, {"LANG", &a.lang}} {
		if *o.to == "" {
			*o.to = a.env("LICENSE_AGENT_" + o.name)
		}
	}
	a.socket = tidy(a.socket)
	a.lang = a.language()
	if a.output == "" {
		a.output = "text"
	}
	if a.output != "text" && a.output != "json" {
		return a.problem(api.CodeUsage, fmt.Errorf("--output is text or json, not %q", a.output))
	}
	return nil
}

// tidy takes out of the path of a socket what means nothing, and which run would
// not accept. Behind a link ".." is another place for the system than for Clean:
// such a path stays, and run refuses it. A pipe has no path.
func tidy(socket string) string {
	if runtime.GOOS == "windows" || !filepath.IsAbs(socket) || slices.Contains(strings.Split(socket, "/"), "..") {
		return socket
	}
	return filepath.Clean(socket)
}

// language follows the rule of gettext(3) for which variable counts.
func (a *app) language() string {
	for _, text := range []string{a.lang, a.env("LICENSE_AGENT_LANG"), a.env("LC_ALL"), a.env("LC_MESSAGES"), a.env("LANG")} {
		if text != "" {
			return api.Language(text)
		}
	}
	return api.English
}

// args makes a wrong number of arguments a usage error.
func (a *app) args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if err := check(c, args); err != nil {
			return a.problem(api.CodeUsage, err)
		}
		return nil
	}
}

// layout is where this instance lives.
func (a *app) layout() (paths.Paths, error) {
	var p paths.Paths
	var err error
	if a.dir != "" {
		p, err = paths.Under(a.dir, a.instance)
	} else {
		p, err = paths.For(a.instance)
	}
	if err != nil {
		return p, a.problem(api.CodeUsage, err)
	}
	if a.socket != "" {
		p.Socket = a.socket
	}
	return p, nil
}

// client talks to the agent of this instance.
func (a *app) client() (*client.Client, error) {
	p, err := a.layout()
	if err != nil {
		return nil, err
	}
	return &client.Client{Instance: a.instance, Socket: p.Socket, Language: a.lang}, nil
}

// build describes this program.
func (a *app) build() api.Version {
	name := a.instance
	if name == "" {
		name = "default"
	}
	return api.Version{Version: a.version, API: 1, Instance: name, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
}
