package ipc

import (
	"encoding/json"
	"os"
	"testing"
)

// promise logs what a proof reached and, when PROMISES_OUT names a file, adds a
// line there for the table of promises. control says what the same test sees
// with the defence off.
func promise(t *testing.T, id, number, control string) {
	t.Helper()
	t.Logf("%s: %s; control: %s", id, number, control)
	path := os.Getenv("PROMISES_OUT")
	if path == "" || t.Failed() {
		return
	}
	tier := "test"
	if os.Getenv("PROVE") != "" {
		tier = "prove"
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	line := map[string]string{"id": id, "tier": tier, "number": number, "control": control, "test": t.Name()}
	if err := json.NewEncoder(f).Encode(line); err != nil {
		t.Fatal(err)
	}
}
