package service

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	kardianos "github.com/kardianos/service"
)

// fakeManager is a service manager with one service.
type fakeManager struct {
	kardianos.Service // nil: anything else that is called is a failure

	installed, running bool
	calls              []string
	installErr         error
	halfMade           bool // Install makes the service although it fails
	uninstallErr       error
	startErr           error
	statusErr          error
	stopHangs          chan struct{}
	quicker            bool // somebody else removes it meanwhile
	open               bool // somebody has it open: removing only marks it
}

func (f *fakeManager) call(name string) { f.calls = append(f.calls, name) }

func (f *fakeManager) Install() error {
	f.call("install")
	f.installed = f.installErr == nil || f.halfMade
	return f.installErr
}

func (f *fakeManager) Uninstall() error {
	f.call("uninstall")
	if f.uninstallErr != nil {
		f.installed = f.installed && !f.quicker
		return f.uninstallErr
	}
	if !f.installed {
		return kardianos.ErrNotInstalled
	}
	f.installed = f.open
	return nil
}

func (f *fakeManager) Start() error {
	f.call("start")
	f.running = f.startErr == nil
	return f.startErr
}

func (f *fakeManager) Stop() error {
	if f.stopHangs != nil {
		<-f.stopHangs
		return nil
	}
	f.call("stop")
	f.running = false
	return nil
}

func (f *fakeManager) Status() (kardianos.Status, error) {
	switch {
	case f.statusErr != nil:
		return kardianos.StatusUnknown, f.statusErr
	case !f.installed:
		return kardianos.StatusUnknown, kardianos.ErrNotInstalled
	case f.running:
		return kardianos.StatusRunning, nil
	}
	return kardianos.StatusStopped, nil
}

func controlOf(f *fakeManager, hardenErr error) *Control {
	return &Control{def: Definition{Name: "x"}, manager: f, harden: func(Definition) error { f.call("harden"); return hardenErr }}
}

func TestControlLifeCycle(t *testing.T) {
	f := &fakeManager{}
	c := controlOf(f, nil)
	if _, err := c.State(); !errors.Is(err, ErrNotInstalled) {
		t.Errorf("State before Install: %v", err)
	}
	if err := c.Uninstall(t.Context()); !errors.Is(err, ErrNotInstalled) {
		t.Errorf("Uninstall before Install: %v", err)
	}
	if err := c.Install(); err != nil {
		t.Fatal(err)
	}
	if err := c.Install(); !errors.Is(err, ErrExists) {
		t.Errorf("second Install: %v", err)
	}
	if s, err := c.State(); s != StateStopped || err != nil {
		t.Errorf("after Install: %v, %v", s, err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if s, err := c.State(); s != StateRunning || err != nil {
		t.Errorf("after Start: %v, %v", s, err)
	}
	if err := c.Uninstall(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The library would have removed a running service without stopping it.
	if diff := cmp.Diff([]string{"install", "harden", "start", "stop", "uninstall"}, f.calls); diff != "" {
		t.Error(diff)
	}
}

func TestInstallUndoesWhatFailed(t *testing.T) {
	broken := errors.New("disk full")
	for _, test := range []struct {
		name    string
		manager fakeManager
		want    error
		calls   []string
	}{
		{"nothing made", fakeManager{installErr: broken}, broken, []string{"install", "uninstall"}},
		{"half made", fakeManager{installErr: broken, halfMade: true}, broken, []string{"install", "uninstall"}},
		{"no rights", fakeManager{installErr: fmt.Errorf("create: %w", ErrAccess)}, ErrAccess, []string{"install"}},
		{"marked for deletion", fakeManager{installErr: ErrMarkedForDeletion}, ErrMarkedForDeletion, []string{"install"}},
		{"state unreadable without rights", fakeManager{statusErr: ErrAccess}, ErrAccess, nil},
	} {
		f := test.manager
		if err := controlOf(&f, nil).Install(); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
		if f.installed {
			t.Errorf("%s: something is left", test.name)
		}
		if diff := cmp.Diff(test.calls, f.calls); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
	}
	stuck := &fakeManager{installErr: broken, halfMade: true, uninstallErr: errors.New("stuck")}
	if err := controlOf(stuck, nil).Install(); !errors.Is(err, broken) || !errors.Is(err, stuck.uninstallErr) {
		t.Errorf("both errors must be told: %v", err)
	}
}

// A manager that refuses the restrictions leaves a service that works; the
// caller is told and decides.
func TestNotHardenedIsTold(t *testing.T) {
	refused := errors.New("restricted SID: invalid level")
	f := &fakeManager{}
	err := controlOf(f, refused).Install()
	if !errors.Is(err, ErrNotHardened) || !errors.Is(err, refused) || !f.installed {
		t.Errorf("%v, installed %v", err, f.installed)
	}
}

func TestStopDoesNotWaitForEver(t *testing.T) {
	f := &fakeManager{installed: true, running: true, stopHangs: make(chan struct{})}
	defer close(f.stopHangs)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := controlOf(f, nil)
	if err := c.Stop(ctx); !errors.Is(err, ErrStopTimeout) {
		t.Errorf("Stop = %v", err)
	}
	if err := c.Uninstall(ctx); !errors.Is(err, ErrStopTimeout) || !f.installed {
		t.Errorf("Uninstall = %v, installed %v", err, f.installed)
	}
}

// A removed service that somebody has open is told, and not taken for removed;
// one that is let go of in time is.
func TestMarkedForDeletion(t *testing.T) {
	f := &fakeManager{installed: true, open: true}
	waits := 0
	after := func(time.Duration) <-chan time.Time {
		if waits++; waits == vanishTries/2 {
			f.installed = false
		}
		c := make(chan time.Time, 1)
		c <- time.Time{}
		return c
	}
	c := controlOf(f, nil)
	if err := c.vanish(t.Context(), after); err != nil || waits != vanishTries/2 {
		t.Errorf("let go of after %d looks: %v", waits, err)
	}
	f.installed, waits = true, vanishTries
	if err := c.vanish(t.Context(), after); !errors.Is(err, ErrMarkedForDeletion) || !strings.Contains(err.Error(), "close the Services window") {
		t.Errorf("never let go of: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.vanish(ctx, func(time.Duration) <-chan time.Time { return nil }); !errors.Is(err, ErrMarkedForDeletion) || !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	if err := c.Uninstall(ctx); !errors.Is(err, ErrMarkedForDeletion) {
		t.Errorf("Uninstall: %v", err)
	}
}

// A removal that fails because somebody else was quicker has reached its end.
func TestRemovedByAnother(t *testing.T) {
	f := &fakeManager{installed: true, uninstallErr: errors.New("service x is not installed"), quicker: true}
	if err := controlOf(f, nil).Uninstall(t.Context()); err != nil {
		t.Error(err)
	}
	f = &fakeManager{installed: true, uninstallErr: errors.New("no")}
	if err := controlOf(f, nil).Uninstall(t.Context()); !errors.Is(err, f.uninstallErr) {
		t.Errorf("control: %v", err)
	}
}

func TestStateOfAFailedUnit(t *testing.T) {
	f := &fakeManager{statusErr: errors.New("service in failed state")}
	if s, err := controlOf(f, nil).State(); s != StateStopped || err != nil {
		t.Errorf("%v, %v", s, err)
	}
	f.statusErr = errors.New("something else")
	if s, err := controlOf(f, nil).State(); s != StateUnknown || err == nil {
		t.Errorf("%v, %v", s, err)
	}
}

// program is an absolute path on every system.
func program(t *testing.T) string {
	path, err := filepath.Abs("license-agent")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestConfigPerPlatform(t *testing.T) {
	exe := program(t)
	def := Definition{
		Name: "license-agent-cad", DisplayName: "License Agent (cad)", Description: "Answers.",
		Executable: exe, Arguments: []string{"run", "--instance", "cad"}, Script: "text",
	}
	for platform, want := range map[string]kardianos.KeyValue{
		"linux-systemd":   {"SystemdScript": "text"},
		"linux-openrc":    {"OpenRCScript": "text"},
		"linux-upstart":   {"UpstartScript": "text"},
		"linux-rcs":       {"RCSScript": "text"},
		"unix-systemv":    {"SysvScript": "text"},
		"windows-service": {"DelayedAutoStart": true, "StartType": "automatic"},
	} {
		cfg, err := config(def, platform)
		if err != nil {
			t.Errorf("%s: %v", platform, err)
			continue
		}
		if diff := cmp.Diff(want, cfg.Option); diff != "" {
			t.Errorf("%s: %s", platform, diff)
		}
		if cfg.Name != def.Name || cfg.Executable != exe || !cmp.Equal(cfg.Arguments, def.Arguments) {
			t.Errorf("%s: %+v", platform, cfg)
		}
		user := ""
		if platform == "windows-service" {
			user = `NT SERVICE\license-agent-cad`
		}
		if cfg.UserName != user {
			t.Errorf("%s: user %q", platform, cfg.UserName)
		}
	}
	def.User = "somebody"
	if cfg, err := config(def, "windows-service"); err != nil || cfg.UserName != "somebody" {
		t.Errorf("%+v, %v", cfg, err)
	}
}

func TestBadDefinitions(t *testing.T) {
	good := Definition{Name: "license-agent", Executable: program(t), Script: "text"}
	if _, err := config(good, "linux-systemd"); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Definition){
		"no name":             func(d *Definition) { d.Name = "" },
		"name with a space":   func(d *Definition) { d.Name = "license agent" },
		"name with a slash":   func(d *Definition) { d.Name = "../evil" },
		"relative executable": func(d *Definition) { d.Executable = "license-agent" },
		"quoted executable":   func(d *Definition) { d.Executable += `"` },
		"template in script":  func(d *Definition) { d.Script = "ExecStart={{.Path}}" },
		"no unit":             func(d *Definition) { d.Script = "" },
	} {
		def := good
		change(&def)
		if _, err := config(def, "linux-systemd"); !errors.Is(err, ErrDefinition) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCommandLine(t *testing.T) {
	for _, test := range []struct {
		program string
		args    []string
		want    string
	}{
		{`C:\a.exe`, nil, `"C:\a.exe"`},
		{`C:\Program Files\License Agent\license-agent.exe`, []string{"run"}, `"C:\Program Files\License Agent\license-agent.exe" run`},
		{`C:\a.exe`, []string{"", "a b", `c\`, `c d\`, `e"f`, `g\"h`, `C:\Dir\`}, `"C:\a.exe" "" "a b" c\ "c d\\" "e\"f" "g\\\"h" C:\Dir\`},
		{`C:\许可\a.exe`, []string{"实例 一"}, `"C:\许可\a.exe" "实例 一"`},
	} {
		if got := commandLine(test.program, test.args); got != test.want {
			t.Errorf("got  %s\nwant %s", got, test.want)
		}
	}
}

func TestClassify(t *testing.T) {
	other := errors.New("other")
	for _, test := range []struct{ in, want error }{
		{nil, nil},
		{kardianos.ErrNotInstalled, ErrNotInstalled},
		{kardianos.ErrNoServiceSystemDetected, ErrNoManager},
		{other, other},
	} {
		if got := classify(test.in); !errors.Is(got, test.want) || (got == nil) != (test.want == nil) {
			t.Errorf("classify(%v) = %v", test.in, got)
		}
	}
}
