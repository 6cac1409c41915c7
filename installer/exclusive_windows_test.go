package installer

import "testing"

// holdPlace is where this Windows has its lock.
func holdPlace(t *testing.T, target *Target) string {
	t.Helper()
	folder, err := target.lockFolder()
	if err != nil {
		t.Fatal(err)
	}
	return folder
}
