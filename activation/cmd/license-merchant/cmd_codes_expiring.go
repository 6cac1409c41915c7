package main

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"licenseagent.example/activation/merchant/admin"
)

type codesExpiringOptions struct{ days, limit int }

func (a *app) codesExpiringCmd() *cobra.Command {
	var o codesExpiringOptions
	c := &cobra.Command{
		Use: "expiring", Short: "List codes that end soon, the next to end first",
		Long: "Lists codes whose entitlement ends within --days, the next to end first. Codes taken back are left out. " + exitHelp,
		Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return a.runCodesExpiring(c.Context(), o) },
	}
	c.Flags().IntVar(&o.days, "days", 30, "how many days ahead")
	c.Flags().IntVar(&o.limit, "limit", 100, "at most so many")
	return c
}

func (a *app) runCodesExpiring(ctx context.Context, o codesExpiringOptions) error {
	return a.withAPI(ctx, func(c *admin.Client) error {
		q := url.Values{"days": {strconv.Itoa(o.days)}, "limit": {strconv.Itoa(o.limit)}}
		var list admin.Codes
		if err := c.Call(ctx, http.MethodGet, admin.PathExpiring, "", q, nil, &list); err != nil {
			return err
		}
		return a.print(list, func(w io.Writer) { writeCodes(w, list.Codes) })
	})
}
