package main

import "github.com/spf13/cobra"

func (a *app) upgradeCmd() *cobra.Command {
	var o installOptions
	c := &cobra.Command{
		Use:   "upgrade",
		Short: "Put this program in the place of the installed one",
		Long: `Replaces the installed program by this one and restarts the service; callers wait
meanwhile and are not refused. State and configuration stay. If the new program
does not start, the old one is put back and started.

` + exitHelp,
		Args: a.args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return a.change(c.Context(), "upgrade", o) },
	}
	o.flags(c)
	o.vendor(c)
	return c
}
