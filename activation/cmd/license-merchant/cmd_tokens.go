package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/spf13/cobra"

	"licenseagent.example/activation/merchant"
	"licenseagent.example/activation/merchant/admin"
)

func (a *app) tokensCmd() *cobra.Command {
	return group("tokens", "Make and revoke the tokens by which people and programs reach the admin interface", a.tokensAddCmd(), a.tokensListCmd(), a.tokensRevokeCmd())
}

type tokensAddOptions struct{ name, role, life, out string }

func (a *app) tokensAddCmd() *cobra.Command {
	var o tokensAddOptions
	c := &cobra.Command{
		Use: "add --name NAME --role ROLE", Short: "Make a token; it is shown this once",
		Long: `Makes a token for one person or program and prints it, or writes it to a new file
of mode 0600 (--out): the only time it is seen, the database keeps a hash.

  viewer   finds and shows codes, devices, reasons, the audit log
  support  also makes codes, freezes, releases, re-binds, answers request files
  admin    also takes codes back for good and makes tokens

` + exitHelp,
		Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return a.runTokensAdd(c.Context(), o) },
	}
	f := c.Flags()
	f.StringVar(&o.name, "name", "", "whose it is: a-z 0-9 . _ @ -; stands in the audit log")
	f.StringVar(&o.role, "role", "viewer", "viewer, support or admin")
	f.StringVar(&o.life, "life", "365d", "how long it is good for")
	f.StringVar(&o.out, "out", "", "write the token to this new file instead of printing it")
	return c
}

func (a *app) runTokensAdd(ctx context.Context, o tokensAddOptions) error {
	if o.name == "" {
		return usage("--name is required")
	}
	life, err := parseDuration(o.life)
	if err != nil {
		return usage("--life: %v", err)
	}
	var file *os.File
	if o.out != "" {
		if file, err = createPrivate(o.out); err != nil {
			return err
		}
		defer file.Close()
	}
	return a.withAPI(ctx, func(c *admin.Client) error {
		var made admin.MadeToken
		err := c.Call(ctx, http.MethodPost, admin.PathTokens, "", nil, admin.NewToken{Name: o.name, Role: merchant.Role(o.role), Life: life}, &made)
		if err != nil {
			if file != nil {
				os.Remove(o.out)
			}
			return err
		}
		if file != nil {
			if _, err := io.WriteString(file, made.Token+"\n"); err != nil {
				return err
			}
			if err := file.Sync(); err != nil {
				return err
			}
			made.Token = ""
		}
		return a.print(made, func(w io.Writer) {
			fmt.Fprintf(w, "name\t%s\nrole\t%s\ngood until\t%s\n", made.Name, made.Role, when(made.Expires))
			if file != nil {
				fmt.Fprintf(w, "written to\t%s\n", o.out)
				return
			}
			fmt.Fprintf(w, "token\t%s\n", made.Token)
		})
	})
}

func (a *app) tokensListCmd() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List tokens, without the tokens", Long: "Lists tokens by name, without the tokens themselves. " + exitHelp,
		Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return a.runTokensList(c.Context()) },
	}
}

func (a *app) runTokensList(ctx context.Context) error {
	return a.withAPI(ctx, func(c *admin.Client) error {
		var list admin.Tokens
		if err := c.Call(ctx, http.MethodGet, admin.PathTokens, "", nil, nil, &list); err != nil {
			return err
		}
		return a.print(list, func(w io.Writer) {
			fmt.Fprintln(w, "NAME\tROLE\tMADE\tGOOD UNTIL\tREVOKED")
			for _, t := range list.Tokens {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", t.Name, t.Role, when(t.Created), when(t.Expires), when(t.Revoked))
			}
		})
	})
}

func (a *app) tokensRevokeCmd() *cobra.Command {
	return &cobra.Command{
		Use: "revoke NAME", Short: "End a token now", Long: "Ends a token now. Its name stays taken, because the audit log keeps it. " + exitHelp,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, list []string) error { return a.runTokensRevoke(c.Context(), list[0]) },
	}
}

func (a *app) runTokensRevoke(ctx context.Context, name string) error {
	return a.withAPI(ctx, func(c *admin.Client) error {
		var t merchant.TokenInfo
		if err := c.Call(ctx, http.MethodPost, admin.PathTokenRevoke, name, nil, struct{}{}, &t); err != nil {
			return err
		}
		return a.print(t, func(w io.Writer) { fmt.Fprintf(w, "the token of %s is revoked\n", t.Name) })
	})
}
