package installer

import (
	"errors"
	"io/fs"
	"testing"
)

// holdPlace is where this Windows has its lock.
func holdPlace(t *testing.T, target *Target) string {
	t.Helper()
	folder, err := target.lockFolder()
	if err != nil {
		t.Fatal(err)
	}
	return folder
}

// TestExclusiveDenied: somebody who may not write there is told so at once, not
// after a minute that another run is in the way.
func TestExclusiveDenied(t *testing.T) {
	folder := `Z:\sys` // needs Wine: that is of Linux, and nobody makes files there
	f, err := holdFile(folder, lockName)
	if err == nil {
		letGo(f)
	}
	if errors.Is(err, ErrBusy) || !errors.Is(err, fs.ErrPermission) {
		t.Errorf("denied: %v", err)
	}
}
