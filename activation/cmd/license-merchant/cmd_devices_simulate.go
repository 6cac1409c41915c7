package main

import (
	"context"
	"io"
	"net/http"

	"github.com/spf13/cobra"

	"licenseagent.example/activation/merchant"
	"licenseagent.example/activation/merchant/admin"
)

func (a *app) devicesSimulateCmd() *cobra.Command {
	var o admin.Scenario
	c := &cobra.Command{
		Use:   "simulate LICENSE|DEVICE",
		Short: "Show what would happen to a device if: time without contact, changed hardware, clocks",
		Long: `Says what license-agent simulate would say on the machine, from what was seen at
its last contact, and changes nothing:

  license-merchant devices simulate lic-… --replace disk,board --offline 45d
  license-merchant devices simulate lic-… --drop nic=2 --clock -3h
  license-merchant devices simulate lic-… --clone

Parts are nic (or mac), disk, board and cpu. ` + exitHelp,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, list []string) error { return a.runDevicesSimulate(c.Context(), list[0], o) },
	}
	f := c.Flags()
	f.StringSliceVar(&o.Drop, "drop", nil, "part that is gone, or PART=N for N of its values")
	f.StringSliceVar(&o.Replace, "replace", nil, "part whose values are all other ones")
	f.StringSliceVar(&o.Unreadable, "unreadable", nil, "part that cannot be read")
	f.StringVar(&o.Offline, "offline", "", "time from now without contact, such as 36h or 45d")
	f.StringVar(&o.Clock, "clock", "", "change of the wall clock, such as -3h or 30d")
	f.BoolVar(&o.Clone, "clone", false, "the state was copied to another machine")
	f.BoolVar(&o.Behind, "behind", false, "the clock is behind and no tick is on disk")
	f.BoolVar(&o.Contested, "contested", false, "a second copy of the license was seen")
	return c
}

func (a *app) runDevicesSimulate(ctx context.Context, id string, o admin.Scenario) error {
	return a.withAPI(ctx, func(c *admin.Client) error {
		var x merchant.Explanation
		if err := c.Call(ctx, http.MethodPost, admin.PathSimulate, id, nil, o, &x); err != nil {
			return err
		}
		return a.print(x, func(w io.Writer) {
			writeWhy(w, x)
			writeDevice(w, x.Device)
		})
	})
}
