package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"licenseagent.example/activation/merchant"
)

func (a *app) devicesShowCmd() *cobra.Command {
	return &cobra.Command{
		Use: "show LICENSE|DEVICE", Short: "Show a device and its history", Long: "Shows a device by license id (lic-…) or device id (dev:…), and its history. " + exitHelp,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, list []string) error { return a.runDevicesShow(c.Context(), list[0]) },
	}
}

func (a *app) runDevicesShow(ctx context.Context, id string) error {
	return a.withService(ctx, func(svc *merchant.Service, _ config) error {
		d, err := svc.Device(ctx, id)
		if err != nil {
			return err
		}
		history, err := svc.Audit(ctx, d.License, 0, 1000)
		if err != nil {
			return err
		}
		return a.print(map[string]any{"device": d, "history": history}, func(w io.Writer) {
			writeDevice(w, d)
			writeHistory(w, history)
		})
	})
}
