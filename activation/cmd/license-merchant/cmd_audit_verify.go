package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/spf13/cobra"

	"licenseagent.example/activation/merchant"
	"licenseagent.example/activation/merchant/admin"
	"licenseagent.example/activation/protocol"
)

func (a *app) auditVerifyCmd() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use: "verify", Short: "Check that no audit row was changed, dropped or reordered",
		Long: `Walks the whole audit chain: every row holds the hash of the one before. With
--file it is the chain of an export that is checked, without any service. A chain
cut off at its end still fits together: keep exports, and compare the last row. ` + exitHelp,
		Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return a.runAuditVerify(c.Context(), file) },
	}
	c.Flags().StringVar(&file, "file", "", "an export (- for standard input)")
	return c
}

func (a *app) runAuditVerify(ctx context.Context, file string) error {
	var v admin.Verified
	if file != "" {
		in := a.stdin
		if file != "-" {
			f, err := os.Open(file)
			if err != nil {
				return err
			}
			defer f.Close()
			in = f
		}
		if err := followExport(in, nil, &v); err != nil {
			return err
		}
		return a.verified(v)
	}
	return a.withAPI(ctx, func(c *admin.Client) error {
		if err := c.Call(ctx, http.MethodGet, admin.PathAuditVerify, "", nil, nil, &v); err != nil {
			return err
		}
		return a.verified(v)
	})
}

func (a *app) verified(v admin.Verified) error {
	return a.print(v, func(w io.Writer) { fmt.Fprintf(w, "%d rows, chain intact\n", v.Rows) })
}

// followExport checks an export row by row, copying it to out if that is not
// nil. An export that does not end with the line that counts its rows was cut
// off on the way.
func followExport(in io.Reader, out io.Writer, v *admin.Verified) error {
	var last merchant.AuditRow
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var end struct {
			Verified *int64
			Error    *protocol.ProblemBody
		}
		line := lines.Bytes()
		if bytes.HasPrefix(line, []byte(`{"verified"`)) || bytes.HasPrefix(line, []byte(`{"error"`)) {
			if err := json.Unmarshal(line, &end); err != nil {
				return fmt.Errorf("%w: the last line cannot be read", merchant.ErrAudit)
			}
		}
		if end.Error != nil {
			return &admin.Error{Code: end.Error.Code, Message: end.Error.Message, Hint: end.Error.Hint}
		}
		if out != nil {
			if _, err := out.Write(append(line, '\n')); err != nil {
				return err
			}
		}
		if end.Verified != nil {
			v.Rows = *end.Verified
			if v.Rows != last.Seq {
				return fmt.Errorf("%w: the export says %d rows and holds %d", merchant.ErrAudit, v.Rows, last.Seq)
			}
			return nil
		}
		var r merchant.AuditRow
		if err := json.Unmarshal(line, &r); err != nil {
			return fmt.Errorf("%w: row %d cannot be read", merchant.ErrAudit, last.Seq+1)
		}
		if err := r.Follow(last); err != nil {
			return err
		}
		last = r
	}
	if err := lines.Err(); err != nil && !errors.Is(err, bufio.ErrTooLong) {
		return fmt.Errorf("%w: %w", admin.ErrUnreachable, err)
	}
	return fmt.Errorf("%w: the export ends after row %d without its last line", merchant.ErrAudit, last.Seq)
}
