package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"licenseagent.example/activation"
	"licenseagent.example/activation/activationtest"
	"licenseagent.example/activation/license"
	"licenseagent.example/agent/api"
	"licenseagent.example/fingerprint"
)

const code = "CODE-1234-5678"

// rig is a daemon on a machine and a merchant that the test moves.
type rig struct {
	t        testing.TB
	machine  *activationtest.Machine
	merchant *activationtest.Merchant
	daemon   *Daemon
	log      *bytes.Buffer
}

func start(t testing.TB, change func(*Config)) *rig {
	t.Helper()
	m := activationtest.NewMachine("one")
	issuer := activationtest.NewMerchant("acme", m.Clock.Wall)
	issuer.AddCode(code, activationtest.Offer{Product: "painter", Edition: "pro", Features: []string{"export"}})
	r := &rig{t: t, machine: m, merchant: issuer, log: &bytes.Buffer{}}
	redact := NewRedactor()
	cfg := Config{
		Activation: m.Config(issuer), Version: api.Version{Version: "test", API: 1, Instance: "default"}, KeyTier: "file", Serial: 1000,
		Redact: redact, Log: slog.New(redact.Handler(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))),
	}
	if change != nil {
		change(&cfg)
	}
	d, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.daemon = d
	return r
}

func (r *rig) activate() {
	r.t.Helper()
	if _, err := r.daemon.Activate(context.Background(), api.ActivateRequest{Code: code}, api.English); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) phase() string {
	r.t.Helper()
	st := r.daemon.Status(api.English)
	if len(st.Licenses) != 1 {
		r.t.Fatalf("%d licenses", len(st.Licenses))
	}
	return st.Licenses[0].Verdict.Phase
}

func TestActivateStatusCheckWhy(t *testing.T) {
	r := start(t, nil)
	if st := r.daemon.Status(api.English); len(st.Licenses) != 0 || st.Licenses == nil {
		t.Errorf("at first: %+v", st)
	}
	if _, err := r.daemon.Why(api.KeyRequest{}, api.English); !errors.Is(err, activation.ErrNotActivated) {
		t.Errorf("why before: %v", err)
	}
	r.activate()
	st := r.daemon.Status(api.English)
	l := st.Licenses[0]
	if !l.Verdict.Runs || l.Product != "painter" || l.Edition != "pro" || l.Verdict.Message == "" || l.NextContact == 0 {
		t.Errorf("status %+v", l)
	}
	c, err := r.daemon.Check("painter", "", make([]byte, 32), api.Chinese)
	var v api.Verdict
	if jerr := json.Unmarshal(c.Verdict, &v); jerr != nil || err != nil || len(c.License) == 0 || len(c.KeySet) == 0 || len(c.Proof) == 0 || !v.Runs {
		t.Errorf("check %s %v", c.Verdict, err)
	}
	if v.Message == l.Verdict.Message {
		t.Error("the Chinese sentence is the English one")
	}
	for range 2 { // the second answer comes from what is kept ready
		again, err := r.daemon.Check("painter", "", make([]byte, 32), api.English)
		if err != nil || !strings.Contains(string(again.Verdict), l.Verdict.Message) {
			t.Errorf("English again: %s %v", again.Verdict, err)
		}
	}
	r.machine.Clock.Advance(86400)
	later, err := r.daemon.Check("painter", "", make([]byte, 32), api.English)
	if err != nil || json.Unmarshal(later.Verdict, &v) != nil || v.DaysLeft != l.Verdict.DaysLeft-1 {
		t.Errorf("a day later: %s %v", later.Verdict, err)
	}
	x, err := r.daemon.Why(api.KeyRequest{Product: "painter"}, api.English)
	if err != nil || len(x.Device.Parts) == 0 || x.Device.Outcome != "same" || x.Clock.Time == 0 {
		t.Errorf("why %+v %v", x, err)
	}
	for _, v := range r.machine.Device().Components() {
		for _, raw := range v.Values {
			if text, _ := json.Marshal(x); strings.Contains(string(text), raw.Text) {
				t.Errorf("why shows the raw value %q", raw.Text)
			}
		}
	}
	f, err := r.daemon.Files(api.KeyRequest{})
	if err != nil || f.License == "" || f.KeySet == "" {
		t.Errorf("files %v", err)
	}
}

func TestPreviewShowsWhatIsSent(t *testing.T) {
	r := start(t, nil)
	p, err := r.daemon.Preview(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if want := fingerprint.Format(r.machine.Device()).String; p.Fingerprint != want || p.Issuer != "acme" || len(p.Parts) != 4 {
		t.Errorf("%+v, want the string %q", p, want)
	}
	if _, err := r.daemon.Preview(t.Context(), "nobody"); !errors.Is(err, activation.ErrUnknownIssuer) {
		t.Errorf("unknown vendor: %v", err)
	}
}

func TestWithoutAnchorThereIsNoVendor(t *testing.T) {
	r := start(t, func(c *Config) { c.Activation.Anchors = nil })
	for name, call := range map[string]func() error{
		"preview": func() error { _, err := r.daemon.Preview(t.Context(), ""); return err },
		"activate": func() error {
			_, err := r.daemon.Activate(t.Context(), api.ActivateRequest{Code: code}, "")
			return err
		},
		"request": func() error {
			_, err := r.daemon.Request(t.Context(), api.OfflineRequest{Kind: "activate", Code: code})
			return err
		},
	} {
		var e *api.Error
		if err := call(); !errors.As(err, &e) || e.Code != api.CodeNoAnchor {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOfflineConversation(t *testing.T) {
	r := start(t, func(c *Config) { c.Activation.Issuer = nil })
	file, err := r.daemon.Request(t.Context(), api.OfflineRequest{Kind: "activate", Code: code})
	if err != nil {
		t.Fatal(err)
	}
	var raw []byte
	if err := json.Unmarshal([]byte(`"`+file.File+`"`), &raw); err != nil {
		t.Fatal(err)
	}
	answer, err := r.merchant.File(raw)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.daemon.Import(t.Context(), answer, api.English); err != nil {
		t.Fatal(err)
	}
	if r.phase() != "active" {
		t.Errorf("phase %s", r.phase())
	}
	if _, err := r.daemon.Import(t.Context(), answer, api.English); !errors.Is(err, activation.ErrAlreadyImported) {
		t.Errorf("second import: %v", err)
	}
	var e *api.Error
	if _, err := r.daemon.Import(t.Context(), []byte("{}"), api.English); !errors.As(err, &e) || e.Code != api.CodeBadFile {
		t.Errorf("an empty answer: %v", err)
	}
}

func TestSimulate(t *testing.T) {
	r := start(t, nil)
	r.activate()
	for _, c := range []struct {
		q    api.SimulateRequest
		want string
	}{
		{api.SimulateRequest{}, "active"},
		{api.SimulateRequest{Offline: 400 * 86400}, "expired"},
		{api.SimulateRequest{Clone: true}, "wrong-device"},
		{api.SimulateRequest{Replace: []string{"cpu"}}, "active"},
		{api.SimulateRequest{Drop: map[string]int64{"mac": 2}, Replace: []string{"disk"}, Offline: 45 * 86400, Clock: -3 * 3600, Clone: true}, "expired"},
		{api.SimulateRequest{Drop: map[string]int64{"mac": 0, "disk": 0, "board": 0}}, "wrong-device"},
	} {
		x, err := r.daemon.Simulate(c.q, api.English)
		if err != nil || x.License.Verdict.Phase != c.want {
			t.Errorf("%+v: %s %v, want %s", c.q, x.License.Verdict.Phase, err, c.want)
		}
	}
	for _, q := range []api.SimulateRequest{
		{Offline: -1},
		{Offline: 1 << 62},
		{Clock: -1 << 62},
		{Replace: []string{"tpm"}},
		{Unreadable: []string{""}},
		{Drop: map[string]int64{"nic": 1}},
		{Drop: map[string]int64{"mac": -1}},
		{Drop: map[string]int64{"mac": 1 << 40}},
	} {
		var e *api.Error
		if _, err := r.daemon.Simulate(q, api.English); !errors.As(err, &e) || e.Code != api.CodeBadRequest {
			t.Errorf("%+v: %v", q, err)
		}
	}
	if r.phase() != "active" {
		t.Error("a simulation changed the verdict")
	}
}

// loop runs the daemon in virtual time; each call of advance moves the
// machine's clocks and the timers together.
func loop(t *testing.T, r *rig, f func(advance func(seconds int64))) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.daemon.Run(ctx) }()
	synctest.Wait()
	f(func(seconds int64) {
		for ; seconds > 0; seconds -= 10 {
			r.machine.Clock.Advance(min(10, seconds))
			time.Sleep(time.Duration(min(10, seconds)) * time.Second) // polls: virtual time
			synctest.Wait()
		}
	})
	cancel()
	if err := <-done; err != nil {
		t.Errorf("run: %v", err)
	}
}

// The loop renews by itself: after two days the last contact is at most a day
// and a bit old, and verdicts are published.
func TestLoopRenews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, nil)
		r.activate()
		first := r.daemon.Status("").Licenses[0].LastContact
		loop(t, r, func(advance func(int64)) { advance(2*86400 + 3600) })
		l := r.daemon.Status("").Licenses[0]
		if l.LastContact <= first || r.machine.Clock.Wall()-l.LastContact > 27*3600 {
			t.Errorf("last contact %d after the first", l.LastContact-first)
		}
	})
}

// While the merchant is away the license runs to the end of its grace; when it
// is back the loop finds it by itself.
func TestLoopSurvivesAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, nil)
		var away atomic.Bool
		attempts := 0
		r.merchant.Before = func(*license.Request) error {
			if away.Load() {
				attempts++
				return activation.ErrUnreachable
			}
			return nil
		}
		r.activate()
		away.Store(true)
		loop(t, r, func(advance func(int64)) {
			advance(3 * 86400)
			if attempts == 0 {
				t.Error("no attempt in three days")
			}
			if attempts > 3*26 {
				t.Errorf("%d attempts in three days: at most 26 a day are polite", attempts)
			}
			if phase := r.phase(); phase != "active" {
				t.Errorf("phase %s during the outage", phase)
			}
			if e := r.daemon.Status("").Licenses[0].LastError; e == nil || e.Code != api.CodeUnreachable {
				t.Errorf("last error %+v", e)
			}
			away.Store(false)
			advance(9 * 3600)
		})
		l := r.daemon.Status("").Licenses[0]
		if l.LastError != nil || r.machine.Clock.Wall()-l.LastContact > 10*3600 {
			t.Errorf("it did not come back: %+v", l)
		}
	})
}

// Suspend: the timers stand still while boot time goes on. A minute after
// waking up the contact that fell due meanwhile is made.
func TestLoopNoticesSuspend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, nil)
		r.activate()
		before := r.daemon.Status("").Licenses[0].LastContact
		loop(t, r, func(advance func(int64)) {
			advance(60)
			r.machine.Clock.Advance(3 * 86400) // asleep: no timer runs
			advance(70)
		})
		if after := r.daemon.Status("").Licenses[0].LastContact; after-before < 3*86400 {
			t.Errorf("no contact after waking up: %d s after the first", after-before)
		}
	})
}

// A clock that is set back or far ahead does not stop the loop.
func TestLoopSurvivesClockSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, nil)
		r.activate()
		loop(t, r, func(advance func(int64)) {
			now := r.machine.Clock.Wall()
			r.machine.Clock.SetWall(now - 5*86400)
			advance(3600)
			r.machine.Clock.SetWall(now + 40*365*86400)
			advance(3600)
			r.machine.Clock.SetWall(now + 7200)
			advance(2 * 86400)
		})
		if phase := r.phase(); phase != "active" {
			t.Errorf("phase %s", phase)
		}
	})
}

// An idle agent sleeps: no more than one wake-up in ten seconds.
func TestIdleWakeUps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		steps := 0
		r := start(t, nil)
		r.activate()
		plan := &schedule{observe: r.daemon.cfg.Boot() + observeEvery, cross: 1 << 40}
		for began := r.daemon.cfg.Boot(); r.daemon.cfg.Boot() < began+3600; steps++ {
			sleep := r.daemon.step(t.Context(), plan)
			if sleep < shortestSleep*time.Second || sleep > longestSleep*time.Second {
				t.Fatalf("sleeps %v", sleep)
			}
			r.machine.Clock.Advance(int64(sleep / time.Second))
		}
		if steps > 3600/50 {
			t.Errorf("%d wake-ups in an idle hour", steps)
		}
		r.daemon.working.Wait()
	})
}

// The cross-check runs at start and daily, in the background, and its notes
// reach the support bundle without secrets.
func TestCrossCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		runs := 0
		r := start(t, func(c *Config) {
			c.CrossCheck = func(context.Context) []string {
				runs++
				return []string{"ghw differs, said " + code}
			}
		})
		r.activate()
		loop(t, r, func(advance func(int64)) { advance(2*86400 + 60) })
		if runs != 3 {
			t.Errorf("%d cross-checks in two days and a start", runs)
		}
		d, err := r.daemon.Diagnose(t.Context(), api.English)
		if err != nil || len(d.Notes) != 1 || strings.Contains(fmt.Sprint(d.Notes), code) {
			t.Errorf("notes %v %v", d.Notes, err)
		}
	})
}

// A store that fails does not make the loop spin, and answers go on.
func TestFailingStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := &breaking{}
		r := start(t, func(c *Config) {
			broken.StateStore = c.Activation.Store
			c.Activation.Store = broken
		})
		r.activate()
		broken.failing.Store(true)
		loop(t, r, func(advance func(int64)) {
			advance(3600)
			if n := broken.tries.Load(); n > 3600/shortestSleep+10 {
				t.Errorf("%d writes in an hour", n)
			}
			if _, err := r.daemon.Check("painter", "", make([]byte, 32), ""); err != nil {
				t.Errorf("check while the disk is full: %v", err)
			}
			broken.failing.Store(false)
			advance(60)
		})
	})
}

// breaking is a store whose disk is full now and then.
type breaking struct {
	activation.StateStore
	failing atomic.Bool
	tries   atomic.Int64
}

func (b *breaking) Apply(c activation.Change) error {
	if b.failing.Load() {
		b.tries.Add(1)
		return errors.New("no space")
	}
	return b.StateStore.Apply(c)
}
