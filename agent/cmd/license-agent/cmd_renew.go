package main

import (
	"github.com/spf13/cobra"

	"licenseagent.example/agent/api"
)

func (a *app) renewCmd() *cobra.Command {
	var key api.KeyRequest
	c := &cobra.Command{
		Use:   "renew",
		Short: "Contact the merchant now instead of at the next planned time",
		Long:  exitHelp,
		Args:  a.args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := a.client()
			if err != nil {
				return err
			}
			out, err := cl.Renew(c.Context(), key)
			if err != nil {
				return err
			}
			return a.outcome(out)
		},
	}
	keyFlags(c, &key)
	return c
}
