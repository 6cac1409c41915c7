package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"licenseagent.example/activation/merchant"
	"licenseagent.example/activation/merchant/admin"
	"licenseagent.example/fingerprint"
)

func (a *app) codesCmd() *cobra.Command {
	return group("codes", "Make and manage authorization codes", a.codesAddCmd(), a.codesListCmd(), a.codesShowCmd(), a.codesExpiringCmd(), a.codesSaleCmd(),
		a.codesStatusCmd("freeze", "Suspend a code: its devices stop at their next renewal", admin.PathFreeze),
		a.codesStatusCmd("unfreeze", "Undo freeze: its devices run again after their next renewal", admin.PathUnfreeze),
		a.codesStatusCmd("revoke", "Take a code and its licenses back for good", admin.PathRevoke))
}

// codeStatus is what holds a code: the vendor's word, or the marketplace's.
func codeStatus(i merchant.CodeInfo) string {
	if i.Status != "active" || i.Market == "" || i.Market == "alive" {
		return i.Status
	}
	return i.Market + " by the marketplace"
}

// writeCode prints a code for people, without the code.
func writeCode(w io.Writer, i merchant.CodeInfo) {
	fmt.Fprintf(w, "id\t%s\n", i.ID)
	fmt.Fprintf(w, "code ends with\t%s\n", i.Hint)
	fmt.Fprintf(w, "status\t%s\n", codeStatus(i))
	fmt.Fprintf(w, "product\t%s %s\n", i.Product, i.Edition)
	fmt.Fprintf(w, "devices\t%d of %d in use\n", i.Used, i.Devices)
	fmt.Fprintf(w, "seats per device\t%d\n", i.Seats)
	fmt.Fprintf(w, "features\t%s\n", orDash(strings.Join(i.Features, ", ")))
	for name, v := range i.Limits {
		fmt.Fprintf(w, "limit\t%s = %d\n", name, v)
	}
	if i.ValidDays > 0 {
		fmt.Fprintf(w, "valid\t%d days from the first activation\n", i.ValidDays)
	}
	fmt.Fprintf(w, "first used\t%s\n", when(i.FirstUsed))
	fmt.Fprintf(w, "ends\t%s\n", when(i.Expires))
	policy := i.Policy
	if p, err := fingerprint.ParsePolicy(i.Policy); err == nil {
		policy = p.Name
	}
	fmt.Fprintf(w, "fingerprint policy\t%s\n", policy)
	fmt.Fprintf(w, "note\t%s\n", orDash(i.Note))
}
