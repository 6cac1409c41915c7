package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func (a *app) planCmd() *cobra.Command {
	var o installOptions
	c := &cobra.Command{
		Use:   "plan install|upgrade|uninstall",
		Short: "Show what install, upgrade or uninstall would do",
		Long: `Prints the steps and changes nothing. A step marked "already so" would be left
out.

` + exitHelp,
		Args:      a.args(cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs)),
		ValidArgs: []string{"install", "upgrade", "uninstall"},
		RunE: func(c *cobra.Command, args []string) error {
			if err := a.wholeMachine(args[0], o); err != nil {
				return err
			}
			p, err := a.planOf(args[0], o)
			if err != nil {
				return err
			}
			lines, err := p.Look(c.Context())
			if err != nil {
				return a.installProblem(err)
			}
			if a.output == "json" {
				return a.json(lines)
			}
			for i, l := range lines {
				note := ""
				if !l.Needed {
					note = " (already so)"
				}
				if _, err := fmt.Fprintf(a.stdout, "%3d. %s%s\n", i+1, printable(l.Text), note); err != nil {
					return err
				}
			}
			return nil
		},
	}
	o.flags(c)
	o.vendor(c)
	c.Flags().BoolVar(&o.purge, "purge", false, "for uninstall: also licenses, device key, configuration and user")
	return c
}
