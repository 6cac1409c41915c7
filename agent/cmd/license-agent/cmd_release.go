package main

import (
	"github.com/spf13/cobra"

	"licenseagent.example/agent/api"
)

func (a *app) releaseCmd() *cobra.Command {
	var key api.KeyRequest
	c := &cobra.Command{
		Use:   "release",
		Short: "Give the seat back so that another machine can use it",
		Long:  exitHelp,
		Args:  a.args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := a.client()
			if err != nil {
				return err
			}
			out, err := cl.Release(c.Context(), key)
			if err != nil {
				return err
			}
			return a.outcome(out)
		},
	}
	keyFlags(c, &key)
	return c
}
