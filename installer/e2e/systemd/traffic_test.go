//go:build e2e

package systemd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"licenseagent.example/activation/license"
	"licenseagent.example/agent/api"
	"licenseagent.example/agent/client"
	"licenseagent.example/fingerprint"
	"licenseagent.example/fingerprint/probe"
)

// TestMain is also the programs that run inside the machines, where this binary is
// copied: a licensed one, called with the trust anchor and a product, the one that
// obeys the test inside QEMU, and others.
func TestMain(m *testing.M) {
	if len(os.Args) == 5 && os.Args[1] == "traffic" {
		os.Exit(traffic(os.Args[2], os.Args[3], os.Args[4]))
	}
	if len(os.Args) == 3 && os.Args[1] == "seat" {
		os.Exit(holdSeat(os.Args[2]))
	}
	if len(os.Args) >= 4 && os.Args[1] == "ask" {
		os.Exit(ask(os.Args[2], os.Args[3], os.Args[4:]...))
	}
	if len(os.Args) == 3 && os.Args[1] == "clear" {
		os.Exit(code(clearChip(os.Args[2])))
	}
	if len(os.Args) == 2 && os.Args[1] == "misbehave" {
		os.Exit(code(misbehave()))
	}
	if len(os.Args) == 2 && os.Args[1] == "obey" {
		os.Exit(code(obey()))
	}
	os.Exit(m.Run())
}

func code(err error) int {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// tally is what the program has seen.
type tally struct {
	Wanted  int            `json:"wanted"` // what its time would have given
	Asked   int            `json:"asked"`
	Failed  int            `json:"failed"`
	Late    int            `json:"late"` // of them, for want of an answer in time
	Errors  map[string]int `json:"errors"`
	Slowest string         `json:"slowest"`
}

// traffic checks the license so many times a second until SIGTERM, half of the
// times on a connection of its own, and prints the tally. What a busy machine has
// made it miss it asks late: less would be easier for the agent.
func traffic(anchorFile, product, perSecond string) int {
	anchor, err := os.ReadFile(anchorFile)
	rate, errRate := strconv.Atoi(perSecond)
	if err != nil || errRate != nil {
		fmt.Fprintln(os.Stderr, err, errRate)
		return 2
	}
	kept, err := client.NewChecker(anchor)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	kept.Client = &client.Client{}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	sum := tally{Errors: map[string]int{}}
	var slowest time.Duration
	var mu sync.Mutex
	var wg sync.WaitGroup
	start, ticker := time.Now(), time.NewTicker(time.Second/time.Duration(rate))
	defer ticker.Stop()
	for n := 0; ctx.Err() == nil; {
		if n >= int(time.Since(start).Seconds()*float64(rate)) {
			select {
			case <-ctx.Done():
			case <-ticker.C:
			}
			continue
		}
		turn := n
		n++
		wg.Go(func() {
			k := kept
			if turn%2 == 1 {
				fresh, err := client.NewChecker(anchor)
				if err != nil {
					panic(err)
				}
				fresh.Client = &client.Client{}
				defer fresh.Client.Close()
				k = fresh
			}
			began := time.Now()
			v, err := k.Check(context.Background(), product)
			took := time.Since(began)
			mu.Lock()
			defer mu.Unlock()
			sum.Asked++
			slowest = max(slowest, took)
			switch {
			case err != nil:
				sum.Failed++
				sum.Errors[err.Error()]++
				if e := (*api.Error)(nil); errors.As(err, &e) && e.Code == api.CodeTimeout || errors.Is(err, license.ErrStale) {
					sum.Late++
				}
				fmt.Fprintf(os.Stderr, "check %d after %v: %v\n", turn, took.Round(time.Millisecond), err) // into the journal
			case !v.Runs:
				sum.Failed++
				sum.Errors["no: "+v.Phase+" "+v.Reason]++
			}
		})
	}
	sum.Wanted = int(time.Since(start).Seconds() * float64(rate))
	wg.Wait()
	sum.Slowest = slowest.String()
	if err := json.NewEncoder(os.Stdout).Encode(sum); err != nil {
		return 2
	}
	return 0
}

// ask checks the license once and prints what the program would tell its user.
// table is the file of an SMBIOS table, for a machine without firmware.
func ask(anchorFile, product string, table ...string) int {
	anchor, err := os.ReadFile(anchorFile)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	k, err := client.NewChecker(anchor)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	if len(table) > 0 {
		k.Observe = func() fingerprint.Device { return probe.Host{SMBIOSFile: table[0]}.Read() }
	}
	v, err := k.Check(context.Background(), product)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		if e := (*api.Error)(nil); errors.As(err, &e) {
			fmt.Fprintln(os.Stderr, e.Hint)
		}
		return 1
	}
	fmt.Printf("{\"runs\":%v} %s: %s\n", v.Runs, v.Phase, v.Device.Why)
	return 0
}
