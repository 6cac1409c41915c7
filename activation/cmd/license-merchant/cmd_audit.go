package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"licenseagent.example/activation/merchant"
)

type auditOptions struct {
	subject string
	after   int64
	limit   int
}

func (a *app) auditCmd() *cobra.Command {
	var o auditOptions
	c := &cobra.Command{
		Use: "audit", Short: "Check the audit chain and list it",
		Long: "Checks that no audit row was changed, dropped or reordered, then lists rows, oldest first. " + exitHelp,
		Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return a.runAudit(c.Context(), o) },
	}
	c.Flags().StringVar(&o.subject, "subject", "", "only rows about this code, license or key id")
	c.Flags().Int64Var(&o.after, "after", 0, "only rows after this number")
	c.Flags().IntVar(&o.limit, "limit", 1000, "at most so many")
	return c
}

func (a *app) runAudit(ctx context.Context, o auditOptions) error {
	return a.withService(ctx, func(svc *merchant.Service, _ config) error {
		length, err := svc.VerifyAudit(ctx)
		if err != nil {
			return err
		}
		rows, err := svc.Audit(ctx, o.subject, o.after, o.limit)
		if err != nil {
			return err
		}
		return a.print(map[string]any{"verified": length, "rows": rows}, func(w io.Writer) {
			fmt.Fprintf(w, "%d rows, chain intact\n", length)
			for _, r := range rows {
				fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\n", r.Seq, when(r.At), r.Actor, r.Action, r.Subject, r.Detail)
			}
		})
	})
}
