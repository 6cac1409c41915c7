package installer

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// keepDescriptors keeps what the caller has left open from the programs that are
// run: a service that one of them starts would hold it for as long as it lives, a
// lock of the caller's too. Not every service manager closes what it is given.
func keepDescriptors() error {
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	for _, d := range open {
		if n, err := strconv.Atoi(d.Name()); err == nil && n > 2 {
			unix.CloseOnExec(n)
		}
	}
	return nil
}
