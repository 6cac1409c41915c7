package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"licenseagent.example/activation/license"
	"licenseagent.example/activation/merchant"
	"licenseagent.example/installer/bundle"
	"licenseagent.example/installer/bundle/manifest"
)

type bundleOptions struct {
	bundle.Options
	start, anchor string
}

func (a *app) bundleCmd() *cobra.Command {
	var o bundleOptions
	c := &cobra.Command{
		Use: "bundle --name NAME --app PATH --anchor FILE", Short: "Make a package for the marketplace: product, private agent and life-cycle scripts",
		Long: `Makes NAME.FORMAT: the product in bin/ with a license-agent of its own, the
scripts install, poststart, start, restart, prestop, stop, update and uninstall in
scripts/, and in license/ the trust anchor, the SHA-256 of every file and a
signature by the key of use "bundle". Scripts in the folder hooks of the product
(hooks/start.sh and so on) are run by the stage of their name. ` + exitHelp,
		Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return a.runBundle(c.Context(), o) },
	}
	f := c.Flags()
	f.StringVar(&o.Name, "name", "", "name of the product")
	f.StringVar(&o.Version, "version", "", "version of the product")
	f.StringVar(&o.App, "app", "", "file or folder of the product")
	f.StringVar(&o.start, "start", "", "program below --app that starts the product, with arguments; what has a blank in it stands in quotes (default: the only one there)")
	f.StringVar(&o.anchor, "anchor", "", "trust anchor file (default: anchor.json of the data directory)")
	f.StringVar(&o.Merchant, "merchant", "", "https:// address of this service, if the anchor does not say it")
	f.StringVar(&o.Format, "format", "tar.gz", strings.Join(manifest.Formats(), ", "))
	f.StringVar(&o.Target, "target", runtime.GOOS+"/"+runtime.GOARCH, "system: "+strings.Join(manifest.Targets(), ", "))
	f.StringVar(&o.Agent, "agent", "", "license-agent program for that system (default: the one beside this program)")
	f.StringVar(&o.Instance, "instance", "", "name of the private instance, at most 17 characters where Linux makes it a user (default: made of vendor and product)")
	f.StringVar(&o.Out, "out", ".", "folder for the package")
	c.AddCommand(a.bundleVerifyCmd())
	return c
}

func (a *app) runBundle(ctx context.Context, o bundleOptions) error {
	for _, must := range []struct{ name, value string }{{"--name", o.Name}, {"--app", o.App}} {
		if must.value == "" {
			return usage("%s is missing", must.name)
		}
	}
	var err error
	if o.Start, err = words(o.start); err != nil {
		return err
	}
	if o.anchor == "" {
		o.anchor = a.path("anchor.json")
	}
	if o.Anchor, err = readAnchor(o.anchor); err != nil {
		return err
	}
	if o.Agent == "" {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		o.Agent = filepath.Join(filepath.Dir(self), "license-agent"+filepath.Ext(self))
	}
	o.Made = a.now()
	// The date of reproducible builds, https://reproducible-builds.org/specs/source-date-epoch/
	if epoch := a.env("SOURCE_DATE_EPOCH"); epoch != "" {
		seconds, err := strconv.ParseInt(epoch, 10, 64)
		if err != nil || seconds < 0 {
			return usage("SOURCE_DATE_EPOCH is no number of seconds: %q", epoch)
		}
		o.Made = time.Unix(seconds, 0)
	}
	return a.withService(ctx, func(svc *merchant.Service, _ config) error {
		if o.Signer, o.KeySet, err = svc.BundleKey(ctx); err != nil {
			return err
		}
		file, m, err := bundle.Build(o.Options)
		if err != nil {
			return err
		}
		return a.printBundle(file, &m)
	})
}

// words splits a command at its blanks. Quotes of either kind keep blanks, and the
// other kind, in a word; nothing else is special.
func words(command string) (list []string, err error) {
	var word strings.Builder
	quote, within := rune(0), false
	for _, r := range command {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '"' || r == '\'':
			quote, within = r, true
		case !unicode.IsSpace(r):
			word.WriteRune(r)
			within = true
		case within:
			list, within = append(list, word.String()), false
			word.Reset()
		}
	}
	if quote != 0 {
		return nil, usage("--start %s: the quotation mark %c is not closed", command, quote)
	}
	if within {
		list = append(list, word.String())
	}
	return list, nil
}

func readAnchor(path string) (license.Anchor, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return license.Anchor{}, err
	}
	return license.ParseAnchor(text)
}

// printBundle prints what a bundle is.
func (a *app) printBundle(file string, m *manifest.Manifest) error {
	return a.print(struct {
		File string `json:"file"`
		*manifest.Manifest
	}{file, m}, func(w io.Writer) {
		fmt.Fprintf(w, "bundle\t%s\nproduct\t%s %s\nvendor\t%s\nsystem\t%s\ninstance\tlicense-agent-%s\n", file, m.Name, m.Version, m.Issuer, m.Target, m.Instance)
		fmt.Fprintf(w, "files\t%d, %d bytes\nmade\t%s\n", m.Files, m.Size, when(m.Made))
	})
}
