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

func (a *app) devicesReleaseCmd() *cobra.Command {
	return a.devicesActionCmd("release", "Free the seat of a device",
		"Frees the seat of a device by its license id (lic-…). The device keeps what it holds until its next contact.",
		admin.PathRelease, func(w io.Writer, d merchant.DeviceInfo) {
			fmt.Fprintf(w, "%s is released; its seat of %s is free\n", d.License, d.Code)
		})
}

// devicesActionCmd is release or rebind: one command each, one shape.
func (a *app) devicesActionCmd(verb, short, long, path string, done func(io.Writer, merchant.DeviceInfo)) *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use: verb + " LICENSE", Short: short, Long: long + " " + exitHelp,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, list []string) error {
			return a.runDevicesAction(c.Context(), list[0], reason, path, done)
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "for the audit log")
	return c
}

func (a *app) runDevicesAction(ctx context.Context, id, reason, path string, done func(io.Writer, merchant.DeviceInfo)) error {
	return a.withAPI(ctx, func(c *admin.Client) error {
		var d merchant.DeviceInfo
		if err := c.Call(ctx, http.MethodPost, path, id, nil, admin.Reason{Reason: reason}, &d); err != nil {
			return err
		}
		return a.print(d, func(w io.Writer) { done(w, d) })
	})
}
