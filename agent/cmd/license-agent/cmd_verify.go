package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"licenseagent.example/activation"
	"licenseagent.example/activation/license"
	"licenseagent.example/agent/api"
	"licenseagent.example/agent/client"
	"licenseagent.example/fingerprint"
	"licenseagent.example/fingerprint/collect"
	"licenseagent.example/fingerprint/probe"
)

type verifyOptions struct{ anchor, smbios string }

func (a *app) verifyCmd() *cobra.Command {
	var o verifyOptions
	c := &cobra.Command{
		Use:   "verify FILE",
		Short: "Verify a license file or an answer file without the agent",
		Long: `FILE is a copy of a license from the agent's public folder or an answer of the
merchant. It is verified with the trust anchors of the configuration, or with
--anchor, and compared with this machine as far as you may read it.

` + exitHelp,
		Args: a.args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error { return a.runVerify(c.Context(), args[0], o) },
	}
	c.Flags().StringVar(&o.anchor, "anchor", "", "trust anchor file of the vendor")
	c.Flags().StringVar(&o.smbios, "smbios-file", "", "copy of the SMBIOS table of this machine")
	return c
}

// verified is the JSON output of verify.
type verified struct {
	Issuer      string                 `json:"issuer"`
	Product     string                 `json:"product"`
	ID          string                 `json:"id"`
	Edition     string                 `json:"edition,omitempty"`
	Seats       int64                  `json:"seats"`
	Features    []string               `json:"features,omitempty"`
	Expires     int64                  `json:"expires"`
	RenewBy     int64                  `json:"renew_by"`
	GraceUntil  int64                  `json:"grace_until"`
	Valid       bool                   `json:"valid"`
	State       string                 `json:"state"`
	Reason      string                 `json:"reason,omitempty"`
	KeySet      int64                  `json:"keyset"`
	Device      fingerprint.Comparison `json:"device"`
	SameMachine bool                   `json:"same_machine"`
}

func (a *app) runVerify(ctx context.Context, name string, o verifyOptions) error {
	b, err := readLimited(name, maxAnswerFile)
	if err != nil {
		return a.problem(api.CodeFileAccess, err)
	}
	licenseEnv, keySetEnv, err := envelopes(b)
	if err != nil {
		return a.problem(api.CodeBadFile, err)
	}
	anchors, err := a.anchorsFor(o.anchor)
	if err != nil {
		return err
	}
	claims, set, err := open(anchors, licenseEnv, keySetEnv)
	if err != nil {
		return a.problem(api.CodeUntrusted, err)
	}
	v := verified{
		Issuer: claims.Issuer, Product: claims.Product, ID: claims.ID, Edition: claims.Edition, Seats: claims.Seats,
		Features: claims.Features, Expires: claims.Expires, RenewBy: claims.RenewBy, GraceUntil: claims.GraceUntil, KeySet: set.Version,
	}
	state, reason := license.TimeState(claims, max(a.now().Unix(), claims.ServerTime))
	if set.LicenseRevoked(claims.ID) {
		state, reason = license.NotValid, license.ReasonLicenseRevoked
	}
	v.State, v.Reason, v.Valid = string(state), reason, state != license.NotValid
	v.Device, err = compareHere(ctx, claims, o.smbios)
	if err != nil {
		return a.problem(api.CodeUntrusted, err)
	}
	// What this user may not read, or what only the agent is given, is no
	// evidence against the machine as long as a strong part matches.
	v.SameMachine = v.Device.Outcome != fingerprint.Different || v.Device.StrongMatch
	if err := a.printVerified(v); err != nil {
		return err
	}
	if !v.Valid || !v.SameMachine {
		return unlicensed{}
	}
	return nil
}

// envelopes finds license and key set in either kind of file.
func envelopes(b []byte) (licenseEnv, keySetEnv []byte, err error) {
	if f, err := client.ReadFiles(b); err == nil {
		return f.License, f.KeySet, nil
	}
	ans, err := activation.ParseAnswer(b)
	if err != nil {
		return nil, nil, err
	}
	if len(ans.License) == 0 {
		return nil, nil, errors.New("the answer holds no license")
	}
	return ans.License, ans.KeySet, nil
}

// anchorsFor reads the anchor named, or those of the configuration.
func (a *app) anchorsFor(file string) ([]license.Anchor, error) {
	if file != "" {
		b, err := readLimited(file, maxAnchor)
		if err != nil {
			return nil, a.problem(api.CodeFileAccess, err)
		}
		an, err := license.ParseAnchor(b)
		if err != nil {
			return nil, a.problem(api.CodeBadFile, fmt.Errorf("%s: %w", file, err))
		}
		return []license.Anchor{an}, nil
	}
	p, err := a.layout()
	if err != nil {
		return nil, err
	}
	anchors, err := readAnchors(filepath.Join(p.Config, "anchors"))
	if err != nil {
		return nil, a.configProblem(err)
	}
	if len(anchors) == 0 {
		return nil, a.problem(api.CodeNoAnchor, nil)
	}
	return anchors, nil
}

// open tries every vendor known: the file does not say reliably whose it is.
func open(anchors []license.Anchor, licenseEnv, keySetEnv []byte) (*license.Claims, *license.KeySet, error) {
	var errs []error
	for _, an := range anchors {
		set, err := license.OpenKeySet(an, nil, keySetEnv)
		if err == nil {
			var c *license.Claims
			if c, err = set.OpenLicense(licenseEnv); err == nil {
				return c, set, nil
			}
		}
		errs = append(errs, fmt.Errorf("%s: %w", an.Issuer, err))
	}
	return nil, nil, errors.Join(errs...)
}

// compareHere compares the license with this machine.
func compareHere(ctx context.Context, c *license.Claims, smbios string) (fingerprint.Comparison, error) {
	var salt []byte
	if err := json.Unmarshal([]byte(`"`+c.Device.Salt+`"`), &salt); err != nil { // base64 text, as JSON has it
		return fingerprint.Comparison{}, err
	}
	d := (&collect.Collector{Host: probe.Host{SMBIOSFile: smbios}}).Collect(ctx)
	return fingerprint.Compare(c.Device.Policy, fingerprint.Enrolled{Env: c.Device.Env, Salt: salt, Parts: c.Device.Parts}, d), nil
}

func (a *app) printVerified(v verified) error {
	if a.output == "json" {
		return a.json(v)
	}
	t := a.table()
	t.row(a.label("license"), v.ID)
	t.row(a.label("product"), v.Product+" ("+v.Issuer+")")
	t.row(a.label("state"), strings.TrimSpace(v.State+" "+v.Reason))
	ends := when(v.Expires)
	if ends == "" {
		ends = a.label("never")
	}
	t.row(a.label("ends"), ends)
	t.optional(a.label("renewby"), when(v.RenewBy))
	t.optional(a.label("grace"), when(v.GraceUntil))
	t.optional(a.label("features"), strings.Join(v.Features, ", "))
	t.row(a.label("device"), string(v.Device.Outcome)+" - "+v.Device.Why)
	return t.print()
}
