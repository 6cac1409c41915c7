//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"licenseagent.example/agent/client"
	"licenseagent.example/docs/promise"
	"licenseagent.example/fingerprint/probe"
)

// footprint is what a process occupies.
type footprint struct {
	rss, fds, goroutines int // rss in KiB
}

// occupies looks at a running agent: memory and descriptors from /proc (proc(5)),
// goroutines from its own bundle.
func (r *running) occupies() footprint {
	r.t.Helper()
	proc := filepath.Join("/proc", strconv.Itoa(r.cmd.Process.Pid))
	var f footprint
	for _, line := range bytes.Split(value(os.ReadFile(filepath.Join(proc, "status")))(r.t), []byte("\n")) {
		if rest, ok := bytes.CutPrefix(line, []byte("VmRSS:")); ok {
			_, err := fmt.Sscanf(string(rest), "%d", &f.rss)
			check0(r.t, err)
		}
	}
	f.fds = len(value(os.ReadDir(filepath.Join(proc, "fd")))(r.t))
	f.goroutines = value(r.client().Diagnose(context.Background()))(r.t).Process.Goroutines
	return f
}

// worst keeps the largest of each.
func (f footprint) worst(o footprint) footprint {
	return footprint{max(f.rss, o.rss), max(f.fds, o.fds), max(f.goroutines, o.goroutines)}
}

// grown is the difference, and whether it is a leak: more than 2 MiB, or any
// descriptor or goroutine more than the handful that a request needs.
func (f footprint) grown(since footprint) (footprint, bool) {
	d := footprint{f.rss - since.rss, f.fds - since.fds, f.goroutines - since.goroutines}
	const handful = 3
	return d, d.rss > 2<<10 || d.fds > handful || d.goroutines > handful
}

// step is how far the merchant's clock moves with each renewal: four hundred days
// at least, years in a long soak. The agent takes the time from the signed
// answers, so that they pass for it as well.
func step(renewals int) time.Duration {
	return max(20*time.Minute, 400*24*time.Hour/time.Duration(renewals))
}

// aged is what a soak has found: the largest footprint in the second and in the
// last fifth of it.
type aged struct {
	renewals, checks int
	early, late      footprint
	days             int64
	failed           int
}

// age makes an agent renew and answer checks.
func age(t *testing.T, c command, renewals, checks int) aged {
	t.Helper()
	var offset atomic.Int64
	v := newVendor(t, func() time.Time { return time.Now().Add(time.Duration(offset.Load())) })
	dir := v.home("agent")
	code, _ := v.code()
	r := c.start(t, dir)
	r.await()
	defer r.kill()
	check0(t, r.activate(code))
	here := probe.Host{SMBIOSFile: filepath.Join(dir, "smbios.bin")}
	checker := &client.Checker{Anchor: v.anchor, Client: r.client(), Observe: here.Read, Clock: func() (int64, time.Duration) {
		return v.now().Unix(), time.Since(r.began)
	}}
	var a aged
	published := v.now()
	for i := range renewals {
		offset.Add(int64(step(renewals)))
		if v.now().Sub(published) > 300*24*time.Hour { // before the key set ends
			value(v.svc.PublishKeys(context.Background(), []string{v.roots}, nil))(t)
			published = v.now()
		}
		if err := r.renew(); err != nil {
			a.failed++
			t.Logf("renewal %d: %v", i, err)
		}
		a.renewals++
		for range checks / renewals {
			verdict, err := checker.Check(context.Background(), "painter")
			if err != nil || !verdict.Runs {
				a.failed++
				t.Logf("check after renewal %d: %+v %v", i, verdict, err)
			}
			a.checks++
		}
		if i%max(1, renewals/100) == 0 {
			switch fifth := 5 * i / renewals; fifth {
			case 1:
				a.early = a.early.worst(r.occupies())
			case 4:
				a.late = a.late.worst(r.occupies())
			}
		}
		if a.failed > 10 {
			t.Fatalf("too much fails:\n%s", r.log)
		}
	}
	st := value(r.client().Status(context.Background()))(t)
	a.days = (st.Time - time.Now().Unix()) / 86400
	return a
}

// P35: months of life at once. The footprint in the last fifth is held against
// that in the second.
func proveSoak(t *testing.T, bin string) {
	renewals, checks := promise.Size(250, 5000, 100_000), promise.Size(2500, 100_000, 1_000_000)
	a := age(t, command{bin: bin}, renewals, checks)
	grown, leaks := a.late.grown(a.early)
	if leaks || a.failed > 0 {
		t.Errorf("%d of %d contacts and checks failed; from %+v to %+v", a.failed, a.renewals+a.checks, a.early, a.late)
	}
	if want := int64(time.Duration(renewals) * step(renewals) / (24 * time.Hour)); a.days < want-1 {
		t.Errorf("%d days passed for the agent, want %d", a.days, want)
	}
	l := age(t, command{weak: "leaky"}, 60, 60)
	more, found := l.late.grown(l.early)
	if !found {
		t.Errorf("control: an agent that leaks was not found: from %+v to %+v", l.early, l.late)
	}
	promise.Reached(t, "P35", fmt.Sprintf("license-agent run: %d renewals over %d days of virtual time and %d checks with proof: resident memory %+d KiB (%d KiB in the end), descriptors %+d, goroutines %+d between the second and the last fifth",
		a.renewals, a.days, a.checks, grown.rss, a.late.rss, grown.fds, grown.goroutines),
		fmt.Sprintf("an agent that keeps something of every change: %+d KiB, descriptors %+d, goroutines %+d in %d renewals", more.rss, more.fds, more.goroutines, l.renewals))
}
