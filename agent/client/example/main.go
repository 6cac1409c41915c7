// Command example is a licensed product in miniature. It knows its vendor's
// trust anchor and nothing else, asks the agent of this machine, and believes
// only what it has verified: may it run, which features does it have. With the
// word "work" it also takes a seat, keeps it while it works, hears of changes,
// and stops when the license does.
//
// A real product compiles the anchor in (package embed); here it is read from a
// file so that the demo can make its own.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"licenseagent.example/agent/api"
	"licenseagent.example/agent/client"
)

func main() {
	if len(os.Args) != 4 && (len(os.Args) != 5 || os.Args[4] != "work") {
		fmt.Fprintln(os.Stderr, "usage: example ANCHOR-FILE SOCKET PRODUCT [work]")
		os.Exit(api.ExitUsage)
	}
	anchor, err := os.ReadFile(os.Args[1])
	check(err)
	checker, err := client.NewChecker(anchor)
	check(err)
	checker.Client = &client.Client{Socket: os.Args[2]} // leave out for an installed agent
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if len(os.Args) == 5 {
		check(work(ctx, checker, os.Args[3]))
		return
	}
	verdict, err := checker.Check(ctx, os.Args[3])
	check(err)
	fmt.Println(said(verdict))
	if !verdict.Runs {
		os.Exit(api.ExitNotLicensed)
	}
}

// work holds a seat until it is told to stop or the license stops.
func work(ctx context.Context, checker *client.Checker, product string) error {
	seat, err := checker.Seat(ctx, product, client.SeatOptions{Wait: 2 * time.Second})
	if err != nil {
		return err
	}
	defer seat.Close()
	fmt.Printf("working on seat %d of %d; ", seat.Count.Used, seat.Count.Total)
	fmt.Println(said(seat.Verdict))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go checker.Client.Watch(ctx, func(api.Events) error { //nolint:errcheck // it ends with ctx
		if verdict, err := checker.Check(ctx, product); err == nil {
			fmt.Println("heard of a change;", said(verdict))
		}
		return nil
	}, nil)
	select {
	case <-ctx.Done():
		fmt.Println("stopped, seat given back")
		return nil
	case <-seat.Lost():
		return seat.Err()
	}
}

// said is a verdict in one line.
func said(v client.Verdict) string {
	if !v.Runs {
		return fmt.Sprint("not licensed: ", v.Phase, " ", v.Reason)
	}
	return fmt.Sprint("licensed: ", v.Phase, ", export ", v.Has("export"), ", until ", v.GraceUntil.Format(time.DateOnly))
}

// check ends the program with the sentence for people and the exit code of the
// command line.
func check(err error) {
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, "stopped:", err)
	var e *api.Error
	if errors.As(err, &e) {
		fmt.Fprintln(os.Stderr, e.Hint)
		os.Exit(api.Exit(e))
	}
	os.Exit(api.ExitUnexpected)
}
