package main

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"licenseagent.example/agent/api"
	"licenseagent.example/agent/client"
)

type statusOptions struct {
	product string
	wait    time.Duration
}

func (a *app) statusCmd() *cobra.Command {
	var o statusOptions
	c := &cobra.Command{
		Use:   "status",
		Short: "Show every license of this machine on one screen",
		Long: `Ends with 0 when every license shown may run, and with 3 when one may not or
none is held.

` + exitHelp,
		Args: a.args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return a.runStatus(c.Context(), o) },
	}
	c.Flags().StringVar(&o.product, "product", "", "only this product")
	c.Flags().DurationVar(&o.wait, "wait", 0, "wait so long for an agent that is just starting")
	return c
}

func (a *app) runStatus(ctx context.Context, o statusOptions) error {
	cl, err := a.client()
	if err != nil {
		return err
	}
	st, err := patiently(ctx, cl, o.wait)
	if err != nil {
		return a.silent(ctx, err)
	}
	if o.product != "" {
		kept := []api.License{}
		for _, l := range st.Licenses {
			if l.Product == o.product {
				kept = append(kept, l)
			}
		}
		st.Licenses = kept
	}
	if a.output == "json" {
		err = a.json(st)
	} else {
		err = a.printStatus(st)
	}
	if err != nil {
		return err
	}
	for _, l := range st.Licenses {
		if !l.Verdict.Runs {
			return unlicensed{}
		}
	}
	if len(st.Licenses) == 0 {
		return unlicensed{}
	}
	return nil
}

// patiently asks again while no agent is there, up to wait.
func patiently(ctx context.Context, cl *client.Client, wait time.Duration) (api.Status, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	giveUp := time.NewTimer(wait)
	defer giveUp.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		st, err := cl.Status(ctx)
		if e := (*api.Error)(nil); !errors.As(err, &e) || e.Code != api.CodeNotRunning || wait == 0 {
			return st, err
		}
		select {
		case <-ctx.Done():
			return st, ctx.Err()
		case <-giveUp.C:
			return st, err
		case <-tick.C:
		}
	}
}

func (a *app) printStatus(st api.Status) error {
	head := fmt.Sprintf(a.label("statushead"), st.Version, a.instanceText(st.Instance), a.tierText(st.KeyTier))
	if _, err := fmt.Fprintln(a.stdout, printable(head)); err != nil {
		return err
	}
	t := a.table()
	t.row(a.label("device"), st.DeviceID)
	if len(st.Licenses) == 0 {
		t.row(a.label("license"), a.label("nolicense"))
		t.row(a.label("step"), a.mine(a.label("activate")))
	}
	if err := t.print(); err != nil {
		return err
	}
	for _, l := range st.Licenses {
		if _, err := fmt.Fprintln(a.stdout); err != nil {
			return err
		}
		if err := a.printLicense(l); err != nil {
			return err
		}
	}
	return nil
}

// title is the line above a license.
func (a *app) title(l api.License) string {
	name := l.Product
	if name == "" {
		name = "(" + l.Pending + ")"
	}
	text := name + " (" + l.Issuer + ")"
	if l.Edition != "" {
		text += ", " + l.Edition
	}
	if l.Seats > 1 {
		text += fmt.Sprintf(a.in(", %d seats", "，%d 个席位"), l.Seats)
	}
	return text
}

func (a *app) printLicense(l api.License) error {
	if _, err := fmt.Fprintln(a.stdout, printable(a.title(l))); err != nil {
		return err
	}
	t := a.table()
	a.licenseRows(t, l)
	return t.print()
}

func (a *app) licenseRows(t *table, l api.License) {
	v := l.Verdict
	t.row(a.label("phase"), v.Phase+" - "+v.Message)
	for i, f := range v.Flags {
		name := ""
		if i == 0 {
			name = a.label("flags")
		}
		t.row(name, f+" - "+a.flagText(f))
	}
	if h := l.Hardware; h != nil {
		text := h.Message
		if h.Warning {
			text = a.label("warning") + text
		}
		t.row(a.label("hardware"), text)
	}
	if v.Expires != 0 {
		t.row(a.label("days"), strconv.FormatInt(v.DaysLeft, 10))
		ends := when(v.Expires)
		if ends == "" {
			ends = a.label("never")
		}
		t.row(a.label("ends"), ends)
	}
	t.optional(a.label("renewby"), when(v.RenewBy))
	t.optional(a.label("grace"), when(v.GraceUntil))
	t.optional(a.label("contact"), when(l.LastContact))
	t.optional(a.label("nextcontact"), when(l.NextContact))
	if l.SeatsUsed > 0 || l.SeatsQueue > 0 {
		t.row(a.in("seats", "席位"), a.seatsText(l.SeatsUsed, l.Seats, l.SeatsQueue))
	}
	t.optional(a.label("features"), strings.Join(l.Features, ", "))
	t.optional(a.label("limits"), limits(l.Limits))
	t.optional(a.label("pending"), l.Pending)
	next := v.NextStep
	if e := l.LastError; e != nil {
		t.row(a.label("error"), e.Error())
		if next == "" {
			next = e.Hint
		}
	}
	if next == "" {
		next = a.label("nothing")
	}
	t.row(a.label("step"), a.mine(next))
}

func limits(m map[string]int64) string {
	names := make([]string, 0, len(m))
	for n := range m {
		names = append(names, n)
	}
	sort.Strings(names)
	for i, n := range names {
		names[i] = fmt.Sprintf("%s=%d", n, m[n])
	}
	return strings.Join(names, ", ")
}
