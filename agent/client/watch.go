package client

import (
	"context"
	"errors"
	"time"

	"licenseagent.example/agent/api"
)

// Watch calls changed whenever something about the instance's licenses changed,
// and once at the start, so that a program need not poll: it checks again then.
// It returns when ctx ends (with ctx's error) or changed returns an error. An
// agent that is not running is waited for; pause is called between attempts
// with how long to wait and returns false to give up (nil waits by a timer).
func (c *Client) Watch(ctx context.Context, changed func(api.Events) error, pause func(time.Duration) bool) error {
	if pause == nil {
		pause = func(d time.Duration) bool { return rest(ctx, d) }
	}
	since, wait := uint64(0), time.Second
	first := true
	for ctx.Err() == nil {
		ask := 30 * time.Second
		if first {
			ask = 0
		}
		ev, err := c.Events(ctx, since, ask)
		if err != nil {
			if ctx.Err() != nil {
				break
			}
			// The serial begins anew with the next agent.
			since, first = 0, true
			if !pause(wait) {
				return errors.Join(err, ctx.Err())
			}
			wait = min(2*wait, 30*time.Second)
			continue
		}
		wait = time.Second
		if first || ev.Missed || ev.Serial != since {
			if err := changed(ev); err != nil {
				return err
			}
		}
		since, first = ev.Serial, false
	}
	return ctx.Err()
}
