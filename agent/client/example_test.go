package client_test

import (
	"context"
	"fmt"
	"time"

	"licenseagent.example/agent/client"
)

// The check of a product, with a seat for as long as it runs.
func Example() {
	var anchor []byte // the vendor's anchor.json, compiled in with go:embed
	checker, err := client.NewChecker(anchor)
	if err != nil {
		fmt.Println("this build has no trust anchor")
		return
	}
	seat, err := checker.Seat(context.Background(), "studio", client.SeatOptions{Wait: 30 * time.Second})
	if err != nil {
		fmt.Println(err) // a sentence for people; errors.As finds the *api.Error with code and hint
		return
	}
	defer seat.Close()
	fmt.Println("licensed until", seat.Verdict.GraceUntil, "export:", seat.Verdict.Has("export"))
	<-seat.Lost() // the license does not run any more: save and stop
	fmt.Println(seat.Err())
	// Output: this build has no trust anchor
}
