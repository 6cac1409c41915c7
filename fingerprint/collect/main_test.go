package collect

import (
	"flag"
	"os"
	"testing"
	"time"
)

// childVariable makes the test program behave like the agent that is started
// with CrossCheckCommand; its value says how.
const childVariable = "LICENSE_AGENT_TEST_CHILD"

func TestMain(m *testing.M) {
	flag.Bool("update", false, "write the golden files")
	// Only a child has the argument. Without this line a cross-check on
	// Windows would run the tests, and these the cross-check, without end.
	if len(os.Args) == 2 && os.Args[1] == CrossCheckCommand {
		os.Exit(child(os.Getenv(childVariable)))
	}
	os.Exit(m.Run())
}

// child is the program under CrossCheckCommand: the real one, or one that fails.
func child(mode string) int {
	switch mode {
	case "hang":
		<-time.After(time.Hour) // until it is killed
	case "garbage":
		os.Stdout.WriteString("WARNING: not JSON")
	case "flood":
		for range 64 {
			os.Stdout.Write(make([]byte, 64<<10))
		}
	case "crash":
		return 2
	default:
		return CrossCheckMain(os.Stdout)
	}
	return 0
}
