package main

import (
	"context"

	"github.com/spf13/cobra"

	"licenseagent.example/agent/api"
)

type rebindOptions struct {
	key  api.KeyRequest
	code codeOptions
	yes  bool
}

func (a *app) rebindCmd() *cobra.Command {
	var o rebindOptions
	c := &cobra.Command{
		Use:   "rebind",
		Short: "Settle a contested license on this machine",
		Long: `When the merchant has seen two copies of one activation, both keep working until
renew-by. "rebind" settles the license on this machine, with its authorization
code, once in 30 days.

` + exitHelp,
		Args: a.args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return a.runRebind(c.Context(), o) },
	}
	keyFlags(c, &o.key)
	c.Flags().StringVar(&o.code.file, "code-file", "", "file with the code, - for standard input")
	c.Flags().BoolVar(&o.yes, "yes", false, "send without asking")
	return c
}

func (a *app) runRebind(ctx context.Context, o rebindOptions) error {
	cl, err := a.client()
	if err != nil {
		return err
	}
	preview, err := cl.Preview(ctx, o.key.Issuer)
	if err != nil {
		return err
	}
	if err := a.confirm(preview, o.yes); err != nil {
		return err
	}
	code, err := a.readCode(o.code)
	if err != nil {
		return err
	}
	out, err := cl.Rebind(ctx, api.RebindRequest{Issuer: o.key.Issuer, Product: o.key.Product, Code: code})
	if err != nil {
		return err
	}
	return a.outcome(out)
}
