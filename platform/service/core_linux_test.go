package service

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// The kernel will dump nothing of a process after NoCoreDumps. The control is
// the same process without it.
func TestNoCoreDumps(t *testing.T) {
	if how := os.Getenv("SERVICE_CORE"); how != "" {
		if how == "off" {
			if err := NoCoreDumps(); err != nil {
				t.Fatal(err)
			}
		}
		dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
		var size unix.Rlimit
		if e := unix.Getrlimit(unix.RLIMIT_CORE, &size); e != nil || err != nil {
			t.Fatal(e, err)
		}
		t.Logf("dumpable %d, core size %d", dumpable, size.Cur)
		return
	}
	state := func(how string) string {
		cmd := exec.Command(os.Args[0], "-test.run=^TestNoCoreDumps$", "-test.v")
		cmd.Env = append(os.Environ(), "SERVICE_CORE="+how)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v %s", err, out)
		}
		return string(out)
	}
	if out := state("off"); !strings.Contains(out, "dumpable 0, core size 0") {
		t.Error(out)
	}
	if out := state("on"); !strings.Contains(out, "dumpable 1") {
		t.Errorf("control: a process without the defence cannot be dumped either: %s", out)
	}
}
