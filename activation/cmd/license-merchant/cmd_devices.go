package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"licenseagent.example/activation/merchant"
)

func (a *app) devicesCmd() *cobra.Command {
	return group("devices", "See and release activated devices", a.devicesListCmd(), a.devicesShowCmd(), a.devicesReleaseCmd())
}

func writeDevice(w io.Writer, d merchant.DeviceInfo) {
	fmt.Fprintf(w, "license\t%s\n", d.License)
	fmt.Fprintf(w, "device\t%s (%s)\n", d.Device, d.Env)
	fmt.Fprintf(w, "code\t%s, product %s\n", d.Code, d.Product)
	fmt.Fprintf(w, "status\t%s %s\n", d.Status, d.Reason)
	fmt.Fprintf(w, "told last\t%s\n", d.Told)
	if d.Contested > 0 {
		fmt.Fprintf(w, "contested\tsince %s: %s\n", when(d.Contested), d.ContestBy)
	}
	fmt.Fprintf(w, "recognised by\t%s\n", strings.Join(d.Parts, ", "))
	fmt.Fprintf(w, "part taken over\t%s\n", when(d.Rolled))
	fmt.Fprintf(w, "re-bound\t%s\n", when(d.Rebound))
	fmt.Fprintf(w, "activated\t%s\n", when(d.Created))
	fmt.Fprintf(w, "last contact\t%s by %s, %d renewals, chain at %d\n", when(d.Contact), orDash(d.Agent), d.Renewals, d.Seq)
	fmt.Fprintf(w, "last day of use\t%s\n", orDash(d.LastDay))
	fmt.Fprintf(w, "ends\t%s\n", when(d.Expires))
}
