package main

import (
	"context"
	"encoding/base64"
	"io"

	"github.com/spf13/cobra"

	"licenseagent.example/agent/api"
)

// maxAnswerFile is what the agent accepts.
const maxAnswerFile = 256 << 10

func (a *app) importCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "import FILE",
		Short: "Take in the merchant's answer file",
		Long: `FILE is what "license-merchant answer" wrote, - for standard input. An answer fits
exactly once and only on the machine that made the request.

` + exitHelp,
		Args: a.args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error { return a.runImport(c.Context(), args[0]) },
	}
}

func (a *app) runImport(ctx context.Context, name string) error {
	var b []byte
	var err error
	if name == "-" {
		b, err = io.ReadAll(io.LimitReader(a.stdin, maxAnswerFile+1))
	} else {
		b, err = readLimited(name, maxAnswerFile)
	}
	if err != nil {
		return a.problem(api.CodeFileAccess, err)
	}
	if len(b) > maxAnswerFile {
		return a.problem(api.CodeTooLarge, nil)
	}
	if len(b) == 0 {
		return a.problem(api.CodeBadFile, nil)
	}
	cl, err := a.client()
	if err != nil {
		return err
	}
	out, err := cl.Import(ctx, api.ImportRequest{Answer: base64.StdEncoding.EncodeToString(b)})
	if err != nil {
		return err
	}
	return a.outcome(out)
}
