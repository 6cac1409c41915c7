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
	c := &cobra.Command{
		Use: "health", Short: "Say what is wrong now, and what to do",
		Long: `Lists what somebody should put right, with the next step: what the metric
license_merchant_problem and the log name by the same words. With --server it is
what the running service sees. ` + exitHelp,
		Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return a.runHealth(c.Context()) },
	}
	c.AddCommand(a.healthSettleCmd())
	return c
}

func (a *app) healthSettleCmd() *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use: "settle PROBLEM SUBJECT", Short: "Say that a problem about one code or product was put right",
		Long: `Closes a problem that nothing can see the end of, such as a buyer's code of another
seller, once you have done what it says. PROBLEM and SUBJECT are the first two
words of its line in health. Work about a code that was given up is tried again. ` + exitHelp,
		Args: args(cobra.ExactArgs(2)),
		RunE: func(c *cobra.Command, list []string) error {
			return a.withAPI(c.Context(), func(api *admin.Client) error {
				return a.showHealth(c.Context(), api, http.MethodPost, admin.PathSettle, admin.Settled{Code: list[0], Subject: list[1], Reason: reason})
			})
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "for the audit log")
	return c
}

func (a *app) runHealth(ctx context.Context) error {
	return a.withAPI(ctx, func(c *admin.Client) error {
		return a.showHealth(ctx, c, http.MethodGet, admin.PathHealth, nil)
	})
}

func (a *app) showHealth(ctx context.Context, c *admin.Client, method, path string, in any) error {
	var h admin.Health
	if err := c.Call(ctx, method, path, "", nil, in, &h); err != nil {
		return err
	}
	return a.print(h, func(w io.Writer) {
		if len(h.Problems) == 0 {
			fmt.Fprintln(w, "nothing is wrong")
		}
		for _, p := range h.Problems {
			fmt.Fprintf(w, "%s\t%s\t%s (%s, since %s)\n", p.Code, p.Subject, p.Message.In(a.lang()), p.Detail, when(p.Since))
			fmt.Fprintf(w, "\t\tnext: %s\n", p.Next.In(a.lang()))
			if p.Subject != "" {
				fmt.Fprintf(w, "\t\tthen: license-merchant health settle %s %s\n", p.Code, p.Subject)
			}
		}
	})
}
