package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func (a *app) versionCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of this program",
		Long:  exitHelp,
		Args:  a.args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			v := a.build()
			if a.output == "json" {
				return a.json(v)
			}
			_, err := fmt.Fprintf(a.stdout, "license-agent %s (API %d, %s, %s/%s)\n", v.Version, v.API, v.Go, v.OS, v.Arch)
			return err
		},
	}
}
