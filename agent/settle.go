package agent

import (
	"context"
	"errors"
	"sync"
	"time"

	"licenseagent.example/activation"
)

// Before the first answer: a virtual machine that was held by one made-up value
// comes back with another one whenever its host makes the device anew. By the
// rule it is another machine until the merchant has been asked, and most
// programs ask once, when they start. So nothing is answered until that contact
// has ended. There is no verdict meanwhile: a copy without network gains no
// answer by it, only the wait.
const (
	// settleWait is how long answers wait at most. A machine whose network comes
	// up while it boots is usually there by then, and service managers allow a
	// start 30 seconds.
	settleWait = 20 * time.Second
	// settlePause is the pause after the first attempt that did not reach the
	// merchant; it doubles, so that there are four attempts at most and most of
	// the budget of contacts is left.
	settlePause = 2 * time.Second
)

// Settled is closed as soon as answers may be given: nearly always when New
// returns, else by Run, after settleWait at the latest.
func (d *Daemon) Settled() <-chan struct{} { return d.settled }

// settle makes the contacts that have to come before the first answer.
func (d *Daemon) settle(ctx context.Context) {
	keys := d.life.AskFirst()
	if len(keys) == 0 {
		return
	}
	d.health.turns.Add(1) // the loop begins here
	ctx, cancel := context.WithTimeout(ctx, settleWait)
	defer cancel()
	var asking sync.WaitGroup
	for _, key := range keys {
		asking.Go(func() { d.askFirst(ctx, key) })
	}
	asking.Wait()
	close(d.settled)
	d.tell()
}

// askFirst contacts the merchant until it is reached or ctx ends.
func (d *Daemon) askFirst(ctx context.Context, key activation.Key) {
	d.log.Info("the only value that this machine is known by was made anew; the merchant is asked before the first answer", "issuer", key.Issuer, "product", key.Product)
	for pause := settlePause; ctx.Err() == nil; pause *= 2 {
		err := d.meet(ctx, key)
		if !errors.Is(err, activation.ErrUnreachable) {
			break // the merchant has spoken, or the request could not be stored
		}
		wait := pause
		var told *activation.RefusedError
		if errors.As(err, &told) {
			wait = max(wait, told.RetryAfter) // it is there and asks for patience
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.contacts[key] = &attempt{at: d.cfg.Boot()} // the loop goes on from here
}
