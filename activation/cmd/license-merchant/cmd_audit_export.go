package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/spf13/cobra"

	"licenseagent.example/activation/merchant/admin"
)

func (a *app) auditExportCmd() *cobra.Command {
	var out string
	c := &cobra.Command{
		Use: "export", Short: "Write the whole audit log, one JSON row a line, and check it on the way",
		Long: `Writes the whole audit log to standard output or to the new file --out, one JSON
row a line, the last line holding their number. The chain is checked on the way,
and can be checked again at any time with audit verify --file. ` + exitHelp,
		Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return a.runAuditExport(c.Context(), out) },
	}
	c.Flags().StringVar(&out, "out", "", "write to this new file instead of standard output")
	return c
}

func (a *app) runAuditExport(ctx context.Context, out string) (err error) {
	w := a.stdout
	if out != "" {
		f, err := createPrivate(out)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		w = f
	}
	return a.withAPI(ctx, func(c *admin.Client) error {
		lines, err := c.Open(ctx, http.MethodGet, admin.PathAuditExport, "", nil, nil)
		if err != nil {
			return err
		}
		defer lines.Close()
		var v admin.Verified
		to := bufio.NewWriter(w)
		err = followExport(lines, to, &v)
		if flushed := to.Flush(); err == nil {
			err = flushed
		}
		if err != nil || out == "" {
			return err
		}
		return a.print(v, func(w io.Writer) { fmt.Fprintf(w, "%d rows, chain intact, written to %s\n", v.Rows, out) })
	})
}
