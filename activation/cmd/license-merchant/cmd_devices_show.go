package main

import (
	"context"
	"io"
	"net/http"

	"github.com/spf13/cobra"

	"licenseagent.example/activation/merchant/admin"
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
	return a.withAPI(ctx, func(c *admin.Client) error {
		var x admin.Device
		if err := c.Call(ctx, http.MethodGet, admin.PathDevice, id, nil, nil, &x); err != nil {
			return err
		}
		return a.print(x, func(w io.Writer) {
			writeDevice(w, x.Device)
			writeWhy(w, x.Why)
			writeHistory(w, x.History)
		})
	})
}
