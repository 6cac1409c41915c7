package clock

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"licenseagent.example/docs/promise"
)

func TestParseBootID(t *testing.T) {
	const good = "0f3c5a0e-0d1f-4a7b-9a53-1f2e3d4c5b6a"
	for _, s := range []string{good, good + "\n"} {
		if id, err := parseBootID(s); err != nil || id != good {
			t.Errorf("parseBootID(%q) = %q, %v", s, id, err)
		}
	}
	for _, s := range []string{
		"", "\n", good[:35], good + "0", strings.ToUpper(good), strings.Replace(good, "-", "0", 1),
		strings.Replace(good, "0", "-", 1), strings.Replace(good, "a", "g", 1), strings.Repeat("x", 36),
	} {
		if id, err := parseBootID(s); !errors.Is(err, ErrUnsupported) {
			t.Errorf("parseBootID(%q) = %q, %v, want ErrUnsupported", s, id, err)
		}
	}
}

const (
	mode = "CLOCK_TEST_MODE"
	// quickExit keeps the race detector from sleeping a second at exit.
	quickExit = "GORACE=atexit_sleep_ms=0"
)

// TestMain lets this binary play the two helpers of the test below: one that
// makes the time namespace, one that reads the clock in it.
func TestMain(m *testing.M) {
	switch os.Getenv(mode) {
	case "read":
		fmt.Print(New().Now().Boot, " ", monotonic())
	case "namespace":
		if err := inNamespace(os.Getenv("CLOCK_TEST_AHEAD")); err != nil {
			os.Stderr.WriteString(err.Error())
			os.Exit(1)
		}
	default:
		os.Exit(m.Run())
	}
	os.Exit(0)
}

// inNamespace starts the reader in a time namespace whose boot clock is ahead.
// The offsets belong to the main thread and can be set only before the first
// process of the namespace exists (time_namespaces(7)).
func inNamespace(ahead string) error {
	runtime.LockOSThread()
	if unix.Gettid() != os.Getpid() {
		return errors.New("not on the main thread")
	}
	if err := unix.Unshare(unix.CLONE_NEWTIME); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	if err := os.WriteFile("/proc/self/timens_offsets", []byte("boottime "+ahead+" 0\n"), 0); err != nil {
		return err
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), mode+"=read")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}

// A machine that slept for 30 days is 30 days older. The sleep is made by a
// time namespace whose boot clock, and only that one, is 30 days ahead, just as
// suspend moves CLOCK_BOOTTIME and leaves CLOCK_MONOTONIC alone.
func TestSuspendCounts(t *testing.T) {
	const slept = 30 * 24 * 3600
	here := New().Now().Boot
	there, mono, err := bootOfNamespace(slept)
	if err != nil {
		t.Fatalf("time namespace: %v (this test needs Linux 5.6 or later and unprivileged user namespaces or root)", err)
	}
	if passed := there - here - slept; passed < 0 || passed > 60 {
		t.Errorf("here %d, after %d seconds of sleep %d: off by %d", here, slept, there, passed)
	}
	if mono > 60 {
		t.Errorf("control: Go's own clock moved by %d s; the namespace does not imitate a sleep", mono)
	}
	promise.Reached(t, "P21", fmt.Sprintf("a sleep of %d s counts %d s", slept, there-here),
		fmt.Sprintf("Go's own clock counts %d s", mono))
}

// monotonic is the clock on which Go's own time differences rest.
func monotonic() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic(err)
	}
	return ts.Sec
}

// bootOfNamespace asks for the boot clock of a process in such a namespace, and
// by how much Go's own clock is ahead there.
func bootOfNamespace(ahead int64) (boot, own int64, err error) {
	before := monotonic()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), mode+"=namespace", quickExit, "CLOCK_TEST_AHEAD="+strconv.FormatInt(ahead, 10))
	if uid := os.Geteuid(); uid != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}},
		}
	}
	var problem strings.Builder
	cmd.Stderr = &problem
	out, err := cmd.Output()
	if err != nil {
		return 0, 0, fmt.Errorf("%w: %s", err, problem.String())
	}
	if _, err := fmt.Sscan(string(out), &boot, &own); err != nil {
		return 0, 0, err
	}
	return boot, own - before, nil
}

// CLOCK_BOOTTIME is the kernel's word, so compare with what the kernel prints.
func TestAgreesWithUptime(t *testing.T) {
	b, err := os.ReadFile("/proc/uptime")
	if err != nil {
		t.Fatal(err)
	}
	up, err := strconv.ParseFloat(strings.Fields(string(b))[0], 64)
	if err != nil {
		t.Fatal(err)
	}
	if diff := New().SinceBoot() - time.Duration(up*float64(time.Second)); diff < -time.Second || diff > time.Minute {
		t.Errorf("differs from /proc/uptime by %v", diff)
	}
}
