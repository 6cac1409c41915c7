package service

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/windows"
)

// parent starts a child that never begins, as one whose parent was killed in the
// middle of starting it, says its number and waits to be killed. TestMain calls it.
func parent(tied bool) {
	if tied {
		if err := TieChildren(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	cmd := exec.Command(os.Args[0])
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: windows.CREATE_SUSPENDED}
	if err := cmd.Start(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(cmd.Process.Pid)
	os.Stdin.Read(make([]byte, 1)) //nolint:errcheck // its end is what is waited for
	os.Exit(exitOfParent)
}

// exitOfParent is what a parent that ends by itself returns.
const exitOfParent = 7

// A child that has not even begun ends with its parent, killed or not; without
// the tie it stays for ever. The tie does not change how the parent itself ends.
func TestTieChildren(t *testing.T) {
	for _, tied := range []string{"tied", "free"} {
		for _, end := range []string{"killed", "by itself"} {
			t.Run(tied+" "+end, func(t *testing.T) {
				cmd := exec.Command(os.Args[0], "parent", tied)
				in, err := cmd.StdinPipe()
				if err != nil {
					t.Fatal(err)
				}
				out, err := cmd.StdoutPipe()
				if err != nil {
					t.Fatal(err)
				}
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				line, err := bufio.NewReader(out).ReadString('\n')
				var pid uint32
				if _, err2 := fmt.Sscan(strings.TrimSpace(line), &pid); err != nil || err2 != nil {
					t.Fatalf("the parent said %q, %v", line, err)
				}
				child, err := windows.OpenProcess(windows.SYNCHRONIZE|windows.PROCESS_TERMINATE, false, pid)
				if err != nil {
					t.Fatal(err)
				}
				defer windows.CloseHandle(child)
				if end == "killed" {
					if err := cmd.Process.Kill(); err != nil {
						t.Fatal(err)
					}
				}
				in.Close()
				cmd.Wait() //nolint:errcheck // its code is looked at
				if code := cmd.ProcessState.ExitCode(); end != "killed" && code != exitOfParent {
					t.Errorf("the parent ended with %d, want %d", code, exitOfParent)
				}
				wait := 10 * time.Second // only so that a failure ends
				if tied == "free" {
					wait = 0 // its parent has ended: what did not take it along then, does not later
				}
				e, err := windows.WaitForSingleObject(child, uint32(wait.Milliseconds()))
				if gone := e == windows.WAIT_OBJECT_0; gone != (tied == "tied") || err != nil {
					t.Errorf("child ended: %t, %v", gone, err)
				}
				windows.TerminateProcess(child, 1) //nolint:errcheck // the control's child
			})
		}
	}
}
