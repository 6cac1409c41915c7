//go:build linux

package main

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"licenseagent.example/agent/api"
	"licenseagent.example/docs/promise"
)

// synced is what a series of failing syncs has found.
type synced struct {
	tries, refused  int
	injected        int // tries in which the sync was reached
	lost, apart     int
	unserved, forks int // the agent stopped answering; the merchant saw a copy
	unstarted       int // the start ended with the error that the disk failed
	slowest         time.Duration
}

// failSyncs lets fdatasync fail with EIO in an activated agent while it renews,
// at the moments that when names, see syncEnv, and compares what a fresh start
// holds with what was acknowledged.
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
		r := c.failing(t, w).start(t, dir)
		switch _, ok := <-r.ready; {
		case ok:
			for n, failed := 0, false; n < renewals; n++ {
				if err := r.renew(); err != nil {
					s.refused++
					break
				}
				acked = v.newest(order).Seq
				if !failed && strings.Contains(r.log.String(), syncFailed) {
					failed, n = true, renewals-3 // two more, and that is enough
				}
			}
			if _, ok := r.only(); !ok { // whatever the disk does, answers go on
				s.unserved++
			}
		case strings.Contains(r.log.String(), api.CodeStorage):
			s.unstarted++
		default:
			t.Errorf("failing at %s the agent ends with\n%s", w, r.log)
		}
		r.kill()
		if strings.Contains(r.log.String(), syncFailed) {
			s.injected++
		}
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
// telling different stories, whichever of the first 200 of its life it is.
func proveFailedSync(t *testing.T, bin string) {
	c := command{bin: bin}
	first := []string{"1", "2", "3", "7", "8", "9", "10", "101", "200"}
	if promise.Tier() != "test" {
		first = nil
		for i := range 200 {
			first = append(first, strconv.Itoa(1+i))
		}
	}
	s := failSyncs(t, c, first, 200)
	if s.lost+s.apart+s.unserved+s.forks != 0 || s.slowest > 5*time.Second {
		t.Errorf("%+v", s)
	}
	if s.injected != s.tries || s.refused == 0 {
		t.Errorf("%d of %d syncs were reached, %d noticed by a caller", s.injected, s.tries, s.refused)
	}
	d := failSyncs(t, command{weak: "deaf"}, []string{"3+", "3+"}, 1)
	if d.lost == 0 {
		t.Errorf("control: an agent that goes on after an error lost nothing: %+v", d)
	}
	which := "each of the first 200 syncs"
	if len(first) < 200 {
		which = "the syncs " + strings.Join(first, ", ")
	}
	promise.Reached(t, "P07", fmt.Sprintf("license-agent run: EIO on %s of the process: %d renewals refused, %d starts ended with storage-failed, 0 acknowledged and lost, answers go on, next start within %v", which, s.refused, s.unstarted, s.slowest.Round(time.Millisecond)),
		fmt.Sprintf("going on after the error loses %d of %d", d.lost, d.tries))
}
