package main

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"licenseagent.example/agent/api"
)

type diagnoseOptions struct{ out string }

func (a *app) diagnoseCmd() *cobra.Command {
	var o diagnoseOptions
	c := &cobra.Command{
		Use:   "diagnose",
		Short: "Write a support bundle without codes, keys or serial numbers",
		Long: `Writes a zip file that a support engineer can work with: states, versions, the
sockets the agent holds, the verdicts with the inputs that reproduce them. Codes,
keys and raw serial numbers are not in it. Here --output is the file to write;
without it the bundle's main document is printed as JSON.

` + exitHelp,
		Args: a.args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return a.runDiagnose(c.Context(), o) },
	}
	c.Flags().StringVar(&o.out, "output", "", "zip file to write; it must not exist")
	c.PreRun = func(*cobra.Command, []string) {}
	return c
}

func (a *app) runDiagnose(ctx context.Context, o diagnoseOptions) error {
	cl, err := a.client()
	if err != nil {
		return err
	}
	d, err := cl.Diagnose(ctx)
	if err != nil {
		return err
	}
	if o.out == "" || o.out == "json" || o.out == "text" {
		return a.json(d)
	}
	b, err := a.bundle(d)
	if err != nil {
		return err
	}
	if err := a.writeNew(o.out, b); err != nil {
		return err
	}
	_, err = fmt.Fprintln(a.stdout, o.out)
	return err
}

// bundle is the zip file. Names and order are fixed.
func (a *app) bundle(d api.Diagnosis) ([]byte, error) {
	inputs := d.Inputs
	d.Inputs = nil
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	add := func(name string, content []byte) error {
		w, err := z.Create(name)
		if err != nil {
			return err
		}
		_, err = w.Write(content)
		return err
	}
	main, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return nil, err
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, inputs, "", "  "); err != nil {
		return nil, err
	}
	text := &bytes.Buffer{}
	shadow := *a
	shadow.stdout, shadow.output = text, "text"
	if err := shadow.printStatus(d.Status); err != nil {
		return nil, err
	}
	for _, x := range d.Why {
		if err := shadow.printExplanation(x); err != nil {
			return nil, err
		}
	}
	for _, f := range []struct {
		name    string
		content []byte
	}{{"diagnosis.json", main}, {"inputs.json", pretty.Bytes()}, {"status.txt", text.Bytes()}} {
		if err := add(f.name, f.content); err != nil {
			return nil, err
		}
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
