package main

import (
	"errors"
	"io/fs"

	"github.com/spf13/cobra"

	"licenseagent.example/activation/license"
	"licenseagent.example/installer/bundle/manifest"
)

func (a *app) bundleVerifyCmd() *cobra.Command {
	var anchor string
	c := &cobra.Command{
		Use: "verify FILE", Short: "Check a package: layout, every digest, the signature, its name",
		Long: `Reads the package, or an unpacked one, completely. The vendor is the one of
--anchor, else of anchor.json in the data directory; without either the trust
anchor inside the package decides, which shows only that it is whole. ` + exitHelp,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, files []string) error { return a.runBundleVerify(files[0], anchor) },
	}
	c.Flags().StringVar(&anchor, "anchor", "", "trust anchor file of the vendor")
	return c
}

func (a *app) runBundleVerify(file, anchorFile string) error {
	var anchor *license.Anchor
	named := anchorFile != ""
	if !named {
		anchorFile = a.path("anchor.json")
	}
	an, err := readAnchor(anchorFile)
	switch {
	case err == nil:
		anchor = &an
	case named || !errors.Is(err, fs.ErrNotExist):
		return err
	}
	m, err := manifest.Verify(file, anchor, nil)
	if err != nil {
		return err
	}
	if err := manifest.ProperName(file, m); err != nil {
		return err
	}
	return a.printBundle(file, m)
}
