package protocol

import (
	"encoding/json"
	"os"
	"testing"
)

// promise appends what a proof found to the file named by PROMISES_OUT, for
// the table of promises. Without the variable it only logs.
func promise(t testing.TB, id, number, control string) {
	t.Helper()
	tier := "test"
	if os.Getenv("PROVE") != "" {
		tier = "prove"
	}
	line := must(json.Marshal(map[string]string{"id": id, "tier": tier, "number": number, "control": control, "test": t.Name()}))(t)
	t.Logf("%s", line)
	path := os.Getenv("PROMISES_OUT")
	if path == "" {
		return
	}
	f := must(os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644))(t)
	must(f.Write(append(line, '\n')))(t)
	must0(t, f.Close())
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func must0(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
