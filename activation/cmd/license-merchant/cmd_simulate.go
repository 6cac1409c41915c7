package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"

	"github.com/spf13/cobra"

	"licenseagent.example/activation/merchant"
	"licenseagent.example/activation/merchant/admin"
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
	return a.withAPI(ctx, func(c *admin.Client) error {
		text, err := c.Send(ctx, http.MethodPost, admin.PathRequestExplain, "", nil, request)
		if err != nil {
			return err
		}
		var x merchant.Explanation
		if err := json.Unmarshal(text, &x); err != nil {
			return err
		}
		return a.print(x, func(w io.Writer) {
			writeWhy(w, x)
			writeDevice(w, x.Device)
		})
	})
}
