package store

import (
	"os"
	"path/filepath"
	"testing"

	"licenseagent.example/platform/securefile"
)

// secondOwner is the control: what opens the file of the instance lock without
// locking it has it as well. (A file that is put aside under its owner, as on
// Linux, cannot be shown: Windows renames no file that is open.)
func secondOwner(t *testing.T) int {
	t.Helper()
	dir := filled(t, 1, options())
	owners := 0
	for range 2 {
		f, err := os.OpenFile(filepath.Join(dir, securefile.LockName), os.O_RDWR, 0)
		if err != nil {
			continue
		}
		defer f.Close()
		owners++
	}
	return owners
}
