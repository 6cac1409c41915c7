package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"licenseagent.example/agent/api"
)

func (a *app) whyCmd() *cobra.Command {
	var key api.KeyRequest
	c := &cobra.Command{
		Use:   "why",
		Short: "Explain the verdict of one license completely",
		Long: `Shows each part of this machine as it was and as it is (masked), how many points
may still be lost, what the clock says and when the merchant was last asked.

` + exitHelp,
		Args: a.args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return a.runWhy(c.Context(), key) },
	}
	keyFlags(c, &key)
	return c
}

// keyFlags are the options that name one license.
func keyFlags(c *cobra.Command, key *api.KeyRequest) {
	c.Flags().StringVar(&key.Issuer, "issuer", "", "vendor; may be left out when only one fits")
	c.Flags().StringVar(&key.Product, "product", "", "product; may be left out when only one license is held")
}

func (a *app) runWhy(ctx context.Context, key api.KeyRequest) error {
	cl, err := a.client()
	if err != nil {
		return err
	}
	x, err := cl.Why(ctx, key)
	if err != nil {
		return err
	}
	return a.explain(x)
}

// explain prints an explanation and says "not licensed" by the exit code.
func (a *app) explain(x api.Explanation) error {
	err := error(nil)
	if a.output == "json" {
		err = a.json(x)
	} else {
		err = a.printExplanation(x)
	}
	if err == nil && !x.License.Verdict.Runs {
		return unlicensed{}
	}
	return err
}

func (a *app) printExplanation(x api.Explanation) error {
	if len(x.Assumed) > 0 {
		t := a.table()
		for _, s := range x.Assumed {
			t.row(a.label("assumed"), s)
		}
		if err := t.print(); err != nil {
			return err
		}
	}
	if err := a.printLicense(x.License); err != nil {
		return err
	}
	t := a.table()
	t.row(a.label("reason"), x.License.Verdict.Reason)
	if x.Settled != nil {
		t.row(a.label("settled"), x.Settled.Phase+" - "+x.Settled.Message)
	}
	if err := t.print(); err != nil {
		return err
	}
	if d := x.Device; d.Outcome != "" {
		if _, err := fmt.Fprintf(a.stdout, "\n%s: %s - %s\n", a.label("device"), printable(d.Outcome), printable(d.Why)); err != nil {
			return err
		}
		for _, p := range d.Parts {
			t.row(p.Kind, partLine(a, p))
		}
		t.row(a.label("points"), fmt.Sprintf("%d / %d, min %d, %s %d", d.Matched, d.Available, d.Need, a.label("spare"), d.Left))
		if x.Worse.Reads > 0 {
			t.row(a.label("worse"), fmt.Sprintf("%d, %s - %s", x.Worse.Reads, when(x.Worse.First), when(x.Worse.Last)))
		}
		if err := t.print(); err != nil {
			return err
		}
	}
	if _, err := fmt.Fprintln(a.stdout); err != nil {
		return err
	}
	c := x.Clock
	clock := when(c.Time)
	if c.Wall != c.Time {
		clock += fmt.Sprintf(" (wall clock %s)", when(c.Wall))
	}
	if c.Behind {
		clock += " behind"
	}
	if c.Provisional {
		clock += " provisional"
	}
	t.row(a.label("clock"), clock)
	t.optional(a.label("contact"), when(x.Contact.Last))
	t.optional(a.label("nextcontact"), when(x.Contact.Next))
	if x.Contact.Failures > 0 {
		t.row(a.label("failures"), fmt.Sprint(x.Contact.Failures))
	}
	return t.print()
}

// partLine is one part then and now.
func partLine(a *app, p api.Part) string {
	text := fmt.Sprintf("%-12s %d", p.Result, p.Weight)
	if len(p.Then) > 0 {
		text += "  " + a.label("then") + " " + strings.Join(p.Then, ",")
	}
	if len(p.Now) > 0 {
		text += "  " + a.label("now") + " " + strings.Join(p.Now, ",")
	}
	if p.Reason != "" {
		text += "  (" + p.Reason + ")"
	}
	return text
}
