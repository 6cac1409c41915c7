package architecture_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"licenseagent.example/activation/merchant"
	"licenseagent.example/platform/devicekey"
	"licenseagent.example/platform/ipc"
	"licenseagent.example/platform/paths"
	"licenseagent.example/platform/securefile"
	"licenseagent.example/platform/service"
)

// The document that operators read and the code say the same: the section
// "Constants" of ATTACK_SURFACE.md lists exactly these names and values, and
// the permission tests of the packages take theirs from the same constants.
func TestAttackSurfaceConstants(t *testing.T) {
	b, err := os.ReadFile("platform/ATTACK_SURFACE.md")
	if err != nil {
		t.Fatal(err)
	}
	_, constants, found := strings.Cut(string(b), "\n## Constants\n")
	if !found {
		t.Fatal("the document has no section Constants")
	}
	said := map[string]string{}
	for _, line := range strings.Split(constants, "\n") {
		if cells := strings.Split(line, "|"); len(cells) == 4 && strings.Contains(cells[1], ".") {
			said[strings.TrimSpace(cells[1])] = strings.TrimSpace(cells[2])
		}
	}
	p, err := paths.For("")
	if err != nil {
		t.Fatal(err)
	}
	is := map[string]string{
		"securefile.PrivateDir":  fmt.Sprintf("%#o", securefile.PrivateDir),
		"securefile.PrivateFile": fmt.Sprintf("%#o", securefile.PrivateFile),
		"securefile.PublicDir":   fmt.Sprintf("%#o", securefile.PublicDir),
		"securefile.PublicFile":  fmt.Sprintf("%#o", securefile.PublicFile),
		"securefile.GivenFile":   fmt.Sprintf("%#o", securefile.GivenFile),
		"merchant.PrivateDir":    fmt.Sprintf("%#o", merchant.PrivateDir),
		"merchant.PrivateFile":   fmt.Sprintf("%#o", merchant.PrivateFile),
		"securefile.LockName":    securefile.LockName,
		"devicekey.FileName":     devicekey.FileName,
		"devicekey.UnusedName":   devicekey.UnusedName,
		"devicekey.CounterName":  devicekey.CounterName,
		"ipc.SocketMode":         fmt.Sprintf("%#o", ipc.SocketMode),
		"ipc.RuntimeDirMode":     fmt.Sprintf("%#o", ipc.RuntimeDirMode),
		"ipc.PipeClientAccess":   fmt.Sprintf("%#x", ipc.PipeClientAccess),
		"ipc.PipeSDDL":           ipc.PipeSDDL,
		"paths.For.Config":       p.Config,
		"paths.For.State":        p.State,
		"paths.For.Runtime":      p.Runtime,
		"paths.For.Socket":       p.Socket,
		"paths.For.Logs":         p.Logs,
		"service.StopTimeout":    fmt.Sprint(service.StopTimeout),
	}
	for name, value := range is {
		if said[name] != value {
			t.Errorf("%s is %s, the document says %q", name, value, said[name])
		}
	}
	for name := range said {
		if _, ok := is[name]; !ok {
			t.Errorf("the document lists %s, which no constant answers for", name)
		}
	}
}
