package agent

import (
	"context"
	"errors"
	"time"

	"licenseagent.example/activation"
)

// The merchant's notices: the agent holds a question open and renews when the
// answer is "news". It is a convenience over the regular contacts: whatever
// goes wrong here waits, and never stops a license.
const (
	// noticePause is the least time between two questions about one license.
	noticePause = 2 * time.Second
	// noticeRest is the longest pause after a failure.
	noticeRest = 3600
)

// attend keeps one question open for each license until ctx ends.
func (d *Daemon) attend(ctx context.Context) {
	asking := map[activation.Key]context.CancelFunc{}
	ended := make(chan activation.Key)
	defer func() {
		for _, stop := range asking {
			stop()
		}
		for range asking {
			<-ended
		}
	}()
	for {
		for _, h := range d.life.Held() {
			if asking[h.Key] != nil || h.NextTry == 0 || h.Claims == nil {
				continue
			}
			inner, stop := context.WithCancel(ctx)
			asking[h.Key] = stop
			go func() {
				d.listen(inner, h.Key)
				ended <- h.Key
			}()
		}
		select {
		case <-ctx.Done():
			return
		case key := <-ended:
			asking[key]()
			delete(asking, key)
		case <-d.attention:
		}
	}
}

// listen asks about one license again and again, until it is not held any more.
func (d *Daemon) listen(ctx context.Context, key activation.Key) {
	var budget activation.Budget
	failures := 0
	for ctx.Err() == nil {
		id, poll, err := d.life.Poll(key)
		if errors.Is(err, activation.ErrNotActivated) {
			return
		}
		news := false
		if err == nil { // else a chip that does not sign, which is asked rarely too
			news, err = d.cfg.Notices(ctx, key.Issuer, id, poll)
		}
		wait := noticePause
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			failures++
			wait = d.rest(failures, err)
			d.log.Debug("no notices from the merchant", "issuer", key.Issuer, "product", key.Product, "wait", wait, "error", d.redact.Error(err))
		case news:
			failures = 0
			// A service that always says "news" must not become a stream of
			// renewals: ten, then one per half hour.
			var free int64
			now := d.cfg.Boot()
			if budget, free = budget.Take(now); free > now {
				wait = time.Duration(free-now) * time.Second
			}
			if !d.renewNow(ctx, key) {
				failures++
				wait = max(wait, d.rest(failures, nil))
			}
		default:
			failures = 0
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// rest is the pause after a failure, never shorter than the service asked for.
func (d *Daemon) rest(failures int, cause error) time.Duration {
	var refused *activation.RefusedError
	var after time.Duration
	if errors.As(cause, &refused) {
		after = refused.RetryAfter
		if !errors.Is(cause, activation.ErrUnreachable) {
			after = max(after, noticeRest*time.Second) // switched off there: ask rarely
		}
	}
	return time.Duration(min(activation.Backoff(d.cfg.Uniform, failures, after), max(noticeRest, 2*int64(after/time.Second)+1))) * time.Second
}

// renewNow makes the contact that a notice asks for; false when it failed.
func (d *Daemon) renewNow(ctx context.Context, key activation.Key) bool {
	select {
	case d.slots <- struct{}{}:
		defer func() { <-d.slots }()
	case <-ctx.Done():
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, contactTimeout)
	defer cancel()
	h, err := d.life.Renew(ctx, key)
	if err != nil {
		d.log.Warn("contact after a notice failed", "issuer", key.Issuer, "product", key.Product, "error", d.redact.Error(err))
		return false
	}
	d.log.Info("contact after a notice", "issuer", key.Issuer, "product", key.Product, "phase", h.Verdict.Phase, "next", h.NextTry)
	return true
}
