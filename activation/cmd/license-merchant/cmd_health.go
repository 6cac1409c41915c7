package main

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/spf13/cobra"

	"licenseagent.example/activation/merchant/admin"
)

func (a *app) healthCmd() *cobra.Command {
	return &cobra.Command{
		Use: "health", Short: "Say what is wrong now, and what to do",
		Long: `Lists what somebody should put right, with the next step: what the metric
license_merchant_problem and the log name by the same words. With --server it is
what the running service sees. ` + exitHelp,
		Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return a.runHealth(c.Context()) },
	}
}

func (a *app) runHealth(ctx context.Context) error {
	return a.withAPI(ctx, func(c *admin.Client) error {
		var h admin.Health
		if err := c.Call(ctx, http.MethodGet, admin.PathHealth, "", nil, nil, &h); err != nil {
			return err
		}
		return a.print(h, func(w io.Writer) {
			if len(h.Problems) == 0 {
				fmt.Fprintln(w, "nothing is wrong")
			}
			for _, p := range h.Problems {
				fmt.Fprintf(w, "%s\t%s (%s, since %s)\n", p.Code, p.Message.In(a.lang()), p.Detail, when(p.Since))
				fmt.Fprintf(w, "\tnext: %s\n", p.Next.In(a.lang()))
			}
		})
	})
}
