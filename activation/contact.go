package activation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"licenseagent.example/activation/license"
)

// ActivateOptions says what to activate.
type ActivateOptions struct {
	Issuer  string // "" when exactly one vendor is known
	Product string // expected product, "" when only the code is known
	Code    string
	// Replace allows the license to take the place of one that runs, and a new
	// code to take the place of an activation file that waits for its answer.
	Replace bool
}

// Activate redeems a code and returns what is held then. After a lost reply it
// sends the same bytes again, so that a code is never spent twice. Errors:
// ErrUnknownIssuer, ErrAlreadyActivated, ErrOutstanding, those of Issuer.Send,
// ErrAnswer, ErrStore.
func (l *Lifecycle) Activate(ctx context.Context, opt ActivateOptions) (Held, error) {
	issuer, err := l.soleIssuer(opt.Issuer)
	if err != nil {
		return Held{}, err
	}
	opt.Issuer = issuer
	h, _, err := l.exchange(ctx, Key{Issuer: issuer}, func(v *view) (Record, error) { return l.askActivation(v, opt, false) })
	return h, err
}

// Renew asks for a fresh license. An activation or another request that still
// waits for its answer is finished instead: the position of the chain is only
// known again after that answer. Errors as for Activate, and ErrNotActivated.
func (l *Lifecycle) Renew(ctx context.Context, key Key) (Held, error) {
	h, _, err := l.exchange(ctx, key, func(v *view) (Record, error) {
		return l.askOrRepeat(v, key, license.RequestRenew, "")
	})
	return h, err
}

// Release gives the license back. Afterwards it is held as a receipt and does
// not run. Errors as for Renew.
func (l *Lifecycle) Release(ctx context.Context, key Key) (Held, error) {
	return l.settleThen(ctx, key, license.RequestRelease, "")
}

// Rebind settles a contested license on this device. Errors as for Renew.
func (l *Lifecycle) Rebind(ctx context.Context, key Key, code string) (Held, error) {
	return l.settleThen(ctx, key, license.RequestRebind, code)
}

// settleThen makes a request of one kind, after finishing whatever else is
// outstanding.
func (l *Lifecycle) settleThen(ctx context.Context, key Key, kind, code string) (Held, error) {
	what := func(v *view) (Record, error) { return l.askOrRepeat(v, key, kind, code) }
	h, sent, err := l.exchange(ctx, key, what)
	if err != nil || sent == kind {
		return h, err
	}
	h, _, err = l.exchange(ctx, h.Key, what)
	return h, err
}

// askOrRepeat is what is outstanding, to be sent again byte for byte, or else a
// new request.
func (l *Lifecycle) askOrRepeat(v *view, key Key, kind, code string) (Record, error) {
	if e := v.exact(key); e != nil && e.rec.Pending != nil {
		return e.rec, nil
	}
	return l.askAgain(v, key, kind, code, false)
}

// askActivation decides what an activation sends: the same bytes again for the
// same code, else a new request.
func (l *Lifecycle) askActivation(v *view, opt ActivateOptions, offline bool) (Record, error) {
	for _, e := range v.entries {
		if opt.Replace || e.rec.Key.Issuer != opt.Issuer || opt.Product != "" && e.rec.Key.Product != opt.Product {
			continue
		}
		if Decide(l.inputs(v, e, l.cfg.Clock())).Runs {
			return Record{}, fmt.Errorf("%w: product %s", ErrAlreadyActivated, e.rec.Key.Product)
		}
	}
	rec := Record{Key: Key{Issuer: opt.Issuer}}
	if e := v.exact(rec.Key); e != nil {
		rec = e.rec
	}
	if p := rec.Pending; p != nil {
		req, err := license.OpenRequest(p.Request)
		switch {
		case err == nil && req.Code == opt.Code && req.Product == opt.Product && req.Kind == p.Kind:
			return rec, nil
		case p.Offline && !opt.Replace:
			return Record{}, fmt.Errorf("%w: an activation file was made; import its answer, or replace it", ErrOutstanding)
		}
	}
	asked := rec
	asked.Key.Product = opt.Product
	asked, err := l.ask(v, asked, license.RequestActivate, opt.Code, offline)
	asked.Key = rec.Key
	return asked, err
}

// askAgain makes a request about a license that is held.
func (l *Lifecycle) askAgain(v *view, key Key, kind, code string, offline bool) (Record, error) {
	e := v.exact(key)
	switch {
	case e == nil || len(e.rec.License) == 0:
		return Record{}, ErrNotActivated
	case e.rec.Pending != nil:
		return Record{}, fmt.Errorf("%w: %s", ErrOutstanding, e.rec.Pending.Kind)
	}
	return l.ask(v, e.rec, kind, code, offline)
}

// exchange is one contact: write down what is asked, ask, take the answer. It
// also returns the kind of what was sent.
func (l *Lifecycle) exchange(ctx context.Context, key Key, what func(*view) (Record, error)) (Held, string, error) {
	if _, err := l.anchor(key.Issuer); err != nil {
		return Held{}, "", err
	}
	if err := l.Observed(); err != nil {
		return Held{}, "", err
	}
	defer l.changed()
	p, err := l.prepare(key, what)
	if err != nil {
		return Held{}, "", err
	}
	defer l.free(key)
	ans, err := l.send(ctx, key, p)
	if err != nil {
		return Held{}, p.Kind, l.failed(key, p, err)
	}
	h, err := l.commit(key, ans)
	if err == nil || errors.Is(err, ErrStore) {
		return h, p.Kind, err
	}
	v := l.snap.Load()
	if e := v.answered(key.Issuer, p.Nonce); e != nil { // the same answer came in as a file meanwhile
		return l.held(v, e, l.cfg.Clock()), p.Kind, nil
	}
	return Held{}, p.Kind, l.failed(key, p, err)
}

// prepare makes the request and its nonce durable. It is written again also
// when it is only sent again: an earlier write may have reported an error.
func (l *Lifecycle) prepare(key Key, what func(*view) (Record, error)) (Pending, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.ready(); err != nil {
		return Pending{}, err
	}
	if l.busy[key] {
		return Pending{}, fmt.Errorf("%w: it is on its way", ErrOutstanding)
	}
	v := l.snap.Load()
	rec, err := what(v)
	if e := v.exact(key); e != nil && errors.Is(err, ErrDevice) {
		return Pending{}, l.unsigned(v, e, err)
	}
	if err != nil {
		return Pending{}, err
	}
	if strings.Contains(rec.LastError, ErrDevice.Error()) {
		rec.LastError = "" // it signs again
	}
	c := l.ticked()
	c.put(rec)
	if err := l.apply(c); err != nil {
		return Pending{}, err
	}
	l.busy[key] = true
	return *rec.Pending, nil
}

func (l *Lifecycle) free(key Key) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.busy, key)
}

// send asks the merchant. No lock is held: it may take half a minute.
func (l *Lifecycle) send(ctx context.Context, key Key, p Pending) (Answer, error) {
	if l.cfg.Issuer == nil {
		return Answer{}, fmt.Errorf("%w: this agent has no connection to it", ErrUnreachable)
	}
	issuer, err := l.cfg.Issuer(key.Issuer)
	if err != nil {
		return Answer{}, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return issuer.Send(ctx, p.Request, p.IdemKey)
}

// commit verifies an answer completely and takes it in one step: license,
// chain position, key set, clock, and the request is no longer outstanding.
func (l *Lifecycle) commit(key Key, ans Answer) (Held, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.ready(); err != nil {
		return Held{}, err
	}
	v := l.snap.Load()
	e := v.exact(key)
	if e == nil {
		return Held{}, ErrWrongAnswer
	}
	a, err := l.anchor(key.Issuer)
	if err != nil {
		return Held{}, err
	}
	var prev *license.KeySet
	if e.keys != nil {
		prev = e.keys.set
	}
	o, err := l.open(a, prev, ans)
	if err != nil {
		return Held{}, err
	}
	if err := o.answers(e.rec, licenseID(v, e.rec)); err != nil {
		return Held{}, err
	}
	return l.take(v, e.rec, o)
}

// take applies a verified answer to the record that asked for it.
func (l *Lifecycle) take(v *view, asked Record, o opened) (Held, error) {
	r := l.cfg.Clock()
	clock := v.clock.Confirm(r, o.serverTime, asked.Pending.age(r))
	now, _ := clock.Believe(r)
	rec := o.settle(asked)
	rec.Days = l.unreported(v, asked)
	rec.Calendar = o.calendar
	c := Change{Clock: &clock}
	if rec.Key != asked.Key { // an activation has found its product
		c.Delete = []Key{asked.Key}
		if was := v.exact(rec.Key); was != nil {
			rec.UsedNonce = append(slices.Clone(was.rec.UsedNonce), rec.UsedNonce...)
			rec.UsedNonce = rec.UsedNonce[max(0, len(rec.UsedNonce)-keptNonces):]
		}
	}
	if o.claims != nil {
		rec.Worse = rec.Worse.After(compare(o.claims, *v.device), now)
		rec.NextTry = NextContact(l.uniform, now, contactInterval(now, o.claims.RenewBy))
		if asked.Pending.Kind == license.RequestActivate {
			rec.NextTry = FirstContact(l.uniform, now, contactInterval(now, o.claims.RenewBy))
		}
	} else {
		rec.NextTry = NextContact(l.uniform, now, ContactEvery)
	}
	if o.ended() {
		rec.NextTry = 0
	}
	c.put(rec)
	if k := v.keySets[rec.Key.Issuer]; k == nil || string(k.env) != string(o.keys.env) {
		c.KeySets = map[string][]byte{rec.Key.Issuer: o.keys.env}
	}
	clock.Count = l.nextCount(v.clock.Count)
	l.fresh = o
	err := l.apply(c)
	l.fresh = opened{}
	if err != nil {
		return Held{}, err
	}
	l.catchUp(clock.Count)
	if l.cfg.SeatPeakTold != nil && asked.Pending.Kind != license.RequestActivate {
		l.cfg.SeatPeakTold(asked.Key)
	}
	v = l.snap.Load()
	return l.held(v, v.exact(rec.Key), r), nil
}

// age is how long ago the request was made by boot time, negative when the
// machine was booted since.
func (p *Pending) age(r Reading) int64 {
	if p.BootID != r.BootID || r.Boot < p.Boot {
		return -1
	}
	return r.Boot - p.Boot
}

// failed books a contact that brought nothing and returns the error for the
// caller. A refusal is final for this request: the merchant did not execute it.
func (l *Lifecycle) failed(key Key, p Pending, cause error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.ready(); err != nil {
		return errors.Join(cause, err)
	}
	v := l.snap.Load()
	e := v.exact(key)
	if e == nil || e.rec.Pending == nil || e.rec.Pending.Nonce != p.Nonce {
		return cause
	}
	r := l.cfg.Clock()
	now, _ := v.clock.Believe(r)
	rec := e.rec
	rec.Failures++
	rec.LastError = cause.Error()
	var refused *RefusedError
	var wait time.Duration
	final := false
	if errors.As(cause, &refused) {
		wait = refused.RetryAfter
		final = !errors.Is(cause, ErrUnreachable)
	}
	c := l.ticked()
	var free int64
	l.budget[key.Issuer], free = l.budget[key.Issuer].Take(now)
	renewBy := int64(0)
	if e.claims != nil && Decide(l.inputs(v, e, r)).Runs {
		renewBy = e.claims.RenewBy
	}
	rec.NextTry = max(retry(l.uniform, now, renewBy, rec.Failures, wait), free)
	switch {
	case final && len(rec.License) == 0:
		c.Delete = append(c.Delete, key)
	case final:
		rec.Pending = nil
		rec.NextTry = NextContact(l.uniform, now, ContactEvery)
		c.put(rec)
	default:
		c.put(rec)
	}
	if err := l.apply(c); err != nil {
		return errors.Join(cause, err)
	}
	return cause
}

// unsigned writes down that the device key did not sign a request: who asks for the
// status in a week is told too. Nothing has left the machine, so it costs nothing of
// what spares the merchant, and a chip that is back is asked again soon.
func (l *Lifecycle) unsigned(v *view, e *entry, cause error) error {
	r := l.cfg.Clock()
	now, _ := v.clock.Believe(r)
	rec := e.rec
	rec.LastError = cause.Error()
	switch {
	case rec.NextTry == 0: // given back: nothing more is asked
	case Decide(l.inputs(v, e, r)).Runs:
		rec.NextTry = now + DeviceEvery
	default:
		rec.NextTry = now + RetryBase
	}
	c := l.ticked()
	c.put(rec)
	if err := l.apply(c); err != nil {
		return errors.Join(cause, err)
	}
	return cause
}

// Refresh fetches the key set of a vendor by itself: news about revocations
// between two contacts. Errors are those of Issuer.KeySet, ErrAnswer, ErrStore.
func (l *Lifecycle) Refresh(ctx context.Context, issuer string) error {
	a, err := l.anchor(issuer)
	if err != nil {
		return err
	}
	if l.cfg.Issuer == nil {
		return fmt.Errorf("%w: this agent has no connection to it", ErrUnreachable)
	}
	m, err := l.cfg.Issuer(issuer)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	env, err := m.KeySet(ctx)
	if err != nil {
		return err
	}
	defer l.changed()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.takeKeySet(a, env)
}

// takeKeySet replaces the key set of a vendor by a newer one.
func (l *Lifecycle) takeKeySet(a license.Anchor, env []byte) error {
	if err := l.ready(); err != nil {
		return err
	}
	var prev *license.KeySet
	if k := l.snap.Load().keySets[a.Issuer]; k != nil {
		if string(k.env) == string(env) {
			return nil
		}
		prev = k.set
	}
	if _, err := license.OpenKeySet(a, prev, env); err != nil {
		return fmt.Errorf("%w: key set: %w", ErrAnswer, err)
	}
	return l.apply(Change{KeySets: map[string][]byte{a.Issuer: env}})
}

func (l *Lifecycle) anchor(issuer string) (license.Anchor, error) {
	a, ok := l.anchors[issuer]
	if !ok {
		return a, fmt.Errorf("%w: %q", ErrUnknownIssuer, issuer)
	}
	return a, nil
}

// soleIssuer completes an issuer that was not named.
func (l *Lifecycle) soleIssuer(issuer string) (string, error) {
	if issuer == "" && len(l.anchors) == 1 {
		for only := range l.anchors {
			return only, nil
		}
	}
	_, err := l.anchor(issuer)
	return issuer, err
}
