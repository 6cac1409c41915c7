package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"licenseagent.example/activation/merchant"
)

type restoreOptions struct{ epochOnly bool }

func (a *app) restoreCmd() *cobra.Command {
	var o restoreOptions
	c := &cobra.Command{
		Use: "restore FILE", Short: "Make a data directory or fill a database from a backup",
		Long: `Restores a backup into the data directory --dir, or into the PostgreSQL database
that merchant.toml in it or LICENSE_MERCHANT_DATABASE names. What is there already
is never overwritten.

The restored database opens a new epoch: devices that contacted after the backup
was made are ahead of it, and each is accepted once by the position of its last
signed reply instead of looking like a copy. Devices activated after the backup
activate again with their code; codes made after it are gone.

Stop all instances of the service before. If the database was put back by other
means (a snapshot, pg_restore), --epoch-only opens the epoch on it. ` + exitHelp,
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(c *cobra.Command, list []string) error {
			switch {
			case o.epochOnly && len(list) == 0:
				return a.runEpoch(c.Context())
			case !o.epochOnly && len(list) == 1:
				return a.runRestore(c.Context(), list[0])
			}
			return usage("restore takes FILE, or --epoch-only")
		},
	}
	c.Flags().BoolVar(&o.epochOnly, "epoch-only", false, "the database was put back already: only open a new epoch")
	return c
}

func (a *app) runEpoch(ctx context.Context) error {
	return a.withService(ctx, func(svc *merchant.Service, _ config) error {
		epoch, err := svc.OpenEpoch(ctx, "database put back by other means")
		if err != nil {
			return err
		}
		return a.print(map[string]int64{"epoch": epoch}, func(w io.Writer) {
			fmt.Fprintf(w, "epoch\t%d: devices ahead of the database are accepted once\n", epoch)
		})
	})
}

// restored is the JSON result of restore.
type restored struct {
	merchant.BackupInfo
	Epoch int64 `json:"epoch"`
}

func (a *app) runRestore(ctx context.Context, file string) error {
	if err := a.onlyHere(); err != nil {
		return err
	}
	in, err := os.Open(file)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := os.MkdirAll(a.path("keys"), merchant.PrivateDir); err != nil {
		return err
	}
	c, err := a.loadConfig()
	if err != nil {
		return err
	}
	var r restored
	if c.Database == "" {
		r.BackupInfo, err = a.restoreFile(ctx, in)
	} else {
		r.BackupInfo, err = merchant.RestorePostgres(ctx, c.Database, in, a.path("keys"))
	}
	if err != nil {
		return err
	}
	err = a.withConfig(ctx, c, nil, func(svc *merchant.Service, c config) error {
		if r.Epoch, err = svc.OpenEpoch(ctx, "restored the backup of "+when(r.Created)); err != nil {
			return err
		}
		_, err := a.writeAnchor(ctx, svc, c.URL)
		return err
	})
	if err != nil {
		return err
	}
	return a.print(r, func(w io.Writer) {
		fmt.Fprintf(w, "restored\t%s as it was at %s: %d rows, %d key files\n", r.Issuer, when(r.Created), r.Rows, r.Files)
		fmt.Fprintf(w, "epoch\t%d: devices ahead of the backup are accepted once\n", r.Epoch)
		fmt.Fprintf(w, "next\tput merchant.toml and tls/ back; if keys were rotated, published or revoked since the backup, do that again, then serve\n")
	})
}

// restoreFile makes merchant.db beside its final name: an interrupted restore
// leaves nothing that looks like a database.
func (a *app) restoreFile(ctx context.Context, in io.Reader) (merchant.BackupInfo, error) {
	final := a.path("merchant.db")
	if _, err := os.Stat(final); !errors.Is(err, fs.ErrNotExist) {
		return merchant.BackupInfo{}, fmt.Errorf("%w: %s exists", merchant.ErrInitialised, final)
	}
	work := final + ".restoring"
	for _, left := range []string{work, work + "-wal", work + "-shm"} { // of an interrupted attempt
		if err := os.Remove(left); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return merchant.BackupInfo{}, err
		}
	}
	info, err := merchant.RestoreSQLite(ctx, work, in, a.path("keys"))
	if err != nil {
		return info, errors.Join(err, os.Remove(work))
	}
	return info, os.Rename(work, final)
}
