package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"licenseagent.example/activation/merchant"
	"licenseagent.example/activation/protocol"
)

func (a *app) answerCmd() *cobra.Command {
	var out string
	c := &cobra.Command{
		Use:   "answer FILE",
		Short: "Answer a request file of a machine without network",
		Long: `Answers a request file made by license-agent request (- for standard input) and
writes the answer file for license-agent import to standard output or --out. The
same request answered again gives the same bytes. ` + exitHelp,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, list []string) error { return a.runAnswer(c.Context(), list[0], out) },
	}
	c.Flags().StringVar(&out, "out", "", "write to this file instead of standard output")
	return c
}

func (a *app) runAnswer(ctx context.Context, file, out string) error {
	request, err := a.readRequest(file)
	if err != nil {
		return err
	}
	return a.withService(ctx, func(svc *merchant.Service, _ config) error {
		answer, err := svc.Process(ctx, request, "", "")
		if err != nil {
			return err
		}
		text, err := protocol.EncodeAnswer(answer)
		if err != nil {
			return err
		}
		if out != "" {
			return replaceFile(out, text)
		}
		_, err = a.stdout.Write(text)
		return err
	})
}

// readRequest reads a request file; blanks and line ends around it are what
// mail programs and editors add.
func (a *app) readRequest(file string) ([]byte, error) {
	from := a.stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		from = f
	}
	b, err := io.ReadAll(io.LimitReader(from, protocol.MaxRequest+1))
	if err != nil {
		return nil, err
	}
	if len(b) > protocol.MaxRequest {
		return nil, usage("%s is larger than any request file (%d bytes)", file, protocol.MaxRequest)
	}
	if b = bytes.TrimSpace(b); len(b) == 0 {
		return nil, fmt.Errorf("%w: %s is empty", merchant.ErrInput, file)
	}
	return b, nil
}
