//go:build !windows

package installer

import (
	"os"
	"testing"
)

// holdPlace is where an image of this test has its lock.
func holdPlace(t *testing.T, target *Target) string {
	t.Helper()
	target.Root = t.TempDir()
	folder := target.at("/run")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	return folder
}
