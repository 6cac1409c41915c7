//go:build linux

package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"licenseagent.example/agent/client"
	"licenseagent.example/docs/promise"
	"licenseagent.example/fingerprint/probe"
)

// P33: what a program waits for an answer that it has verified. The numbers are
// written down and decide nothing: they depend on what else the machine does.
// The control is a program that keeps neither connection nor observation, so
// that each check reads the hardware again: it must be slower in the same run.
func proveSpeed(t *testing.T, bin string) {
	v := newVendor(t, nil)
	dir := v.home("agent")
	code, _ := v.code()
	r := command{bin: bin}.start(t, dir)
	r.await()
	check0(t, r.activate(code))
	here := probe.Host{SMBIOSFile: filepath.Join(dir, "smbios.bin")}
	newChecker := func() *client.Checker {
		return &client.Checker{Anchor: v.anchor, Client: &client.Client{Socket: r.client().Socket}, Observe: here.Read}
	}
	check := func(k *client.Checker) time.Duration {
		began := time.Now()
		verdict, err := k.Check(context.Background(), "painter")
		if err != nil || !verdict.Runs {
			t.Errorf("check: %+v, %v", verdict, err)
		}
		return time.Since(began)
	}
	at := func(times []time.Duration, percent int) time.Duration {
		slices.Sort(times)
		return times[min(len(times)-1, len(times)*percent/100)].Round(time.Microsecond)
	}

	one := newChecker()
	check(one)
	var times []time.Duration
	for range promise.Size(500, 20_000) {
		times = append(times, check(one))
	}
	one.Client.Close()

	const programs = 16
	each := promise.Size(50, 2000)
	var wg sync.WaitGroup
	began := time.Now()
	for range programs {
		wg.Go(func() {
			k := newChecker()
			for range each {
				check(k)
			}
			k.Client.Close()
		})
	}
	wg.Wait()
	rate := float64(programs*each) / time.Since(began).Seconds()

	var cold []time.Duration
	for range promise.Size(20, 200) {
		k := newChecker()
		cold = append(cold, check(k))
		k.Client.Close()
	}
	if warm, bare := at(times, 50), at(cold, 50); bare <= warm {
		t.Errorf("control: reading the hardware for each check takes %v, keeping it %v", bare, warm)
	}
	promise.Reached(t, "P33", fmt.Sprintf("check with proof, verified by the program: p50 %v, p99 %v in %d; %.0f/s from %d programs at once, which share the machine's processors with the agent",
		at(times, 50), at(times, 99), len(times), rate, programs),
		fmt.Sprintf("keeping neither connection nor observation: p50 %v", at(cold, 50)))
}
