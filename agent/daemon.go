// Package agent is the daemon: it keeps the licenses of one instance alive
// (renewal loop, clock ticks, observation of the hardware), tells who waits for
// changes, and implements localapi.Licenses over the life cycle. It opens no
// file, socket or connection itself; everything arrives in Config. It is not
// stable API.
package agent

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"licenseagent.example/activation"
	"licenseagent.example/agent/api"
	"licenseagent.example/agent/seats"
)

// Config is everything a Daemon needs. Activation must be complete except for
// OnChange, which the daemon sets.
type Config struct {
	Activation activation.Config
	Version    api.Version
	KeyTier    string // where the device key lives: file, os or tpm
	// CrossCheck compares the observation with independent sources and returns
	// the disagreements in words. It may take a minute; nil: there is none.
	CrossCheck func(context.Context) []string
	// Boot is seconds since boot, suspend included; the same clock as
	// Activation.Clock. Nil means Activation.Clock().Boot.
	Boot func() int64
	// Notices asks the merchant of a vendor whether there is news about a
	// license and may wait a minute for the answer; nil: only the regular
	// contacts tell. poll is signed. Uniform gives numbers in [0, 1) for the
	// pauses after failures and is needed with Notices.
	Notices func(ctx context.Context, issuer, licenseID string, poll []byte) (bool, error)
	Uniform func() float64
	// Sockets lists what the process holds open, for diagnose; nil: unknown.
	Sockets func() []string
	// Process describes the process, for diagnose; nil: unknown.
	Process  func() api.Process
	Settings []api.Setting // for diagnose
	Redact   *Redactor     // nil: a new one
	Log      *slog.Logger  // nil: no log
	// Serial is where the serials of events begin. A different number at each
	// start (such as the time) lets a program that waited across a restart
	// notice that it may have missed something.
	Serial uint64
	// SeatLog keeps the seats while the agent is started anew.
	SeatLog SeatLog
}

// Rhythm of the daemon. Times are seconds of Config.Boot, which goes on while
// the machine sleeps.
const (
	observeEvery = 6 * 3600
	crossEvery   = 24 * 3600
	// longestSleep bounds how late a wake-up after suspend is noticed: Go's
	// timers stand still while the machine sleeps (golang/go#24595).
	longestSleep = 60
	// shortestSleep keeps an idle agent from waking more often than once in
	// ten seconds; things that are due within it wait for its end, except
	// changes of a verdict, which are exact to the second anyway because every
	// answer is decided afresh.
	shortestSleep = 10
	// contactPause is the least time between two attempts for one license,
	// whatever the plan says: a plan that cannot be stored must not become a loop.
	contactPause   = 60
	contactTimeout = 90 * time.Second
	contactsAtOnce = 4
)

// Daemon is one running instance. Make it with New, keep it alive with Run.
type Daemon struct {
	cfg    Config
	life   *activation.Lifecycle
	hub    *hub
	log    *slog.Logger
	redact *Redactor

	wake      chan struct{} // something changed: plan again
	attention chan struct{} // something changed: look whom to ask for notices
	health    health
	cross     atomic.Pointer[[]string]
	ready     atomic.Pointer[readyVerdict]
	working   sync.WaitGroup
	slots     chan struct{}
	seats     *seats.Table
	restored  []*seats.Held
	settled   chan struct{} // closed when answers may be given

	mu       sync.Mutex
	contacts map[activation.Key]*attempt
	short    map[activation.Key]int64 // boot seconds of the last event about seats
}

// attempt is the newest contact for one license.
type attempt struct {
	running bool
	at      int64 // boot seconds
}

// New loads the state. Errors are those of activation.New.
func New(cfg Config) (*Daemon, error) {
	d := &Daemon{
		cfg: cfg, log: cfg.Log, redact: cfg.Redact,
		wake: make(chan struct{}, 1), attention: make(chan struct{}, 1), contacts: map[activation.Key]*attempt{}, slots: make(chan struct{}, contactsAtOnce),
		settled: make(chan struct{}),
	}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	if d.redact == nil {
		d.redact = NewRedactor()
	}
	if d.cfg.Boot == nil {
		if cfg.Activation.Clock == nil {
			return nil, errors.New("agent: Config.Activation.Clock is missing")
		}
		d.cfg.Boot = func() int64 { return cfg.Activation.Clock().Boot }
	}
	d.hub = newHub(cfg.Serial)
	d.cfg.Activation.OnChange = d.changed
	if err := d.openSeats(cfg.Activation.Rand); err != nil {
		return nil, err
	}
	life, err := activation.New(d.cfg.Activation)
	if err != nil {
		return nil, err
	}
	d.life = life
	held := d.life.Held()
	d.hub.update(held, d.now())
	if len(life.AskFirst()) == 0 {
		d.reviseSeats(held)
		close(d.settled)
	}
	return d, nil
}

// now is the effective time.
func (d *Daemon) now() int64 {
	t, _ := d.life.Now()
	return t
}

// changed is called by the life cycle after something visible changed.
func (d *Daemon) changed() {
	d.tell()
	for _, c := range []chan struct{}{d.wake, d.attention} {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// tell publishes what is different since last time, and nothing before the
// first answer may be given.
func (d *Daemon) tell() {
	select {
	case <-d.settled:
	default:
		return
	}
	held := d.life.Held()
	d.reviseSeats(held)
	for _, e := range d.hub.update(held, d.now()) {
		if h := e.Hardware; h != nil && h.Warning {
			d.log.Warn("hardware differs from what the license was issued for", "issuer", e.Issuer, "product", e.Product,
				"outcome", h.Outcome, "lost", h.Lost, "unreadable", h.Unreadable, "points_left", h.Left, "next", "license-agent why")
			continue
		}
		d.log.Info("license changed", "kind", e.Kind, "issuer", e.Issuer, "product", e.Product, "phase", e.Phase, "runs", e.Runs, "reason", e.Reason)
	}
}

// Run keeps the instance alive until ctx ends: it writes ticks, reads the
// hardware, contacts the merchant when that is due and publishes verdicts that
// time has changed. It returns after everything it started has ended and the
// last tick is written.
func (d *Daemon) Run(ctx context.Context) error {
	plan := schedule{observe: d.cfg.Boot() + observeEvery, cross: d.cfg.Boot()}
	timer := time.NewTimer(0)
	defer timer.Stop()
	d.settle(ctx)
	if d.cfg.Notices != nil {
		d.working.Go(func() { d.attend(ctx) })
	}
	for {
		select {
		case <-ctx.Done():
			d.working.Wait()
			return d.life.Stop()
		case <-timer.C:
		case <-d.wake:
		}
		timer.Reset(d.step(ctx, &plan))
	}
}

// schedule is when the daemon's own work is due, in boot seconds.
type schedule struct {
	observe, cross int64
	quiet          int64 // no tick before this, after one that failed
}

// step does what is due and says how long to sleep.
func (d *Daemon) step(ctx context.Context, plan *schedule) time.Duration {
	boot := d.cfg.Boot()
	d.health.turns.Add(1)
	due := d.life.Due()
	if due.Tick && boot >= plan.quiet {
		if err := d.life.Tick(); err != nil {
			d.log.Error("the time could not be stored; licenses go on answering", "error", d.redact.Error(err))
			plan.quiet = boot + shortestSleep
		}
	}
	if boot >= plan.observe {
		plan.observe = boot + observeEvery
		if err := d.life.Observed(); err != nil {
			d.log.Error("the observation could not be stored", "error", d.redact.Error(err))
		}
		due = d.life.Due() // it may have made a contact due
	}
	if boot >= plan.cross && d.cfg.CrossCheck != nil {
		plan.cross = boot + crossEvery
		d.working.Go(func() { d.crossCheck(ctx) })
	}
	for _, key := range due.Contact {
		d.contact(ctx, key, boot)
	}
	d.tell() // time alone may have changed a verdict
	due = d.life.Due()
	sleep := min(due.At-due.Now, plan.observe-boot, longestSleep)
	if d.cfg.CrossCheck != nil {
		sleep = min(sleep, plan.cross-boot)
	}
	return time.Duration(max(sleep, shortestSleep)) * time.Second
}

// contact starts a renewal unless one is under way or the last attempt was
// just now.
func (d *Daemon) contact(ctx context.Context, key activation.Key, boot int64) {
	d.mu.Lock()
	a := d.contacts[key]
	if a == nil {
		a = &attempt{at: boot - contactPause}
		d.contacts[key] = a
	}
	if a.running || boot-a.at < contactPause {
		d.mu.Unlock()
		return
	}
	a.running, a.at = true, boot
	d.mu.Unlock()
	d.working.Go(func() {
		defer func() {
			d.mu.Lock()
			a.running = false
			d.mu.Unlock()
		}()
		_ = d.meet(ctx, key) // what failed is in the log and planned again
	})
}

// meet makes one contact as soon as there is room for it.
func (d *Daemon) meet(ctx context.Context, key activation.Key) error {
	select {
	case d.slots <- struct{}{}:
		defer func() { <-d.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, contactTimeout)
	defer cancel()
	defer d.health.timed()()
	began := d.cfg.Boot()
	h, err := d.life.Renew(ctx, key)
	if err != nil {
		d.log.Warn("contact with the merchant failed", "issuer", key.Issuer, "product", key.Product, "seconds", d.cfg.Boot()-began, "error", d.redact.Error(err))
		return err
	}
	d.log.Info("contact with the merchant", "issuer", h.Key.Issuer, "product", h.Key.Product, "phase", h.Verdict.Phase, "next", h.NextTry)
	return nil
}

// crossCheck compares with independent sources in the background.
func (d *Daemon) crossCheck(ctx context.Context) {
	notes := d.cfg.CrossCheck(ctx)
	for i := range notes {
		notes[i] = d.redact.Text(notes[i])
	}
	d.cross.Store(&notes)
	for _, n := range notes {
		d.log.Warn("sources of the fingerprint disagree", "note", n)
	}
}
