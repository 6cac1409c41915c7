//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// syncEnv makes this test binary run the command in its arguments and fail its
// syncs: "7" the seventh, "7+" the seventh and all after it. strace cannot do
// that: it counts the calls of each thread by itself, and a Go program changes
// its threads as it likes.
const syncEnv = "LICENSE_AGENT_TEST_SYNC"

// syncFailed is said for each.
const syncFailed = "a sync was made to fail"

// failing is c with failing syncs.
func (c command) failing(t testing.TB, when string) command {
	t.Helper()
	c.trace = []string{value(os.Executable())(t)}
	c.env = append(slices.Clone(c.env), syncEnv+"="+when)
	return c
}

// runFailing runs a command under a filter that asks us about each fsync and
// fdatasync of it and of what it starts, see seccomp_unotify(2). It returns its exit status.
func runFailing(when string, argv []string) (int, error) {
	at, err := strconv.Atoi(strings.TrimSuffix(when, "+"))
	if err != nil {
		return 0, err
	}
	// The filter belongs to this thread, and goes over to what it starts.
	runtime.LockOSThread()
	listener, err := askedFor(unix.SYS_FSYNC, unix.SYS_FDATASYNC)
	if err != nil {
		return 0, fmt.Errorf("this test fails syncs by seccomp user notification: %w", err)
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Env = slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, syncEnv+"=") })
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	go answerSyncs(listener, func(n int) bool { return n == at || n > at && strings.HasSuffix(when, "+") })
	var exit *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
		return 0, err
	}
	return cmd.ProcessState.ExitCode(), nil
}

// askedFor installs a filter for two system calls of this thread, and returns
// what they are announced on.
func askedFor(one, two uint32) (listener int, err error) {
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // the number of the call
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: one, Jt: 1},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: two, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_USER_NOTIF},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return 0, err
	}
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, uintptr(unsafe.Pointer(&program)))
	runtime.KeepAlive(filter)
	if errno != 0 {
		return 0, errno
	}
	return int(fd), nil
}

// answerSyncs answers EIO for the calls that fail names by their number, and
// lets the others go on.
func answerSyncs(listener int, fail func(n int) bool) {
	type question struct { // struct seccomp_notif
		id         uint64
		pid, flags uint32
		data       [64]byte
	}
	type answer struct { // struct seccomp_notif_resp
		id    uint64
		value int64
		errno int32
		flags uint32
	}
	for n := 1; ; {
		var q question
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(listener), unix.SECCOMP_IOCTL_NOTIF_RECV, uintptr(unsafe.Pointer(&q)))
		if errno == unix.EINTR || errno == unix.ENOENT { // ENOENT: whoever asked is gone
			continue
		}
		if errno != 0 {
			return
		}
		a := answer{id: q.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
		if fail(n) {
			a.flags, a.errno = 0, -int32(syscall.EIO)
		}
		_, _, errno = unix.Syscall(unix.SYS_IOCTL, uintptr(listener), unix.SECCOMP_IOCTL_NOTIF_SEND, uintptr(unsafe.Pointer(&a)))
		if errno != 0 {
			continue
		}
		if fail(n) {
			fmt.Fprintln(os.Stderr, syncFailed)
		}
		n++
	}
}
