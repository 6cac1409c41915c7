package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/spf13/cobra"
)

type simulatedOptions struct {
	order    simulatedOrder
	codeFile string
	out      string
}

func (a *app) koogallerySimulatedCmd() *cobra.Command {
	var o simulatedOptions
	c := &cobra.Command{
		Use:   "simulated sell|renew|freeze|unfreeze|release|show",
		Short: "Act on the marketplace of a running serve --marketplace simulated",
		Long: `Sells a code on the simulated marketplace, or lets happen to one what a buyer or
KooGallery would do: renew (--days from now), freeze, unfreeze, release. The
service is called back as KooGallery would. Codes are read from a file, - for
standard input. ` + exitHelp,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, list []string) error {
			o.order.Do = list[0]
			return a.runKoogallerySimulated(c.Context(), o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.codeFile, "code-file", "", "file with the code; not for sell")
	f.StringVar(&o.out, "out", "", "sell: write the code to this new file instead of printing it")
	f.StringVar(&o.order.Product, "product", "", "sell: product id of the marketplace")
	f.Int64Var(&o.order.Amount, "amount", 1, "sell: quantity")
	f.Int64Var(&o.order.Days, "days", 365, "sell: validity from the activation; renew: validity from now")
	return c
}

func (a *app) runKoogallerySimulated(ctx context.Context, o simulatedOptions) error {
	if o.order.Do != "sell" {
		code, err := a.readBody(o.codeFile)
		if err != nil {
			return err
		}
		if o.order.Code = strings.TrimSpace(string(code)); o.order.Code == "" {
			return usage("--code-file is needed: the code that %s is about", o.order.Do)
		}
	}
	show, err := a.askSimulator(ctx, o.order)
	if err != nil {
		return err
	}
	if o.out != "" {
		f, err := createPrivate(o.out)
		if err != nil {
			return err
		}
		_, err = io.WriteString(f, show.Code+"\n")
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
		show.Code = ""
	} else if o.order.Do != "sell" {
		show.Code = ""
	}
	return a.print(show, func(w io.Writer) {
		if show.Code != "" {
			fmt.Fprintf(w, "code\t%s\n", show.Code)
		}
		fmt.Fprintf(w, "stage\t%s\nproduct\t%s\namount\t%d\nchecks\t%d\nreports\t%d\nowed calls\t%d\n",
			show.Stage, orDash(show.Product), show.Amount, show.Checks, len(show.Reports), show.OwedCall)
	})
}

// askSimulator talks to the simulator of the running service.
func (a *app) askSimulator(ctx context.Context, o simulatedOrder) (simulatedCode, error) {
	var show simulatedCode
	text, err := json.Marshal(o)
	if err != nil {
		return show, err
	}
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", a.path("simulated-marketplace.sock"))
	}}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://simulated/", jsonReader(text))
	if err != nil {
		return show, err
	}
	resp, err := client.Do(r)
	if err != nil {
		return show, fmt.Errorf("no simulated marketplace runs here (license-merchant serve --marketplace simulated): %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // read only
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return show, err
	}
	if resp.StatusCode != http.StatusOK {
		var e struct {
			Error string `json:"error"`
		}
		if json.Unmarshal(body, &e) != nil || e.Error == "" {
			e.Error = "it refused"
		}
		return show, fmt.Errorf("%w: %s", errSimulated, e.Error)
	}
	return show, json.Unmarshal(body, &show)
}

// errSimulated is returned when the simulated marketplace refuses an order.
var errSimulated = errors.New("the simulated marketplace refuses")

func jsonReader(b []byte) io.Reader { return bytes.NewReader(b) }
