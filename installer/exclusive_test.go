package installer

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

// TestExclusive: one run at a time, whatever comes at once; the next one goes on
// when the one before lets go; nothing is left.
func TestExclusive(t *testing.T) {
	folder := t.TempDir()
	release := func() func() {
		f, err := holdFile(folder, lockName)
		if err != nil {
			t.Fatal(err)
		}
		return func() { letGo(f) }
	}()
	if f, err := holdFile(folder, lockName); !errors.Is(err, ErrBusy) {
		t.Fatalf("held twice: %v %v", f, err)
	}
	release()

	var inside, most, turns atomic.Int32
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				f, err := holdFile(folder, lockName)
				if errors.Is(err, ErrBusy) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				now := inside.Add(1)
				for old := most.Load(); now > old && !most.CompareAndSwap(old, now); old = most.Load() {
				}
				turns.Add(1)
				inside.Add(-1)
				letGo(f)
			}
		})
	}
	all.Wait()
	if most.Load() != 1 || turns.Load() == 0 {
		t.Errorf("%d at once, %d turns", most.Load(), turns.Load())
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) != 0 {
		t.Errorf("left: %v %v", left, err)
	}
}

// TestExclusiveWaits: a run that is killed lets the next one in, and one that
// does not end is named.
func TestExclusiveWaits(t *testing.T) {
	target := Target{}
	if os.Getenv("HOLD") != "" {
		if _, err := holdFile(os.Getenv("HOLD"), lockName); err != nil {
			os.Exit(1)
		}
		os.Stdout.WriteString("held\n") //nolint:errcheck // the parent sees that it is missing
		os.Stdin.Read(make([]byte, 1))  //nolint:errcheck // waits for its end
		return
	}
	folder := holdPlace(t, &target)
	child := exec.Command(os.Args[0], "-test.run=^TestExclusiveWaits$")
	child.Env = append(os.Environ(), "HOLD="+folder)
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if n, err := out.Read(make([]byte, 5)); n != 5 {
		t.Fatal("the other run holds nothing", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(nil)
	if _, err := target.Exclusive(ctx); !errors.Is(err, ErrBusy) || !errors.Is(err, context.Canceled) {
		t.Errorf("beside another run: %v", err)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	release, err := target.Exclusive(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	release()
	child.Wait() //nolint:errcheck // it was killed
	if _, err := os.Lstat(filepath.Join(folder, lockName)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("left: %v", err)
	}
}
