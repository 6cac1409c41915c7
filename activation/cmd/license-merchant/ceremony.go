package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"licenseagent.example/activation/merchant"
)

// ceremonyHelp is how every change of the keys comes about.
const ceremonyHelp = `Says in plain words what it will do and asks (--yes: does not). With the root keys
at hand (--root, once per medium) it is signed and published at once. Root keys
that stay off line sign a draft instead:

  keys … --draft FILE            here: write what is to be signed
  keys sign FILE --root DIR      on each machine that has a root key; needs no more
  keys import FILE               here: publish it

`

// ceremony is how a change of the keys is signed.
type ceremony struct {
	roots []string
	draft string
	yes   bool
}

func (o *ceremony) flags(c *cobra.Command) {
	c.Flags().StringArrayVar(&o.roots, "root", nil, "directory with root keys, repeatable (default: root in the data directory)")
	c.Flags().StringVar(&o.draft, "draft", "", "sign nothing here: write a draft to this new file")
	c.Flags().BoolVar(&o.yes, "yes", false, "do not ask")
	c.MarkFlagsMutuallyExclusive("root", "draft")
}

// errDeclined is returned when somebody was asked and did not say yes.
var errDeclined = errors.New("not confirmed: nothing was done")

// confirm shows what will be done and asks. An empty answer is no.
func (a *app) confirm(d merchant.KeyDraft, yes bool) error { return a.confirmed(d.Summary(), yes) }

func (a *app) confirmed(summary []string, yes bool) error {
	for _, line := range summary {
		fmt.Fprintf(a.stderr, "- %s\n", line)
	}
	if yes {
		return nil
	}
	fmt.Fprint(a.stderr, "Go on? [y/N] ")
	answer, err := bufio.NewReader(a.stdin).ReadString('\n')
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	if err != nil {
		fmt.Fprintln(a.stderr)
	}
	return errDeclined
}

// runCeremony drafts a change, asks, and has it signed here or writes it down.
func (a *app) runCeremony(ctx context.Context, o ceremony, draft func(*merchant.Service) (merchant.KeyDraft, error)) error {
	return a.withService(ctx, func(svc *merchant.Service, _ config) error {
		roots := o.roots
		if len(roots) == 0 {
			roots = []string{a.path("root")}
		}
		if o.draft == "" { // before anything is created
			if err := svc.FindRoots(ctx, roots); err != nil {
				return err
			}
		}
		d, err := draft(svc)
		if err != nil {
			return err
		}
		if o.draft == "" {
			if err := a.confirm(d, o.yes); err != nil {
				return errors.Join(err, svc.Discard(d))
			}
			if err := d.Sign(roots); err != nil {
				return err
			}
			p, err := svc.ImportKeySet(ctx, d)
			if err != nil {
				return err
			}
			return a.published(p)
		}
		if err := a.confirm(d, true); err != nil {
			return err
		}
		return a.writeDraft(o.draft, d, os.O_EXCL)
	})
}

func (a *app) writeDraft(path string, d merchant.KeyDraft, flag int) error {
	text, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return err
	}
	if flag&os.O_EXCL != 0 {
		if _, err := os.Lstat(path); err == nil {
			return usage("%s exists", path)
		}
	}
	if err := replaceFile(path, append(text, '\n')); err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stderr, "draft in %s: %d of %d signatures\n", filepath.Base(path), d.SignedBy(), d.Set.Roots.Threshold)
	return err
}

func (a *app) readDraft(path string) (merchant.KeyDraft, error) {
	text, err := a.readSmall(path, 1<<20)
	if err != nil {
		return merchant.KeyDraft{}, err
	}
	return merchant.ParseKeyDraft(text)
}

func (a *app) keysSignCmd() *cobra.Command {
	var roots []string
	var yes bool
	c := &cobra.Command{
		Use: "sign DRAFT --root DIR", Short: "Sign a draft with the root keys of this machine; needs no data directory",
		Long: `Says in plain words what a draft will do, asks, and adds the signatures of the root
keys found in --root to the file. It needs neither network nor data directory: run
it where the root keys are. ` + exitHelp,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, list []string) error {
			if len(roots) == 0 {
				return usage("--root is required")
			}
			d, err := a.readDraft(list[0])
			if err != nil {
				return err
			}
			if err := a.confirm(d, yes); err != nil {
				return err
			}
			if err := d.Sign(roots); err != nil {
				return err
			}
			return a.writeDraft(list[0], d, 0)
		},
	}
	c.Flags().StringArrayVar(&roots, "root", nil, "directory with root keys, repeatable")
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}

func (a *app) keysImportCmd() *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use: "import DRAFT", Short: "Publish a draft that enough root keys have signed",
		Long: `Publishes a draft after checking its signatures against the trust anchor, and that
nothing changed since it was made. ` + exitHelp,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, list []string) error {
			d, err := a.readDraft(list[0])
			if err != nil {
				return err
			}
			return a.withService(c.Context(), func(svc *merchant.Service, _ config) error {
				if err := a.confirm(d, yes); err != nil {
					return err
				}
				p, err := svc.ImportKeySet(c.Context(), d)
				if err != nil {
					return err
				}
				return a.published(p)
			})
		},
	}
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}
