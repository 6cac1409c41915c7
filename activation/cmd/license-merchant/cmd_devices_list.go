package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"licenseagent.example/activation/merchant"
)

type devicesListOptions struct {
	code  string
	limit int
}

func (a *app) devicesListCmd() *cobra.Command {
	var o devicesListOptions
	c := &cobra.Command{
		Use: "list", Short: "List devices, last seen first", Long: "Lists activated devices, last seen first. " + exitHelp,
		Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return a.runDevicesList(c.Context(), o) },
	}
	c.Flags().StringVar(&o.code, "code", "", "only devices of the code with this id")
	c.Flags().IntVar(&o.limit, "limit", 100, "at most so many")
	return c
}

func (a *app) runDevicesList(ctx context.Context, o devicesListOptions) error {
	return a.withService(ctx, func(svc *merchant.Service, _ config) error {
		list, err := svc.Devices(ctx, o.code, o.limit)
		if err != nil {
			return err
		}
		return a.print(map[string]any{"devices": list}, func(w io.Writer) {
			fmt.Fprintln(w, "LICENSE\tPRODUCT\tSTATUS\tCONTESTED\tLAST CONTACT\tDEVICE")
			for _, d := range list {
				contested := "no"
				if d.Contested > 0 {
					contested = d.ContestBy
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", d.License, d.Product, d.Status, contested, when(d.Contact), d.Device)
			}
		})
	})
}
