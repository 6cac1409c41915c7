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

func (a *app) codesShowCmd() *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show a code, its devices and its history", Long: "Shows a code by its id (c-…), its devices and its history. " + exitHelp,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, list []string) error { return a.runCodesShow(c.Context(), list[0]) },
	}
}

func (a *app) runCodesShow(ctx context.Context, id string) error {
	return a.withAPI(ctx, func(c *admin.Client) error {
		var x admin.Code
		if err := c.Call(ctx, http.MethodGet, admin.PathCode, id, nil, nil, &x); err != nil {
			return err
		}
		return a.print(x, func(w io.Writer) {
			writeCode(w, x.Code)
			if x.Sale != nil {
				writeSale(w, *x.Sale)
			}
			for _, d := range x.Devices {
				fmt.Fprintf(w, "device\t%s %s, last contact %s\n", d.License, d.Status, when(d.Contact))
			}
			writeHistory(w, x.History)
		})
	})
}

func writeSale(w io.Writer, s merchant.SaleInfo) {
	fmt.Fprintf(w, "marketplace\t%s, last asked %s\n", orDash(s.Standing), when(s.Checked))
	fmt.Fprintf(w, "sold as\t%s, quantity %d, order %s, activated there %s\n", orDash(s.Product), s.Amount, orDash(s.Order), when(s.Activated))
	fmt.Fprintf(w, "work about it\t%d waiting, %d given up\n", s.Waiting, s.Failed)
	if s.Problem != "" {
		fmt.Fprintf(w, "last attempt\t%s\n", s.Problem)
	}
	for _, u := range s.Uses {
		fmt.Fprintf(w, "used on\t%s by %s, told the marketplace %s\n", u.Day, u.Device, when(u.Reported))
	}
}

func writeHistory(w io.Writer, history []merchant.AuditRow) {
	for _, r := range history {
		fmt.Fprintf(w, "%s\t%s by %s %s\n", when(r.At), r.Action, r.Actor, r.Detail)
	}
}
