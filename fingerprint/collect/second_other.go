//go:build !windows

package collect

import (
	"context"
	"os/exec"
)

// second asks the second sources in this process: only on Windows do they run
// code whose panic cannot be recovered.
func (c *Collector) second(ctx context.Context) facts {
	return askAll(ctx, c.Host.Root, orDefault(c.CrossTimeout, DefaultCrossTimeout))
}

// hide has nothing to do: programs have no windows here.
func hide(*exec.Cmd) {}
