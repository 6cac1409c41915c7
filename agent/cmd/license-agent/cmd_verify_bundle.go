package main

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"licenseagent.example/activation/license"
	"licenseagent.example/agent/api"
	"licenseagent.example/installer/bundle/manifest"
)

func (a *app) verifyBundleCmd() *cobra.Command {
	var anchor string
	c := &cobra.Command{
		Use:   "verify-bundle PATH",
		Short: "Verify a vendor's package, unpacked or as a file, before it is installed",
		Long: `Reads every file of the package and compares it with the list that the vendor has
signed. With --anchor the vendor is the one of that file; without it the trust
anchor inside the package decides, which shows that the package is whole.

` + exitHelp,
		Args: a.args(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error { return a.runVerifyBundle(args[0], anchor) },
	}
	c.Flags().StringVar(&anchor, "anchor", "", "trust anchor file of the vendor")
	return c
}

func (a *app) runVerifyBundle(path, anchorFile string) error {
	var anchor *license.Anchor
	if anchorFile != "" {
		list, err := a.anchorsFor(anchorFile)
		if err != nil {
			return err
		}
		anchor = &list[0]
	}
	m, err := manifest.Verify(path, anchor)
	switch {
	case errors.Is(err, manifest.ErrAltered), errors.Is(err, manifest.ErrUntrusted), errors.Is(err, manifest.ErrNotBundle), errors.Is(err, manifest.ErrTooLarge):
		return a.problem(api.CodeBadFile, err)
	case err != nil:
		return a.problem(api.CodeFileAccess, err)
	}
	if a.output == "json" {
		return a.json(m)
	}
	_, err = fmt.Fprintf(a.stdout, "%s: %s %s (%s), %s, %d files\n", filepath.Base(path), printable(m.Name), m.Version, m.Issuer, m.Target, m.Files)
	return err
}
