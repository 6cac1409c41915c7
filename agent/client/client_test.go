package client

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"licenseagent.example/activation"
	"licenseagent.example/activation/activationtest"
	"licenseagent.example/activation/license"
	"licenseagent.example/agent/api"
	"licenseagent.example/fingerprint"
)

const day = 86400

// world is a vendor, one licensed machine, and an agent's socket that tests
// answer as they like.
type world struct {
	t        *testing.T
	merchant *activationtest.Merchant
	machine  *activationtest.Machine
	agent    *activation.Lifecycle
	checker  *Checker
	client   *Client

	mu    sync.Mutex
	reply func(nonce []byte, product string) any // nil: the real agent
	mono  time.Duration
	slow  time.Duration // how long an answer takes on the monotonic clock
	seat  http.HandlerFunc
	ln    net.Listener
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, machine: activationtest.NewMachine("desk")}
	w.merchant = activationtest.NewMerchant("acme", w.machine.Clock.Wall)
	w.merchant.AddCode("CODE-1", activationtest.Offer{
		Product: "studio", Edition: "pro", Features: []string{"export", "mesh"}, Seats: 3, Expires: activationtest.Start + 365*day,
	})
	w.agent = w.activate(w.machine, "CODE-1")
	socket := w.serve()
	w.client = &Client{Socket: socket}
	t.Cleanup(w.client.Close)
	w.checker = w.newChecker(w.machine)
	return w
}

func (w *world) activate(m *activationtest.Machine, code string) *activation.Lifecycle {
	w.t.Helper()
	l, err := m.Agent(w.merchant)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := l.Activate(context.Background(), activation.ActivateOptions{Code: code}); err != nil {
		w.t.Fatal(err)
	}
	return l
}

func (w *world) newChecker(m *activationtest.Machine) *Checker {
	return &Checker{
		Anchor: w.merchant.Anchor(), Client: w.client, Observe: m.Device,
		Clock: func() (int64, time.Duration) {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.machine.Clock.Wall(), w.mono
		},
	}
}

// serve listens on a socket as the agent would, in a private directory.
func (w *world) serve() string {
	w.t.Helper()
	dir, err := os.MkdirTemp("", "agent")
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "agent.sock")
	w.listen(socket)
	return socket
}

func (w *world) listen(socket string) {
	ln, err := net.Listen("unix", socket)
	if err != nil {
		w.t.Error(err)
		return
	}
	w.ln = ln
	srv := &http.Server{Handler: http.HandlerFunc(w.answer)}
	go srv.Serve(ln)
	w.t.Cleanup(func() { srv.Close() })
}

func (w *world) answer(rw http.ResponseWriter, r *http.Request) {
	if r.URL.Path == api.PathSeats {
		w.mu.Lock()
		seat := w.seat
		w.mu.Unlock()
		seat(rw, r)
		return
	}
	var in api.CheckRequest
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		http.Error(rw, "bad", http.StatusBadRequest)
		return
	}
	nonce, _ := base64.StdEncoding.DecodeString(in.Nonce)
	w.mu.Lock()
	reply := w.reply
	w.mono += w.slow
	w.mu.Unlock()
	if reply == nil {
		reply = func(nonce []byte, product string) any {
			if in.Reread {
				if err := w.agent.Reread(); err != nil {
					w.t.Error(err)
				}
			}
			return w.real(w.agent, nonce, product)
		}
	}
	switch v := reply(nonce, in.Product).(type) {
	case api.ErrorBody:
		rw.WriteHeader(api.Lookup(v.Error.Code).HTTP)
		json.NewEncoder(rw).Encode(v)
	case string:
		rw.Write([]byte(v))
	default:
		json.NewEncoder(rw).Encode(v)
	}
}

// real is the answer of a genuine agent.
func (w *world) real(l *activation.Lifecycle, nonce []byte, product string) any {
	a, err := l.Check(product, "", nonce)
	if err != nil {
		return api.ErrorBody{Error: *api.NewError(api.CodeNotActivated, api.English)}
	}
	return wire(a.License, a.KeySet, a.Proof)
}

// wire is an answer whose convenience verdict always says yes.
func wire(lic, keySet, proof []byte) api.CheckAnswer {
	e := base64.StdEncoding.EncodeToString
	return api.CheckAnswer{License: e(lic), KeySet: e(keySet), Proof: e(proof), Verdict: api.Verdict{Phase: "active", Runs: true}}
}

func code(err error) string {
	var e *api.Error
	if errors.As(err, &e) {
		return e.Code
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// cause is the word behind the code.
func cause(err error) string {
	if e := (*api.Error)(nil); errors.As(err, &e) {
		return e.Cause
	}
	return ""
}

// A key set past its expiry is accepted for as long as the program says, with an
// agent and without.
func TestKeySetTolerance(t *testing.T) {
	w := newWorld(t)
	lic, ks, err := w.agent.Envelopes("studio", "acme")
	if err != nil {
		t.Fatal(err)
	}
	set, err := license.OpenKeySet(w.merchant.Anchor(), nil, ks)
	if err != nil {
		t.Fatal(err)
	}
	w.machine.Clock.Advance(set.Expires + day - w.machine.Clock.Wall())
	for tolerance, want := range map[int64]string{day: "keyset-expired", day + 1: "", 0: ""} {
		k := w.newChecker(w.machine)
		k.KeySetTolerance = tolerance
		if _, err := k.Check(t.Context(), "studio"); cause(err) != want {
			t.Errorf("%d s, with an agent: %v", tolerance, err)
		}
		if v, err := k.CheckFiles("studio", Files{License: lic, KeySet: ks}); cause(err) != want || err == nil && v.KeySet != set.Version {
			t.Errorf("%d s, from files: %v %d", tolerance, err, v.KeySet)
		}
	}
}

func TestCheck(t *testing.T) {
	w := newWorld(t)
	v, err := w.checker.Check(t.Context(), "studio")
	if err != nil {
		t.Fatal(err)
	}
	if !v.Runs || v.Phase != "active" || !v.Has("mesh") || v.Has("none") || v.Edition != "pro" || v.Seats != 3 || v.Expires.Unix() != activationtest.Start+365*day || v.Device.Outcome != fingerprint.Same {
		t.Errorf("%+v", v)
	}
	if _, err := w.checker.Check(t.Context(), "unknown"); code(err) != api.CodeNotActivated {
		t.Errorf("unknown product: %v", err)
	}
}

// The program's verdict follows the license through its life, at each boundary.
func TestCheckFollowsTime(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		at    int64
		runs  bool
		phase string
	}{
		{0, true, "active"}, {30*day - 1, true, "active"}, {30 * day, true, "grace"}, {44*day - 1, true, "grace"}, {44 * day, false, "expired"},
	} {
		w.machine.Clock.Advance(activationtest.Start + c.at - w.machine.Clock.Wall())
		if err := w.agent.Tick(); err != nil {
			t.Fatal(err)
		}
		v, err := w.checker.Check(t.Context(), "studio")
		if err != nil || v.Runs != c.runs || v.Phase != c.phase || !c.runs && v.Reason == "" {
			t.Errorf("after %d s: %v %+v", c.at, err, v)
		}
	}
}

func TestCheckAfterFreeze(t *testing.T) {
	w := newWorld(t)
	w.merchant.SetState("CODE-1", license.NoticeSuspended)
	if _, err := w.agent.Renew(t.Context(), activation.Key{Issuer: "acme", Product: "studio"}); err != nil {
		t.Fatal(err)
	}
	v, err := w.checker.Check(t.Context(), "studio")
	if err != nil || v.Runs || v.Phase != "suspended" || v.Reason != ReasonAgent {
		t.Errorf("%v %+v", err, v)
	}
}

// What a process without administrator rights cannot read is no evidence
// against the machine; what it reads and what differs is.
func TestCheckComparesTheMachineItself(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*fingerprint.Device)
		want   string
	}{
		"board unreadable": {func(d *fingerprint.Device) {
			d.Board = fingerprint.Component{Kind: fingerprint.Board, State: fingerprint.Unreadable, Reason: "root only"}
		}, ""},
		"all but the address unreadable": {func(d *fingerprint.Device) {
			d.Board = fingerprint.Component{Kind: fingerprint.Board, State: fingerprint.Unreadable}
			d.Disk = fingerprint.Component{Kind: fingerprint.Disk, State: fingerprint.Unreadable}
		}, ""},
		"disk replaced":   {func(d *fingerprint.Device) { d.Disk.Values = []fingerprint.Value{{Text: "NEW-DISK-77"}} }, ""},
		"another machine": {func(d *fingerprint.Device) { *d = activationtest.Hardware("other") }, api.CodeWrongDevice},
		"another machine that hides its board": {func(d *fingerprint.Device) {
			*d = activationtest.Hardware("other")
			d.Board = fingerprint.Component{Kind: fingerprint.Board, State: fingerprint.Unreadable}
		}, api.CodeWrongDevice},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			d := w.machine.Device()
			c.change(&d)
			w.checker.Observe = func() fingerprint.Device { return d }
			v, err := w.checker.Check(t.Context(), "studio")
			if code(err) != c.want || (err == nil) != v.Runs {
				t.Errorf("%v %+v", err, v)
			}
		})
	}
}

// Board and disk are replaced under a running agent and program: neither must take
// the other's older reading for evidence, and the agent waits for a day.
func TestCheckAfterRepair(t *testing.T) {
	w := newWorld(t)
	original := w.machine.Device()
	check := func(when string, outcome fingerprint.Outcome) {
		t.Helper()
		v, err := w.checker.Check(t.Context(), "studio")
		if err != nil || !v.Runs || v.Device.Outcome != outcome {
			t.Errorf("%s: %v %+v", when, err, v)
		}
	}
	check("at first", fingerprint.Same)
	w.machine.Change(func(d *fingerprint.Device) {
		other := activationtest.Hardware("other")
		d.Board, d.Disk = other.Board, other.Disk
	})
	w.mono += time.Hour
	check("the program reads it first", fingerprint.Different)
	w.machine.Change(func(d *fingerprint.Device) { *d = original })
	if err := w.agent.Observed(); err != nil {
		t.Fatal(err)
	}
	check("put back, and the agent reads it first", fingerprint.Same)
}

func TestObservationIsReusedForAWhile(t *testing.T) {
	w := newWorld(t)
	reads := 0
	w.checker.Observe = func() fingerprint.Device { reads++; return w.machine.Device() }
	for range 5 {
		if _, err := w.checker.Check(t.Context(), "studio"); err != nil {
			t.Fatal(err)
		}
	}
	if reads != 1 {
		t.Errorf("%d reads of the hardware for five checks", reads)
	}
	w.mono += time.Hour
	if _, err := w.checker.Check(t.Context(), "studio"); err != nil || reads != 2 {
		t.Errorf("after an hour: %d reads, %v", reads, err)
	}
}

func TestCheckFiles(t *testing.T) {
	w := newWorld(t)
	lic, ks, err := w.agent.Envelopes("studio", "acme")
	if err != nil {
		t.Fatal(err)
	}
	mirror, err := json.Marshal(map[string]string{"license": string(lic), "keyset": string(ks)})
	if err != nil {
		t.Fatal(err)
	}
	f, err := ReadFiles(mirror)
	if err != nil {
		t.Fatal(err)
	}
	if v, err := w.checker.CheckFiles("studio", f); err != nil || !v.Runs {
		t.Errorf("%v %+v", err, v)
	}
	if _, err := w.checker.CheckFiles("other", f); code(err) != api.CodeUntrusted {
		t.Errorf("another product: %v", err)
	}
	f.License[len(f.License)/2] ^= 1
	if v, err := w.checker.CheckFiles("studio", f); code(err) != api.CodeUntrusted || v.Runs {
		t.Errorf("altered: %v", err)
	}
	for _, bad := range []string{"", "null", "{}", "[]", `{"license":1}`} {
		if _, err := ReadFiles([]byte(bad)); code(err) != api.CodeUntrusted {
			t.Errorf("%q was taken for a file: %v", bad, err)
		}
	}
	w.checker.Observe = func() fingerprint.Device { return activationtest.Hardware("other") }
	w.checker.device = nil
	f.License[len(f.License)/2] ^= 1
	if _, err := w.checker.CheckFiles("studio", f); code(err) != api.CodeWrongDevice {
		t.Errorf("copied files: %v", err)
	}
}

func TestNewChecker(t *testing.T) {
	w := newWorld(t)
	b, err := json.Marshal(w.merchant.Anchor())
	if err != nil {
		t.Fatal(err)
	}
	k, err := NewChecker(b)
	if err != nil || k.Anchor.Issuer != "acme" {
		t.Errorf("%v %+v", err, k)
	}
	_, err = NewChecker([]byte(`{"v":1}`))
	var e *api.Error
	if !errors.As(err, &e) || e.Code != api.CodeAnchor || e.Cause != "anchor" || e.Message == "" || e.Hint == "" || !errors.Is(err, license.ErrAnchor) {
		t.Errorf("empty anchor: %v", err)
	}
}
