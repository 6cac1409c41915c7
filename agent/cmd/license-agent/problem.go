package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"licenseagent.example/activation"
	"licenseagent.example/agent/api"
	"licenseagent.example/agent/localapi"
	"licenseagent.example/platform/devicekey"
	"licenseagent.example/platform/ipc"
	"licenseagent.example/platform/paths"
	"licenseagent.example/platform/securefile"
	"licenseagent.example/store"
)

// problem is a failure of the command line itself: a stable code with its
// sentence and next step, and the cause.
func (a *app) problem(code string, cause error) error {
	e := api.NewError(code, a.language())
	if cause == nil {
		return e
	}
	return fmt.Errorf("%w: %w", e, cause)
}

// advised is problem where the cause asks for a next step of its own.
func (a *app) advised(code string, cause error, en, zh string) error {
	return fmt.Errorf("%w: %w", a.hinted(code, en, zh), cause)
}

// hinted is the error of a code with a next step of its own.
func (a *app) hinted(code, en, zh string) *api.Error {
	e := api.NewError(code, a.language())
	e.Hint = a.in(en, zh)
	return e
}

// configProblem is problem for the files that the administrator puts down. One that
// is in order and may not be read is not corrected but opened.
func (a *app) configProblem(cause error) error {
	if !errors.Is(cause, fs.ErrPermission) {
		return a.problem(api.CodeConfig, cause)
	}
	return a.advised(api.CodeConfig, cause, "Let the service's user read what is named above (chmod 644 a file, 755 a folder), then restart the service.",
		"请让服务的用户能够读取上面列出的内容（文件 chmod 644，目录 755），然后重启服务。")
}

// unlicensed is the exit code of a command that has answered completely and
// whose answer is no. Nothing more is printed.
type unlicensed struct{}

// Error is never shown.
func (unlicensed) Error() string { return api.CodeNotLicensed }

// report prints an error once and returns the exit code.
func (a *app) report(err error) int {
	if errors.As(err, &unlicensed{}) {
		return api.ExitNotLicensed
	}
	e := a.named(a.asProblem(err))
	cause := strings.TrimPrefix(strings.TrimPrefix(err.Error(), e.Error()), ": ")
	if inside := (*api.Error)(nil); cause == e.Message || cause == err.Error() && errors.As(err, &inside) {
		cause = "" // it would be the same sentence once more
	}
	if a.output == "json" {
		out := struct {
			Error  api.Error `json:"error"`
			Detail string    `json:"detail,omitempty"`
		}{*e, cause}
		if b, jerr := json.MarshalIndent(out, "", "  "); jerr == nil {
			fmt.Fprintf(a.stderr, "%s\n", b)
		}
		return api.Exit(e)
	}
	fmt.Fprintf(a.stderr, "license-agent: %s\n", e.Error())
	if cause != "" {
		fmt.Fprintf(a.stderr, "  %s %s\n", a.label("cause"), a.mine(cause))
	}
	if e.Hint != "" {
		fmt.Fprintf(a.stderr, "  %s %s\n", a.label("next"), e.Hint)
	}
	if e.RequestID != "" {
		fmt.Fprintf(a.stderr, "  %s %s\n", a.label("request"), e.RequestID)
	}
	return api.Exit(e)
}

// named lets a next step speak of the service of this instance. It has one name
// where install has made it, and another where the package's template has.
func (a *app) named(e *api.Error) *api.Error {
	e = a.placed(e)
	if a.instance == "" {
		return e
	}
	told, service := *e, paths.ServiceName(a.instance)
	if e.Code == api.CodeNotRunning || e.Code == api.CodeStateUnsafe {
		told.Hint = strings.NewReplacer(
			"systemctl start "+paths.Program, "systemctl start "+service+" / "+paths.Program+"@"+a.instance,
			" start "+paths.Program, " start "+service,
			"rc-service "+paths.Program, "rc-service "+service,
			"/etc/init.d/"+paths.Program, "/etc/init.d/"+service,
		).Replace(e.Hint)
	}
	told.Hint = a.mine(told.Hint)
	return &told
}

// placed says where the anchors directory is, which the texts for all systems cannot.
// A socket that was named may be that of an agent elsewhere.
func (a *app) placed(e *api.Error) *api.Error {
	if e.Code != api.CodeNoAnchor && e.Code != api.CodeUnknownIssuer || a.socket != "" {
		return e
	}
	p, err := a.layout()
	if err != nil {
		return e
	}
	told := *e
	at := filepath.Join(p.Config, "anchors")
	told.Hint = strings.NewReplacer("the anchors directory", at, "anchors 目录", at+" ").Replace(e.Hint)
	return &told
}

// mine lets the commands in a text be those of this instance: with two vendors on
// one machine a code would be redeemed in the agent of the other one. The agent
// itself cannot say them, for it does not know under which name it is called.
func (a *app) mine(text string) string {
	if a.instance == "" {
		return text
	}
	program := paths.ServiceName(a.instance) // under which install leaves it; what runs may be a copy that goes
	if exe, err := a.executable(); err == nil && strings.HasPrefix(filepath.Base(exe), paths.Program) {
		program = strings.TrimSuffix(filepath.Base(exe), ".exe")
	}
	return regexp.MustCompile(paths.Program+` (run|activate|status|why|seats|renew|release|rebind|request|import|diagnose|install)\b`).
		ReplaceAllStringFunc(text, func(command string) string {
			return program + " --instance " + a.instance + strings.TrimPrefix(command, paths.Program)
		})
}

// asProblem finds the code of any error: the one inside it, or the one that
// fits what went wrong while the agent started.
func (a *app) asProblem(err error) *api.Error {
	if e := (*api.Error)(nil); errors.As(err, &e) {
		return e
	}
	code := ""
	switch {
	case errors.Is(err, context.Canceled):
		code = api.CodeInterrupted
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		code = api.CodeStorageFull
	case errors.Is(err, syscall.EIO): // a disk that fails is not a directory that others can change
		code = api.CodeStorage
	case errors.Is(err, syscall.EROFS):
		e := api.NewError(api.CodeStorage, a.language())
		e.Hint = a.remount()
		return e
	case errors.Is(err, store.ErrOwned), errors.Is(err, securefile.ErrLocked):
		code = api.CodeStateInUse
	case errors.Is(err, ipc.ErrInUse), errors.Is(err, ipc.ErrStale), errors.Is(err, ipc.ErrNotSocket), errors.Is(err, ipc.ErrDirectory):
		code = api.CodeSocketTaken
	case errors.Is(err, ipc.ErrPath):
		code = api.CodeUsage
	case errors.Is(err, securefile.ErrService):
		return a.hinted(api.CodeStateUnsafe, "Start the service instead: systemctl start license-agent, rc-service license-agent start or /etc/init.d/license-agent start.",
			"请改为启动服务：systemctl start license-agent、rc-service license-agent start 或 /etc/init.d/license-agent start。")
	case errors.Is(err, store.ErrUnsafe), isRefusal(err):
		code = api.CodeStateUnsafe
	case errors.Is(err, store.ErrNewerSchema):
		code = api.CodeStateNewer
	case errors.Is(err, devicekey.ErrDamaged), errors.Is(err, devicekey.ErrForeignMachine), errors.Is(err, devicekey.ErrCleared),
		errors.Is(err, devicekey.ErrNoChip), errors.Is(err, devicekey.ErrChip), errors.Is(err, devicekey.ErrCredential):
		code = api.CodeDeviceKey
	case errors.Is(err, activation.ErrStore), errors.Is(err, store.ErrCommit):
		code = api.CodeStorage
	case errors.Is(err, fs.ErrPermission):
		code = api.CodePermission
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrExist):
		code = api.CodeFileAccess
	case strings.HasPrefix(err.Error(), "unknown command"):
		code = api.CodeUsage // cobra has no error value for it
	}
	if code != "" {
		return api.NewError(code, a.language())
	}
	return localapi.Explain(err, a.language())
}

func (a *app) remount() string {
	return a.in("The file system is read-only: mount it writable (mount -o remount,rw) and try again; nothing was lost.",
		"文件系统为只读：请以可写方式重新挂载（mount -o remount,rw）后重试；没有数据丢失。")
}

// silent adds to an agent's silence what keeps it from starting where it cannot say
// so itself: systemd, which has to make its directory and to open its credentials,
// gives up before it runs.
func (a *app) silent(ctx context.Context, err error) error {
	e := (*api.Error)(nil)
	if !errors.As(err, &e) || e.Code != api.CodeNotRunning && e.Code != api.CodeTimeout {
		return err
	}
	p, errLayout := a.layout()
	if errLayout != nil {
		return err
	}
	if !securefile.ReadOnly(p.State) {
		if told := a.unstarted(ctx, *e); told != nil {
			return told
		}
		return err
	}
	told := *e
	told.Hint = a.remount()
	return fmt.Errorf("%w: %s: %w", &told, p.State, syscall.EROFS)
}

// isRefusal says whether files were not used because others could change them.
func isRefusal(err error) bool {
	refusal := (*securefile.Error)(nil)
	return errors.As(err, &refusal)
}
