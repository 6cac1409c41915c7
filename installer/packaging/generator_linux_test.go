package packaging

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A table that may not be read is done without, in the unit and in the template; one
// that may be read, and none at all, are left to the unit.
func TestGenerator(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("this test hides a file from another user: run it as root")
	}
	for name, mode := range map[string]os.FileMode{"readable": 0o444, "unreadable": 0o400, "none": 0} {
		dir := t.TempDir()
		table, out := filepath.Join(dir, "DMI"), filepath.Join(dir, "out")
		if mode != 0 {
			if err := os.WriteFile(table, []byte("table"), mode); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Mkdir(out, 0o777); err != nil {
			t.Fatal(err)
		}
		for _, open := range []string{filepath.Dir(dir), dir, out} {
			if err := os.Chmod(open, 0o777); err != nil {
				t.Fatal(err)
			}
		}
		script := strings.Replace(text(t, Generator, Names{}), "/sys/firmware/dmi/tables/DMI", table, 1)
		cmd := exec.Command("/bin/sh", "-c", script, "generator", out, out, out)
		// Root of a container is another user of the host's.
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		if b, err := cmd.CombinedOutput(); err != nil || len(b) > 0 {
			t.Errorf("%s: %v %s", name, err, b)
		}
		for _, unit := range []string{Service, TemplateService} {
			b, err := os.ReadFile(filepath.Join(out, unit+".d", "00-no-table.conf"))
			if written := err == nil && string(b) == "[Service]\nLoadCredential=\n"; written != (name == "unreadable") {
				t.Errorf("%s: %s: %v %q", name, unit, err, b)
			}
		}
	}
}
