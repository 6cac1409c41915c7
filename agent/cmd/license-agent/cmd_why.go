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
	t := a.table()
	for _, s := range x.Assumed {
		t.row(a.label("assumed"), s)
	}
	if len(x.Assumed) > 0 {
		t.row("", a.label("unchanged"))
		t.gap()
	}
	if err := t.print(); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(a.stdout, printable(a.title(x.License))); err != nil {
		return err
	}
	a.licenseRows(t, x.License)
	t.row(a.label("reason"), x.License.Verdict.Reason)
	if u := x.License.Verdict.Until; u != 0 {
		t.row(a.label("until"), when(u))
	}
	if x.Settled != nil {
		t.row(a.label("settled"), x.Settled.Phase+" - "+x.Settled.Message)
	}
	a.hardwareRows(t, x)
	t.gap()
	c := x.Clock
	clock := when(c.Time)
	if c.Wall != c.Time {
		clock += " (" + a.label("wall") + " " + when(c.Wall) + ")"
	}
	if c.Behind {
		clock += a.in(", ", "，") + a.label("behind")
	}
	if c.Provisional {
		clock += a.in(", ", "，") + a.label("provisional")
	}
	t.row(a.label("clock"), clock)
	if x.Contact.Failures > 0 {
		t.row(a.label("failures"), fmt.Sprint(x.Contact.Failures))
	}
	return t.print()
}

// hardwareRows shows each part then and now, and what may still be lost.
func (a *app) hardwareRows(t *table, x api.Explanation) {
	d := x.Device
	if d.Outcome == "" {
		return
	}
	t.gap()
	t.row(a.label("device"), a.outcomeText(d.Outcome))
	if a.lang != api.Chinese { // the rule explains itself in English only
		t.optional("", d.Why)
	}
	for _, p := range d.Parts {
		for i, line := range a.partLines(p) {
			name := ""
			if i == 0 {
				name = p.Kind
			}
			t.row(name, line)
		}
	}
	t.row(a.label("points"), fmt.Sprintf(a.label("pointsof"), d.Matched, d.Available, d.Need, d.Left))
	if w := x.Worse; w.Reads > 0 && (x.Settled != nil || x.License.Verdict.Reason == "device-changed") {
		t.row(a.label("worse"), fmt.Sprintf(a.label("worseof"), w.Reads, when(w.First), when(w.Last)))
	}
}

// partLines is one part then and now: values are masked, and the digits say
// which of them are the enrolled ones.
func (a *app) partLines(p api.Part) []string {
	weight := a.in(fmt.Sprintf("%d points", p.Weight), fmt.Sprintf("%d 分", p.Weight))
	if p.Weight == 1 {
		weight = a.in("1 point", weight)
	}
	head := a.in(fmt.Sprintf("%-12s %s", p.Result, weight), p.Result+"（"+resultText(p.Result)+"），"+weight)
	if p.Reason != "" {
		head += "  (" + p.Reason + ")"
	}
	lines := []string{head}
	if len(p.Then) > 0 {
		lines = append(lines, "  "+a.label("then")+" "+strings.Join(p.Then, ", "))
	}
	now := make([]string, len(p.Now))
	for i, v := range p.Now {
		now[i] = v
		if i < len(p.Digits) {
			now[i] = p.Digits[i] + " (" + v + ")"
		}
	}
	if len(now) > 0 {
		lines = append(lines, "  "+a.label("now")+" "+strings.Join(now, ", "))
	}
	return lines
}
