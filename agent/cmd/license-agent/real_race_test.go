//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"licenseagent.example/agent/api"
	"licenseagent.example/docs/promise"
)

// raced is what pairs of first starts on one new directory have come to.
type raced struct {
	races, owned int // exactly one answers, and the other says why it does not
	inUse, taken int // state-in-use, socket-taken
	odd          []string
}

// race starts two agents at once where there is nothing yet: key, store and socket
// are made by both. The one that answers must own what lies there in the end.
func (r *raced) race(t *testing.T, c command, mu *sync.Mutex) {
	t.Helper()
	dir := filepath.Join(quickDir(t), "machine")
	check0(t, os.Mkdir(dir, 0o755))
	check0(t, os.WriteFile(filepath.Join(dir, "smbios.bin"), smbios("SN-7Q4W-0042", "BN-9K2M-0077"), 0o644))
	var both [2]*running
	var answers [2]bool
	var wg sync.WaitGroup
	for i := range both {
		both[i] = c.start(t, dir)
		wg.Go(func() { _, answers[i] = <-both[i].ready })
	}
	wg.Wait()
	defer both[0].kill()
	defer both[1].kill()
	mu.Lock()
	defer mu.Unlock()
	r.races++
	if answers[0] == answers[1] {
		r.odd = append(r.odd, fmt.Sprintf("answering: %v\n%s\n%s", answers, both[0].log, both[1].log))
		return
	}
	winner, loser := both[0], both[1]
	if answers[1] {
		winner, loser = loser, winner
	}
	switch text := loser.log.String(); {
	case strings.Contains(text, api.CodeStateInUse):
		r.inUse++
	case strings.Contains(text, api.CodeSocketTaken):
		r.taken++
	default:
		r.odd = append(r.odd, "the other one says: "+text)
		return
	}
	device := value(winner.client().Status(context.Background()))(t).DeviceID
	winner.kill()
	again := c.start(t, dir)
	again.await()
	if st := value(again.client().Status(context.Background()))(t); st.DeviceID != device || strings.Contains(again.log.String(), sayDamage) {
		r.odd = append(r.odd, fmt.Sprintf("after a restart the device is %s and was %s\n%s", st.DeviceID, device, again.log))
		return
	}
	again.kill()
	r.owned++
}

// proveRaces: P08 on the shipped binary. The control is the same binary for which
// the kernel grants every lock.
func proveRaces(t *testing.T, bin string) {
	races := func(n int, c command) (r raced) {
		var mu sync.Mutex
		crowd(n, func(int) { r.race(t, c, &mu) })
		return r
	}
	n := promise.Size(10, 200)
	r := races(n, command{bin: bin})
	if r.owned != n {
		t.Errorf("%d of %d first starts have one owner: %q", r.owned, n, r.odd)
	}
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Fatal("the control of this proof needs strace: apt-get install strace")
	}
	free := races(promise.Size(2, 10), command{bin: bin, trace: []string{strace, "-f", "-qq", "-o", "/dev/null", "-e", "trace=flock", "-e", "inject=flock:retval=0"}})
	twice := free.races - free.inUse
	if twice == 0 {
		t.Errorf("control: nobody opened a store that another agent owns: %+v", free)
	}
	promise.Reached(t, "P08", fmt.Sprintf("license-agent run twice at once on a new directory, %d times: exactly one answers and has the same key and a whole store after a restart, the other says state-in-use (%d) or socket-taken (%d)", r.races, r.inUse, r.taken),
		fmt.Sprintf("where the kernel grants every lock, the other one opens the same store in %d of %d and is stopped at the socket in %d", twice, free.races, free.taken))
}
