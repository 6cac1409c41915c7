package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"licenseagent.example/activation/merchant"
)

func (a *app) devicesReleaseCmd() *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use: "release LICENSE", Short: "Free the seat of a device",
		Long: "Frees the seat of a device by its license id (lic-…). The device keeps what it holds until its next contact. " + exitHelp,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, list []string) error { return a.runDevicesRelease(c.Context(), list[0], reason) },
	}
	c.Flags().StringVar(&reason, "reason", "", "for the audit log")
	return c
}

func (a *app) runDevicesRelease(ctx context.Context, id, reason string) error {
	return a.withService(ctx, func(svc *merchant.Service, _ config) error {
		if err := svc.Release(ctx, id, reason); err != nil {
			return err
		}
		d, err := svc.Device(ctx, id)
		if err != nil {
			return err
		}
		return a.print(d, func(w io.Writer) {
			fmt.Fprintf(w, "%s is released; its seat of %s is free\n", d.License, d.Code)
		})
	})
}
