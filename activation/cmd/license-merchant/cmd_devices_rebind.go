package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"licenseagent.example/activation/merchant"
	"licenseagent.example/activation/merchant/admin"
)

func (a *app) devicesRebindCmd() *cobra.Command {
	return a.devicesActionCmd("rebind", "Take the next contact of a device as it stands",
		`Settles a contested seat, or one whose machine was rebuilt, by your decision: the
next contact of its device key within seven days is taken as it stands, with its
hardware and its position of the chain. The machine needs no code and nobody to
type; if a copy contacts first, the original shows itself as contested.`,
		admin.PathRebind, func(w io.Writer, d merchant.DeviceInfo) {
			fmt.Fprintf(w, "%s takes its next contact as it stands, until %s\n", d.License, when(d.OpenUntil))
		})
}
