package main

import (
	"context"

	"github.com/spf13/cobra"

	"licenseagent.example/agent/api"
)

type activateOptions struct {
	issuer, product string
	code            codeOptions
	replace, yes    bool
}

func (a *app) activateCmd() *cobra.Command {
	var o activateOptions
	c := &cobra.Command{
		Use:   "activate",
		Short: "Redeem an authorization code for this machine",
		Long: `Shows what will be sent and to whom, asks, and then sends it. The code is read
from the terminal without echo, from --code-file, or from standard input; it is
never an argument.

` + exitHelp,
		Args: a.args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return a.runActivate(c.Context(), o) },
	}
	f := c.Flags()
	f.StringVar(&o.issuer, "issuer", "", "vendor; may be left out when only one is known")
	f.StringVar(&o.product, "product", "", "expected product; may be left out")
	f.StringVar(&o.code.file, "code-file", "", "file with the code, - for standard input")
	f.BoolVar(&o.replace, "replace", false, "put this code in the place of a license that is held")
	f.BoolVar(&o.yes, "yes", false, "send without asking")
	return c
}

func (a *app) runActivate(ctx context.Context, o activateOptions) error {
	cl, err := a.client()
	if err != nil {
		return err
	}
	preview, err := cl.Preview(ctx, o.issuer)
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
	out, err := cl.Activate(ctx, api.ActivateRequest{Issuer: preview.Issuer, Product: o.product, Code: code, Replace: o.replace})
	if err != nil {
		return err
	}
	return a.outcome(out)
}

// outcome prints the license as it stands after an action.
func (a *app) outcome(out api.Outcome) error {
	if a.output == "json" {
		return a.json(out)
	}
	return a.printLicense(out.License)
}
