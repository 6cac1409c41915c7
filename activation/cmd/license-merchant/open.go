package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"licenseagent.example/activation/license"
	"licenseagent.example/activation/merchant"
)

// withService opens the data directory for one command that needs this machine.
func (a *app) withService(ctx context.Context, do func(svc *merchant.Service, c config) error) (err error) {
	if err := a.onlyHere(); err != nil {
		return err
	}
	c, err := a.loadConfig()
	if err != nil {
		return err
	}
	c.market.Products = c.KooGallery.products() // for codes sale; nobody is asked
	return a.withConfig(ctx, c, nil, do)
}

// onlyHere refuses --server for a command that would work on other files than
// those of the server that was named.
func (a *app) onlyHere() error {
	if a.remote.server != "" {
		return usage("this command needs the files of the service: run it there, without --server")
	}
	return nil
}

func (a *app) withConfig(ctx context.Context, c config, log *slog.Logger, do func(svc *merchant.Service, c config) error) (err error) {
	keys, closeKeys, err := a.keyStore(c.PKCS11)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeKeys()) }()
	db, err := a.database(ctx, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	svc, err := merchant.New(ctx, merchant.Options{
		DB: db, KeyDir: a.path("keys"), Keys: keys, Clock: a.now, Rand: a.rand, Log: log, Terms: c.terms(), Market: c.market, Notices: int(c.Notices),
	})
	if errors.Is(err, fs.ErrNotExist) {
		return errKeysElsewhere
	}
	if err != nil {
		return err
	}
	defer svc.Close()
	if svc.Issuer() == "" && a.keysHere() {
		return errEmptyDatabase
	}
	return do(svc, c)
}

var (
	// errEmptyDatabase is returned when the data directory was initialised with
	// another database than the one that is named now.
	errEmptyDatabase = errors.New("the keys are here, but the database is empty")
	// errKeysElsewhere is its opposite.
	errKeysElsewhere = errors.New("the database belongs to a vendor already, whose keys are not here")
)

// keysHere says whether init or restore has filled the key directory.
func (a *app) keysHere() bool {
	_, err := os.Stat(a.path(filepath.Join("keys", "lookup.key")))
	return err == nil
}

func (a *app) database(ctx context.Context, c config) (*merchant.Database, error) {
	if strings.HasPrefix(c.Database, "postgres://") || strings.HasPrefix(c.Database, "postgresql://") {
		return merchant.OpenPostgres(ctx, c.Database)
	}
	if c.Database != "" {
		return nil, usage("database: want postgres://… or nothing")
	}
	path := a.path("merchant.db")
	// Opening creates; only init may do that, or a wrong --dir would look like
	// a fresh installation that knows no code.
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if a.keysHere() {
			return nil, errEmptyDatabase
		}
		return nil, fmt.Errorf("%w (there is nothing in %s)", merchant.ErrNotInitialised, a.dir)
	}
	return merchant.OpenSQLite(ctx, path)
}

// writeAnchor writes anchor.json: what agents and programs are given. It is
// public, so its mode is that of any file.
func (a *app) writeAnchor(ctx context.Context, svc *merchant.Service, url string) (license.Anchor, error) {
	anchor, err := svc.Anchor(ctx)
	if err != nil {
		return anchor, err
	}
	anchor.Merchant = url
	ca, err := os.ReadFile(a.path(filepath.Join("tls", "ca.pem")))
	if err == nil {
		anchor.TLSRoots = string(ca)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return anchor, fmt.Errorf("TLS root: %w", err)
	}
	text, err := anchor.Encode()
	if err != nil {
		return anchor, err
	}
	return anchor, replaceFile(a.path("anchor.json"), text)
}

// replaceFile writes a public file in one step: nobody reads half of it.
func replaceFile(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
