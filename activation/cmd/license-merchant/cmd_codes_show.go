package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"licenseagent.example/activation/merchant"
)

func (a *app) codesShowCmd() *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show a code, its devices and its history", Long: "Shows a code by its id (c-…), its devices and its history. " + exitHelp,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, list []string) error { return a.runCodesShow(c.Context(), list[0]) },
	}
}

func (a *app) runCodesShow(ctx context.Context, id string) error {
	return a.withService(ctx, func(svc *merchant.Service, _ config) error {
		info, err := svc.Code(ctx, id)
		if err != nil {
			return err
		}
		devices, err := svc.Devices(ctx, id, 1000)
		if err != nil {
			return err
		}
		history, err := svc.Audit(ctx, id, 0, 1000)
		if err != nil {
			return err
		}
		return a.print(map[string]any{"code": info, "devices": devices, "history": history}, func(w io.Writer) {
			writeCode(w, info)
			for _, d := range devices {
				fmt.Fprintf(w, "device\t%s %s, last contact %s\n", d.License, d.Status, when(d.Contact))
			}
			writeHistory(w, history)
		})
	})
}

func writeHistory(w io.Writer, history []merchant.AuditRow) {
	for _, r := range history {
		fmt.Fprintf(w, "%s\t%s by %s %s\n", when(r.At), r.Action, r.Actor, r.Detail)
	}
}
