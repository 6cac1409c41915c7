package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"licenseagent.example/activation/merchant"
)

func (a *app) devicesCmd() *cobra.Command {
	return group("devices", "See, explain and release activated devices", a.devicesListCmd(), a.devicesShowCmd(), a.devicesSimulateCmd(), a.devicesReleaseCmd(), a.devicesRebindCmd())
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
	if d.OpenUntil > 0 {
		fmt.Fprintf(w, "re-bind by support\tthe next contact until %s is taken as it stands\n", when(d.OpenUntil))
	}
	fmt.Fprintf(w, "recognised by\t%s\n", strings.Join(d.Parts, ", "))
	fmt.Fprintf(w, "part taken over\t%s\n", when(d.Rolled))
	fmt.Fprintf(w, "re-bound\t%s\n", when(d.Rebound))
	fmt.Fprintf(w, "activated\t%s\n", when(d.Created))
	fmt.Fprintf(w, "last contact\t%s by %s, %d renewals, chain at %d\n", when(d.Contact), orDash(d.Agent), d.Renewals, d.Seq)
	fmt.Fprintf(w, "last day of use\t%s\n", orDash(d.LastDay))
	fmt.Fprintf(w, "seats used at once\t%d before the last contact, %d at most, of %d\n", d.Uses, d.UsesMost, d.Seats)
	fmt.Fprintf(w, "ends\t%s\n", when(d.Expires))
}

// writeWhy shows what the device itself would say. Equal digits are equal
// values, here and in license-agent why on the machine.
func writeWhy(w io.Writer, x merchant.Explanation) {
	for _, s := range x.Assumed {
		fmt.Fprintf(w, "assumed\t%s\n", s)
	}
	v := x.Verdict
	fmt.Fprintf(w, "verdict\t%s: %s\n", v.Phase, v.Message)
	if v.NextStep != "" {
		fmt.Fprintf(w, "next step\t%s\n", v.NextStep)
	}
	if s := x.Settled; s != nil {
		fmt.Fprintf(w, "once read for a day\t%s: %s\n", s.Phase, s.Message)
	}
	if v.Runs {
		fmt.Fprintf(w, "runs on without contact\t%d days\n", v.DaysLeft)
	}
	fmt.Fprintf(w, "renew by, grace until\t%s, %s\n", when(v.RenewBy), when(v.GraceUntil))
	for _, f := range v.Flags {
		fmt.Fprintf(w, "flag\t%s\n", f)
	}
	hardware := x.Hardware
	if x.Warning {
		hardware = "warning: " + hardware
	}
	fmt.Fprintf(w, "hardware seen\t%s\n", when(x.SeenAt))
	fmt.Fprintf(w, "hardware\t%s\n", hardware)
	c := x.Comparison
	fmt.Fprintf(w, "\t%s: %s\n", c.Outcome, c.Why)
	fmt.Fprintf(w, "points\t%d of %d match, %d needed, %d may still be lost\n", c.Matched, c.Available, c.Need, c.Left)
	for _, p := range x.Parts {
		fmt.Fprintf(w, "%s\t%s (%d points)%s; then %s; now %s\n", p.Kind, p.Result, p.Weight, because(p.Reason), digits(p.Then), digits(p.Now))
	}
	if x.Chain != "" {
		fmt.Fprintf(w, "chain\t%s\n", x.Chain)
	}
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ", " + reason
}

func digits(list []string) string { return orDash(strings.Join(list, " ")) }
