package activation

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"

	"licenseagent.example/activation/license"
	"licenseagent.example/fingerprint"
)

// Defaults of Config.
const (
	// DefaultWarn is how many seconds before the entitlement end "expiring" starts.
	DefaultWarn = 14 * 86400
	// NonceSize is the length of every nonce in bytes.
	NonceSize = 32
	// keptNonces is how many answered requests of a license are remembered, to
	// call a second import by its name.
	keptNonces = 16
)

// Config is everything a Lifecycle needs. Store, Device, Observe, Clock and
// Rand are required; Issuer only for contacts on line.
type Config struct {
	Store   StateStore
	Anchors []license.Anchor
	// Issuer reaches the merchant of one vendor.
	Issuer func(issuer string) (Issuer, error)
	// Device signs with the device key; safe for concurrent use.
	Device license.Signer
	// Observe reads the hardware. It is called without locks held and may take
	// a second.
	Observe func() fingerprint.Device
	// Clock reads the clocks; called for every check.
	Clock func() Reading
	// Rand is a source of secret random bytes.
	Rand io.Reader
	// Warn is Inputs.Warn; 0 means DefaultWarn.
	Warn int64
	// AgentVersion is told to the merchant, at most 64 characters.
	AgentVersion string
	// Counter is a counter outside the state that only grows (in a TPM); the zero
	// value: there is none. See counter.go.
	Counter Counter
	// SeatPeak is the most seats of a license that were used at once since the
	// merchant was last told; SeatPeakTold is called when it has been told. Both
	// are called with locks held and must not call back; nil: seats are not counted.
	SeatPeak     func(Key) int64
	SeatPeakTold func(Key)
	// OnChange is called after something visible changed, without locks held; may be nil.
	OnChange func()
}

// Lifecycle is the licenses of one instance: what is held, what was asked, and
// what to do next. All methods are safe for concurrent use. Check, Held and the
// other reads take no lock and never wait for a network or the disk.
type Lifecycle struct {
	cfg      Config
	pub      license.PublicKey
	deviceID string
	anchors  map[string]license.Anchor

	snap atomic.Pointer[view] // what readers see; replaced as a whole

	mu       sync.Mutex   // one writer; never held while talking to a merchant
	observed sync.Mutex   // one reader of the hardware; taken before mu
	looks    atomic.Int64 // reads of the hardware that have begun
	stopped  bool         // the store failed and must be loaded again
	busy     map[Key]bool
	budget   map[string]Budget
	told     string // what OnChange was last called for
	fresh    opened // the answer that is just being taken, verified already
	count    int64  // what Counter said last, 0: nothing yet
	askFirst []Key  // see AskFirst
}

// New loads the state and verifies every envelope. A license that does not
// verify, or whose vendor is not known any more, is reported by Held and is no
// error. Errors: an incomplete Config, or a store that cannot be read.
func New(cfg Config) (*Lifecycle, error) {
	if cfg.Store == nil || cfg.Device == nil || cfg.Observe == nil || cfg.Clock == nil || cfg.Rand == nil {
		return nil, errors.New("activation: Config needs Store, Device, Observe, Clock and Rand")
	}
	if cfg.Warn == 0 {
		cfg.Warn = DefaultWarn
	}
	l := &Lifecycle{
		cfg: cfg, pub: cfg.Device.Public(), anchors: map[string]license.Anchor{},
		busy: map[Key]bool{}, budget: map[string]Budget{},
	}
	l.deviceID = license.DeviceID(l.pub)
	for _, a := range cfg.Anchors {
		if err := a.Validate(); err != nil {
			return nil, fmt.Errorf("activation: trust anchor of %q: %w", a.Issuer, err)
		}
		l.anchors[a.Issuer] = a
	}
	device := cfg.Observe()
	state, err := cfg.Store.Load()
	if err != nil {
		return nil, fmt.Errorf("activation: loading the state: %w", err)
	}
	l.publish(state, &device) // nobody else has it yet
	if slices.ContainsFunc(l.snap.Load().entries, func(e *entry) bool { return stopsAtOnce(e.cmp) }) {
		again := cfg.Observe()
		l.publish(state, &again)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	// Book the read and the tick of this start. A full disk must not keep the
	// agent from answering, so an error here is left to the next Tick.
	c := l.starting()
	putBack := l.witness(&c)
	if err := l.apply(c); err != nil {
		if l.stopped {
			return nil, err
		}
		// What the counter has shown holds without a disk, too.
		state = l.snap.Load().state()
		state.take(Change{Put: putBack})
		l.publish(state, l.snap.Load().device)
	}
	l.told = l.signature()
	return l, nil
}

// starting is the change that a start books: the tick, the debounce step, and
// contacts that fell due while nothing ran, spread out.
func (l *Lifecycle) starting() Change {
	c := l.ticked()
	v := l.snap.Load()
	now, _ := v.clock.Believe(l.cfg.Clock())
	for _, e := range v.entries {
		rec := e.rec
		switch ask := e.read(&rec, now); {
		case ask:
			l.askFirst = append(l.askFirst, rec.Key)
		case rec.NextTry > 0 && rec.NextTry <= now:
			renewBy := int64(0)
			if e.claims != nil {
				renewBy = e.claims.RenewBy
			}
			rec.NextTry = BootContact(l.uniform, now, renewBy)
		}
		if rec.Worse != e.rec.Worse || rec.NextTry != e.rec.NextTry {
			c.put(rec)
		}
	}
	return c
}

// AskFirst lists the licenses whose contact has to come before the first answer
// of this run: the virtual machine's only value was made anew, so that the
// answer is no until the merchant has taken the new one over. Whoever runs the
// agent calls Renew for them and gives no answer meanwhile, for a bounded time.
// It never changes.
func (l *Lifecycle) AskFirst() []Key { return l.askFirst }

// put adds a record to a change, in place of an earlier form of it.
func (c *Change) put(r Record) {
	for i := range c.Put {
		if c.Put[i].Key == r.Key {
			c.Put[i] = r
			return
		}
	}
	c.Put = append(c.Put, r)
}

// apply makes a change durable and then visible, in this order. After an error
// the store has stopped and may hold either state, so it is asked.
func (l *Lifecycle) apply(c Change) error {
	if err := l.ready(); err != nil {
		return err
	}
	v := l.snap.Load()
	if err := l.cfg.Store.Apply(c); err != nil {
		l.stopped = true
		if again := l.ready(); again != nil {
			return fmt.Errorf("%w: %w", again, err)
		}
		return fmt.Errorf("%w: %w", ErrStore, err)
	}
	state := v.state()
	state.take(c)
	l.publish(state, v.device)
	return nil
}

// ready loads the state again after the store has stopped. Until that succeeds
// the last state that was read keeps answering.
func (l *Lifecycle) ready() error {
	if !l.stopped {
		return nil
	}
	state, err := l.cfg.Store.Load()
	if err != nil {
		return fmt.Errorf("%w: loading again: %w", ErrStore, err)
	}
	l.stopped = false
	l.publish(state, l.snap.Load().device)
	return nil
}

// changed calls OnChange when a verdict or a fact beside it differs from what
// was told last. It must be called without locks held.
func (l *Lifecycle) changed() {
	l.mu.Lock()
	now := l.signature()
	differs := now != l.told
	l.told = now
	l.mu.Unlock()
	if differs && l.cfg.OnChange != nil {
		l.cfg.OnChange()
	}
}

// signature sums up what OnChange is for.
func (l *Lifecycle) signature() string {
	s := ""
	for _, h := range l.Held() {
		s += fmt.Sprintln(h.Key, h.Verdict.Phase, h.Verdict.Reason, h.Verdict.Flags, h.Contact, h.LastError, h.Pending, h.ID, h.Comparison.Parts)
	}
	return s
}

// uniform is a number in [0, 1) from the secret source. A source that fails
// gives the middle: only jitter is lost.
func (l *Lifecycle) uniform() float64 {
	var b [7]byte
	if _, err := io.ReadFull(l.cfg.Rand, b[:]); err != nil {
		return 0.5
	}
	n := uint64(0)
	for _, x := range b {
		n = n<<8 | uint64(x)
	}
	return float64(n>>3) / (1 << 53)
}
