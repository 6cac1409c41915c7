package installer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"licenseagent.example/platform/ipc"
)

// errOther is returned by answers for an agent of another program than the one on
// the disk: the one before an upgrade, as a rule.
var errOther = errors.New("another program answers")

// answerTime is how long one question may take.
const answerTime = 5 * time.Second

// answers asks on a socket, and is nil when a process answers that runs this
// program, as it lies on the disk now. Init scripts cannot say it: a supervisor
// reports a start as soon as it has forked, and its process file names itself.
func answers(ctx context.Context, socket, program string) error {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	c, err := ipc.Dial(ctx, socket, ipc.DialOptions{})
	if err != nil {
		return err
	}
	defer c.Close() //nolint:errcheck // what it said has been read
	pid, err := ipc.ListenerPID(c)
	if err != nil {
		return err
	}
	exe, err := os.Stat("/proc/" + strconv.Itoa(pid) + "/exe")
	if err != nil {
		return err
	}
	disk, err := os.Stat(program)
	if err != nil {
		return err
	}
	if !os.SameFile(exe, disk) {
		return fmt.Errorf("%w: process %d", errOther, pid)
	}
	if deadline, ok := ctx.Deadline(); ok {
		if err := c.SetDeadline(deadline); err != nil {
			return err
		}
	}
	// Whatever comes back shows that requests are served.
	if _, err := io.WriteString(c, "GET /v1/version HTTP/1.1\r\nHost: license-agent\r\nConnection: close\r\n\r\n"); err != nil {
		return err
	}
	_, err = io.ReadFull(c, make([]byte, len("HTTP/1.1")))
	return err
}
