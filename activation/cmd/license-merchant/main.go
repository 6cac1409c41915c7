// Command license-merchant is the vendor's side: it makes authorization codes,
// answers the agents of customers over HTTPS and as files, and keeps the keys.
// It is not stable API.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"licenseagent.example/activation/license"
	"licenseagent.example/activation/merchant"
	"licenseagent.example/activation/merchant/admin"
	"licenseagent.example/activation/merchant/hsm"
	"licenseagent.example/activation/protocol"
	"licenseagent.example/installer/bundle"
	"licenseagent.example/installer/bundle/manifest"
)

// version is set by the linker: -X main.version=1.2.3.
var version string //nolint:gochecknoglobals // the linker knows no other way

// Exit codes, the same for all programs of this project.
const (
	exitOK          = 0
	exitUnexpected  = 1
	exitUsage       = 2
	exitPermission  = 5
	exitUnreachable = 6
	exitRefused     = 7
	exitInterrupted = 130
)

const exitHelp = `Exit codes: 0 ok, 1 unexpected, 2 usage, 5 permission denied, 6 not available now, 7 refused, 130 interrupted.`

// app is what the commands share: the world around the program, as values.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	env            func(string) string
	now            func() time.Time
	rand           io.Reader
	dir            string
	output         string
	remote         remote
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	a := &app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, env: os.Getenv, now: time.Now, rand: rand.Reader}
	os.Exit(a.run(ctx, os.Args[1:]))
}

// run executes one command line and returns the exit code.
func (a *app) run(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(args)
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	code := exitCode(ctx, err)
	a.report(err, code)
	return code
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "license-merchant",
		Short:         "Issue and keep the licenses of a vendor's products",
		Long:          "license-merchant makes authorization codes, answers the license-agents of customers and keeps the vendor's keys.\n\n" + exitHelp,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          args(cobra.NoArgs),
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
		PersistentPreRunE: func(*cobra.Command, []string) error {
			if a.output != "text" && a.output != "json" {
				return usage("--output is text or json, not %q", a.output)
			}
			return nil
		},
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage("%v", err) })
	dir := a.env("LICENSE_MERCHANT_DIR")
	if dir == "" {
		dir = "license-merchant"
	}
	root.PersistentFlags().StringVar(&a.dir, "dir", dir, "data directory (environment LICENSE_MERCHANT_DIR)")
	root.PersistentFlags().StringVar(&a.output, "output", "text", "text or json")
	a.remote.flags(root, a.env)
	root.AddCommand(a.initCmd(), a.serveCmd(), a.codesCmd(), a.devicesCmd(), a.findCmd(), a.answerCmd(), a.simulateCmd(), a.keysCmd(), a.auditCmd(),
		a.tokensCmd(), a.healthCmd(), a.backupCmd(), a.restoreCmd(), a.bundleCmd(), a.koogalleryCmd(), a.versionCmd())
	return root
}

// group is a command that only has subcommands. Without one, or with a word it
// does not know, it is a usage error and not a silent help text.
func group(use, short string, children ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use: use, Short: short, Long: short + ".\n\n" + exitHelp, Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage("%s needs a subcommand, see --help", c.CommandPath())
			}
			return usage("%s has no subcommand %q, see --help", c.CommandPath(), args[0])
		},
	}
	c.AddCommand(children...)
	return c
}

// usageError is a command line that cannot be understood.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usage(format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...)}
}

// args wraps cobra's checks of positional arguments as usage errors.
func args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, list []string) error {
		if err := check(c, list); err != nil {
			return usage("%s: %v", c.CommandPath(), err)
		}
		return nil
	}
}

// exitCode is the one place from error to exit status.
func exitCode(ctx context.Context, err error) int {
	var use *usageError
	var refusal *merchant.Refusal
	var answered *admin.Error
	switch {
	case errors.As(err, &answered):
		return admin.Lookup(answered.Code).Exit
	case errors.Is(err, admin.ErrUnreachable), errors.Is(err, merchant.ErrUnavailable), errors.Is(err, merchant.ErrKeyStore), errors.Is(err, syscall.EADDRINUSE):
		return exitUnreachable
	case errors.As(err, &use), errors.Is(err, merchant.ErrInput), errors.Is(err, merchant.ErrRoots), errors.Is(err, errNoCertificate), errors.Is(err, errDeclined), errors.Is(err, hsm.ErrNotBuilt),
		errors.Is(err, bundle.ErrInput), errors.Is(err, bundle.ErrExists), errors.Is(err, manifest.ErrManifest):
		return exitUsage
	case errors.As(err, &refusal):
		return protocol.Lookup(refusal.Code).Exit
	case errors.Is(err, merchant.ErrNotFound), errors.Is(err, merchant.ErrState), errors.Is(err, merchant.ErrInitialised),
		errors.Is(err, merchant.ErrNotInitialised), errors.Is(err, errEmptyDatabase), errors.Is(err, errKeysElsewhere), errors.Is(err, merchant.ErrNewer), errors.Is(err, merchant.ErrAudit), errors.Is(err, merchant.ErrBackup), errors.Is(err, errCallback), errors.Is(err, errSimulated),
		errors.Is(err, manifest.ErrAltered), errors.Is(err, manifest.ErrNotBundle), errors.Is(err, manifest.ErrUntrusted), errors.Is(err, manifest.ErrTooLarge):
		return exitRefused
	case errors.Is(err, fs.ErrPermission), errors.Is(err, merchant.ErrKeyFile):
		return exitPermission
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return exitInterrupted
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, license.ErrAnchor):
		return exitUsage
	}
	return exitUnexpected
}
