//go:build linux

package main

import (
	"fmt"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"licenseagent.example/docs/promise"
)

// raceless LOG...: nothing that has ended reported a race in what it said. A
// report makes a process end with 66 as well, which the script's wait sees: but
// not where it is killed. "! raceless LOG" is the control: there is a report.
func raceless(ts *testscript.TestScript, neg bool, args []string) {
	for _, file := range args {
		switch reported := strings.Contains(ts.ReadFile(file), "WARNING: DATA RACE"); {
		case reported && !neg:
			ts.Fatalf("a data race is reported in %s:\n%s", file, ts.ReadFile(file))
		case !reported && neg && detecting:
			ts.Fatalf("control: the planted race is not reported in %s", file)
		}
	}
	if !neg {
		tally(ts, "RACE_PROCESSES", len(args))
	}
}

// nobody-races: writes down what raceless of this script found, where there is
// something to be found.
func nobodyRaces(ts *testscript.TestScript, _ bool, _ []string) {
	if !detecting {
		return
	}
	promise.Reached(script{ts}, "P35", fmt.Sprintf("%d processes of license-agent run and of a program with the agent inside under -race, over all flows of this script, each waited for: 0 reports", tally(ts, "RACE_PROCESSES", 0)),
		"a race planted in such a process is reported")
}

// race is a command of the scripts with a race: two goroutines write one variable.
func race() {
	n, done := 0, make(chan struct{})
	go func() { n++; close(done) }()
	n++
	<-done
	fmt.Println(n)
}
