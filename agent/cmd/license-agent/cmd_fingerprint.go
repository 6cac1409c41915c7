package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"licenseagent.example/agent/api"
	"licenseagent.example/fingerprint"
	"licenseagent.example/fingerprint/collect"
	"licenseagent.example/fingerprint/probe"
)

type fingerprintOptions struct {
	root, smbios string
	cross        bool
}

func (a *app) fingerprintCmd() *cobra.Command {
	var o fingerprintOptions
	c := &cobra.Command{
		Use:   "fingerprint",
		Short: "Print the fingerprint of this machine: MAC|disk|board|CPU",
		Long: `Reads the hardware itself and needs no running agent. --output json shows every
part with its state and where each value came from. Some values can be read by
root only; the running agent may see more than you do.

` + exitHelp,
		Args: a.args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return a.runFingerprint(c.Context(), o) },
	}
	f := c.Flags()
	f.StringVar(&o.root, "host-root", "", "read a recorded host (a directory with sys/, proc/, run/udev/) instead of this machine")
	f.StringVar(&o.smbios, "smbios-file", "", "copy of the SMBIOS table")
	f.BoolVar(&o.cross, "cross-check", false, "compare with gopsutil and ghw and show where they disagree")
	return c
}

func (a *app) runFingerprint(ctx context.Context, o fingerprintOptions) error {
	exe, err := a.executable()
	if err != nil {
		return err
	}
	c := &collect.Collector{Host: probe.Host{Root: o.root, SMBIOSFile: o.smbios}, Executable: exe}
	var disagreements []string
	if o.cross {
		disagreements = c.CrossCheck(ctx)
	}
	d := c.Collect(ctx)
	text := fingerprint.Format(d)
	if a.output == "json" {
		return a.json(struct {
			Fingerprint   string                  `json:"fingerprint"`
			DroppedDisks  int                     `json:"dropped_disks,omitempty"`
			DroppedMACs   int                     `json:"dropped_macs,omitempty"`
			Components    []fingerprint.Component `json:"components"`
			Environment   fingerprint.Environment `json:"environment"`
			Notes         []string                `json:"notes,omitempty"`
			Disagreements []string                `json:"disagreements,omitempty"`
		}{text.String, text.DroppedDisks, text.DroppedMACs, d.Components(), d.Env, d.Notes, disagreements})
	}
	if _, err := fmt.Fprintln(a.stdout, text.String); err != nil {
		return err
	}
	if text.DroppedDisks+text.DroppedMACs > 0 {
		fmt.Fprintf(a.stderr, "over 5,000 bytes: %d disks and %d network addresses were left out\n", text.DroppedDisks, text.DroppedMACs)
	}
	for _, note := range disagreements {
		fmt.Fprintln(a.stderr, printable(note))
	}
	return nil
}

// crossCheckCmd is the body of the child process that asks the second sources.
func (a *app) crossCheckCmd() *cobra.Command {
	return &cobra.Command{
		Use:    collect.CrossCheckCommand,
		Hidden: true,
		Args:   a.args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			if code := collect.CrossCheckMain(a.stdout); code != 0 {
				return a.problem(api.CodeInternal, fmt.Errorf("the cross-check ended with %d", code))
			}
			return nil
		},
	}
}
