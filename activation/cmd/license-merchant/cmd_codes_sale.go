package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"licenseagent.example/activation/merchant"
	"licenseagent.example/activation/merchant/admin"
)

type codesSaleOptions struct {
	sale     admin.Sale
	codeFile string
	order    string
}

func (a *app) codesSaleCmd() *cobra.Command {
	var o codesSaleOptions
	c := &cobra.Command{
		Use:   "sale [WHICH]",
		Short: "Say what a code of KooGallery was bought as",
		Long: `Writes down product and quantity of a code that KooGallery sold, as Seller Center
shows them: only the answer to its activation tells, and that one can be lost.
WHICH is the id (c-…), or the last characters as health names them. A whole code
is a secret and does not belong on a command line: --code-file reads it from a
file, or with - from standard input. --order names an order of an online License
instead, ORDER/LINE as health shows it. Devices learn it at their next renewal; a
buyer who was told to wait succeeds at the next attempt. ` + exitHelp,
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(c *cobra.Command, list []string) error {
			switch {
			case o.order != "" && o.codeFile == "" && len(list) == 0:
				o.sale.Which = o.order
				if !strings.Contains(o.order, "/") {
					o.sale.Which += "/"
				}
			case o.order == "" && o.codeFile != "" && len(list) == 0:
				b, err := a.readSmall(o.codeFile, 1024)
				if err != nil {
					return err
				}
				o.sale.Which = strings.TrimSpace(string(b))
			case o.order == "" && o.codeFile == "" && len(list) == 1:
				o.sale.Which = list[0]
				if !strings.HasPrefix(o.sale.Which, "c-") && utf8.RuneCountInString(strings.TrimPrefix(o.sale.Which, "…")) > 4 {
					return usage("a whole code does not belong on a command line, which others can see and the shell keeps: use --code-file")
				}
			default:
				return usage("codes sale takes WHICH, --code-file or --order, one of them")
			}
			return a.runCodesSale(c.Context(), o.sale)
		},
	}
	f := c.Flags()
	f.StringVar(&o.codeFile, "code-file", "", "read the code from this file (- for standard input)")
	f.StringVar(&o.order, "order", "", "ORDER/LINE of an online License (LINE may be left out when the order has one)")
	f.StringVar(&o.sale.Product, "product", "", "product id of KooGallery, as in [[koogallery.product]] (default: as it is)")
	f.Int64Var(&o.sale.Amount, "amount", 0, "quantity bought (default: as it is)")
	f.StringVar(&o.sale.Reason, "reason", "", "for the audit log")
	return c
}

func (a *app) runCodesSale(ctx context.Context, sale admin.Sale) error {
	return a.withAPI(ctx, func(c *admin.Client) error {
		var sold merchant.Sold
		if err := c.Call(ctx, http.MethodPost, admin.PathSales, "", nil, sale, &sold); err != nil {
			return err
		}
		return a.print(sold, func(w io.Writer) {
			what := "code ends with"
			if strings.Contains(sold.Hint, "/") {
				what = "order"
			}
			fmt.Fprintf(w, "%s\t%s\nid\t%s\nsold as\t%s, quantity %d\n", what, sold.Hint, orDash(sold.Code), orDash(sold.Product), sold.Amount)
		})
	})
}
