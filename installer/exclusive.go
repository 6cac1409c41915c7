package installer

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrBusy is returned by Exclusive when the other run does not end in time.
var ErrBusy = errors.New("installer: another install, upgrade or uninstall is running on this machine")

// lockName is the file that lies in a folder of administrators while a run
// changes the machine.
const lockName = ".license-agent-install.lock"

// Exclusive waits until no other run changes the machine and returns what lets
// the next one in. Configuration management that repeats itself, or an
// administrator beside it, would otherwise look and act at once, and the one that
// fails would take back what the other has just found to be there. A run that is
// killed lets the next one in by that. ErrBusy, with the reason of ctx, when ctx
// ends before.
func (t Target) Exclusive(ctx context.Context) (release func(), err error) {
	folder, err := t.lockFolder()
	if err != nil || folder == "" {
		return func() {}, err
	}
	every := time.NewTicker(50 * time.Millisecond)
	defer every.Stop()
	for {
		f, err := holdFile(folder, lockName)
		if err == nil {
			return func() { letGo(f) }, nil
		}
		if !errors.Is(err, ErrBusy) {
			return nil, fmt.Errorf("installer: %w", err)
		}
		select {
		case <-every.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", err, ctx.Err())
		}
	}
}
