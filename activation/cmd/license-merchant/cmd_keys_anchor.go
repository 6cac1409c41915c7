package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"licenseagent.example/activation/merchant"
)

func (a *app) keysAnchorCmd() *cobra.Command {
	var url string
	c := &cobra.Command{
		Use: "anchor", Short: "Write anchor.json, the file that agents and programs are given",
		Long: "Writes anchor.json in the data directory and prints it: root keys, address and pinned TLS root. Nothing in it is secret. " + exitHelp,
		Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return a.runKeysAnchor(c.Context(), url) },
	}
	c.Flags().StringVar(&url, "url", "", "public https:// URL of the service (default: url of the configuration)")
	return c
}

func (a *app) runKeysAnchor(ctx context.Context, url string) error {
	return a.withService(ctx, func(svc *merchant.Service, c config) error {
		if url == "" {
			url = c.URL
		}
		anchor, err := a.writeAnchor(ctx, svc, url)
		if err != nil {
			return err
		}
		text, err := anchor.Encode()
		if err != nil {
			return err
		}
		return a.print(anchor, func(w io.Writer) { fmt.Fprintf(w, "%s", text) })
	})
}
