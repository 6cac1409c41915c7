package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// A full disk keeps the agent from starting with no journal at all, with one of
// this boot or with one of another (P06): what is known is known, and lines are
// taken again when there is space. The control is the error that opening meets
// and that would have ended the start.
func TestJournalOnFullDisk(t *testing.T) {
	long := strings.Repeat("x", 5000) // more than the page that a file may have left
	for name, before := range map[string]struct {
		boot string
		want []string
	}{
		"no journal":           {"", nil},
		"one of this boot":     {"boot-1", []string{"a", long}},
		"one of a boot before": {"boot-0", nil},
	} {
		t.Run(name, func(t *testing.T) {
			disk := smallDisk(t)
			dir, filler := filepath.Join(disk, "state"), filepath.Join(disk, "filler")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if before.boot != "" {
				j := openJournal(t, dir, before.boot)
				for _, line := range []string{"a", long} {
					if err := j.Append([]byte(line)); err != nil {
						t.Fatal(err)
					}
				}
				if err := j.Close(); err != nil {
					t.Fatal(err)
				}
			}
			fill(t, filler, 0)
			j := openJournal(t, dir, "boot-1", before.want...)
			defer j.Close()
			if err := j.Replace([][]byte{[]byte(long)}); !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("control: the disk is not full: %v", err)
			}
			if before.boot != "boot-1" {
				again := openJournal(t, dir, "boot-1")
				if err := again.Append([]byte("b")); err == nil {
					t.Error("a line was taken that the next start would not find")
				}
				if err := again.Close(); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Remove(filler); err != nil {
				t.Fatal(err)
			}
			if err := j.Replace([][]byte{[]byte("a")}); err != nil {
				t.Fatal(err)
			}
			if err := j.Append([]byte("c")); err != nil {
				t.Fatal(err)
			}
			_, lines, err := OpenJournal(dir, "boot-1")
			if got := texts(lines); err != nil || !slices.Equal(got, []string{"a", "c"}) {
				t.Errorf("%q %v", fmt.Sprint(got), err)
			}
		})
	}
}
