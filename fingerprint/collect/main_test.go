package collect

import (
	"flag"
	"os"
	"testing"
)

// childVariable makes the test program behave like the agent that is started
// with CrossCheckCommand; its value says how.
const childVariable = "LICENSE_AGENT_TEST_CHILD"

func TestMain(m *testing.M) {
	flag.Bool("update", false, "write the golden files")
	if mode := os.Getenv(childVariable); mode != "" {
		os.Exit(child(mode))
	}
	os.Exit(m.Run())
}

// child is the program under CrossCheckCommand: the real one, or one that fails.
func child(mode string) int {
	if len(os.Args) != 2 || os.Args[1] != CrossCheckCommand {
		return 3
	}
	switch mode {
	case "real":
		return CrossCheckMain(os.Stdout)
	case "hang":
		select {}
	case "garbage":
		os.Stdout.WriteString("WARNING: not JSON")
	case "flood":
		for range 64 {
			os.Stdout.Write(make([]byte, 64<<10))
		}
	case "crash":
		return 2
	}
	return 0
}
