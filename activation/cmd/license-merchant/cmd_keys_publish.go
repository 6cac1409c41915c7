package main

import (
	"context"

	"github.com/spf13/cobra"

	"licenseagent.example/activation/merchant"
)

type keysPublishOptions struct{ roots, revoke []string }

func (a *app) keysPublishCmd() *cobra.Command {
	var o keysPublishOptions
	c := &cobra.Command{
		Use: "publish", Short: "Sign a new key set: longer life, newly revoked licenses and keys",
		Long: `Signs the next key set with the root keys found in --root. It extends the life of
the set by 400 days and carries the licenses revoked since, for machines without
network. --revoke takes an online key back: licenses it signed are void at every
device that has the new set. ` + exitHelp,
		Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return a.runKeysPublish(c.Context(), o) },
	}
	c.Flags().StringArrayVar(&o.roots, "root", nil, "directory with root keys, repeatable (default: root in the data directory)")
	c.Flags().StringArrayVar(&o.revoke, "revoke", nil, "id of an online key to take back (sha256:…), repeatable")
	return c
}

func (a *app) runKeysPublish(ctx context.Context, o keysPublishOptions) error {
	return a.withService(ctx, func(svc *merchant.Service, _ config) error {
		p, err := svc.PublishKeys(ctx, a.rootDirs(o.roots), o.revoke)
		if err != nil {
			return err
		}
		return a.published(p)
	})
}
