package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"licenseagent.example/activation"
	"licenseagent.example/activation/merchant"
)

func (a *app) devicesShowCmd() *cobra.Command {
	return &cobra.Command{
		Use: "show LICENSE|DEVICE", Short: "Show a device, why it runs or not, and its history",
		Long: `Shows a device by license id (lic-…) or device id (dev:…): what license-agent why
says on the machine, as of its last contact, and its history. Parts are shown by
the first digits of their salted hashes, the same as on the machine. ` + exitHelp,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, list []string) error { return a.runDevicesShow(c.Context(), list[0]) },
	}
}

func (a *app) runDevicesShow(ctx context.Context, id string) error {
	return a.withService(ctx, func(svc *merchant.Service, _ config) error {
		x, err := svc.Why(ctx, id, activation.Scenario{})
		if err != nil {
			return err
		}
		history, err := svc.Audit(ctx, x.Device.License, 0, 1000)
		if err != nil {
			return err
		}
		return a.print(map[string]any{"device": x.Device, "why": x, "history": history}, func(w io.Writer) {
			writeDevice(w, x.Device)
			writeWhy(w, x)
			writeHistory(w, history)
		})
	})
}
