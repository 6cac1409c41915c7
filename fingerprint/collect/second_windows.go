package collect

import (
	"context"
	"errors"
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
	out := &limited{left: maxAnswer}
	cmd := exec.CommandContext(ctx, program, CrossCheckCommand)
	cmd.Stdout = out
	// Inherited handles of the service must not reach the child, and a
	// service has no desktop for a console window.
	cmd.SysProcAttr = &syscall.SysProcAttr{HideWindow: true, CreationFlags: createNoWindow}
	err := cmd.Run()
	return decode(out.data, errors.Join(err, ctx.Err()))
}
