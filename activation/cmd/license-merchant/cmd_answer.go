package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/spf13/cobra"

	"licenseagent.example/activation/merchant"
	"licenseagent.example/activation/merchant/admin"
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
	return a.withAPI(ctx, func(c *admin.Client) error {
		text, err := c.Send(ctx, http.MethodPost, admin.PathRequestAnswer, "", nil, request)
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
func (a *app) readRequest(file string) ([]byte, error) { return a.readSmall(file, protocol.MaxRequest) }

// readSmall reads a file of at most so many bytes, - for standard input,
// without the blanks around it.
func (a *app) readSmall(file string, most int64) ([]byte, error) {
	from := a.stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		from = f
	}
	b, err := io.ReadAll(io.LimitReader(from, most+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > most {
		return nil, usage("%s is larger than it can be (%d bytes)", file, most)
	}
	if b = bytes.TrimSpace(b); len(b) == 0 {
		return nil, fmt.Errorf("%w: %s is empty", merchant.ErrInput, file)
	}
	return b, nil
}
