package store

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/windows"
)

// smallDisk is one of the file systems of three MiB that .ci/wine has mounted
// below the folder that LICENSE_AGENT_SMALL_DISKS names, each used once.
func smallDisk(t *testing.T) string {
	t.Helper()
	disks, err := filepath.Glob(filepath.Join(os.Getenv("LICENSE_AGENT_SMALL_DISKS"), "disk*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range disks {
		taken := filepath.Join(d, "taken")
		if os.Mkdir(taken, 0o755) == nil {
			t.Cleanup(func() {
				left, _ := filepath.Glob(filepath.Join(d, "*"))
				for _, l := range left {
					if err := os.RemoveAll(l); err != nil {
						t.Error(err)
					}
				}
			})
			return d
		}
	}
	t.Fatal("this proof needs file systems of 3 MiB in LICENSE_AGENT_SMALL_DISKS: run it by .ci/wine")
	return ""
}

// full says that an error is that of a full disk.
func full(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL)
}

// spare is how much of a disk must be free so that nothing but the store fails:
// Wine, unlike Windows, writes a byte behind the end of a file to set its end,
// also where it is already, as opening the database does.
const spare = 2 * 4096
