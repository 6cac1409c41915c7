package main

import "github.com/spf13/cobra"

func (a *app) uninstallCmd() *cobra.Command {
	var o installOptions
	c := &cobra.Command{
		Use:   "uninstall",
		Short: "Remove the service that install has made",
		Long: `Stops and removes the service and the program. State and configuration stay, so
that a later installation goes on with the same licenses; --purge removes them
and the user as well. A seat is given back by "license-agent release" before.

` + exitHelp,
		Args: a.args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return a.change(c.Context(), "uninstall", o) },
	}
	o.flags(c)
	c.Flags().BoolVar(&o.purge, "purge", false, "also remove licenses, device key, configuration and user: there is no way back")
	return c
}
