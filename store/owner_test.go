package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"licenseagent.example/docs/promise"
	"licenseagent.example/platform/securefile"
)

// race starts two agents on one state at once and counts who owns it.
func race(t *testing.T, dir string) (owners int) {
	t.Helper()
	a, b := start(t, spec{Mode: "hold", Dir: dir}), start(t, spec{Mode: "hold", Dir: dir})
	defer a.end()
	defer b.end()
	for _, p := range []*process{a, b} {
		line, _ := p.line()
		switch {
		case line == "owned":
			owners++
		case !strings.HasPrefix(line, "refused "+ErrOwned.Error()):
			t.Errorf("neither owner nor refused in words: %q", line)
		}
	}
	return owners
}

// raceHere does the same with two openers in one process.
func raceHere(t *testing.T, dir string) (owners int) {
	t.Helper()
	o := options()
	o.seams.lockWait = time.Millisecond
	var mu sync.Mutex
	var wg sync.WaitGroup
	var stores []*Store
	for range 2 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			s, err := Open(dir, o)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				stores = append(stores, s)
			} else if !errors.Is(err, ErrOwned) {
				t.Errorf("refused with %v", err)
			}
		}()
	}
	wg.Wait()
	for _, s := range stores {
		mustClose(t, s)
	}
	return len(stores)
}

// P08, first half: exactly one agent owns the store, also when the store is
// just being created.
func TestOneOwner(t *testing.T) {
	t.Parallel()
	processes, wrong := 0, 0
	dir := newDir(t)
	for range scale(12, 200) {
		processes++
		if processes%4 == 0 {
			dir = newDir(t)
		}
		if n := race(t, dir); n != 1 {
			wrong++
			t.Errorf("race %d: %d owners", processes, n)
		}
	}
	owners := secondOwner(t)
	if owners != 2 {
		t.Errorf("control: without the instance lock there are %d owners", owners)
	}
	promise.Reached(t, "P08", fmt.Sprintf("%d racing double starts, %d without exactly one owner", processes, wrong),
		fmt.Sprintf("without the instance lock %d own it", owners))
}

// The same within one process, as an embedded agent may do it. Not parallel: a
// test that starts a process meanwhile holds a copy of every lock between its
// fork and its exec (flock(2)), and then both openers are refused.
func TestOneOwnerInProcess(t *testing.T) {
	dir := newDir(t)
	for i := range scale(100, 200) {
		if i%10 == 0 {
			dir = newDir(t)
		}
		if n := raceHere(t, dir); n != 1 {
			t.Errorf("race %d: %d owners", i, n)
		}
	}
}

// A second agent gets an answer that says what to do, and who is in its way.
func TestSecondAgent(t *testing.T) {
	dir := newDir(t)
	s := mustOpen(t, dir, options())
	o := options()
	o.seams.lockWait = time.Millisecond
	_, err := Open(dir, o)
	if !errors.Is(err, ErrOwned) || !errors.Is(err, securefile.ErrLocked) || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Errorf("%v", err)
	}
	mustClose(t, s)
	mustClose(t, mustOpen(t, dir, options()))
}

// Another program that only locks the database, such as bbolt's own tool, is
// no reason to put the file aside.
func TestLockedDatabase(t *testing.T) {
	t.Parallel()
	dir := filled(t, 2, options())
	db, err := openDB(filepath.Join(dir, fileDB), false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, options()); !errors.Is(err, ErrOwned) {
		t.Errorf("%v", err)
	}
	os.Remove(filepath.Join(dir, fileClean))
	o := options()
	o.Probe, o.seams.probeTime = probeCommand(t), patient
	if _, err := Open(dir, o); !errors.Is(err, ErrOwned) {
		t.Errorf("with the probe: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s := mustOpen(t, dir, o)
	if n, _ := count(mustLoad(t, s)); n != 2 || len(s.Stats().Quarantine) != 0 {
		t.Errorf("count %d, put aside %v", n, s.Stats().Quarantine)
	}
}
