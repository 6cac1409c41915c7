package collect

import (
	"context"
	"errors"
	"os/exec"
	"time"
)

// runChild starts program with CrossCheckCommand and reads its answer. The
// child is killed when ctx ends, or this process does.
func runChild(ctx context.Context, program string) facts {
	out := &limited{left: maxAnswer}
	cmd := exec.CommandContext(ctx, program, CrossCheckCommand)
	cmd.Stdout = out
	cmd.WaitDelay = time.Second // for a grandchild that keeps the pipe open
	hide(cmd)
	err := cmd.Start()
	if err == nil {
		release := bind(cmd.Process.Pid)
		err = cmd.Wait()
		release()
	}
	return decode(out.data, errors.Join(err, ctx.Err()))
}
