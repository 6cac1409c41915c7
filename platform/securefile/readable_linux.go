package securefile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Readable asks the kernel whether another account can open these files and
// directories for reading, by modes, access lists and the folders above. The
// error names each that it cannot and is fs.ErrPermission. The first group is the
// account's own. Only root can ask; for everybody else nothing is found.
func Readable(uid int, groups []int, names ...string) error {
	if os.Geteuid() != 0 || len(groups) == 0 {
		return nil
	}
	answer := make(chan error)
	go func() {
		// Never unlocked: the thread ends with the goroutine, and with it what it has
		// become. The three calls change this thread alone (setgroups(2), setfsuid(2)).
		runtime.LockOSThread()
		var refused []error
		if errors.Join(unix.Setgroups(groups), unix.Setfsgid(groups[0]), unix.Setfsuid(uid)) != nil {
			names = nil // a root that may not become others, as in some containers, cannot ask
		}
		for _, name := range names {
			fd, err := unix.Open(name, readFlags|unix.O_CLOEXEC, 0)
			if err == nil {
				err = unix.Close(fd)
			}
			if errors.Is(err, fs.ErrPermission) {
				refused = append(refused, &Error{Path: name, Err: err, Found: fmt.Sprintf("for uid %d", uid)})
			}
		}
		answer <- errors.Join(refused...)
	}()
	return <-answer
}
