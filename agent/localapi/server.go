package localapi

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"licenseagent.example/agent/api"
	"licenseagent.example/agent/seats"
	"licenseagent.example/platform/ipc"
)

// Licenses is what the local API asks: the daemon, or a fake in tests. All
// methods may be called at the same time. lang is api.English or api.Chinese.
// Errors are those of package activation, or an *api.Error.
type Licenses interface {
	Version() api.Version
	// Settled is closed when the first answer may be given.
	Settled() <-chan struct{}
	// Serial grows with each change; it is cheap and called for every status.
	Serial() uint64
	Status(lang string) api.Status
	Check(product, issuer string, nonce []byte, lang string) (Checked, error)
	// Reread reads the hardware, for the proof of the next Check.
	Reread()
	Files(key api.KeyRequest) (api.Files, error)
	Why(key api.KeyRequest, lang string) (api.Explanation, error)
	Simulate(q api.SimulateRequest, lang string) (api.Explanation, error)
	// Events waits until something after since has happened or ctx ends.
	Events(ctx context.Context, since uint64) api.Events
	// TakeSeat waits for a seat until ctx ends. Errors are also those of seats.Table.Take.
	TakeSeat(ctx context.Context, c seats.Claim, q api.SeatRequest, lang string) (*seats.Held, api.SeatAnswer, error)
	Seats() api.Seats

	Preview(ctx context.Context, issuer string) (api.Preview, error)
	Activate(ctx context.Context, q api.ActivateRequest, lang string) (api.Outcome, error)
	Renew(ctx context.Context, key api.KeyRequest, lang string) (api.Outcome, error)
	Release(ctx context.Context, key api.KeyRequest, lang string) (api.Outcome, error)
	Rebind(ctx context.Context, q api.RebindRequest, lang string) (api.Outcome, error)
	Request(ctx context.Context, q api.OfflineRequest) (api.RequestFile, error)
	Import(ctx context.Context, answer []byte, lang string) (api.Outcome, error)
	Diagnose(ctx context.Context, lang string) (api.Diagnosis, error)
}

// Checked is the answer to a check: three DSSE envelopes, which nobody changes
// afterwards (License and KeySet are recognised by their memory), and, for
// people, the verdict as the JSON of an api.Verdict, which an implementation can keep ready.
type Checked struct {
	License, KeySet, Proof []byte
	Verdict                []byte
}

// Config is everything a Server needs. Licenses, Identify and Now must be set.
type Config struct {
	Licenses Licenses
	// Identify asks the kernel who is at the other end of a connection that
	// the listener accepted. An error or an empty User means refusal.
	Identify func(net.Conn) (Caller, error)
	Now      func() time.Time
	// Process asks the kernel which process made a connection, so that a seat
	// ends with it; nil: the end of the connection decides alone.
	Process func(net.Conn) (*ipc.Process, error)
	// Keep gives what holds a seat to somebody who outlives the agent, before
	// the caller is told that it has the seat; it returns how to take it back.
	// nil: nobody does.
	Keep   func(Holding) (forget func())
	Log    *slog.Logger // nil: no log
	Limits Limits
	// Start distinguishes the request ids of two runs; any number that changes
	// with each start.
	Start uint64
}

// Server answers the local API. Make it with New.
type Server struct {
	cfg      Config
	limits   Limits
	log      *slog.Logger
	routes   map[string]*route
	gate     *gate
	requests atomic.Uint64
	rejected rejections
	loud     loud
	statuses [2]statusCache // English, Chinese
	leading  atomic.Pointer[leading]
	buffers  sync.Pool // of *[]byte, answers to checks
	limiter  atomic.Pointer[limiter]
	closing  atomic.Bool
	patience time.Duration            // drainFor
	guard    func(*http.Request) bool // foreign; the controls of the tests put another one
	held     holdings
	http     *http.Server
	ctx      context.Context
	cancel   context.CancelFunc
}

// ErrNoAccessClass is returned by New when a route was added without deciding
// who may call it.
var ErrNoAccessClass = errors.New("localapi: a route has no access class")

// ErrConfig is returned by New when a required field of Config is missing.
var ErrConfig = errors.New("localapi: incomplete configuration")

// New prepares a server; nothing listens yet.
func New(cfg Config) (*Server, error) {
	if cfg.Licenses == nil || cfg.Identify == nil || cfg.Now == nil {
		return nil, ErrConfig
	}
	s := &Server{cfg: cfg, limits: cfg.Limits.orDefault(), log: cfg.Log, patience: drainFor, guard: foreign}
	s.held.users, s.held.open = map[string]int{}, map[io.Closer]string{}
	if s.cfg.Keep == nil {
		s.cfg.Keep = func(Holding) func() { return func() {} }
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.gate = newGate(cfg.Now, s.limits)
	s.buffers.New = func() any { return new([]byte) }
	s.routes = s.table()
	if err := checkTable(s.routes); err != nil {
		return nil, err
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.http = &http.Server{
		Handler:           s,
		ReadHeaderTimeout: s.limits.Header,
		ReadTimeout:       s.limits.Request,
		WriteTimeout:      s.limits.Request,
		IdleTimeout:       s.limits.Idle,
		MaxHeaderBytes:    4 << 10, // net/http adds 4 KiB of its own: 8 KiB in all
		ConnContext:       withConn,
		ConnState:         noteState,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		// OPTIONS * is not ours; the mux of net/http never sees it.
		DisableGeneralOptionsHandler: true,
	}
	return s, nil
}

func checkTable(routes map[string]*route) error {
	for path, r := range routes {
		if r.access == undecided {
			return errors.Join(ErrNoAccessClass, errors.New(path))
		}
		r.counts = &counts{}
	}
	return nil
}

// Serve answers connections of ln until Shutdown. It closes ln and returns
// nil after Shutdown, or the reason why accepting failed. Until the licenses are
// settled, callers wait in the queue of ln.
func (s *Server) Serve(ln net.Listener) error {
	l := newLimiter(ln, s)
	defer l.abandon()
	s.limiter.Store(l)
	select {
	case <-s.cfg.Licenses.Settled():
	case <-s.ctx.Done():
	}
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) && !s.closing.Load() {
		return err
	}
	return nil
}

// Shutdown ends long polls, lets running requests finish while ctx lasts, and
// then closes every connection. Seats are let go without being given back: the
// next run takes them up. A caller that was accepted just before still
// gets its answer.
func (s *Server) Shutdown(ctx context.Context) error {
	s.cancel()
	s.drain(ctx)
	s.held.shut()
	if err := s.http.Shutdown(ctx); err != nil {
		return errors.Join(err, s.http.Close())
	}
	return nil
}

// ServeHTTP takes one request through the decisions in their fixed order:
// foreign, identity, route, method, access, form, turn.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := exchange{s: s, w: w, r: r}
	if s.guard(r) {
		s.rejected.add(api.CodeForeignRequest)
		w.Header()["Connection"] = []string{"close"}
		x.fail(&api.Error{Code: api.CodeForeignRequest})
		return
	}
	asked(r.Context())
	caller, ok := callerOf(r.Context())
	if !ok {
		s.rejected.add(api.CodeNoIdentity)
		x.fail(&api.Error{Code: api.CodeNoIdentity})
		return
	}
	x.caller = caller
	rt := s.routes[r.URL.Path]
	if rt == nil {
		x.fail(&api.Error{Code: api.CodeNotFound})
		return
	}
	x.counts = rt.counts
	switch {
	case r.Method != rt.method:
		w.Header().Set("Allow", rt.method)
		x.fail(&api.Error{Code: api.CodeMethod})
		return
	case rt.access == admin && !caller.Admin:
		x.fail(&api.Error{Code: api.CodePermission})
		return
	case malformed(r):
		w.Header()["Connection"] = []string{"close"}
		x.fail(&api.Error{Code: api.CodeBadRequest})
		return
	}
	x.run(rt)
}

// run executes the route, with a turn at the gate for quick ones and with more
// time for the others.
func (x *exchange) run(rt *route) {
	switch rt.pace {
	case quick:
		if !x.s.gate.enter(x.r.Context(), x.caller.User) {
			x.fail(&api.Error{Code: api.CodeBusy})
			return
		}
		defer x.s.gate.leave()
	case poll:
		x.extend(x.s.limits.Wait)
	case slow:
		x.extend(x.s.limits.Action)
	}
	if rt.pace != quick {
		defer x.untilShutdown()()
	}
	if err := rt.serve(x); err != nil {
		x.fail(err)
	}
}

// untilShutdown ends the context of a request that may last when the server
// ends. A quick one, and above all its wait at the gate, goes on instead: the
// caller is owed the answer, and there is nobody else who could give it.
func (x *exchange) untilShutdown() (done func()) {
	ctx, cancel := context.WithCancel(x.r.Context())
	stop := context.AfterFunc(x.s.ctx, cancel)
	x.r = x.r.WithContext(ctx)
	return func() { stop(); cancel() }
}

// extend moves the deadlines of the connection: the shipped ones are for quick
// requests. The next request of the connection sets its own again.
func (x *exchange) extend(d time.Duration) {
	until := x.s.cfg.Now().Add(d + x.s.limits.Request)
	c := http.NewResponseController(x.w)
	// Both fail only for a connection that is gone already.
	_ = c.SetReadDeadline(until)
	_ = c.SetWriteDeadline(until)
}

// requestID makes the id that an error and its log line share.
func (s *Server) requestID() string {
	const digits = 8
	text := strconv.FormatUint(s.requests.Add(1), 16)
	start := strconv.FormatUint(s.cfg.Start&0xffffffff, 16)
	for len(start) < digits {
		start = "0" + start
	}
	return start + "-" + text
}
