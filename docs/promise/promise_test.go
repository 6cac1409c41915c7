package promise_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"licenseagent.example/docs/promise"
)

func TestSize(t *testing.T) {
	for _, c := range []struct {
		prove, soak string
		two, three  int
		tier        string
	}{
		{"", "", 1, 1, "test"},
		{"1", "", 2, 2, "prove"},
		{"", "1", 2, 3, "soak"},
		{"1", "1", 2, 3, "soak"},
	} {
		t.Setenv("PROVE", c.prove)
		t.Setenv("SOAK", c.soak)
		if two, three := promise.Size(1, 2), promise.Size(1, 2, 3); two != c.two || three != c.three || promise.Tier() != c.tier {
			t.Errorf("%+v: %d, %d, %s", c, two, three, promise.Tier())
		}
	}
}

// sink is a test that keeps what is said about it. It ends like a real one.
type sink struct {
	fatal  int
	failed bool
}

func (*sink) Name() string            { return "TestSomething/part" }
func (*sink) Logf(string, ...any)     {}
func (s *sink) Failed() bool          { return s.failed }
func (s *sink) Fatalf(string, ...any) { s.fatal++; runtime.Goexit() }

func TestReached(t *testing.T) {
	out := filepath.Join(t.TempDir(), "promises.test")
	t.Setenv("PROMISES_OUT", out)
	t.Setenv("PROMISES_COMMIT", "1a2b3c4")
	t.Setenv("PROMISES_TIER", "postgres")
	report := func(s *sink, id, number, control string) int {
		done := make(chan struct{})
		go func() { defer close(done); promise.Reached(s, id, number, control) }()
		<-done
		return s.fatal
	}
	if report(&sink{}, "P01", "3 of 3", "0 of 3") != 0 {
		t.Error("an honest result is refused")
	}
	if report(&sink{failed: true}, "P02", "3 of 3", "0 of 3") != 0 {
		t.Error("a failed test is failed again")
	}
	if report(&sink{}, "P03", "3 of 3", "") == 0 {
		t.Error("a result without a control is taken")
	}
	t.Setenv("PROMISES_COMMIT", "")
	if report(&sink{}, "P04", "3 of 3", "0 of 3") == 0 {
		t.Error("a result without a commit is written")
	}
	t.Setenv("PROMISES_OUT", "")
	if report(&sink{}, "P05", "3 of 3", "0 of 3") != 0 {
		t.Error("a result that is not written needs a commit")
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	var got promise.Line
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatalf("not one line: %v: %s", err, b)
	}
	want := promise.Line{ID: "P01", Tier: "postgres", Number: "3 of 3", Control: "0 of 3", Package: "docs/promise", Test: "TestSomething/part", Commit: "1a2b3c4"}
	if got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}
