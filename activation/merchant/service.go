package merchant

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"licenseagent.example/activation/license"
)

// ErrNotFound is returned when a code, license or key named by an operator does not exist.
var ErrNotFound = errors.New("merchant: not found")

// Terms are the vendor's rules, in seconds where not said otherwise.
type Terms struct {
	Renew     int64 // from an answer to renew-by
	Grace     int64 // from renew-by to grace-until
	Rebind    int64 // a contested seat settles itself at most once in this time
	Roll      int64 // a changed part is taken over at most once in this time
	PopularAt int64 // a hardware value seen on this many devices identifies none
}

// DefaultTerms are the terms of a vendor who said nothing: contact within a
// week, two weeks of grace, one self-service re-bind and one exchanged part a
// month, twenty devices.
func DefaultTerms() Terms {
	return Terms{Renew: 7 * day, Grace: 14 * day, Rebind: 30 * day, Roll: 30 * day, PopularAt: 20}
}

// Options are what a Service is made of. All but Keys, Terms and Log are required.
type Options struct {
	DB     *Database
	KeyDir string   // directory of the online keys and of the secrets
	Keys   KeyStore // online keys, nil: files in KeyDir
	Clock  func() time.Time
	Rand   io.Reader
	Log    *slog.Logger // nil: nothing is logged
	Terms  Terms        // zero: DefaultTerms
	Market MarketOptions
	// Notices is how many agents may wait for a notice at a time, 0: none.
	Notices int
}

// Service issues licenses. It is safe for concurrent use.
type Service struct {
	opts    Options
	db      *Database
	clock   func() time.Time
	log     *slog.Logger
	metrics *metrics
	issuer  string
	pepper  []byte // key of the code lookup
	crowd   []byte // key of the popular values

	keysMu sync.Mutex
	keys   *keyState

	problems    problemList
	certificate time.Time // end of the TLS certificate; guarded by problems.mu

	tidied  int64 // when old names were last forgotten; the writer's own
	forgets bool  // no request is known again: the controls of the tests

	name           string // under which this service holds leases
	market         MarketOptions
	redeeming      chan struct{}
	wake           chan struct{} // there is new work
	kept, measured atomic.Int64  // UTC seconds of the last housekeeping and measuring
	hub            hub
	met            sync.Map // forms of callbacks that the log has named

	closing sync.RWMutex
	closed  bool
	queue   chan *job
	urgent  chan *job
	stopped chan struct{}
}

// queueLength bounds the requests that wait for the writer. More would wait
// longer than a client does.
const queueLength = 4096

// New starts a service on an open database, which it does not close. A database
// without keys is served too, but refuses everything except InitKeys.
func New(ctx context.Context, o Options) (*Service, error) {
	if o.DB == nil || o.KeyDir == "" || o.Clock == nil || o.Rand == nil {
		return nil, errors.New("merchant: Options needs DB, KeyDir, Clock and Rand")
	}
	if o.Terms == (Terms{}) {
		o.Terms = DefaultTerms()
	}
	if o.Keys == nil {
		o.Keys = FileKeys{Dir: o.KeyDir, Rand: o.Rand}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Service{
		opts: o, db: o.DB, clock: o.Clock, log: o.Log, metrics: newMetrics(),
		queue: make(chan *job, queueLength), urgent: make(chan *job, queueLength), stopped: make(chan struct{}),
		redeeming: make(chan struct{}, redeemers), wake: make(chan struct{}, 1),
		hub: newHub(),
	}
	var err error
	if s.market, err = o.Market.withDefaults(); err != nil {
		return nil, err
	}
	if s.name, err = newName(o.Rand); err != nil {
		return nil, err
	}
	if err := s.checkProducts(); err != nil {
		return nil, err
	}
	for _, q := range s.db.hotQueries() {
		if _, err := s.db.prepared(ctx, q); err != nil {
			return nil, fmt.Errorf("merchant: %w", err)
		}
	}
	go s.writeLoop()
	err = s.change(ctx, func(t *tx) error {
		a, err := t.anchor()
		if errors.Is(err, ErrNotInitialised) {
			return nil
		}
		s.issuer = a.Issuer
		return err
	})
	if err == nil && s.issuer != "" {
		err = s.loadSecrets(false)
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Issuer is the name of the vendor, "" before InitKeys.
func (s *Service) Issuer() string { return s.issuer }

// Anchor returns the trust anchor without address and TLS roots.
func (s *Service) Anchor(ctx context.Context) (license.Anchor, error) {
	var a license.Anchor
	err := s.change(ctx, func(t *tx) (err error) {
		a, err = t.anchor()
		return err
	})
	return a, err
}

func (s *Service) loadSecrets(create bool) (err error) {
	if s.pepper, err = secret(filepath.Join(s.opts.KeyDir, "lookup.key"), s.opts.Rand, create); err != nil {
		return err
	}
	s.crowd, err = secret(filepath.Join(s.opts.KeyDir, "popular.key"), s.opts.Rand, create)
	return err
}

// Close waits until everything accepted is committed and answered. Later
// requests are refused as unavailable.
func (s *Service) Close() {
	s.closing.Lock()
	if !s.closed {
		s.closed = true
		close(s.queue)
		close(s.urgent)
	}
	s.closing.Unlock()
	<-s.stopped
}
