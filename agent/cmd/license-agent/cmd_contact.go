package main

import (
	"context"

	"github.com/spf13/cobra"

	"licenseagent.example/agent/api"
	"licenseagent.example/agent/client"
)

func (a *app) renewCmd() *cobra.Command {
	return a.contactCmd("renew", "Contact the merchant now instead of at the next planned time", (*client.Client).Renew)
}

func (a *app) releaseCmd() *cobra.Command {
	return a.contactCmd("release", "Give the seat back so that another machine can use it", (*client.Client).Release)
}

// contactCmd is a command that asks for one contact about one license and tells
// its outcome.
func (a *app) contactCmd(use, short string, ask func(*client.Client, context.Context, api.KeyRequest) (api.Outcome, error)) *cobra.Command {
	var key api.KeyRequest
	c := &cobra.Command{
		Use:   use,
		Short: short,
		Long:  exitHelp,
		Args:  a.args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := a.client()
			if err != nil {
				return err
			}
			out, err := ask(cl, c.Context(), key)
			if err != nil {
				return err
			}
			return a.outcome(out)
		},
	}
	keyFlags(c, &key)
	return c
}
