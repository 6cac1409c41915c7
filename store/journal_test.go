package store

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"licenseagent.example/platform/securefile"
)

func texts(lines [][]byte) []string {
	out := []string{}
	for _, l := range lines {
		out = append(out, string(l))
	}
	return out
}

// openJournal opens, checks what comes back, and returns the journal.
func openJournal(t *testing.T, dir, boot string, want ...string) *Journal {
	t.Helper()
	j, lines, err := OpenJournal(dir, boot)
	if err != nil {
		t.Fatal(err)
	}
	if got := texts(lines); !slices.Equal(got, want) {
		t.Errorf("lines %q, want %q", got, want)
	}
	return j
}

func TestJournal(t *testing.T) {
	dir := newDir(t)
	mustMake(t, dir).Close()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	j := openJournal(t, dir, "boot-1")
	must(j.Append([]byte("a")))
	must(j.Append([]byte("b")))
	// Killed: nothing was flushed, and the system closed the file.
	must(j.file.Close())
	j = openJournal(t, dir, "boot-1", "a", "b")
	must(j.Replace([][]byte{[]byte("b"), []byte("c")}))
	must(j.Append([]byte("d")))
	must(j.Close())
	if err := j.Append([]byte("e")); err == nil {
		t.Error("a closed journal takes lines")
	}
	path := filepath.Join(dir, SeatsFile)
	modes := runtime.GOOS != "windows" // where access lists say it, see securefile
	if info, err := os.Stat(path); err != nil || modes && info.Mode().Perm() != securefile.PrivateFile {
		t.Errorf("%v %v", info, err)
	}
	b, err := os.ReadFile(path)
	must(err)
	must(os.WriteFile(path, append(b, `{"cut`...), 0o600))
	must(openJournal(t, dir, "boot-1", "b", "c", "d").Close())
	must(openJournal(t, dir, "boot-2").Close())
	must(openJournal(t, dir, "boot-1").Close()) // gone with the boot that followed
	must(os.WriteFile(path, []byte(strings.Repeat("x", maxJournal+1)), 0o600))
	must(openJournal(t, dir, "boot-1").Close())
	if !modes {
		return
	}
	must(os.Chmod(path, 0o666))
	if _, _, err := OpenJournal(dir, "boot-1"); err == nil {
		t.Error("a file that others may write was believed")
	}
}
