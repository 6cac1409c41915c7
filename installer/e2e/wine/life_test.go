//go:build e2e && windows

package wine

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/registry"
	"golang.org/x/sys/windows/svc"

	"licenseagent.example/docs/promise"
)

// kills is how often the service is ended without warning.
const kills = 5

// processAborted is ERROR_PROCESS_ABORTED, what the manager says of a service
// whose process went away without a word.
const processAborted = 1067

// The life of an installation from the package: installed with trust anchor and
// merchant URL, activated, asked, killed, started, upgraded, repaired, removed,
// installed again, and removed with everything.
func TestLifeFromThePackage(t *testing.T) {
	i := named("")
	anchor := given(t, "E2E_ANCHOR")
	before := world(t)
	msiexec(t, "/i", given(t, "E2E_OLD_MSI"), "KEEPUNHARDENED=1", "ANCHOR="+anchor, "MERCHANT="+given(t, "E2E_MERCHANT"))
	i.checkService(t)
	i.running(t)
	id := i.status(t).DeviceID
	i.activate(t, given(t, "E2E_CODE_1"))
	i.licensed(t, anchor)
	for range kills {
		i.killed(t)
		i.licensed(t, anchor)
	}

	msiexec(t, "/i", given(t, "E2E_NEW_MSI"), "KEEPUNHARDENED=1")
	i.checkService(t)
	i.running(t)
	if s := i.status(t); s.Version != "1.1.0" || s.DeviceID != id {
		t.Errorf("after the upgrade: %+v, device was %s", s, id)
	}
	i.licensed(t, anchor)

	// A repair puts the program and the settings back.
	must(t, i.control(svc.Stop, t))
	must(t, os.Remove(i.program))
	msiexec(t, "/i", packageCode(t, i), "REINSTALL=ALL", "REINSTALLMODE=amus", "KEEPUNHARDENED=1")
	i.checkService(t)
	i.running(t)
	i.licensed(t, anchor)

	msiexec(t, "/x", given(t, "E2E_NEW_MSI"))
	if kept := added(before, world(t)); len(kept) < 5 { // control: what stays is seen
		t.Errorf("the comparison does not see the state: %v", kept)
	}
	if left := added(before, world(t), i.data+`\state`, i.data+`\config`); len(left) > 1 || len(left) == 1 && left[0] != "file "+i.data {
		t.Errorf("the removal left more than state and configuration:\n%s", strings.Join(left, "\n"))
	}
	msiexec(t, "/i", given(t, "E2E_NEW_MSI"), "KEEPUNHARDENED=1")
	i.running(t)
	i.licensed(t, anchor)
	msiexec(t, "/x", given(t, "E2E_NEW_MSI"), "PURGE=1")
	if diff := cmp.Diff([]string(nil), added(before, world(t))); diff != "" {
		t.Errorf("the removal of everything left: %s", diff)
	}
	promise.Reached(t, "P37", "installed, upgraded, repaired and removed under Wine: no file, service, registry key or listener more than before", "the state that the first removal keeps is seen as more")
}

// The same by "license-agent install" and its siblings, for an instance beside
// another one, from a folder with a space and letters beyond ASCII.
func TestLifeFromTheCommand(t *testing.T) {
	i := named("cad")
	anchor := given(t, "E2E_ANCHOR")
	old, fresh := copyTo(t, "E2E_OLD_EXE", "Mü ller 许可"), copyTo(t, "E2E_NEW_EXE", "new version")
	before := world(t)
	install := []string{"install", "--keep-unhardened", "--anchor", anchor, "--merchant", given(t, "E2E_MERCHANT")}
	i.setup(t, old, install...)
	i.checkService(t)
	i.running(t)
	id := i.status(t).DeviceID
	i.activate(t, given(t, "E2E_CODE_2"))
	i.licensed(t, anchor)
	i.killed(t)
	i.licensed(t, anchor)

	i.setup(t, fresh, "upgrade", "--keep-unhardened")
	i.running(t)
	if s := i.status(t); s.Version != "1.1.0" || s.DeviceID != id {
		t.Errorf("after the upgrade: %+v, device was %s", s, id)
	}
	i.licensed(t, anchor)
	i.setup(t, fresh, "uninstall")
	if left := added(before, world(t), i.data+`\state`, i.data+`\config`); len(left) > 1 || len(left) == 1 && left[0] != "file "+i.data {
		t.Errorf("the removal left more than state and configuration:\n%s", strings.Join(left, "\n"))
	}
	i.setup(t, fresh, "install", "--keep-unhardened")
	i.running(t)
	i.licensed(t, anchor)
	i.setup(t, fresh, "uninstall", "--purge")
	if diff := cmp.Diff([]string(nil), added(before, world(t))); diff != "" {
		t.Errorf("the removal of everything left: %s", diff)
	}
	// Once more there is nothing to do.
	if out := i.setup(t, fresh, "uninstall", "--purge"); strings.Contains(out, "remove") {
		t.Errorf("done again: %s", out)
	}
}

// copyTo puts a program into a new folder of this name.
func copyTo(t *testing.T, variable, folder string) string {
	t.Helper()
	b, err := os.ReadFile(given(t, variable))
	must(t, err)
	dir := t.TempDir() + `\` + folder
	must(t, os.Mkdir(dir, 0o755))
	to := dir + `\license-agent.exe`
	must(t, os.WriteFile(to, b, 0o755))
	return to
}

// checkService looks at what the manager holds: the quoted path first of all.
func (i instance) checkService(t *testing.T) {
	t.Helper()
	k, err := registry.OpenKey(registry.LOCAL_MACHINE, `SYSTEM\CurrentControlSet\Services\`+i.service, registry.QUERY_VALUE)
	must(t, err)
	defer k.Close()
	path, _, err := k.GetStringValue("ImagePath")
	must(t, err)
	account, _, err := k.GetStringValue("ObjectName")
	must(t, err)
	start, _, err := k.GetIntegerValue("Start")
	must(t, err)
	late, _, err := k.GetIntegerValue("DelayedAutoStart")
	want := `"` + i.program + `" run`
	if len(i.flags) > 0 {
		want += " " + strings.Join(i.flags, " ")
	}
	if path != want || account != `NT SERVICE\`+i.service || start != 2 || late != 1 || err != nil {
		t.Errorf("path %q (want %q), account %q, start %d, delayed %d, %v", path, want, account, start, late, err)
	}
}

// activate types the code in.
func (i instance) activate(t *testing.T, codeFile string) {
	t.Helper()
	if out, code := i.agent(t, "activate", "--code-file", codeFile, "--yes"); code != 0 {
		t.Fatalf("activate: exit %d\n%s", code, out)
	}
	s := i.status(t)
	if len(s.Licenses) != 1 || s.Licenses[0].Verdict.Phase != "active" {
		t.Errorf("after activation: %+v", s)
	}
}

// killed ends the service's process as a crash does, sees that the manager calls
// it aborted, and starts it again.
func (i instance) killed(t *testing.T) {
	t.Helper()
	h, err := windows.OpenProcess(windows.PROCESS_TERMINATE, false, i.query(t).ProcessId)
	must(t, err)
	must(t, windows.TerminateProcess(h, 1))
	must(t, windows.CloseHandle(h))
	i.awaitState(t, svc.Stopped)
	if st := i.query(t); st.Win32ExitCode != processAborted {
		t.Errorf("the manager reports exit code %d, want %d", st.Win32ExitCode, processAborted)
	}
	must(t, i.start(t))
	i.running(t)
}
