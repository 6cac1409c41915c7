package collect

import (
	"context"
	"errors"
	"os/exec"
	"time"
)

// runChild starts program with CrossCheckCommand and reads its answer. The
// child is killed when ctx ends; with this process it ends where the program has
// tied its children to itself (platform/service).
func runChild(ctx context.Context, program string) facts {
	out := &limited{left: maxAnswer}
	cmd := exec.CommandContext(ctx, program, CrossCheckCommand)
	cmd.Stdout = out
	cmd.WaitDelay = time.Second // for a grandchild that keeps the pipe open
	hide(cmd)
	err := cmd.Run()
	return decode(out.data, errors.Join(err, ctx.Err()))
}
