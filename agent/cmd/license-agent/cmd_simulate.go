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
	key                       api.KeyRequest
	offline, clock            string
	drop, replace, unreadable []string
	behind, contested, clone  bool
}

func (a *app) simulateCmd() *cobra.Command {
	var o simulateOptions
	c := &cobra.Command{
		Use:   "simulate",
		Short: "Show what would happen if: time without network, changed hardware, clocks",
		Long: `Calls the same rules as everything else with assumed facts, prints verdict and
dates, and changes nothing:

  license-agent simulate --offline 45d              without any contact
  license-agent simulate --replace disk,board       after a repair
  license-agent simulate --drop nic=2 --clock -3h   two addresses gone, clock back
  license-agent simulate --clone                    the state on another machine

Parts are nic (or mac), disk, board and cpu. --drop nic=2 takes two addresses
away, enrolled ones first; --drop nic takes all. A part still matches while any
enrolled value of it is there.

` + exitHelp,
		Args: a.args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return a.runSimulate(c.Context(), o) },
	}
	keyFlags(c, &o.key)
	f := c.Flags()
	f.StringSliceVar(&o.drop, "drop", nil, "part that is gone, or PART=N for N of its values")
	f.StringSliceVar(&o.replace, "replace", nil, "part whose values are all other ones")
	f.StringSliceVar(&o.unreadable, "unreadable", nil, "part that cannot be read")
	f.StringVar(&o.offline, "offline", "", "time from now without contact, such as 36h or 45d")
	f.StringVar(&o.clock, "clock", "", "change of the wall clock, such as -3h or 30d")
	f.BoolVar(&o.clone, "clone", false, "the state was copied to another machine")
	f.BoolVar(&o.behind, "behind", false, "the clock is behind and no tick is on disk")
	f.BoolVar(&o.contested, "contested", false, "a second copy of the license was seen")
	return c
}

// request turns the options into what the agent is asked.
func (o simulateOptions) request() (api.SimulateRequest, error) {
	q := api.SimulateRequest{
		Issuer: o.key.Issuer, Product: o.key.Product, Behind: o.behind, Contested: o.contested, Clone: o.clone,
	}
	var err error
	if q.Offline, err = seconds(o.offline); err != nil {
		return q, fmt.Errorf("--offline: %w", err)
	}
	if q.Offline < 0 {
		return q, fmt.Errorf("--offline %s lies in the past", o.offline)
	}
	if q.Clock, err = seconds(o.clock); err != nil {
		return q, fmt.Errorf("--clock: %w", err)
	}
	for _, list := range []struct {
		flag string
		from []string
		to   *[]string
	}{{"--replace", o.replace, &q.Replace}, {"--unreadable", o.unreadable, &q.Unreadable}} {
		for _, name := range list.from {
			kind, err := partKind(name)
			if err != nil {
				return q, fmt.Errorf("%s: %w", list.flag, err)
			}
			*list.to = append(*list.to, kind)
		}
	}
	for _, text := range o.drop {
		name, number, counted := strings.Cut(text, "=")
		kind, err := partKind(name)
		if err != nil {
			return q, fmt.Errorf("--drop: %w", err)
		}
		n := int64(0)
		if counted {
			if n, err = strconv.ParseInt(number, 10, 16); err != nil || n < 1 {
				return q, fmt.Errorf("--drop %s: want PART=N with a number from 1", text)
			}
		}
		if q.Drop == nil {
			q.Drop = map[string]int64{}
		}
		if _, twice := q.Drop[kind]; twice {
			return q, fmt.Errorf("--drop names %s twice", name)
		}
		q.Drop[kind] = n
	}
	return q, nil
}

// partKind is the name of a part on the wire.
func partKind(name string) (string, error) {
	switch name {
	case "nic", "mac":
		return "mac", nil
	case "disk", "board", "cpu":
		return name, nil
	}
	return "", fmt.Errorf("%q is none of nic, disk, board, cpu", name)
}

func (a *app) runSimulate(ctx context.Context, o simulateOptions) error {
	q, err := o.request()
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
