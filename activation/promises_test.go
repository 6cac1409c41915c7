package activation_test

import (
	"encoding/json"
	"os"
	"testing"
)

// proving says whether the full numbers are wanted (make prove); otherwise a
// reduced form runs, with the same assertions.
func proving() bool { return os.Getenv("PROVE") != "" }

// scale is how much of something to do.
func scale(test, prove int) int {
	if proving() {
		return prove
	}
	return test
}

// report writes down what a promise reached, one JSON line, when PROMISES_OUT
// names a file. control says what the same test sees with the defence off.
func report(t *testing.T, id, number, control string) {
	t.Helper()
	tier := "test"
	if proving() {
		tier = "prove"
	}
	t.Logf("%s (%s): %s; control: %s", id, tier, number, control)
	name := os.Getenv("PROMISES_OUT")
	if name == "" {
		return
	}
	line, err := json.Marshal(struct {
		ID      string `json:"id"`
		Tier    string `json:"tier"`
		Number  string `json:"number"`
		Control string `json:"control"`
		Test    string `json:"test"`
	}{id, tier, number, control, t.Name()})
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(append(line, '\n')); err != nil {
		t.Fatal(err)
	}
}
