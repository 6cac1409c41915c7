package service

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Settled reports whether Settle has nothing to do.
func (c *Control) Settled() (bool, error) {
	if c.look == nil {
		return true, nil
	}
	state, marked, err := c.look(c.def.Name)
	switch err = classify(err); {
	case errors.Is(err, ErrNotInstalled):
		return true, nil
	case err != nil:
		return false, fmt.Errorf("service: state of %s: %w", c.def.Name, err)
	}
	return !marked && state != StateStarting && state != StateStopping, nil
}

// Settle waits until the manager has ended what it began for somebody who was
// killed meanwhile: Windows goes on starting, stopping and removing a service
// then, and each is in the way of what the next run wants. A service that is
// marked for deletion and runs is stopped, since it is not there for long in any
// case. Settle returns nil when there is nothing to wait for, also when the
// manager does not know the service; ErrNotReady, ErrStopTimeout or
// ErrMarkedForDeletion when it took too long.
func (c *Control) Settle(ctx context.Context) error { return c.settle(ctx, time.After) }

func (c *Control) settle(ctx context.Context, after func(time.Duration) <-chan time.Time) error {
	for c.look != nil {
		state, marked, err := c.look(c.def.Name)
		late := ErrNotReady
		switch err = classify(err); {
		case errors.Is(err, ErrNotInstalled):
			return nil
		case err != nil:
			return fmt.Errorf("service: state of %s: %w", c.def.Name, err)
		case state == StateStopping:
			// Its process lets go of the files and of the service after that state.
			ended, err := c.ending()
			if err != nil {
				return fmt.Errorf("service: process of %s: %w", c.def.Name, err)
			}
			if err := ended(ctx); err != nil {
				return err
			}
			late = ErrStopTimeout
		case state == StateStarting:
		case marked && state == StateRunning:
			if err := c.Stop(ctx); err != nil {
				return err
			}
			continue
		case marked:
			return c.vanish(ctx, after)
		default:
			return nil
		}
		select {
		case <-after(vanishPause):
		case <-ctx.Done():
			return fmt.Errorf("%w: %s: %w", late, c.def.Name, ctx.Err())
		}
	}
	return nil
}
