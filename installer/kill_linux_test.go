package installer

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"licenseagent.example/docs/promise"
)

// TestMain is also the process that gets killed.
func TestMain(m *testing.M) {
	if os.Getenv("INSTALLER_KILL") != "" {
		os.Exit(victim())
	}
	os.Exit(m.Run())
}

// victim does one job and kills itself by SIGKILL at the given point.
func victim() int {
	at, err := strconv.Atoi(os.Getenv("INSTALLER_KILL"))
	if err != nil {
		return 9
	}
	points := 0
	w := &world{root: os.Getenv("INSTALLER_ROOT")}
	w.hook = func(string) {
		if points++; points == at {
			syscall.Kill(os.Getpid(), syscall.SIGKILL) //nolint:errcheck // nothing comes after it
			select {}
		}
	}
	t := w.target(true)
	var p Plan
	switch os.Getenv("INSTALLER_JOB") {
	case "install":
		p, err = t.Install([]byte(strings.Repeat("new program ", 1000)))
	case "uninstall":
		p, err = t.Uninstall(false)
	case "purge":
		p, err = t.Uninstall(true)
	}
	if err == nil {
		err = p.Apply(context.Background(), nobody)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// job runs a victim. killed is false when it ended before the point.
func job(t *testing.T, root, name string, at int) (killed bool) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), "INSTALLER_KILL="+strconv.Itoa(at), "INSTALLER_ROOT="+root, "INSTALLER_JOB="+name)
	// In a network of its own, where not even the loopback device is up: nothing
	// of all this needs a network.
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	out, err := cmd.CombinedOutput()
	if err == nil {
		return false
	}
	if st, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && st.Signal() == syscall.SIGKILL {
		return true
	}
	t.Fatalf("%s at %d: %v %s", name, at, err, out)
	return false
}

// Killed at each point of each job in turn, then run once more: it ends
// installed or clean, and never in between. In the reduced form every third
// point is tried; PROVE=1 tries all.
func TestKilledAtEveryPoint(t *testing.T) {
	stride := promise.Size(3, 1)
	clean := image(t)
	job(t, clean, "install", 0)
	installed := tree(t, clean)
	job(t, clean, "purge", 0)
	purged := tree(t, clean)
	kills, worse := 0, 0
	for _, c := range []struct {
		before, killed, again string
		want                  map[string]string
	}{
		{"", "install", "install", installed},        // fresh, repaired
		{"", "install", "purge", purged},             // fresh, given up
		{"upgrade", "install", "install", installed}, // over an older one
		{"upgrade", "uninstall", "install", installed},
		{"upgrade", "purge", "purge", purged},
	} {
		for at := 1; ; at += stride {
			root := image(t)
			if c.before == "upgrade" {
				w := &world{root: root}
				must(t, install(t, w.target(true), "old program"))
			}
			if !job(t, root, c.killed, at) {
				break
			}
			kills++
			if cmp.Diff(c.want, tree(t, root)) != "" {
				worse++
			}
			job(t, root, c.again, 0)
			if diff := cmp.Diff(c.want, tree(t, root)); diff != "" {
				t.Errorf("%s killed at point %d, then %s: %s", c.killed, at, c.again, diff)
			}
		}
	}
	if kills < 100/stride || worse == 0 {
		t.Errorf("%d kills, %d that left something: the test shows nothing", kills, worse)
	}
	promise.Reached(t, "P03", fmt.Sprintf("installer: kill -9 at %d points of installing, upgrading, removing: all ended right after one more run", kills),
		fmt.Sprintf("without the second run %d of %d are in between", worse, kills))
}
