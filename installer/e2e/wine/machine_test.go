//go:build e2e && windows

// Package wine takes a Windows installation through its life under Wine's
// service manager and installer, against a merchant service that runs on Linux.
// The tests are built for Windows with the tag e2e and started by .ci/wine.
package wine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/Microsoft/go-winio"
	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/registry"
	"golang.org/x/sys/windows/svc"
	"golang.org/x/sys/windows/svc/mgr"

	"licenseagent.example/agent/client"
)

// What .ci/wine has prepared.
func given(t *testing.T, name string) string {
	t.Helper()
	v := os.Getenv(name)
	if v == "" {
		t.Fatalf("%s is not set: run .ci/wine", name)
	}
	return v
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// instance is one installation as an administrator sees it.
type instance struct {
	service, program, data, pipe string
	flags                        []string
}

func named(name string) instance {
	s, flags := "license-agent", []string(nil)
	if name != "" {
		s, flags = s+"-"+name, []string{"--instance", name}
	}
	return instance{s, `C:\Program Files\` + s + `\license-agent.exe`, `C:\ProgramData\` + s, `\\.\pipe\` + s, flags}
}

// command runs a program and returns what it printed and its exit code.
func command(t *testing.T, name string, args ...string) (string, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute) // only so that a failure ends
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "LICENSE_AGENT_LANG=en")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s %v: %v", name, args, err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// agent runs the installed program.
func (i instance) agent(t *testing.T, args ...string) (string, int) {
	t.Helper()
	return command(t, i.program, append(i.flags[:len(i.flags):len(i.flags)], args...)...)
}

// setup runs a program that is not installed and must succeed.
func (i instance) setup(t *testing.T, program string, args ...string) string {
	t.Helper()
	out, code := command(t, program, append(i.flags[:len(i.flags):len(i.flags)], args...)...)
	if code != 0 {
		t.Fatalf("%v: exit %d\n%s", args, code, out)
	}
	return out
}

// msiexec must succeed.
func msiexec(t *testing.T, args ...string) {
	t.Helper()
	log := filepath.Join(t.TempDir(), "msi.log")
	if out, code := command(t, "msiexec", append(args, "/qn", "/l*v", log)...); code != 0 {
		b, _ := os.ReadFile(log)
		t.Fatalf("msiexec %v: exit %d\n%s%s", args, code, out, b[max(0, len(b)-4000):])
	}
}

// manage opens the service.
func (i instance) manage(t *testing.T, do func(*mgr.Service)) error {
	t.Helper()
	m, err := mgr.Connect()
	must(t, err)
	defer m.Disconnect()
	s, err := m.OpenService(i.service)
	if err != nil {
		return err
	}
	defer s.Close()
	do(s)
	return nil
}

func (i instance) query(t *testing.T) (st svc.Status) {
	t.Helper()
	must(t, i.manage(t, func(s *mgr.Service) {
		var err error
		st, err = s.Query()
		must(t, err)
	}))
	return st
}

// until asks again for at most a minute until what is seen is what is wanted.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
		time.Sleep(50 * time.Millisecond) // polls
	}
}

func (i instance) awaitState(t *testing.T, want svc.State) {
	t.Helper()
	until(t, fmt.Sprintf("%s in state %d, is in %+v", i.service, want, i.query(t)), func() bool { return i.query(t).State == want })
}

// running waits for the service and makes the one connection that Wine needs: it
// lets the first client connect to the instance that only reserves the name.
func (i instance) running(t *testing.T) {
	t.Helper()
	i.awaitState(t, svc.Running)
	timeout := 10 * time.Second
	c, err := winio.DialPipe(i.pipe, &timeout)
	if err != nil {
		t.Fatalf("%s runs and its pipe cannot be opened: %v", i.service, err)
	}
	c.Close()
}

// status is the part of "status --output json" that the tests read.
type status struct {
	Version  string `json:"version"`
	DeviceID string `json:"device_id"`
	Licenses []struct {
		Product string `json:"product"`
		Verdict struct {
			Phase string `json:"phase"`
			Runs  bool   `json:"runs"`
		} `json:"verdict"`
	} `json:"licenses"`
}

func (i instance) status(t *testing.T) (s status) {
	t.Helper()
	out, code := i.agent(t, "status", "--output", "json")
	if code != 0 && code != 3 {
		t.Fatalf("status: exit %d\n%s", code, out)
	}
	must(t, json.Unmarshal([]byte(out), &s))
	return s
}

// licensed asks as a program of the customer does, over the pipe and with the
// proof, and wants yes.
func (i instance) licensed(t *testing.T, anchorFile string) {
	t.Helper()
	anchor, err := os.ReadFile(anchorFile)
	must(t, err)
	k, err := client.NewChecker(anchor)
	must(t, err)
	k.Client = &client.Client{Socket: i.pipe}
	defer k.Client.Close()
	v, err := k.Check(t.Context(), "studio")
	if err != nil || !v.Runs {
		t.Fatalf("the program may not run: %+v, %v", v, err)
	}
}

// world is what an installation may change: files, services, registry keys and
// listeners.
func world(t *testing.T) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	for _, top := range []string{`C:\Program Files`, `C:\ProgramData`, `C:\windows\system32`, `C:\windows\Installer`, `C:\users`} {
		err := filepath.WalkDir(top, func(p string, _ fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if !strings.Contains(p, `\Temp\`) { // this test's own
				out["file "+p] = true
			}
			return err
		})
		must(t, err)
	}
	m, err := mgr.Connect()
	must(t, err)
	defer m.Disconnect()
	services, err := m.ListServices()
	must(t, err)
	for _, s := range services {
		out["service "+s] = true
	}
	for _, top := range []string{
		`SYSTEM\CurrentControlSet\Services`, `SYSTEM\CurrentControlSet\Control\Session Manager`, `SOFTWARE\license-agent`,
		`SOFTWARE\Microsoft\Windows\CurrentVersion\Uninstall`, `SOFTWARE\Microsoft\Windows\CurrentVersion\Installer`, `SOFTWARE\Classes\Installer`,
	} {
		keys(out, top)
	}
	for _, table := range []string{"tcp", "tcp6", "udp", "udp6"} {
		b, err := os.ReadFile(`Z:\proc\net\` + table)
		must(t, err)
		for _, line := range strings.Split(string(b), "\n")[1:] {
			if f := strings.Fields(line); len(f) > 3 && (f[3] == "0A" || strings.HasPrefix(table, "udp")) {
				out["listener "+table+" "+f[1]] = true
			}
		}
	}
	return out
}

func keys(out map[string]bool, path string) {
	k, err := registry.OpenKey(registry.LOCAL_MACHINE, path, registry.ENUMERATE_SUB_KEYS|registry.QUERY_VALUE)
	if err != nil {
		return
	}
	defer k.Close()
	out["key "+path] = true
	values, _ := k.ReadValueNames(-1)
	for _, v := range values {
		out["value "+path+" "+v] = true
	}
	subs, _ := k.ReadSubKeyNames(-1)
	for _, s := range subs {
		keys(out, path+`\`+s)
	}
}

// installers are the empty folders and keys that Windows Installer keeps for
// itself from the first package of a machine on.
func installers() map[string]bool {
	out := map[string]bool{`file C:\windows\Installer`: true}
	for top, subs := range map[string][]string{
		`key SOFTWARE\Classes\Installer`:                          {"", `\Features`, `\Products`, `\UpgradeCodes`},
		`key SOFTWARE\Microsoft\Windows\CurrentVersion\Installer`: {`\UpgradeCodes`, `\UserData`, `\UserData\S-1-5-18`, `\UserData\S-1-5-18\Components`, `\UserData\S-1-5-18\Products`},
	} {
		for _, s := range subs {
			out[top+s] = true
		}
	}
	return out
}

// added is what now has and before has not, in order, without what keep names.
func added(before, now map[string]bool, keep ...string) []string {
	var out []string
	for what := range now {
		kept := installers()[what]
		for _, k := range keep {
			kept = kept || strings.HasPrefix(what, "file "+k)
		}
		if !before[what] && !kept {
			out = append(out, what)
		}
	}
	sort.Strings(out)
	return out
}

// unquoted creates the service as an older version or another installer might.
func (i instance) unquoted(t *testing.T, path string) {
	t.Helper()
	m, err := mgr.Connect()
	must(t, err)
	defer m.Disconnect()
	h, err := windows.CreateService(m.Handle, windows.StringToUTF16Ptr(i.service), windows.StringToUTF16Ptr("Old"), windows.SERVICE_ALL_ACCESS,
		windows.SERVICE_WIN32_OWN_PROCESS, windows.SERVICE_DEMAND_START, windows.SERVICE_ERROR_NORMAL, windows.StringToUTF16Ptr(path),
		nil, nil, nil, nil, nil)
	must(t, err)
	must(t, windows.CloseServiceHandle(h))
}
