//go:build linux

package main

import (
	"encoding/json"
	"os"
	"testing"
)

// The proofs in real_*_test.go run the shipped binary, or the same composition
// inside the test, against a real merchant service over TLS. They come in three
// sizes: inside go test (reduced), with PROVE=1 and with SOAK=1.

// size picks how much of something to do in the present tier.
func size(test, prove, soak int) int {
	switch realTier() {
	case "soak":
		return soak
	case "prove":
		return prove
	}
	return test
}

func realTier() string {
	switch {
	case os.Getenv("SOAK") == "1":
		return "soak"
	case os.Getenv("PROVE") == "1":
		return "prove"
	}
	return "test"
}

// reached appends one line to the file that the table of promises is made of.
func reached(t *testing.T, id, number, control string) {
	t.Helper()
	t.Logf("%s (%s): %s; control: %s", id, realTier(), number, control)
	file := os.Getenv("PROMISES_OUT")
	if file == "" || t.Failed() {
		return
	}
	line, err := json.Marshal(map[string]string{"id": id, "tier": realTier(), "number": number, "control": control, "test": t.Name()})
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(append(line, '\n')); err != nil {
		t.Fatal(err)
	}
}
