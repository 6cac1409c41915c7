package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"licenseagent.example/activation/merchant"
)

func (a *app) simulateCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "simulate FILE",
		Short: "Say how a request file compares with what is enrolled; nothing changes",
		Long: `Compares the hardware and the chain position in a request file (- for standard
input) with what is enrolled for its device, and says why. Nothing is issued and
nothing is written. ` + exitHelp,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, list []string) error { return a.runSimulate(c.Context(), list[0]) },
	}
}

func (a *app) runSimulate(ctx context.Context, file string) error {
	request, err := a.readRequest(file)
	if err != nil {
		return err
	}
	return a.withService(ctx, func(svc *merchant.Service, _ config) error {
		x, err := svc.Explain(ctx, request)
		if err != nil {
			return err
		}
		return a.print(x, func(w io.Writer) {
			fmt.Fprintf(w, "verdict\t%s: %s\n", x.Comparison.Outcome, x.Comparison.Why)
			fmt.Fprintf(w, "points\t%d of %d match, %d needed, %d may still be lost\n", x.Comparison.Matched, x.Comparison.Available, x.Comparison.Need, x.Comparison.Left)
			for _, p := range x.Comparison.Parts {
				fmt.Fprintf(w, "%s\t%s (%d points)\n", p.Kind, p.Result, p.Weight)
			}
			fmt.Fprintf(w, "chain\t%s\n", x.Chain)
			writeDevice(w, x.Device)
		})
	})
}
