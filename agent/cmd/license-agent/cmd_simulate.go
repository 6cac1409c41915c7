package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"licenseagent.example/agent/api"
)

type simulateOptions struct {
	key                          api.KeyRequest
	after, shift                 string
	changed, dropped, unreadable []string
	behind, contested, clone     bool
}

func (a *app) simulateCmd() *cobra.Command {
	var o simulateOptions
	c := &cobra.Command{
		Use:   "simulate",
		Short: "Show what would happen if: time without network, changed hardware, clocks",
		Long: `Calls the same rules as everything else with assumed facts and changes nothing:

  license-agent simulate --after 40d              forty days without any contact
  license-agent simulate --changed disk,board     after a repair
  license-agent simulate --clone                  the state on another machine

` + exitHelp,
		Args: a.args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return a.runSimulate(c.Context(), o) },
	}
	keyFlags(c, &o.key)
	f := c.Flags()
	f.StringVar(&o.after, "after", "", "time from now without contact, such as 36h or 40d")
	f.StringVar(&o.shift, "clock-shift", "", "change of the wall clock, such as -2h or 30d")
	f.StringSliceVar(&o.changed, "changed", nil, "parts with another value: mac, disk, board, cpu")
	f.StringSliceVar(&o.dropped, "dropped", nil, "parts that are gone")
	f.StringSliceVar(&o.unreadable, "unreadable", nil, "parts that cannot be read")
	f.BoolVar(&o.behind, "behind", false, "the clock is behind and no tick is on disk")
	f.BoolVar(&o.contested, "contested", false, "a second copy of the license was seen")
	f.BoolVar(&o.clone, "clone", false, "the state was copied to another machine")
	return c
}

func (a *app) runSimulate(ctx context.Context, o simulateOptions) error {
	q := api.SimulateRequest{
		Issuer: o.key.Issuer, Product: o.key.Product, Changed: o.changed, Dropped: o.dropped, Unreadable: o.unreadable,
		Behind: o.behind, Contested: o.contested, Clone: o.clone,
	}
	var err error
	if q.After, err = seconds(o.after); err == nil && q.After < 0 {
		err = fmt.Errorf("--after %s lies in the past", o.after)
	}
	if err == nil {
		q.ClockShift, err = seconds(o.shift)
	}
	if err != nil {
		return a.problem(api.CodeUsage, err)
	}
	cl, err := a.client()
	if err != nil {
		return err
	}
	x, err := cl.Simulate(ctx, q)
	if err != nil {
		return err
	}
	return a.explain(x)
}

// seconds reads a duration that may be given in days; "" is none.
func seconds(text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseInt(days, 10, 32)
		if err != nil {
			return 0, fmt.Errorf("%q is not a duration such as 36h or 40d", text)
		}
		return n * 86400, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration such as 36h or 40d", text)
	}
	return int64(d / time.Second), nil
}
