//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"licenseagent.example/docs/promise"
)

// synced is what a series of failing syncs has found.
type synced struct {
	tries, refused  int
	lost, apart     int
	unserved, forks int // the agent stopped answering; the merchant saw a copy
	slowest         time.Duration
}

// failSyncs lets fdatasync fail with EIO in an activated agent while it renews,
// at the moments that when names (strace(1), --inject: counted per thread), and
// compares what a fresh start holds with what was acknowledged.
func failSyncs(t *testing.T, c command, when []string, renewals int) synced {
	t.Helper()
	v := newVendor(t, nil)
	dir := filepath.Join(quickDir(t), "agent")
	v.furnish(dir)
	code, order := v.code()
	r := c.start(t, dir)
	r.await()
	check0(t, r.activate(code))
	r.stop()
	var s synced
	for _, w := range when {
		s.tries++
		acked := v.newest(order).Seq
		traced := c
		traced.trace = []string{"strace", "-f", "-qq", "-o", os.DevNull, "-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO:when=" + w}
		r := traced.start(t, dir)
		r.await()
		for range renewals {
			if err := r.renew(); err != nil {
				s.refused++
				break
			}
			acked = v.newest(order).Seq
		}
		if _, ok := r.only(); !ok { // whatever the disk does, answers go on
			s.unserved++
		}
		r.kill()
		r = c.start(t, dir)
		s.slowest = max(s.slowest, r.await())
		switch h := r.holds(v); {
		case h == nil || h.Seq < acked:
			s.lost++
		case h.Seq > acked+1:
			s.apart++
		}
		if err := r.renew(); err != nil { // finishes what was outstanding
			s.apart++
			t.Logf("failing at %s, renewing afterwards: %v", w, err)
		}
		r.kill()
	}
	s.forks = v.forks()
	return s
}

// P07 on the shipped binary: a failed sync never leaves the agent and its disk
// telling different stories.
func proveFailedSync(t *testing.T, bin string) {
	if _, err := exec.LookPath("strace"); err != nil {
		t.Fatal("this test injects EIO by strace: install it")
	}
	c := command{bin: bin}
	var when []string
	for i := range promise.Size(8, 200, 200) {
		when = append(when, strconv.Itoa(1+i%20))
	}
	s := failSyncs(t, c, when, 200)
	if s.lost+s.apart+s.unserved+s.forks != 0 || s.slowest > 5*time.Second {
		t.Errorf("%+v", s)
	}
	if s.refused < s.tries/2 {
		t.Errorf("only %d of %d failing syncs were noticed by a caller", s.refused, s.tries)
	}
	d := failSyncs(t, command{weak: "deaf"}, []string{"1+", "1+"}, 1)
	if d.lost == 0 {
		t.Errorf("control: an agent that goes on after an error lost nothing: %+v", d)
	}
	promise.Reached(t, "P07", fmt.Sprintf("license-agent run: EIO %d times, on the first to 20th fdatasync of a thread: %d renewals refused, 0 acknowledged and lost, answers go on, next start within %v", s.tries, s.refused, s.slowest.Round(time.Millisecond)),
		fmt.Sprintf("going on after the error loses %d of %d", d.lost, d.tries))
}
