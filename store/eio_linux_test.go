package store

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"licenseagent.example/docs/promise"
)

// failing runs a child in which the n-th fdatasync fails, and says what it was
// told and what a fresh start finds.
type failing struct {
	acked, failed int64 // last acknowledged commit; the one that failed, 0: none
	told          int64 // what Load said after the failure
	torn          bool
	injected      bool
	found         int64 // what the next start reads
}

func failSync(t *testing.T, run runner, n int, goOn bool) failing {
	t.Helper()
	dir := newDir(t)
	log := filepath.Join(t.TempDir(), "log")
	out, err := run(t, spec{Mode: "eio", Dir: dir, N: int64(n/2 + 2), Go: goOn},
		[]string{strace(t), "-f", "-qq", "-o", log}, fmt.Sprintf("error=EIO:when=%d", n))
	if err != nil {
		t.Fatalf("sync %d: %v: %s", n, err, out)
	}
	var f failing
	for _, line := range strings.Split(string(out), "\n") {
		fmt.Sscanf(line, "ack %d", &f.acked)
		fmt.Sscanf(line, "failed %d", &f.failed)
		fmt.Sscanf(line, "load %d %t", &f.told, &f.torn)
		if strings.HasPrefix(line, "error") {
			t.Errorf("sync %d: %s", n, line)
		}
	}
	b, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	f.injected = strings.Contains(string(b), "(INJECTED)")
	s := mustOpen(t, dir, options())
	found, torn := count(mustLoad(t, s))
	f.found, f.torn = found, f.torn || torn
	mustApply(t, s, counted(found+1))
	mustClose(t, s)
	return f
}

// runner runs a child behind strace, which injects the fault into the call that
// flushes a file, and returns what it said.
type runner func(t *testing.T, c spec, strace []string, fault string) ([]byte, error)

// here runs this binary.
func here(t *testing.T, c spec, strace []string, fault string) ([]byte, error) {
	t.Helper()
	return command(t, c, append(strace, "-e", "trace=fdatasync", "-e", "inject=fdatasync:"+fault)...).Output()
}

// P07: a failed sync never leaves agent and disk telling different stories.
func TestFailedSync(t *testing.T) {
	t.Parallel()
	failedSyncs(t, here)
}

func failedSyncs(t *testing.T, run runner) {
	t.Helper()
	var at []int
	if promise.Tier() != "test" {
		for n := 1; n <= 200; n++ {
			at = append(at, n)
		}
	} else {
		at = []int{1, 2, 3, 4, 5, 6, 7, 20}
	}
	bad, failures := 0, 0
	for _, n := range at {
		f := failSync(t, run, n, false)
		if !f.injected {
			t.Errorf("sync %d never happened", n)
		}
		if f.failed != 0 {
			failures++
		} else {
			f.told = f.acked // the failure hit the creation, which was done again
		}
		if f.torn || f.told != f.found || f.told < f.acked || f.told > f.acked+1 {
			bad++
			t.Errorf("sync %d: %+v", n, f)
		}
	}
	if failures == 0 {
		t.Error("no commit failed")
	}
	diverged, tried := 0, 0
	for _, n := range at {
		if n < 4 || n > 40 {
			continue // the creation has no caller to mislead
		}
		tried++
		if f := failSync(t, run, n, true); f.told != f.found {
			diverged++
		}
	}
	if diverged == 0 {
		t.Error("going on after a failed commit never showed")
	}
	promise.Reached(t, "P07", fmt.Sprintf("EIO on %d single flushes, %d failed commits, %d divergences", len(at), failures, bad),
		fmt.Sprintf("going on after the error: %d of %d diverge", diverged, tried))
}
