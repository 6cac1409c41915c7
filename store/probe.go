package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"

	bolt "go.etcd.io/bbolt"
)

// ProbeArg is the hidden first argument with which a program runs ProbeMain.
const ProbeArg = "store-probe"

// What the probe says on standard output: first the greeting, which tells that
// the right program answered, then ok or one reason.
const (
	probeHello = "license-agent store probe 1"
	probeOK    = "ok"
)

// Exit codes of the probe.
const (
	probeSound  = 0
	probeUsage  = 64
	probeRefuse = 65
	probeBusy   = 75
)

// probeMemory is where the probe gives up: a damaged length can ask for any
// amount of memory.
const probeMemory = 256 << 20

// ProbeMain is the body of the probe process: it opens the bbolt file named by
// its one argument read-only, checks it and reads everything in it, then says
// so on standard output. It returns the exit code. The program that passes
// Options.Probe must call it, before anything else, when its first argument is
// ProbeArg; the process is expected to die of some damaged files.
func ProbeMain(args []string) int {
	if len(args) != 1 {
		io.WriteString(os.Stderr, "usage: "+ProbeArg+" FILE (internal: called by the agent itself)\n")
		return probeUsage
	}
	debug.SetMaxStack(16 << 20) // a cycle between pages recurses until the stack ends
	debug.SetGCPercent(-1)      // short life
	debug.SetMemoryLimit(probeMemory / 2)
	go limit()
	io.WriteString(os.Stdout, probeHello+"\n")
	switch err := checkFile(args[0]); {
	case err == nil:
		io.WriteString(os.Stdout, probeOK+"\n")
		return probeSound
	case errors.Is(err, ErrOwned):
		return probeBusy
	default:
		io.WriteString(os.Stdout, err.Error()+"\n")
		return probeRefuse
	}
}

// limit ends the process when it takes too much memory, or much more time than
// its parent gives it: then the parent is gone. The sandbox of the service
// bounds it as well, where there is one.
func limit() {
	sample := []metrics.Sample{{Name: "/memory/classes/total:bytes"}}
	for range 3 * probeTime / (10 * time.Millisecond) {
		time.Sleep(10 * time.Millisecond)
		metrics.Read(sample)
		if sample[0].Value.Uint64() > probeMemory {
			break
		}
	}
	os.Exit(probeRefuse)
}

// checkFile opens, checks and reads a bbolt file. Run in the probe process it
// is the probe; run in the agent's own it is the fallback for programs that
// have no probe, and catches what can be caught.
func checkFile(path string) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", errProbe, r)
		}
	}()
	db, err := openDB(path, true)
	if err != nil {
		return fmt.Errorf("%w: %w", errProbe, err)
	}
	defer db.Close()
	if err := db.View(checkTx); err != nil {
		return fmt.Errorf("%w: %w", errProbe, err)
	}
	return nil
}

// checkTx checks structure and reads every key and value.
func checkTx(tx *bolt.Tx) error {
	var first error
	for err := range tx.Check() { // to its end: Check blocks on the channel
		if first == nil {
			first = err
		}
	}
	if first != nil {
		return first
	}
	var sum byte
	var walk func(b *bolt.Bucket, depth int) error
	touch := func(p []byte) {
		for _, c := range p {
			sum ^= c
		}
	}
	walk = func(b *bolt.Bucket, depth int) error {
		if depth > 4 {
			return errors.New("buckets are nested deeper than ours")
		}
		return b.ForEach(func(k, v []byte) error {
			touch(k)
			if v != nil {
				touch(v)
				return nil
			}
			sub := b.Bucket(k)
			if sub == nil {
				return errors.New("a bucket cannot be opened")
			}
			return walk(sub, depth+1)
		})
	}
	return tx.ForEach(func(_ []byte, b *bolt.Bucket) error { return walk(b, 0) })
}
