package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"licenseagent.example/activation/merchant"
)

// codesStatusCmd is freeze, unfreeze or revoke: one command each, one shape.
func (a *app) codesStatusCmd(verb, short string, do func(*merchant.Service, context.Context, string, string) error) *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use: verb + " ID", Short: short, Long: short + ". The id is that of codes list (c-…). " + exitHelp,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, list []string) error { return a.runCodesStatus(c.Context(), list[0], reason, do) },
	}
	c.Flags().StringVar(&reason, "reason", "", "for the audit log")
	return c
}

func (a *app) runCodesStatus(ctx context.Context, id, reason string, do func(*merchant.Service, context.Context, string, string) error) error {
	return a.withService(ctx, func(svc *merchant.Service, _ config) error {
		if err := do(svc, ctx, id, reason); err != nil {
			return err
		}
		info, err := svc.Code(ctx, id)
		if err != nil {
			return err
		}
		return a.print(info, func(w io.Writer) {
			fmt.Fprintf(w, "%s is %s; its devices learn it at their next renewal\n", info.ID, info.Status)
		})
	})
}
