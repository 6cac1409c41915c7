package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"licenseagent.example/activation/merchant"
	"licenseagent.example/activation/merchant/admin"
)

type codesAddOptions struct {
	spec         merchant.CodeSpec
	limits       []string
	until        string
	renew, grace string
	count        int
	out          string
}

func (a *app) codesAddCmd() *cobra.Command {
	var o codesAddOptions
	c := &cobra.Command{
		Use:   "add --product NAME",
		Short: "Make codes; each is shown this once",
		Long: `Makes authorization codes and prints them: the only time they are seen, the
database keeps a keyed hash. --out writes them to a new file of mode 0600 instead,
one per line. ` + exitHelp,
		Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return a.runCodesAdd(c.Context(), o) },
	}
	f := c.Flags()
	f.StringVar(&o.spec.Product, "product", "", "product name: a-z 0-9 . _ -")
	f.StringVar(&o.spec.Edition, "edition", "", "edition name")
	f.Int64Var(&o.spec.Devices, "devices", 1, "machines that may hold the code at a time")
	f.Int64Var(&o.spec.Seats, "seats", 1, "concurrent uses on each machine")
	f.StringSliceVar(&o.spec.Features, "feature", nil, "feature name, repeatable")
	f.StringArrayVar(&o.limits, "limit", nil, "name=number, repeatable")
	f.Int64Var(&o.spec.ValidDays, "valid-days", 0, "days from the first activation, 0 for no limit")
	f.StringVar(&o.until, "until", "", "last day, YYYY-MM-DD (UTC)")
	f.StringVar(&o.renew, "renew", "", "time from an answer to renew-by, such as 7d (default: terms)")
	f.StringVar(&o.grace, "grace", "", "time from renew-by to grace-until, such as 14d (default: terms)")
	f.StringVar(&o.spec.Policy, "policy", "balanced", "fingerprint policy: strict, balanced, tolerant, or a JSON file with your own (NAME.json)")
	f.StringVar(&o.spec.Note, "note", "", "for support, such as an order number")
	f.BoolVar(&o.spec.Unidentified, "allow-unidentified", false, "also for machines without any serial of their own (micro-VMs): held by device key and contact alone")
	f.IntVar(&o.count, "count", 1, "how many codes")
	f.StringVar(&o.out, "out", "", "write the codes to this new file instead of printing them")
	return c
}

// newCodes is the JSON result of codes add.
type newCodes struct {
	admin.MadeCodes
	File string `json:"file,omitempty"`
}

// addAtOnce is how many codes are made with one request: few enough that nobody
// waits behind them.
const addAtOnce = 1000

func (a *app) runCodesAdd(ctx context.Context, o codesAddOptions) error {
	if err := o.parse(); err != nil {
		return err
	}
	if o.count < 1 || o.count > 1_000_000 {
		return usage("--count: want 1 to 1000000")
	}
	var file *os.File
	if o.out != "" {
		var err error
		if file, err = createPrivate(o.out); err != nil {
			return err
		}
		defer file.Close()
	}
	return a.withAPI(ctx, func(c *admin.Client) error {
		result := newCodes{File: o.out}
		for left := o.count; left > 0; {
			var made admin.MadeCodes
			err := c.Call(ctx, http.MethodPost, admin.PathCodes, "", nil, admin.NewCodes{CodeSpec: o.spec, Count: min(left, addAtOnce)}, &made)
			if err == nil && file != nil {
				err = keepCodes(file, made.Codes)
			}
			if err != nil {
				return o.interrupted(err, file, len(result.Codes))
			}
			result.Codes = append(result.Codes, made.Codes...)
			left -= len(made.Codes)
		}
		return a.print(result, func(w io.Writer) {
			if file == nil || o.count <= 20 {
				for _, n := range result.Codes {
					fmt.Fprintf(w, "%s\t%s\n", n.ID, orDash(n.Code))
				}
			}
			if file != nil {
				fmt.Fprintf(w, "written to\t%s (%d)\n", o.out, o.count)
			}
		})
	})
}

// keepCodes moves codes into the file: on disk, and out of what is printed.
func keepCodes(file *os.File, codes []admin.MadeCode) error {
	var text strings.Builder
	for i := range codes {
		text.WriteString(codes[i].Code + "\n")
		codes[i].Code = ""
	}
	if _, err := file.WriteString(text.String()); err != nil {
		return err
	}
	return file.Sync()
}

// interrupted leaves no empty file behind, and says what is in a file that is
// not complete: the codes in it are good.
func (o codesAddOptions) interrupted(err error, file *os.File, made int) error {
	switch {
	case file == nil:
		return err
	case made == 0:
		return errors.Join(err, os.Remove(o.out))
	}
	return fmt.Errorf("%w (%s holds the %d codes made before that)", err, o.out, made)
}

// parse turns the texts of the flags into the specification.
func (o *codesAddOptions) parse() error {
	if o.spec.Product == "" {
		return usage("--product is required")
	}
	o.spec.Limits = map[string]int64{}
	for _, l := range o.limits {
		name, text, ok := strings.Cut(l, "=")
		n, err := strconv.ParseInt(text, 10, 64)
		if !ok || err != nil {
			return usage("--limit is name=number, not %q", l)
		}
		o.spec.Limits[name] = n
	}
	if strings.HasSuffix(o.spec.Policy, ".json") {
		text, err := os.ReadFile(o.spec.Policy)
		if err != nil {
			return usage("--policy: %v", err)
		}
		o.spec.Policy = strings.TrimSpace(string(text))
	}
	if o.until != "" {
		t, err := time.Parse("2006-01-02", o.until)
		if err != nil {
			return usage("--until is YYYY-MM-DD, not %q", o.until)
		}
		o.spec.Ends = t.AddDate(0, 0, 1).Unix()
	}
	for _, d := range []struct {
		flag, text string
		to         *int64
	}{{"--renew", o.renew, &o.spec.Renew}, {"--grace", o.grace, &o.spec.Grace}} {
		if d.text == "" {
			continue
		}
		v, err := parseDuration(d.text)
		if err != nil {
			return usage("%s: %v", d.flag, err)
		}
		*d.to = v
	}
	return nil
}
