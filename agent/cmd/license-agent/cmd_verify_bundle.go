package main

import (
	"context"
	"encoding/base64"
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
signed. With --anchor the vendor is the one of that file, and a key that the
agent knows to be revoked counts no more; without it the trust anchor inside the
package decides, which shows that the package is whole.

` + exitHelp,
		Args: a.args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error { return a.runVerifyBundle(c.Context(), args[0], anchor) },
	}
	c.Flags().StringVar(&anchor, "anchor", "", "trust anchor file of the vendor")
	return c
}

func (a *app) runVerifyBundle(ctx context.Context, path, anchorFile string) error {
	var anchor *license.Anchor
	var held *license.KeySet
	if anchorFile != "" {
		list, err := a.anchorsFor(anchorFile)
		if err != nil {
			return err
		}
		anchor, held = &list[0], a.heldKeySet(ctx, list[0])
	}
	m, err := manifest.Verify(path, anchor, held)
	switch {
	case errors.Is(err, manifest.ErrAltered), errors.Is(err, manifest.ErrUntrusted), errors.Is(err, manifest.ErrNotBundle), errors.Is(err, manifest.ErrTooLarge):
		return a.problem(api.CodeBadFile, err)
	case err != nil:
		return a.problem(api.CodeFileAccess, err)
	}
	if a.output == "json" {
		return a.json(m)
	}
	_, err = fmt.Fprintf(a.stdout, a.in("%s: %s %s (%s), %s, %d files\n", "%s: %s %s (%s)，%s，%d 个文件\n"), filepath.Base(path), printable(m.Name), m.Version, m.Issuer, m.Target, m.Files)
	return err
}

// heldKeySet asks the agent for the vendor's newest key set that it knows. There
// is none, nil, before the first activation and while no agent answers: the key
// set inside the package decides then.
func (a *app) heldKeySet(ctx context.Context, an license.Anchor) *license.KeySet {
	c, err := a.client()
	if err != nil {
		return nil
	}
	defer c.Close()
	st, err := c.Status(ctx)
	if err != nil {
		return nil
	}
	for _, l := range st.Licenses {
		if l.Issuer != an.Issuer {
			continue
		}
		f, err := c.Files(ctx, api.KeyRequest{Issuer: l.Issuer, Product: l.Product})
		if err != nil {
			continue
		}
		env, err := base64.StdEncoding.DecodeString(f.KeySet)
		if err != nil {
			continue
		}
		if set, err := license.OpenKeySet(an, nil, env); err == nil {
			return set // all licenses of a vendor have one
		}
	}
	return nil
}
