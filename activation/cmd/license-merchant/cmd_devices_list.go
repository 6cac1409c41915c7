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

type devicesListOptions struct {
	code      string
	contested bool
	limit     int
}

func (a *app) devicesListCmd() *cobra.Command {
	var o devicesListOptions
	c := &cobra.Command{
		Use: "list", Short: "List devices, newest first", Long: "Lists activated devices, newest first; with --contested those of which a copy was seen. " + exitHelp,
		Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return a.runDevicesList(c.Context(), o) },
	}
	c.Flags().StringVar(&o.code, "code", "", "only devices of the code with this id")
	c.Flags().BoolVar(&o.contested, "contested", false, "only seats of which a copy was seen, the newest case first")
	c.MarkFlagsMutuallyExclusive("code", "contested")
	c.Flags().IntVar(&o.limit, "limit", 100, "at most so many")
	return c
}

func (a *app) runDevicesList(ctx context.Context, o devicesListOptions) error {
	return a.withAPI(ctx, func(c *admin.Client) error {
		path, q := admin.PathDevices, url.Values{"limit": {strconv.Itoa(o.limit)}}
		if o.code != "" {
			q.Set("code", o.code)
		}
		if o.contested {
			path = admin.PathContested
		}
		var list admin.Devices
		if err := c.Call(ctx, http.MethodGet, path, "", q, nil, &list); err != nil {
			return err
		}
		return a.print(list, func(w io.Writer) { writeDevices(w, list.Devices) })
	})
}

func writeDevices(w io.Writer, list []merchant.DeviceInfo) {
	fmt.Fprintln(w, "LICENSE\tPRODUCT\tSTATUS\tCONTESTED\tLAST CONTACT\tDEVICE")
	for _, d := range list {
		contested := "no"
		if d.Contested > 0 {
			contested = d.ContestBy
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", d.License, d.Product, d.Status, contested, when(d.Contact), d.Device)
	}
}
