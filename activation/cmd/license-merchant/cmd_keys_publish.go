package main

import (
	"github.com/spf13/cobra"

	"licenseagent.example/activation/merchant"
)

func (a *app) keysPublishCmd() *cobra.Command {
	var o ceremony
	var revoke []string
	c := &cobra.Command{
		Use: "publish", Short: "Sign a new key set: longer life, newly revoked licenses",
		Long: `Publishes the next key set. It extends the life of the set by 400 days and carries
the licenses revoked since, for machines without network. --revoke takes an online
key back, as keys revoke does.

` + ceremonyHelp + exitHelp,
		Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.runCeremony(c.Context(), o, func(svc *merchant.Service) (merchant.KeyDraft, error) {
				return svc.DraftKeySet(c.Context(), revoke)
			})
		},
	}
	o.flags(c)
	c.Flags().StringArrayVar(&revoke, "revoke", nil, "id of an online key to take back (sha256:…), repeatable")
	return c
}

func (a *app) keysRevokeCmd() *cobra.Command {
	var o ceremony
	c := &cobra.Command{
		Use: "revoke KEY…", Short: "Take online keys back for good",
		Long: `Publishes a key set that takes the named online keys (sha256:…) back. Whatever they
signed is void at every device that learns the new set, until the device has
renewed. Rotate first, with --lead now, so that there is another key to sign with.

` + ceremonyHelp + exitHelp,
		Args: args(cobra.MinimumNArgs(1)),
		RunE: func(c *cobra.Command, list []string) error {
			return a.runCeremony(c.Context(), o, func(svc *merchant.Service) (merchant.KeyDraft, error) {
				return svc.DraftKeySet(c.Context(), list)
			})
		},
	}
	o.flags(c)
	return c
}
