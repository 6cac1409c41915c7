package localapi

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"licenseagent.example/activation"
	"licenseagent.example/agent/api"
	"licenseagent.example/agent/seats"
)

// fake is the second implementation of Licenses: it answers from fields.
type fake struct {
	serial  atomic.Uint64
	err     error // returned by every call that can fail
	block   chan struct{}
	fault   func(name string) // planted; called before the answer
	mu      sync.Mutex
	calls   []string
	changed chan struct{}
	table   *seats.Table
	total   int64 // seats of the license
	settled chan struct{}
}

func newFake() *fake {
	f := &fake{changed: make(chan struct{}), total: 1 << 20}
	f.table, _ = seats.New(seats.Config{Now: func() int64 { return 1798963200 }, Start: "t"}, nil)
	return f
}

func (f *fake) TakeSeat(ctx context.Context, c seats.Claim, q api.SeatRequest, _ string) (*seats.Held, api.SeatAnswer, error) {
	if err := f.called("seat"); err != nil {
		return nil, api.SeatAnswer{}, err
	}
	c.Key = activation.Key{Issuer: "acme", Product: q.Product}
	h, n, err := f.table.Take(ctx, c, f.total)
	if err != nil {
		return nil, api.SeatAnswer{}, err
	}
	return h, api.SeatAnswer{
		Seat:  api.Seat{ID: h.Seat, Issuer: "acme", Product: q.Product, User: h.User, Account: h.Account, PID: h.PID, Since: h.Since},
		Count: api.SeatCount{Issuer: "acme", Product: q.Product, Total: n.Total, Used: n.Used, Waiting: n.Waiting, Peak: n.Peak},
	}, nil
}

func (f *fake) Seats() api.Seats {
	out := api.Seats{Counts: []api.SeatCount{}, Seats: []api.Seat{}}
	for k, n := range f.table.Counts() {
		out.Counts = append(out.Counts, api.SeatCount{Issuer: k.Issuer, Product: k.Product, Total: n.Total, Used: n.Used, Waiting: n.Waiting, Peak: n.Peak})
	}
	for _, h := range f.table.Holders() {
		out.Seats = append(out.Seats, api.Seat{ID: h.Seat, Product: h.Key.Product, User: h.User, Account: h.Account, PID: h.PID, Since: h.Since, Detached: h.Detached})
	}
	return out
}

// Settled is closed at once unless a test opens it.
func (f *fake) Settled() <-chan struct{} {
	if f.settled != nil {
		return f.settled
	}
	done := make(chan struct{})
	close(done)
	return done
}

func (f *fake) called(name string) error {
	f.mu.Lock()
	f.calls = append(f.calls, name)
	f.mu.Unlock()
	if f.fault != nil {
		f.fault(name)
	}
	if f.block != nil {
		<-f.block
	}
	return f.err
}

func (f *fake) names() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.calls...)
}

// forget returns the calls so far and keeps none of them.
func (f *fake) forget() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	was := f.calls
	f.calls = nil
	return was
}

func (f *fake) license(lang string) api.License {
	v := api.Verdict{Phase: "active", Runs: true, Flags: []string{"drift"}, Reason: "valid", Message: "valid", DaysLeft: 30}
	if lang == api.Chinese {
		v.Message = "有效"
	}
	return api.License{
		Issuer: "acme", Product: "painter", ID: "lic-1", Seats: 1, Verdict: v, LastContact: 1798900000,
		Hardware: &api.Hardware{Outcome: "same", Left: 1, Lost: []string{"disk"}, Unreadable: []string{}, Warning: true},
	}
}

func (f *fake) Version() api.Version { return api.Version{Version: "test", API: 1} }
func (f *fake) Serial() uint64       { return f.serial.Load() }
func (f *fake) Status(lang string) api.Status {
	_ = f.called("status")
	return api.Status{Version: "test", DeviceID: "dev:1", KeyTier: "file", Time: 1798963200, Serial: f.Serial(), Licenses: []api.License{f.license(lang)}}
}

func (f *fake) Check(product, _ string, nonce []byte, lang string) (Checked, error) {
	err := f.called("check")
	verdict, merr := json.Marshal(f.license(lang).Verdict)
	return Checked{License: []byte("L:" + product), KeySet: []byte("K"), Proof: nonce, Verdict: verdict}, errors.Join(err, merr)
}

func (f *fake) Reread() { _ = f.called("reread") }

func (f *fake) Files(key api.KeyRequest) (api.Files, error) {
	return api.Files{License: key.Issuer, KeySet: key.Product}, f.called("files")
}

func (f *fake) Why(_ api.KeyRequest, lang string) (api.Explanation, error) {
	return api.Explanation{License: f.license(lang)}, f.called("why")
}

func (f *fake) Simulate(q api.SimulateRequest, lang string) (api.Explanation, error) {
	return api.Explanation{License: f.license(lang), Assumed: q.Replace}, f.called("simulate")
}

func (f *fake) Events(ctx context.Context, since uint64) api.Events {
	_ = f.called("events")
	for f.Serial() <= since {
		select {
		case <-f.changed:
		case <-ctx.Done():
			return api.Events{Serial: f.Serial(), Events: []api.Event{}}
		}
	}
	return api.Events{Serial: f.Serial(), Events: []api.Event{{Serial: f.Serial(), Kind: api.EventVerdict}}}
}

func (f *fake) Preview(context.Context, string) (api.Preview, error) {
	return api.Preview{Issuer: "acme"}, f.called("preview")
}

func (f *fake) Activate(context.Context, api.ActivateRequest, string) (api.Outcome, error) {
	return api.Outcome{License: f.license("")}, f.called("activate")
}

func (f *fake) Renew(context.Context, api.KeyRequest, string) (api.Outcome, error) {
	return api.Outcome{License: f.license("")}, f.called("renew")
}

func (f *fake) Release(context.Context, api.KeyRequest, string) (api.Outcome, error) {
	return api.Outcome{License: f.license("")}, f.called("release")
}

func (f *fake) Rebind(context.Context, api.RebindRequest, string) (api.Outcome, error) {
	return api.Outcome{License: f.license("")}, f.called("rebind")
}

func (f *fake) Request(context.Context, api.OfflineRequest) (api.RequestFile, error) {
	return api.RequestFile{Kind: "activate"}, f.called("request")
}

func (f *fake) Import(_ context.Context, answer []byte, _ string) (api.Outcome, error) {
	return api.Outcome{License: api.License{ID: strconv.Itoa(len(answer))}}, f.called("import")
}

func (f *fake) Diagnose(context.Context, string) (api.Diagnosis, error) {
	return api.Diagnosis{}, f.called("diagnose")
}

// rig is a server on a Unix socket, or on a pipe.
type rig struct {
	t      testing.TB
	server *Server
	socket string
	fake   *fake
}

func root(net.Conn) (Caller, error) { return Caller{User: "0", Admin: true}, nil }

func start(t testing.TB, cfg Config) *rig {
	t.Helper()
	return startWith(t, cfg, func(*Server) {})
}

// startWith changes the server before it serves.
func startWith(t testing.TB, cfg Config, change func(*Server)) *rig {
	t.Helper()
	f, ok := cfg.Licenses.(*fake)
	if !ok {
		f = newFake()
		cfg.Licenses = f
	}
	if cfg.Identify == nil {
		cfg.Identify = root
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	change(s)
	ln, socket := endpoint(t)
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return &rig{t: t, server: s, socket: socket, fake: f}
}

func (r *rig) dial() net.Conn {
	r.t.Helper()
	c, err := dial(r.socket)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	return c
}

// raw sends text as it is on a new connection and returns the answer.
func (r *rig) raw(text string) (status int, body string) {
	r.t.Helper()
	c := r.dial()
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		r.t.Fatal(err)
	}
	// The peer may close before it has read everything: its answer counts.
	_, _ = io.WriteString(c, text)
	method, _, _ := strings.Cut(text, " ")
	resp, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// call sends an ordinary request; body "" means none.
func (r *rig) call(method, path, body string) (status int, answer string) {
	r.t.Helper()
	text := method + " " + path + " HTTP/1.1\r\nHost: " + api.Host + "\r\n"
	if body != "" {
		text += "Content-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n"
	}
	return r.raw(text + "\r\n" + body)
}

func errorCode(t testing.TB, body string) string {
	t.Helper()
	var e api.ErrorBody
	if err := json.Unmarshal([]byte(body), &e); err != nil {
		t.Errorf("not an error body: %q", body)
		return ""
	}
	if e.Error.Message == "" || e.Error.Hint == "" {
		t.Errorf("no sentence or no next step: %q", body)
	}
	return e.Error.Code
}

func TestNewRefusesIncompleteConfiguration(t *testing.T) {
	for _, cfg := range []Config{{}, {Licenses: newFake()}, {Licenses: newFake(), Now: time.Now}} {
		if _, err := New(cfg); !errors.Is(err, ErrConfig) {
			t.Errorf("got %v", err)
		}
	}
}

func TestARouteWithoutAccessClassIsRefused(t *testing.T) {
	if err := checkTable(map[string]*route{"/v1/x": {method: "GET"}}); !errors.Is(err, ErrNoAccessClass) {
		t.Errorf("got %v", err)
	}
}
