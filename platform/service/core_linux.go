package service

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// NoCoreDumps keeps codes and keys in this process's memory out of core files,
// crash collectors and the debuggers of other processes of the same user: no
// core size, for what runs below it as well, and not dumpable, because a size of
// nothing does not stop a collector that core_pattern pipes to (core(5),
// PR_SET_DUMPABLE in prctl(2)). An error means that the system said no.
func NoCoreDumps() error {
	size := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	dump := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	if err := errors.Join(size, dump); err != nil {
		return fmt.Errorf("service: core dumps cannot be switched off: %w", err)
	}
	return nil
}
