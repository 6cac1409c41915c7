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

type codesListOptions struct {
	product string
	limit   int
}

func (a *app) codesListCmd() *cobra.Command {
	var o codesListOptions
	c := &cobra.Command{
		Use: "list", Short: "List codes, newest first", Long: "Lists codes, newest first, without the codes themselves. " + exitHelp,
		Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return a.runCodesList(c.Context(), o) },
	}
	c.Flags().StringVar(&o.product, "product", "", "only this product")
	c.Flags().IntVar(&o.limit, "limit", 100, "at most so many")
	return c
}

func (a *app) runCodesList(ctx context.Context, o codesListOptions) error {
	return a.withAPI(ctx, func(c *admin.Client) error {
		var list admin.Codes
		q := url.Values{"limit": {strconv.Itoa(o.limit)}}
		if o.product != "" {
			q.Set("product", o.product)
		}
		if err := c.Call(ctx, http.MethodGet, admin.PathCodes, "", q, nil, &list); err != nil {
			return err
		}
		return a.print(list, func(w io.Writer) { writeCodes(w, list.Codes) })
	})
}

func writeCodes(w io.Writer, list []merchant.CodeInfo) {
	fmt.Fprintln(w, "ID\tENDS WITH\tPRODUCT\tSTATUS\tDEVICES\tENDS\tNOTE")
	for _, i := range list {
		fmt.Fprintf(w, "%s\t%s\t%s %s\t%s\t%d/%d\t%s\t%s\n", i.ID, i.Hint, i.Product, i.Edition, codeStatus(i), i.Used, i.Devices, when(i.Expires), orDash(i.Note))
	}
}
