package main

import "github.com/spf13/cobra"

// keysInitCmd is init without TLS, under the name where people look for keys.
func (a *app) keysInitCmd() *cobra.Command {
	o, yes := initOptions{tls: "none"}, false
	c := &cobra.Command{
		Use: "init --issuer NAME", Short: "Create root keys, online keys and the first key set (as init does)",
		Long: `Creates root keys, online keys, the first key set and anchor.json in a new data
directory, after saying in plain words what it will do and asking (--yes: does not). Run it on a machine that never goes on line, move each root-N.pem of
root/ to a medium of its own, and copy the rest to the server: whoever has the
threshold of root keys can replace all other keys, whoever has fewer can do nothing.
Later changes are signed as drafts (keys sign). ` + exitHelp,
		Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			o.ask = !yes
			return a.runInit(c.Context(), o)
		},
	}
	c.Flags().StringVar(&o.issuer, "issuer", "", "name of the vendor: a-z 0-9 . _ -, stands in every license")
	c.Flags().StringVar(&o.threshold, "threshold", "2-of-3", "how many of how many root keys must sign a key set")
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	c.Flags().StringVar(&o.url, "url", "", "public https:// URL of the service")
	return c
}
