package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"licenseagent.example/agent/api"
)

func (a *app) seatsCmd() *cobra.Command {
	c := &cobra.Command{
		Use: "seats", Short: "See who uses the concurrent uses that a license allows",
		Args: a.args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(a.seatsListCmd())
	return c
}

func (a *app) seatsListCmd() *cobra.Command {
	product := ""
	c := &cobra.Command{
		Use: "list", Short: "List the seats of each license and who holds them since when",
		Long: `Shows for each license how many seats it has on this machine and how many are
taken, and a line for each program that holds one. A seat ends with its process;
to free one, end the program. Named users are shown to administrators and to
their own account.

` + exitHelp,
		Args: a.args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return a.runSeatsList(c.Context(), product) },
	}
	c.Flags().StringVar(&product, "product", "", "only this product")
	return c
}

func (a *app) runSeatsList(ctx context.Context, product string) error {
	cl, err := a.client()
	if err != nil {
		return err
	}
	list, err := cl.Seats(ctx)
	if err != nil {
		return err
	}
	if product != "" {
		list = onlyProduct(list, product)
	}
	if a.output == "json" {
		return a.json(list)
	}
	return a.printSeats(list)
}

func onlyProduct(list api.Seats, product string) api.Seats {
	out := api.Seats{Counts: []api.SeatCount{}, Seats: []api.Seat{}}
	for _, c := range list.Counts {
		if c.Product == product {
			out.Counts = append(out.Counts, c)
		}
	}
	for _, s := range list.Seats {
		if s.Product == product {
			out.Seats = append(out.Seats, s)
		}
	}
	return out
}

func (a *app) printSeats(list api.Seats) error {
	if len(list.Counts) == 0 {
		_, err := fmt.Fprintln(a.stdout, a.label("nolicense"))
		return err
	}
	for i, c := range list.Counts {
		if i > 0 {
			if _, err := fmt.Fprintln(a.stdout); err != nil {
				return err
			}
		}
		head := fmt.Sprintf("%s (%s): %s", c.Product, c.Issuer, a.seatsText(c.Used, c.Total, c.Waiting))
		if _, err := fmt.Fprintln(a.stdout, printable(head)); err != nil {
			return err
		}
		t := a.table()
		for _, s := range list.Seats {
			if s.Product == c.Product && s.Issuer == c.Issuer {
				t.row(pidText(s.PID), a.holderText(s))
			}
		}
		if err := t.print(); err != nil {
			return err
		}
	}
	return nil
}

// seatsText is "2 of 3 seats taken, 1 waiting".
func (a *app) seatsText(used, total, waiting int64) string {
	text := fmt.Sprintf(a.in("%d of %d seats taken", "已用 %d / %d 个席位"), used, total)
	if waiting > 0 {
		text += fmt.Sprintf(a.in(", %d waiting", "，%d 个等待"), waiting)
	}
	return text
}

func pidText(pid int) string {
	if pid == 0 {
		return "pid ?"
	}
	return "pid " + strconv.Itoa(pid)
}

// holderText is one holder: account, named user, since when.
func (a *app) holderText(s api.Seat) string {
	parts := []string{s.Account}
	if s.User != "" {
		parts = append(parts, a.in("user ", "用户 ")+s.User)
	}
	parts = append(parts, a.in("since ", "自 ")+time.Unix(s.Since, 0).UTC().Format(time.RFC3339))
	if s.Detached {
		parts = append(parts, a.in("known by its process since the agent was started anew", "代理程序重启后仅由进程识别"))
	}
	return strings.Join(parts, a.in(", ", "，"))
}
