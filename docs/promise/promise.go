// Package promise is for tests: it picks how much of a proof to do and writes
// what the proof reached, for the table docs/promises.md. Every proof of a
// promise, in whatever package, uses it; nothing that is shipped imports it.
//
//	n := promise.Size(100, 10_000) // make test, make prove
//	...
//	promise.Reached(t, "P05", fmt.Sprintf("%d flips, %d used", n, used),
//		fmt.Sprintf("seal not checked: %d of %d used", bad, tried))
//
// Reached appends one JSON object per line to the file named by PROMISES_OUT:
//
//	{"id":"P05","tier":"prove","number":"…","control":"…","package":"store","test":"TestFlippedValues","commit":"1a2b3c4"}
//
// A suite in another language or in a shell script writes the same line itself.
// The commit is PROMISES_COMMIT, which make and the scripts in .ci set; a result
// that names none is not written, because nobody could reach it again:
//
//	PROVE=1 PROMISES_OUT=$PWD/.cache/promises.prove PROMISES_COMMIT=$(git describe --always --dirty --exclude '*') go test ./store
//
// The tier is the make target that ran the test: PROMISES_TIER (vm, wine, e2e,
// postgres, bindings, …) or else soak with SOAK=1, prove with PROVE=1, test
// without. `make promises` merges every .cache/promises.* into the table.
package promise

import (
	"encoding/json"
	"os"
	"runtime"
	"strings"
)

// Line is one result, as docs/promises.jsonl keeps it. Number is what was
// measured and Control what the same test saw with the defence switched off,
// both as short plain text; Package is the folder of Test in the tree.
type Line struct {
	ID      string `json:"id"`
	Tier    string `json:"tier"`
	Number  string `json:"number"`
	Control string `json:"control"`
	Package string `json:"package,omitempty"`
	Test    string `json:"test"`
	Commit  string `json:"commit,omitempty"`
}

// T is the part of testing.TB and of testscript.TestScript that Reached needs.
type T interface {
	Name() string
	Logf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Tier is "soak" with SOAK=1, "prove" with PROVE=1, otherwise "test".
func Tier() string {
	switch {
	case os.Getenv("SOAK") != "":
		return "soak"
	case os.Getenv("PROVE") != "":
		return "prove"
	}
	return "test"
}

// Size is how much of something to do in the present tier. Without a number of
// its own the soak tier does what prove does.
func Size(test, prove int, soak ...int) int {
	switch tier := Tier(); {
	case tier == "test":
		return test
	case tier == "soak" && len(soak) > 0:
		return soak[0]
	}
	return prove
}

// Reached logs what a proof reached and, when PROMISES_OUT names a file, adds
// the line there. It must be called once per promise and test, after the
// assertions: a test that has failed writes nothing, and a result without its
// control or without its commit is refused.
func Reached(t T, id, number, control string) {
	if h, ok := t.(interface{ Helper() }); ok {
		h.Helper()
	}
	l := Line{ID: id, Tier: Tier(), Number: number, Control: control, Test: t.Name(), Commit: os.Getenv("PROMISES_COMMIT")}
	if suite := os.Getenv("PROMISES_TIER"); suite != "" {
		l.Tier = suite
	}
	l.Package = caller()
	t.Logf("%s (%s): %s; control: %s", id, l.Tier, number, control)
	if id == "" || number == "" || control == "" {
		t.Fatalf("promise %q: a result has an id, a number and a control", id)
	}
	file := os.Getenv("PROMISES_OUT")
	if f, ok := t.(interface{ Failed() bool }); file == "" || ok && f.Failed() {
		return
	}
	if l.Commit == "" {
		t.Fatalf("promise %s: PROMISES_OUT is set and PROMISES_COMMIT is not: run it through make, or see the comment of package promise", id)
	}
	b, err := json.Marshal(l)
	if err == nil {
		err = add(file, append(b, '\n'))
	}
	if err != nil {
		t.Fatalf("promise %s: %v", id, err)
	}
}

func add(file string, line []byte) error {
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(line) // one write: tests of several processes share the file
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}

// caller is the folder of the package that called Reached.
func caller() string {
	folder := func(skip int) string {
		pc, _, _, _ := runtime.Caller(skip)
		name := runtime.FuncForPC(pc).Name() // module/folder.Func, module/folder_test.Func
		dir := strings.LastIndexByte(name, '/') + 1
		dot := strings.IndexByte(name[dir:], '.')
		return strings.TrimSuffix(name[:dir+dot], "_test")
	}
	module := strings.TrimSuffix(folder(2), "docs/promise")
	return strings.TrimPrefix(folder(3), module)
}
