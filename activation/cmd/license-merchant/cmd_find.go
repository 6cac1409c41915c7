package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"

	"github.com/spf13/cobra"

	"licenseagent.example/activation/merchant"
	"licenseagent.example/activation/merchant/admin"
)

func (a *app) findCmd() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "find WHAT",
		Short: "Find codes and devices by what the customer can tell",
		Long: `Finds codes by id (c-…), last group, note or order at the marketplace, and devices by license id (lic-…) or
device id (dev:…). A whole authorization code is a secret and does not belong on a
command line: --code-file reads it from a file, or with - from standard input. ` + exitHelp,
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(c *cobra.Command, list []string) error {
			switch {
			case file != "" && len(list) == 0:
				return a.runFindCode(c.Context(), file)
			case file == "" && len(list) == 1:
				if looksLikeCode(list[0]) {
					return usage("an authorization code does not belong on a command line, which others can see and the shell keeps: use --code-file")
				}
				return a.runFind(c.Context(), list[0])
			}
			return usage("find takes WHAT, or --code-file")
		},
	}
	c.Flags().StringVar(&file, "code-file", "", "read an authorization code from this file (- for standard input)")
	return c
}

func (a *app) runFindCode(ctx context.Context, file string) error {
	b, err := a.readSmall(file, 1024)
	if err != nil {
		return err
	}
	return a.runFind(ctx, string(b))
}

func (a *app) runFind(ctx context.Context, what string) error {
	return a.withAPI(ctx, func(c *admin.Client) error {
		var found merchant.Found
		if err := c.Call(ctx, http.MethodPost, admin.PathFind, "", nil, admin.FindRequest{What: what}, &found); err != nil {
			return err
		}
		if len(found.Codes)+len(found.Devices) == 0 {
			spec := admin.Lookup(admin.CodeNotFound)
			return &admin.Error{Code: spec.Code, Hint: spec.Hint.In(a.lang())}
		}
		return a.print(found, func(w io.Writer) {
			if len(found.Codes) > 0 {
				writeCodes(w, found.Codes)
			}
			if len(found.Codes) > 0 && len(found.Devices) > 0 {
				fmt.Fprintln(w)
			}
			if len(found.Devices) > 0 {
				writeDevices(w, found.Devices)
			}
		})
	})
}

// looksLikeCode says that somebody typed a whole code, right or wrong.
func looksLikeCode(s string) bool {
	return regexp.MustCompile(`^([0-9A-Za-z]{5}[- ]?){5}$`).MatchString(s)
}
