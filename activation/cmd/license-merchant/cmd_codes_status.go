package main

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/spf13/cobra"

	"licenseagent.example/activation/merchant"
	"licenseagent.example/activation/merchant/admin"
)

// codesStatusCmd is freeze, unfreeze or revoke: one command each, one shape.
func (a *app) codesStatusCmd(verb, short, path string) *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use: verb + " ID", Short: short, Long: short + ". The id is that of codes list (c-…). " + exitHelp,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, list []string) error {
			return a.runCodesStatus(c.Context(), list[0], reason, path)
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "for the audit log")
	return c
}

func (a *app) runCodesStatus(ctx context.Context, id, reason, path string) error {
	return a.withAPI(ctx, func(c *admin.Client) error {
		var info merchant.CodeInfo
		if err := c.Call(ctx, http.MethodPost, path, id, nil, admin.Reason{Reason: reason}, &info); err != nil {
			return err
		}
		return a.print(info, func(w io.Writer) {
			fmt.Fprintf(w, "%s is %s; its devices learn it at their next renewal\n", info.ID, info.Status)
		})
	})
}
