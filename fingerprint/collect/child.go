package collect

import (
	"context"
	"encoding/json"
	"io"
)

// CrossCheckCommand is the hidden subcommand whose run function is
// CrossCheckMain; the command line must offer it.
const CrossCheckCommand = "fingerprint-crosscheck"

// CrossCheckMain asks the second sources about this machine, writes what they
// say to w as JSON and returns the exit code. It is the body of a short-lived
// child process: on Windows gopsutil queries WMI in a goroutine of its own,
// whose panic (a missing ole32, a variant of an unexpected type) no caller can
// recover, and ghw's queries have neither limit nor context.
func CrossCheckMain(w io.Writer) int {
	ctx, cancel := context.WithTimeout(context.Background(), 2*DefaultCrossTimeout)
	defer cancel()
	if json.NewEncoder(w).Encode(askAll(ctx, "", DefaultCrossTimeout)) != nil {
		return 1
	}
	return 0
}

// maxAnswer bounds what is taken from the child.
const maxAnswer = 1 << 20

// decode reads the child's answer; err is how the child ended.
func decode(answer []byte, err error) facts {
	if err != nil {
		return facts{Errors: []string{"child process: " + err.Error()}}
	}
	var f facts
	if err := json.Unmarshal(answer, &f); err != nil {
		return facts{Errors: []string{"child process: its answer cannot be read: " + err.Error()}}
	}
	return f
}

// limited keeps the first bytes that are written to it and forgets the rest.
type limited struct {
	data []byte
	left int
}

// Write takes what fits and never fails, so that the child is not blocked.
func (l *limited) Write(b []byte) (int, error) {
	n := min(len(b), l.left)
	l.data, l.left = append(l.data, b[:n]...), l.left-n
	return len(b), nil
}
