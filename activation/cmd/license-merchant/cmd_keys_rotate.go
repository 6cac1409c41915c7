package main

import (
	"github.com/spf13/cobra"

	"licenseagent.example/activation/merchant"
)

func (a *app) keysRotateCmd() *cobra.Command {
	var o ceremony
	lead := "7d"
	c := &cobra.Command{
		Use: "rotate", Short: "Add a new online key per use; the old ones sign until the new ones come into use",
		Long: `Creates a new online key per use and publishes a key set with old and new. The new
keys sign after --lead, so that devices meet them before they are needed.

` + ceremonyHelp + exitHelp,
		Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			var seconds int64
			if lead != "now" {
				var err error
				if seconds, err = parseDuration(lead); err != nil {
					return usage("--lead: %v", err)
				}
			}
			return a.runCeremony(c.Context(), o, func(svc *merchant.Service) (merchant.KeyDraft, error) {
				return svc.DraftRotation(c.Context(), seconds)
			})
		},
	}
	o.flags(c)
	c.Flags().StringVar(&lead, "lead", lead, "time until the new keys sign; now for at once")
	return c
}
