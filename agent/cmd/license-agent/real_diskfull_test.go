//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"licenseagent.example/agent/api"
	"licenseagent.example/docs/promise"
)

// smallDisk mounts a tmpfs of its own for one agent.
func smallDisk(t *testing.T, bytes int) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("mode=0755,size=%d", bytes)); err != nil {
		t.Fatalf("this test needs the right to mount a tmpfs (run it as root): %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

// fillUp takes all space but some, so that writes fail at different places.
func fillUp(file string, leave int64) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	total := int64(0)
	for block := make([]byte, 64<<10); len(block) > 0; {
		n, err := f.Write(block)
		total += int64(n)
		if err != nil {
			block = block[:len(block)/2]
		}
	}
	return f.Truncate(max(0, total-leave))
}

// giveBack removes the file that takes the space, and waits until that is free. A
// process that a test beside this one was starting while the file was open keeps
// it until it executes its program.
func giveBack(t *testing.T, file string) {
	t.Helper()
	free := func() int64 {
		var s syscall.Statfs_t
		check0(t, syscall.Statfs(filepath.Dir(file), &s))
		return int64(s.Bfree) * s.Bsize
	}
	var st syscall.Stat_t
	check0(t, syscall.Stat(file, &st))
	want := free() + st.Blocks*512 - 64<<10 // what the agent may have written meanwhile
	check0(t, os.Remove(file))
	for deadline := time.Now().Add(10 * time.Second); free() < want; time.Sleep(time.Millisecond) { // polls
		if time.Now().After(deadline) {
			t.Fatalf("%s is removed and %d bytes are free, want %d", file, free(), want)
		}
	}
}

// cramped is what a series of full disks has found.
type cramped struct {
	cycles, full   int // contacts that were refused for want of space
	answers, wrong int // status answers during a full disk; those without the license
	lost, apart    int
	other          int // failures that are not about space
	forks          int
}

// fullLoop fills the disk of an agent before or during contacts, and frees it.
// always is for the control: only activations, and not a byte left.
func fullLoop(t *testing.T, c command, cycles int, seed uint64, always bool) cramped {
	t.Helper()
	v := newVendor(t, nil)
	rnd := rand.New(rand.NewPCG(seed, 6))
	var k cramped
	// A renewal reuses pages of the file and needs little or nothing; it is the
	// activation that makes it grow. So there is a new installation often.
	const each = 3
	for k.cycles < cycles {
		disk := smallDisk(t, 3<<20)
		k.disk(t, c, v, filepath.Join(disk, "agent"), filepath.Join(disk, "full"), rnd, min(each, cycles-k.cycles), always)
		_ = syscall.Unmount(disk, syscall.MNT_DETACH)
	}
	k.forks = v.forks()
	return k
}

func (k *cramped) disk(t *testing.T, c command, v *vendor, dir, full string, rnd *rand.Rand, n int, always bool) {
	t.Helper()
	v.furnish(dir)
	code, order := v.code()
	r := c.start(t, dir)
	r.await()
	id, acked := "", int64(0)
	for range n {
		k.cycles++
		do := r.renew
		if _, ok := r.only(); !ok {
			do = func() error { return r.activate(code) }
		}
		leave := rnd.Int64N(3) * rnd.Int64N(8<<10)
		if id == "" {
			leave = 0
		}
		fill := func(string) bool { check0(t, fillUp(full, leave)); return true }
		if during := rnd.IntN(2) == 0; during && !always {
			v.hooks(nil, fill) // the request was written, its answer cannot be
		} else {
			fill("")
		}
		err := k.watched(r, id != "", do)
		v.hooks(nil, nil)
		if err == nil {
			seat := v.newest(order)
			id, acked = seat.License, seat.Seq
		}
		if rnd.IntN(3) == 0 || always { // a restart without space
			r.kill()
			r = c.start(t, dir)
			r.await()
			k.compare(r, v, id, acked)
		}
		giveBack(t, full)
		k.compare(r, v, id, acked)
		if always {
			break
		}
		do = r.renew
		if id == "" {
			do = func() error { return r.activate(code) }
		}
		if err := do(); err != nil { // with space again everything works at once
			k.apart++
			t.Logf("with space again: %v\n%s", err, r.log)
			continue
		}
		seat := v.newest(order)
		id, acked = seat.License, seat.Seq
	}
	r.kill()
}

// watched makes a contact while somebody keeps asking for the status.
func (k *cramped) watched(r *running, licensed bool, do func() error) error {
	asks := r.client()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			st, err := asks.Status(context.Background())
			k.answers++
			if err != nil || licensed && (len(st.Licenses) == 0 || !st.Licenses[0].Verdict.Runs) {
				k.wrong++
			}
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
			}
		}
	})
	err := do()
	close(stop)
	wg.Wait()
	var e *api.Error
	switch {
	case err == nil:
	case errors.As(err, &e) && (e.Code == api.CodeStorageFull || e.Code == api.CodeStorage):
		k.full++
	default:
		k.other++
		r.t.Logf("a full disk gives: %v", err)
	}
	return err
}

func (k *cramped) compare(r *running, v *vendor, id string, acked int64) {
	r.t.Helper()
	if id == "" {
		return
	}
	if h := r.holds(v); h == nil || h.ID != id || h.Seq < acked {
		k.lost++
	}
}

// P06 on the shipped binary: a full disk during activation and renewal. Answers
// go on, and with space again nothing is lost.
func proveDiskFull(t *testing.T, bin string) {
	k := fullLoop(t, command{bin: bin}, promise.Size(8, 300, 300), 1, false)
	if k.wrong+k.lost+k.apart+k.other+k.forks != 0 {
		t.Errorf("%+v", k)
	}
	if k.full == 0 {
		t.Errorf("no contact met a full disk: %+v", k)
	}
	weak := fullLoop(t, command{weak: "deaf"}, 3, 2, true)
	if weak.lost == 0 {
		t.Errorf("control: an agent that takes a failed write for a success lost nothing: %+v", weak)
	}
	promise.Reached(t, "P06", fmt.Sprintf("license-agent run on a disk of 3 MiB: %d cycles of filling it before and during activation and renewal, %d contacts refused for want of space, %d status answers meanwhile without one wrong, 0 lost, %d forks",
		k.cycles, k.full, k.answers, k.forks), fmt.Sprintf("taking a failed write for a success loses the license in %d of %d looks after a restart", weak.lost, 2*weak.cycles))
}
