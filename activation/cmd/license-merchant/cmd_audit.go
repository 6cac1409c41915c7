package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"licenseagent.example/activation/merchant"
	"licenseagent.example/activation/merchant/admin"
)

type auditOptions struct {
	subject string
	after   int64
	limit   int
}

func (a *app) auditCmd() *cobra.Command {
	c := a.auditListCmd() // without a subcommand it lists
	c.Use, c.Short = "audit", "List, check and export the audit log"
	c.AddCommand(a.auditListCmd(), a.auditVerifyCmd(), a.auditExportCmd())
	return c
}

func (a *app) auditListCmd() *cobra.Command {
	var o auditOptions
	c := &cobra.Command{
		Use: "list", Short: "List audit rows, oldest first", Long: "Lists audit rows, oldest first. " + exitHelp,
		Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return a.runAudit(c.Context(), o) },
	}
	c.Flags().StringVar(&o.subject, "subject", "", "only rows about this code, license, key or token")
	c.Flags().Int64Var(&o.after, "after", 0, "only rows after this number")
	c.Flags().IntVar(&o.limit, "limit", 1000, "at most so many")
	return c
}

func (a *app) runAudit(ctx context.Context, o auditOptions) error {
	return a.withAPI(ctx, func(c *admin.Client) error {
		q := url.Values{"after": {strconv.FormatInt(o.after, 10)}, "limit": {strconv.Itoa(o.limit)}}
		if o.subject != "" {
			q.Set("subject", o.subject)
		}
		var x admin.Audit
		if err := c.Call(ctx, http.MethodGet, admin.PathAudit, "", q, nil, &x); err != nil {
			return err
		}
		return a.print(x, func(w io.Writer) {
			for _, r := range x.Rows {
				writeAuditRow(w, r)
			}
		})
	})
}

func writeAuditRow(w io.Writer, r merchant.AuditRow) {
	fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\n", r.Seq, when(r.At), r.Actor, r.Action, r.Subject, r.Detail)
}
