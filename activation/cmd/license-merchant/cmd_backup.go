package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"licenseagent.example/activation/merchant"
)

type backupOptions struct {
	out         string
	withoutKeys bool
}

func (a *app) backupCmd() *cobra.Command {
	var o backupOptions
	c := &cobra.Command{
		Use: "backup --out FILE", Short: "Write database and keys to one file, while the service runs",
		Long: `Writes everything the service needs to go on elsewhere to a new file of mode 0600:
all tables as they are at this instant, and the key directory. The service is not
held up. The file is the same from SQLite and PostgreSQL, so that one can be
restored as the other. Root keys and the TLS key are not in it.

Whoever has the file can sign licenses until its keys are revoked: keep it like
the root keys, or use --without-keys and keep the key directory apart. ` + exitHelp,
		Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return a.runBackup(c.Context(), o) },
	}
	c.Flags().StringVar(&o.out, "out", "", "the new file")
	c.Flags().BoolVar(&o.withoutKeys, "without-keys", false, "leave the key directory out")
	return c
}

func (a *app) runBackup(ctx context.Context, o backupOptions) error {
	if o.out == "" {
		return usage("--out is required")
	}
	return a.withService(ctx, func(svc *merchant.Service, _ config) error {
		f, err := createPrivate(o.out)
		if err != nil {
			return err
		}
		info, err := svc.Backup(ctx, f, !o.withoutKeys)
		if err == nil {
			err = f.Sync()
		}
		if closed := f.Close(); err == nil {
			err = closed
		}
		if err != nil { // half a backup is none
			return errors.Join(err, os.Remove(o.out))
		}
		return a.print(info, func(w io.Writer) {
			fmt.Fprintf(w, "backup of\t%s, %d rows, %d key files, written to %s\n", info.Issuer, info.Rows, info.Files, o.out)
			if !o.withoutKeys {
				fmt.Fprintf(w, "keep it\tlike the root keys: it can sign licenses\n")
			}
		})
	})
}
