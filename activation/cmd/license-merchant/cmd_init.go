package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"licenseagent.example/activation/license"
	"licenseagent.example/activation/merchant"
)

type initOptions struct {
	issuer    string
	threshold string
	url       string
	tls       string
	hosts     []string
	ask       bool // wait for a yes
}

func (a *app) initCmd() *cobra.Command {
	var o initOptions
	c := &cobra.Command{
		Use:   "init --issuer NAME",
		Short: "Create a data directory: keys, database, trust anchor",
		Long: `Creates the data directory with root keys (root/), online keys (keys/), an empty
database and anchor.json, the file that agents and programs are given. With
--tls loopback also a private certificate authority and a server certificate
for localhost, 127.0.0.1 and ::1 (and every --host).

Afterwards move root/ to media that are kept apart: whoever has the threshold
of root keys can replace all other keys. ` + exitHelp,
		Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return a.runInit(c.Context(), o) },
	}
	f := c.Flags()
	f.StringVar(&o.issuer, "issuer", "", "name of the vendor: a-z 0-9 . _ -, stands in every license")
	f.StringVar(&o.threshold, "threshold", "2-of-3", "how many of how many root keys must sign a key set")
	f.StringVar(&o.url, "url", "", "public https:// URL of the service; without it serve writes the one it listens on")
	f.StringVar(&o.tls, "tls", "none", "none, or loopback for a certificate of our own authority")
	f.StringArrayVar(&o.hosts, "host", nil, "further name or address for that certificate")
	return c
}

func (a *app) runInit(ctx context.Context, o initOptions) error {
	if err := a.onlyHere(); err != nil {
		return err
	}
	m, n, err := parseThreshold(o.threshold)
	if err != nil {
		return err
	}
	if o.issuer == "" {
		return usage("--issuer is required")
	}
	if o.tls != "none" && o.tls != "loopback" {
		return usage("--tls is none or loopback, not %q", o.tls)
	}
	// Everything that can be wrong with the values shows before a file exists.
	probe := license.Anchor{V: 1, Issuer: o.issuer, Merchant: o.url, Roots: license.RootKeys{Threshold: 1, Keys: []license.PublicKey{probeKey()}}}
	if err := probe.Validate(); err != nil {
		return usage("%v", err)
	}
	final := filepath.Clean(a.dir)
	kept, err := vacant(final)
	if err != nil {
		return err
	}
	if err := a.confirmInit(final, o, m, n); err != nil {
		return err
	}
	// Everything is made beside the directory and renamed into place: an init
	// that was interrupted leaves nothing that looks like a data directory.
	if err := os.MkdirAll(filepath.Dir(final), 0o755); err != nil {
		return err
	}
	if a.dir, err = os.MkdirTemp(filepath.Dir(final), filepath.Base(final)+".new-"); err != nil {
		return err
	}
	anchor, err := a.create(ctx, o, kept, n, m)
	if err == nil && kept != nil {
		err = os.Remove(filepath.Join(final, configName))
	}
	if err == nil {
		if err = os.Remove(final); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	if err == nil {
		err = os.Rename(a.dir, final)
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(a.dir))
	}
	a.dir = final
	return a.print(anchor, func(w io.Writer) {
		fmt.Fprintf(w, "issuer\t%s\n", anchor.Issuer)
		fmt.Fprintf(w, "root keys\t%d of %d must sign, in %s: move them to separate media\n", m, n, a.path("root"))
		fmt.Fprintf(w, "trust anchor\t%s: give it to agents and programs\n", a.path("anchor.json"))
		fmt.Fprintf(w, "next\tlicense-merchant codes add --dir %s --product NAME\n", final)
	})
}

// confirmInit says in plain words what init will do, and asks when it should.
func (a *app) confirmInit(dir string, o initOptions, m, n int) error {
	where := "files of " + filepath.Join(dir, "keys")
	if c, err := a.loadConfig(); err == nil && c.PKCS11.Module != "" {
		where = "the token " + c.PKCS11.Token
	}
	list := []string{
		fmt.Sprintf("Creates the vendor %q in %s, which must not exist yet; nothing that exists is changed.", o.issuer, dir),
		fmt.Sprintf("Creates %d root keys in %s. Any %d of them can replace all other keys, fewer can do nothing: move each to a medium of its own and keep them off line.", n, filepath.Join(dir, "root"), m),
		fmt.Sprintf("Creates three online keys in %s, which sign licenses, notices and bundles from now on.", where),
		"Publishes key set 1, good for 400 days: publish another one before it ends.",
		"Writes anchor.json, which agents and programs are given. It names the root keys for good: with fewer than the threshold left, every customer needs another anchor.",
	}
	return a.confirmed(list, !o.ask)
}

// vacant checks that dir does not exist, is empty, or holds a configuration
// prepared before, whose text it returns.
func vacant(dir string) (conf []byte, err error) {
	list, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, e := range list {
		if e.Name() != configName {
			return nil, fmt.Errorf("%w: %s is not empty", merchant.ErrInitialised, dir)
		}
		if conf, err = os.ReadFile(filepath.Join(dir, configName)); err != nil {
			return nil, err
		}
	}
	return conf, nil
}

// create fills the data directory a.dir.
func (a *app) create(ctx context.Context, o initOptions, conf []byte, roots, threshold int) (anchor license.Anchor, err error) {
	for _, d := range []string{a.path("keys"), a.path("root")} {
		if err := os.Mkdir(d, merchant.PrivateDir); err != nil {
			return anchor, err
		}
	}
	if o.tls == "loopback" {
		if err := createTLS(a.path("tls"), append([]string{"localhost", "127.0.0.1", "::1"}, o.hosts...), a.now()); err != nil {
			return anchor, err
		}
	}
	if conf == nil && o.url != "" {
		conf = fmt.Appendf(nil, "url = %q\n", o.url)
	}
	if conf != nil {
		if err := os.WriteFile(a.path(configName), conf, merchant.PrivateFile); err != nil {
			return anchor, err
		}
	}
	c, err := a.loadConfig()
	if err != nil {
		return anchor, err
	}
	if o.url != "" {
		c.URL = o.url
	}
	if c.Database == "" {
		// The only place that creates the file, see database.
		db, err := merchant.OpenSQLite(ctx, a.path("merchant.db"))
		if err != nil {
			return anchor, err
		}
		if err := db.Close(); err != nil {
			return anchor, err
		}
	}
	err = a.withConfig(ctx, c, nil, func(svc *merchant.Service, c config) error {
		if _, err := svc.InitKeys(ctx, merchant.InitOptions{Issuer: o.issuer, RootDir: a.path("root"), Roots: roots, Threshold: threshold}); err != nil {
			return err
		}
		anchor, err = a.writeAnchor(ctx, svc, c.URL)
		return err
	})
	return anchor, err
}

// parseThreshold reads "2-of-3".
func parseThreshold(s string) (m, n int, err error) {
	if _, err := fmt.Sscanf(s, "%d-of-%d", &m, &n); err != nil || s != fmt.Sprintf("%d-of-%d", m, n) {
		return 0, 0, usage("--threshold is like 2-of-3, not %q", s)
	}
	if m < 1 || n < m || n > 8 || m > license.MaxSignatures {
		return 0, 0, usage("--threshold %s: want 1 ≤ m ≤ n, n ≤ 8, m ≤ %d", s, license.MaxSignatures)
	}
	return m, n, nil
}

// probeKey is the base point of Ed25519, a valid public key of nobody.
func probeKey() license.PublicKey {
	return license.PublicKey{Alg: license.AlgEd25519, Pub: "WGZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmY="}
}
