package merchant

import (
	"context"
	"testing"
	"time"
)

// Who waits for notices is answered when the service is told to stop: it does not
// end before all are.
func TestStopDoesNotWaitForNotices(t *testing.T) {
	s, _, d := bought(t)
	server := s.svc.Server()
	polled := make(chan struct{})
	go func() { defer close(polled); d.poll(context.Background()) }()
	for s.svc.hub.size() == 0 {
		time.Sleep(time.Millisecond) // polls: until it waits
	}
	must0(t, server.Shutdown(context.Background()))
	select {
	case <-polled:
	case <-time.After(10 * time.Second):
		t.Fatal("an agent still waits ten seconds after the end")
	}
}
