package installer

import (
	"context"
	"strconv"
	"strings"

	"licenseagent.example/platform/paths"
)

// FirstUnstarted is the first of the statuses with which systemd gives up before it
// runs a program (systemd.exec(5)); below are the program's own.
const FirstUnstarted = 200

const lastUnstarted = 245

// StatusCredentials is the one that says that a credential cannot be set up.
const StatusCredentials = 243

// Unstarted is the unit of the instance, of this program or of the package's
// template, whose program systemd cannot run or tries again and again, because it
// ends by itself, and the status that says why; "" if there is none, or no systemd.
// Everybody may ask.
func (t Target) Unstarted(ctx context.Context) (unit string, status int) {
	if t.Run == nil {
		t.Run = command
	}
	argv := []string{"systemctl", "show", "-p", "Id,ActiveState,ExecMainCode,ExecMainStatus", paths.ServiceName(t.Instance) + ".service"}
	if t.Instance != "" {
		argv = append(argv, paths.Program+"@"+t.Instance+".service")
	}
	out, err := t.Run(ctx, argv...)
	if err != nil {
		return "", 0
	}
	for _, block := range strings.Split(out, "\n\n") {
		has := map[string]string{}
		for _, line := range strings.Split(block, "\n") {
			name, value, _ := strings.Cut(line, "=")
			has[name] = value
		}
		n, err := strconv.Atoi(has["ExecMainStatus"])
		// It is tried again and again.
		ends := has["ActiveState"] == "activating" || has["ActiveState"] == "failed"
		const exited = "1" // CLD_EXITED, not a signal
		if err == nil && ends && has["ExecMainCode"] == exited && n > 0 && n <= lastUnstarted {
			return has["Id"], n
		}
	}
	return "", 0
}
