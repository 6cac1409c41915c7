package main

import (
	"context"
	"encoding/base64"
	"os"

	"github.com/spf13/cobra"

	"licenseagent.example/agent/api"
	"licenseagent.example/platform/securefile"
)

type requestOptions struct {
	key     api.KeyRequest
	kind    string
	code    codeOptions
	out     string
	replace bool
}

func (a *app) requestCmd() *cobra.Command {
	var o requestOptions
	c := &cobra.Command{
		Use:   "request",
		Short: "Make a request file for a machine without network",
		Long: `Writes the signed request to standard output or to --out. Carry it to the vendor
("license-merchant answer"), bring the answer back and run "license-agent
import". The same request is given out again until its answer is imported.

` + exitHelp,
		Args: a.args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return a.runRequest(c.Context(), o) },
	}
	keyFlags(c, &o.key)
	f := c.Flags()
	f.StringVar(&o.kind, "kind", "activate", "activate, renew, release or rebind")
	f.StringVar(&o.code.file, "code-file", "", "file with the code for activate and rebind, - for standard input")
	f.StringVar(&o.out, "out", "", "write to this new file instead of standard output")
	f.BoolVar(&o.replace, "replace", false, "give up an activation request that still waits, or replace a license that is held")
	return c
}

func (a *app) runRequest(ctx context.Context, o requestOptions) error {
	cl, err := a.client()
	if err != nil {
		return err
	}
	q := api.OfflineRequest{Kind: o.kind, Issuer: o.key.Issuer, Product: o.key.Product, Replace: o.replace}
	if o.kind == "activate" || o.kind == "rebind" {
		if q.Code, err = a.readCode(o.code); err != nil {
			return err
		}
	}
	r, err := cl.Request(ctx, q)
	if err != nil {
		return err
	}
	file, err := base64.StdEncoding.DecodeString(r.File)
	if err != nil {
		return a.problem(api.CodeAgentAnswer, err)
	}
	switch {
	case o.out != "":
		return a.writeNew(o.out, file)
	case a.output == "json":
		return a.json(r)
	default:
		_, err = a.stdout.Write(file)
		return err
	}
}

// writeNew writes a file that must not exist yet, closed to other users: a
// request carries the authorization code and the serials of this machine.
func (a *app) writeNew(name string, b []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, securefile.PrivateFile)
	if err != nil {
		return a.problem(api.CodeFileAccess, err)
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		_ = os.Remove(name) // half a file is worse than none
		if e := a.asProblem(err); e.Code == api.CodeStorageFull {
			return a.problem(e.Code, err)
		}
		return a.problem(api.CodeFileAccess, err)
	}
	return nil
}
