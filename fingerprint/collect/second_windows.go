package collect

import (
	"context"
	"os"
	"os/exec"
	"syscall"
)

// createNoWindow is CREATE_NO_WINDOW of the Windows headers.
const createNoWindow = 0x08000000

// second asks the second sources in a child process, see CrossCheckMain.
func (c *Collector) second(ctx context.Context) facts {
	if c.Host.Root != "" {
		return facts{} // a recorded machine has no WMI to ask
	}
	ctx, cancel := context.WithTimeout(ctx, orDefault(c.CrossTimeout, DefaultCrossTimeout))
	defer cancel()
	program := c.Executable
	if program == "" {
		var err error
		if program, err = os.Executable(); err != nil {
			return facts{Errors: []string{"own program: " + err.Error()}}
		}
	}
	return runChild(ctx, program)
}

// hide keeps the child from opening a console window: a service has no desktop
// for it.
func hide(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{HideWindow: true, CreationFlags: createNoWindow}
}
