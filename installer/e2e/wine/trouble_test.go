//go:build e2e && windows

package wine

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/Microsoft/go-winio"
	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/registry"
	"golang.org/x/sys/windows/svc"
	"golang.org/x/sys/windows/svc/mgr"
)

func (i instance) start(t *testing.T) (err error) {
	t.Helper()
	must(t, i.manage(t, func(s *mgr.Service) { err = s.Start() }))
	return err
}

// control sends a control and waits for the stop.
func (i instance) control(c svc.Cmd, t *testing.T) (err error) {
	t.Helper()
	must(t, i.manage(t, func(s *mgr.Service) { _, err = s.Control(c) }))
	i.awaitState(t, svc.Stopped)
	return err
}

// packageCode is the product that the registry names for the instance.
func packageCode(t *testing.T, i instance) string {
	t.Helper()
	k, err := registry.OpenKey(registry.LOCAL_MACHINE, `SOFTWARE\license-agent\`+i.service, registry.QUERY_VALUE)
	must(t, err)
	defer k.Close()
	code, _, err := k.GetStringValue("Package")
	must(t, err)
	return code
}

// A service that an older version has installed, without quotes and as the
// system, gets the settings of this one.
func TestServiceOfAnOlderVersion(t *testing.T) {
	i := named("older")
	exe := copyTo(t, "E2E_NEW_EXE", "d")
	t.Cleanup(func() { i.setup(t, exe, "uninstall", "--purge") })
	i.unquoted(t, i.program+" run --instance older")
	out := i.setup(t, exe, "install", "--keep-unhardened")
	if strings.Contains(out, "register service") {
		t.Errorf("registered a second time: %s", out)
	}
	i.checkService(t)
	i.running(t)
}

// A removed service that somebody still has open is named with the next step;
// when it is let go of, the same command goes on.
func TestServiceMarkedForDeletion(t *testing.T) {
	i := named("half")
	exe := copyTo(t, "E2E_NEW_EXE", "d")
	t.Cleanup(func() { i.setup(t, exe, "uninstall", "--purge") })
	i.setup(t, exe, "install", "--keep-unhardened")
	m, err := mgr.Connect()
	must(t, err)
	defer m.Disconnect()
	window, err := m.OpenService(i.service)
	must(t, err)
	for _, verb := range []string{"uninstall", "install"} {
		out, code := command(t, exe, "--instance", "half", verb)
		if code != 1 || !strings.Contains(out, "marked for deletion; close the Services window") {
			t.Errorf("%s: exit %d\n%s", verb, code, out)
		}
	}
	must(t, window.Close())
	i.setup(t, exe, "uninstall")
	if err := i.manage(t, func(*mgr.Service) {}); err == nil {
		t.Error("the service is still there")
	}
}

// A service that somebody has removed by another tool while it ran is stopped,
// waited for and made again.
func TestServiceRemovedWhileItRuns(t *testing.T) {
	i := named("deleted")
	exe := copyTo(t, "E2E_NEW_EXE", "d")
	t.Cleanup(func() { i.setup(t, exe, "uninstall", "--purge") })
	i.setup(t, exe, "install", "--keep-unhardened")
	i.running(t)
	must(t, i.manage(t, func(s *mgr.Service) { must(t, s.Delete()) }))
	i.running(t)
	out := i.setup(t, exe, "install", "--keep-unhardened")
	if !strings.Contains(out, "wait for what an interrupted run began") || !strings.Contains(out, "register service") {
		t.Errorf("%s", out)
	}
	i.checkService(t)
	i.running(t)
	if out := i.setup(t, exe, "install", "--keep-unhardened"); strings.Contains(out, "wait for") || strings.Contains(out, "register service") {
		t.Errorf("control: with nothing under way %s", out)
	}
}

// A stranger that has taken the pipe's name keeps the agent from starting, and
// the agent says so; it does not share the name.
func TestPipeTakenByAStranger(t *testing.T) {
	i := named("taken")
	exe := copyTo(t, "E2E_NEW_EXE", "d")
	t.Cleanup(func() { i.setup(t, exe, "uninstall", "--purge") })
	i.setup(t, exe, "install", "--keep-unhardened")
	must(t, i.control(svc.Stop, t))
	stranger, err := winio.ListenPipe(i.pipe, nil)
	must(t, err)
	out, code := i.agent(t, "run")
	if code != 5 || !strings.Contains(out, "socket-taken") || !strings.Contains(out, "find out which program has taken the name") {
		t.Errorf("exit %d\n%s", code, out)
	}
	out, code = command(t, exe, "--instance", "taken", "install", "--keep-unhardened")
	if code != 1 || !strings.Contains(out, "started but not ready") {
		t.Errorf("install: exit %d\n%s", code, out)
	}
	must(t, stranger.Close())
	i.setup(t, exe, "install", "--keep-unhardened")
	i.running(t)
}

// A virus scanner that holds the program for a moment is waited for; one that
// does not let go is told, and nothing is lost.
func TestScannerHoldsTheProgram(t *testing.T) {
	i := named("held")
	old, fresh := copyTo(t, "E2E_OLD_EXE", "old"), copyTo(t, "E2E_NEW_EXE", "new")
	t.Cleanup(func() { i.setup(t, fresh, "uninstall", "--purge") })
	i.setup(t, old, "install", "--keep-unhardened")
	hold := func() windows.Handle {
		h, err := windows.CreateFile(windows.StringToUTF16Ptr(i.program), windows.GENERIC_READ, windows.FILE_SHARE_READ, nil, windows.OPEN_EXISTING, 0, 0)
		must(t, err)
		return h
	}
	h := hold()
	out, code := command(t, fresh, "--instance", "held", "upgrade", "--keep-unhardened")
	if code == 0 || !strings.Contains(out, "nothing was changed") {
		t.Errorf("held for good: exit %d\n%s", code, out)
	}
	i.running(t)
	if s := i.status(t); s.Version != "1.0.0" {
		t.Errorf("runs %s", s.Version)
	}
	if _, err := os.Lstat(filepath.Join(filepath.Dir(i.program), ".license-agent.exe.part")); err == nil {
		t.Error("a half-written program is left")
	}
	released := make(chan struct{})
	time.AfterFunc(time.Second, func() { windows.CloseHandle(h); close(released) })
	i.setup(t, fresh, "upgrade", "--keep-unhardened")
	<-released
	i.running(t)
	if s := i.status(t); s.Version != "1.1.0" {
		t.Errorf("runs %s", s.Version)
	}
}

// The program that removes itself goes at the next start of the system; its
// name is free at once.
func TestProgramRemovesItself(t *testing.T) {
	i := named("self")
	exe := copyTo(t, "E2E_NEW_EXE", "d")
	i.setup(t, exe, "install", "--keep-unhardened")
	if out, code := i.agent(t, "uninstall", "--purge"); code != 0 {
		t.Fatalf("exit %d\n%s", code, out)
	}
	if _, err := os.Lstat(i.program); err == nil {
		t.Error("the program is still there")
	}
	entries, _ := os.ReadDir(filepath.Dir(i.program))
	if len(entries) == 0 {
		return // this system lets a program that runs be deleted
	}
	k, err := registry.OpenKey(registry.LOCAL_MACHINE, `SYSTEM\CurrentControlSet\Control\Session Manager`, registry.QUERY_VALUE)
	must(t, err)
	defer k.Close()
	pending, _, err := k.GetStringsValue("PendingFileRenameOperations")
	if err != nil || !strings.Contains(strings.Join(pending, "\n"), ".license-agent.exe.part") {
		t.Errorf("what is left is not removed at the next start: %q, %v, %v", pending, err, entries)
	}
}

// Beside a package, "install" refuses the same instance.
func TestInstallBesideAPackage(t *testing.T) {
	exe := copyTo(t, "E2E_NEW_EXE", "d")
	msiexec(t, "/i", given(t, "E2E_NEW_MSI"), "KEEPUNHARDENED=1")
	out, code := command(t, exe, "install", "--keep-unhardened")
	if code != 1 || !strings.Contains(out, "from a package") {
		t.Errorf("exit %d\n%s", code, out)
	}
	msiexec(t, "/x", given(t, "E2E_NEW_MSI"), "PURGE=1")
}

// A folder that somebody made below ProgramData before the installer came, and a
// state folder that is not the agent's, are refused with what to do; nothing in
// them is touched. .ci/wine-e2e gives both to another account.
func TestFoldersOfAUser(t *testing.T) {
	i := named("owned")
	exe := copyTo(t, "E2E_NEW_EXE", "d")
	planted := filepath.Join(i.data, "planted.txt")
	out, code := command(t, exe, "--instance", "owned", "install", "--keep-unhardened")
	if code == 0 || !strings.Contains(out, "belongs to another account") || !strings.Contains(out, i.data) {
		t.Errorf("install: exit %d\n%s", code, out)
	}
	if err := i.manage(t, func(*mgr.Service) {}); err == nil {
		t.Error("the refused installation has left a service")
	}
	if b, err := os.ReadFile(planted); err != nil || string(b) != "mine\n" {
		t.Errorf("what was in the folder: %q, %v", b, err)
	}
	dir := given(t, "E2E_OWNED_DIR")
	out, code = command(t, exe, "--dir", dir, "run")
	if code == 0 || !strings.Contains(out, "belongs to another account") {
		t.Errorf("run: exit %d\n%s", code, out)
	}
	// Control: an ordinary folder is taken.
	if out, code := command(t, exe, "--instance", "notowned", "install", "--keep-unhardened"); code != 0 {
		t.Errorf("control: exit %d\n%s", code, out)
	}
	named("notowned").setup(t, exe, "uninstall", "--purge")
}

// A domain account that an administrator has given the service stays, with the
// rest of the settings put right.
func TestDomainAccountStays(t *testing.T) {
	i := named("domain")
	exe := copyTo(t, "E2E_NEW_EXE", "d")
	t.Cleanup(func() { i.setup(t, exe, "uninstall", "--purge") })
	i.setup(t, exe, "install", "--keep-unhardened")
	must(t, i.control(svc.Stop, t))
	const account = `CORP\svc-license`
	change := func(path string) {
		t.Helper()
		must(t, i.manage(t, func(s *mgr.Service) {
			must(t, windows.ChangeServiceConfig(s.Handle, windows.SERVICE_NO_CHANGE, windows.SERVICE_NO_CHANGE, windows.SERVICE_NO_CHANGE,
				windows.StringToUTF16Ptr(path), nil, nil, nil, windows.StringToUTF16Ptr(account), windows.StringToUTF16Ptr("secret"), nil))
		}))
	}
	change(i.program + " run --instance domain") // and somebody has lost the quotes
	i.setup(t, exe, "install", "--keep-unhardened")
	k, err := registry.OpenKey(registry.LOCAL_MACHINE, `SYSTEM\CurrentControlSet\Services\`+i.service, registry.QUERY_VALUE)
	must(t, err)
	defer k.Close()
	path, _, err := k.GetStringValue("ImagePath")
	must(t, err)
	now, _, err := k.GetStringValue("ObjectName")
	if err != nil || now != account || path != `"`+i.program+`" run --instance domain` {
		t.Errorf("account %q, path %q, %v", now, path, err)
	}
	i.running(t)
}
