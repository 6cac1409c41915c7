package main

import "time"

// pause is the step of a loop that waits for another process.
func pause() {
	time.Sleep(10 * time.Millisecond) // polls
}
