package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"licenseagent.example/agent/api"
)

// handOverCmd is what the scripts of OpenRC and System V run as root before the
// agent starts as its own user: systemd does the same by LoadCredential=.
func (a *app) handOverCmd() *cobra.Command {
	return &cobra.Command{
		Use:    "hand-over FILE USER",
		Short:  "Copy the SMBIOS table, which only root may read, into a file that only USER may read",
		Hidden: true,
		Args:   a.args(cobra.ExactArgs(2)),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := handOver("/", args[0], args[1]); err != nil {
				return a.problem(api.CodeStorage, fmt.Errorf("hand-over: %w", err))
			}
			return nil
		},
	}
}
