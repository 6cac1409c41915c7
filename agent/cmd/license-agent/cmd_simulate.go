package main

import (
	"context"

	"github.com/spf13/cobra"

	"licenseagent.example/activation"
	"licenseagent.example/agent/api"
)

type simulateOptions struct {
	key    api.KeyRequest
	assume activation.ScenarioText
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
	f.StringSliceVar(&o.assume.Drop, "drop", nil, "part that is gone, or PART=N for N of its values")
	f.StringSliceVar(&o.assume.Replace, "replace", nil, "part whose values are all other ones")
	f.StringSliceVar(&o.assume.Unreadable, "unreadable", nil, "part that cannot be read")
	f.StringVar(&o.assume.Offline, "offline", "", "time from now without contact, such as 36h or 45d")
	f.StringVar(&o.assume.Clock, "clock", "", "change of the wall clock, such as -3h or 30d")
	f.BoolVar(&o.assume.Cloned, "clone", false, "the state was copied to another machine")
	f.BoolVar(&o.assume.Behind, "behind", false, "the clock is behind and no tick is on disk")
	f.BoolVar(&o.assume.Contested, "contested", false, "a second copy of the license was seen")
	return c
}

// request turns the options into what the agent is asked.
func (o simulateOptions) request() (api.SimulateRequest, error) {
	s, err := o.assume.Scenario()
	if err != nil {
		return api.SimulateRequest{}, err
	}
	q := api.SimulateRequest{
		Issuer: o.key.Issuer, Product: o.key.Product, Offline: s.Offline, Clock: s.ClockShift,
		Behind: s.Behind, Contested: s.Contested, Clone: s.Clone,
	}
	for _, k := range s.Replaced {
		q.Replace = append(q.Replace, string(k))
	}
	for _, k := range s.Unreadable {
		q.Unreadable = append(q.Unreadable, string(k))
	}
	for _, l := range s.Drop {
		if q.Drop == nil {
			q.Drop = map[string]int64{}
		}
		q.Drop[string(l.Kind)] = int64(l.Count)
	}
	return q, nil
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
