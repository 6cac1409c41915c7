//go:build e2e && windows

package wine

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/svc"

	"licenseagent.example/agent/client"
	"licenseagent.example/docs/promise"
	"licenseagent.example/fingerprint"
	"licenseagent.example/fingerprint/probe"
)

// What the installed service keeps to, beside what its packages prove one by one.
func TestServiceKeepsItsPromises(t *testing.T) {
	i := named("proved")
	anchor := given(t, "E2E_ANCHOR")
	exe := copyTo(t, "E2E_NEW_EXE", "d")
	before := world(t)
	t.Cleanup(func() { i.setup(t, exe, "uninstall", "--purge") })
	i.setup(t, exe, "install", "--keep-unhardened", "--anchor", anchor, "--merchant", given(t, "E2E_MERCHANT"))
	i.running(t)
	i.activate(t, given(t, "E2E_CODE_4"))
	i.licensed(t, anchor)

	t.Run("nothing listens", func(t *testing.T) {
		if seen := listeners(before, world(t)); len(seen) > 0 {
			t.Errorf("the service listens: %v", seen)
		}
		control, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		defer control.Close()
		found := listeners(before, world(t))
		if len(found) == 0 {
			t.Error("control: a listener is not seen")
		}
		promise.Reached(t, "P31", "0 TCP or UDP listeners more while the installed service runs, is activated and asked", fmt.Sprintf("a listener of the test is seen: %d", len(found)))
	})
	t.Run("killed at random", i.killedAtRandom(exe, anchor))
	t.Run("fast", i.fast(anchor))
}

// listeners are those that now has and before has not.
func listeners(before, now map[string]bool) (out []string) {
	for _, w := range added(before, now) {
		if strings.HasPrefix(w, "listener ") {
			out = append(out, w)
		}
	}
	return out
}

// killedAtRandom ends the service's process at random moments while it asks the
// merchant for a renewal and writes down the answer; what was acknowledged is
// there each time. (Not before it says that it runs: Wine's manager never
// notices the end of a process that has not said so.)
func (i instance) killedAtRandom(exe, anchor string) func(*testing.T) {
	return func(t *testing.T) {
		rnd := rand.New(rand.NewPCG(6, 6))
		cycles, renewed := promise.Size(12, 200), 0
		for range cycles {
			done := make(chan bool, 1)
			go func() {
				done <- exec.Command(i.program, append(i.flags[:len(i.flags):len(i.flags)], "renew")...).Run() == nil
			}()
			h, err := windows.OpenProcess(windows.PROCESS_TERMINATE, false, i.query(t).ProcessId)
			must(t, err)
			dead := make(chan error, 1)
			time.AfterFunc(time.Duration(rnd.IntN(600))*time.Millisecond, func() { dead <- windows.TerminateProcess(h, 1) })
			must(t, <-dead)
			must(t, windows.CloseHandle(h))
			if <-done {
				renewed++
			}
			i.awaitState(t, svc.Stopped)
			must(t, i.start(t))
			i.running(t)
			i.licensed(t, anchor)
		}
		must(t, i.control(svc.Stop, t))
		// Control: without the state there is no license to be found.
		state, runtime := filepath.Join(i.data, "state"), filepath.Join(i.data, "run")
		for _, d := range []string{state, runtime} {
			must(t, os.Rename(d, d+"-away"))
		}
		i.setup(t, exe, "install", "--keep-unhardened") // makes the folders with their lists
		i.running(t)
		lost := len(i.status(t).Licenses) == 0
		if !lost {
			t.Error("control: a license without state")
		}
		must(t, i.control(svc.Stop, t))
		for _, d := range []string{state, runtime} {
			must(t, os.RemoveAll(d))
			must(t, os.Rename(d+"-away", d))
		}
		must(t, i.start(t))
		i.running(t)
		i.licensed(t, anchor)
		promise.Reached(t, "P01", fmt.Sprintf("Windows service: its process terminated %d times during renewals, %d of them acknowledged before; license there after each start", cycles, renewed),
			"with the state taken away the license is gone")
	}
}

// fast measures what a program waits for an answer that it has verified. The
// numbers are written down and decide nothing: they depend on what else the
// machine does.
func (i instance) fast(anchorFile string) func(*testing.T) {
	return func(t *testing.T) {
		anchor, err := os.ReadFile(anchorFile)
		must(t, err)
		device := probe.Host{}.Read()
		checker := func() *client.Checker {
			k, err := client.NewChecker(anchor)
			must(t, err)
			k.Client, k.Observe = &client.Client{Socket: i.pipe}, func() fingerprint.Device { return device }
			return k
		}
		check := func(k *client.Checker) time.Duration {
			began := time.Now()
			if v, err := k.Check(context.Background(), "studio"); err != nil || !v.Runs {
				t.Errorf("check: runs %v, %v", v.Runs, err)
			}
			return time.Since(began)
		}
		at := func(times []time.Duration, percent int) time.Duration {
			slices.Sort(times)
			return times[min(len(times)-1, len(times)*percent/100)].Round(time.Microsecond)
		}
		one := checker()
		defer one.Client.Close()
		check(one)
		var times, cold []time.Duration
		for range promise.Size(300, 5000) {
			times = append(times, check(one))
		}
		const programs = 8
		each := promise.Size(40, 500)
		var wg sync.WaitGroup
		began := time.Now()
		for range programs {
			wg.Go(func() {
				k := checker()
				defer k.Client.Close()
				for range each {
					check(k)
				}
			})
		}
		wg.Wait()
		rate := float64(programs*each) / time.Since(began).Seconds()
		for range promise.Size(20, 200) {
			k := checker()
			k.Observe = probe.Host{}.Read
			cold = append(cold, check(k))
			k.Client.Close()
		}
		promise.Reached(t, "P33", fmt.Sprintf("check with proof over the pipe, verified by the program: p50 %v, p99 %v in %d; %.0f/s from %d programs at once, all on Wine", at(times, 50), at(times, 99), len(times), rate, programs),
			fmt.Sprintf("keeping neither connection nor observation: p50 %v", at(cold, 50)))
	}
}
