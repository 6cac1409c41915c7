// Command example is a licensed program in miniature: it knows its vendor's
// trust anchor and nothing else, asks the agent of this machine, and believes
// only what it has verified. A real product compiles the anchor in (package
// embed); here it is read from a file so that the demo can make its own.
package main

import (
	"context"
	"fmt"
	"os"

	"licenseagent.example/agent/client"
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: example ANCHOR-FILE SOCKET PRODUCT")
		os.Exit(2)
	}
	anchor, err := os.ReadFile(os.Args[1])
	check(err)
	checker, err := client.NewChecker(anchor)
	check(err)
	checker.Client = &client.Client{Socket: os.Args[2]} // leave out for an installed agent
	verdict, err := checker.Check(context.Background(), os.Args[3])
	check(err)
	if !verdict.Runs {
		fmt.Println("not licensed:", verdict.Phase, verdict.Reason)
		os.Exit(3)
	}
	fmt.Println("licensed:", verdict.Phase, "features", verdict.Features, "until", verdict.GraceUntil.Format("2006-01-02"))
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
}
