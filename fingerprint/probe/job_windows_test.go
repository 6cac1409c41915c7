package probe

import (
	"os"
	"os/exec"
	"testing"
)

// A child that is bound ends when it is let go of; one that is not goes on.
func TestEndsWithUs(t *testing.T) {
	start := func() *exec.Cmd {
		cmd := exec.Command(os.Args[0], "-test.run", "^TestSleeper$")
		cmd.Env = append(os.Environ(), "PROBE_SLEEPER=1")
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { in.Close() })
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	bound, free := start(), start()
	EndsWithUs(bound.Process.Pid)()
	bound.Wait()                                //nolint:errcheck // it returns, which is what is wanted
	if err := free.Process.Kill(); err != nil { // control
		t.Errorf("the other child has ended, too: %v", err)
	}
	free.Wait() //nolint:errcheck // killed
}

// TestSleeper is the child: it waits for the end of its input.
func TestSleeper(t *testing.T) {
	if os.Getenv("PROBE_SLEEPER") != "" {
		os.Stdin.Read(make([]byte, 1)) //nolint:errcheck // its end is what is waited for
	}
}
