package main

import (
	"context"
	"fmt"
	"runtime"

	"licenseagent.example/agent/api"
	"licenseagent.example/installer"
	"licenseagent.example/platform/paths"
)

// unstarted says of which unit systemd cannot run the program, or whose program ends
// at each start, if the agent that was asked is a service; an agent that does not run
// cannot say so itself.
func (a *app) unstarted(ctx context.Context, e api.Error) error {
	p, err := paths.For(a.instance)
	if err != nil || runtime.GOOS != "linux" || a.dir != "" || a.socket != "" && a.socket != p.Socket {
		return nil
	}
	unit, status := installer.Target{Instance: a.instance, Run: a.systemctl}.Unstarted(ctx)
	if unit == "" {
		return nil
	}
	e.Hint = a.in("See why: journalctl -u ", "查看原因：journalctl -u ") + unit
	if status == installer.StatusCredentials {
		e.Hint = a.in("Put the credential back where LoadCredentialEncrypted= of the unit names it (seal.conf). If it is lost, or this is another machine or has another TPM, make it anew as the first lines of seal.conf say, have the vendor release the old activation, and activate again.",
			"请把凭据放回单元中 LoadCredentialEncrypted= 指定的位置（seal.conf）。若凭据已丢失，或这是另一台机器、TPM 已更换，请按 seal.conf 开头几行的说明重新制作，请厂商释放旧的激活，然后重新激活。")
	}
	if status < installer.FirstUnstarted {
		e.Hint += a.in(". The configuration is checked by: license-agent run --check-config", "。检查配置：license-agent run --check-config")
		return fmt.Errorf("%w: %s ends at each start (status=%d) and is started again", &e, unit, status)
	}
	return fmt.Errorf("%w: systemd cannot start %s (status=%d)", &e, unit, status)
}
