package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"licenseagent.example/agent/api"
	"licenseagent.example/store"
)

// probeCmd makes the probe of the store known to the command line; main runs it
// before anything else, so that this body is only reached when global options
// stand before it.
func (a *app) probeCmd() *cobra.Command {
	return &cobra.Command{
		Use:    store.ProbeArg + " FILE",
		Hidden: true,
		Args:   a.args(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			if code := store.ProbeMain(args); code != 0 {
				return a.problem(api.CodeStorage, fmt.Errorf("the probe ended with %d", code))
			}
			return nil
		},
	}
}
