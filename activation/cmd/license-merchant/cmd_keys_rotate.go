package main

import (
	"context"

	"github.com/spf13/cobra"

	"licenseagent.example/activation/merchant"
)

type keysRotateOptions struct {
	roots []string
	lead  string
}

func (a *app) keysRotateCmd() *cobra.Command {
	var o keysRotateOptions
	c := &cobra.Command{
		Use: "rotate", Short: "Add a new online key per use; the old ones sign until the new ones come into use",
		Long: `Creates a new online key per use and publishes a key set with old and new, signed
by the root keys found in --root. The new keys sign after --lead, so that devices
meet them before they are needed. ` + exitHelp,
		Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return a.runKeysRotate(c.Context(), o) },
	}
	c.Flags().StringArrayVar(&o.roots, "root", nil, "directory with root keys, repeatable (default: root in the data directory)")
	c.Flags().StringVar(&o.lead, "lead", "7d", "time until the new keys sign; now for at once")
	return c
}

func (a *app) runKeysRotate(ctx context.Context, o keysRotateOptions) error {
	var lead int64
	if o.lead != "now" {
		var err error
		if lead, err = parseDuration(o.lead); err != nil {
			return usage("--lead: %v", err)
		}
	}
	return a.withService(ctx, func(svc *merchant.Service, _ config) error {
		p, err := svc.RotateKeys(ctx, a.rootDirs(o.roots), lead)
		if err != nil {
			return err
		}
		return a.published(p)
	})
}
