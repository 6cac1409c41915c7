//go:build !linux && !windows

package clock

import "time"

// bootClock refuses loudly: a clock that stops during suspend would be wrong
// without anybody noticing.
func bootClock() func() time.Duration {
	return func() time.Duration { panic("clock: no boot clock for this operating system") }
}

func bootID() (string, error) { return "", ErrUnsupported }

func vmGenerationID() (string, error) { return "", ErrUnsupported }
