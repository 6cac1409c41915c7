package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"licenseagent.example/activation/merchant"
)

func (a *app) keysCmd() *cobra.Command {
	return group("keys", "Create, rotate, publish and revoke signing keys", a.keysInitCmd(), a.keysRotateCmd(), a.keysPublishCmd(), a.keysRevokeCmd(), a.keysSignCmd(), a.keysImportCmd(), a.keysAnchorCmd())
}

// published prints a key set.
func (a *app) published(p merchant.Published) error {
	return a.print(p, func(w io.Writer) {
		fmt.Fprintf(w, "key set\tversion %d, signed by %d root keys, good until %s\n", p.Version, p.SignedBy, when(p.Expires))
		for _, k := range p.Keys {
			fmt.Fprintf(w, "key\t%s\n", k)
		}
		for _, k := range p.Revoked {
			fmt.Fprintf(w, "revoked\t%s\n", k)
		}
		fmt.Fprintf(w, "revoked licenses\t%d\n", p.RevokedLic)
		fmt.Fprintf(w, "devices learn it\tat their next contact\n")
	})
}
