package activation_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"licenseagent.example/activation"
	"licenseagent.example/activation/activationtest"
	"licenseagent.example/activation/license"
	"licenseagent.example/fingerprint"
)

// TestAnswersThatDoNotFit: an answer is taken as a whole or not at all. Every
// field that ties it to the question is wrong once, correctly signed.
func TestAnswersThatDoNotFit(t *testing.T) {
	stranger := activationtest.Signer("stranger").Public()
	for name, tt := range map[string]struct {
		alter func(*license.Claims)
		want  error
	}{
		"other nonce":      {func(c *license.Claims) { c.Nonce = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=" }, activation.ErrWrongAnswer},
		"other product":    {func(c *license.Claims) { c.Product = "other" }, activation.ErrWrongAnswer},
		"other license":    {func(c *license.Claims) { c.ID = "lic-other" }, activation.ErrWrongAnswer},
		"other device":     {func(c *license.Claims) { c.Device.Key, c.Device.ID = stranger, license.DeviceID(stranger) }, activation.ErrWrongAnswer},
		"chain stands":     {func(c *license.Claims) { c.Seq = 1 }, activation.ErrAnswer},
		"other issuer":     {func(c *license.Claims) { c.Issuer = "other" }, activation.ErrAnswer},
		"needs newer keys": {func(c *license.Claims) { c.KeySet = 99 }, activation.ErrAnswer},
		"keys are expired": {func(c *license.Claims) { c.ServerTime += 500 * days }, activation.ErrAnswer},
	} {
		w := newWorld(t, activationtest.Offer{})
		w.activate()
		before := w.held()
		w.merchant.Alter = tt.alter
		_, err := w.agent.Renew(t.Context(), key())
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
		after := w.held()
		if after.Claims != before.Claims || after.Contact != before.Contact || after.Pending != license.RequestRenew || after.Failures != 1 || !after.Verdict.Runs {
			t.Errorf("%s: what is held changed: %+v", name, after)
		}
	}
}

func TestAnswersFromBrokenMerchants(t *testing.T) {
	for name, spoil := range map[string]func(*activation.Answer){
		"nothing":            func(a *activation.Answer) { *a = activation.Answer{} },
		"only a key set":     func(a *activation.Answer) { a.License = nil },
		"no key set":         func(a *activation.Answer) { a.KeySet = nil },
		"garbage":            func(a *activation.Answer) { a.License = []byte("<html>") },
		"license as key set": func(a *activation.Answer) { a.KeySet = a.License },
		"altered": func(a *activation.Answer) {
			a.License = slices.Replace(slices.Clone(a.License), 40, 41, 'A'+a.License[40]%5)
		},
	} {
		for _, held := range []bool{false, true} {
			w := newWorld(t, activationtest.Offer{})
			if held {
				w.activate()
			}
			w.merchant.After = func(_ *license.Request, a *activation.Answer) error {
				spoil(a)
				return nil
			}
			var err error
			if held {
				_, err = w.agent.Renew(t.Context(), key())
			} else {
				_, err = w.agent.Activate(t.Context(), activation.ActivateOptions{Code: code})
			}
			if !errors.Is(err, activation.ErrAnswer) && !errors.Is(err, activation.ErrWrongAnswer) {
				t.Errorf("%s: %v", name, err)
			}
			if got := w.held(); got.Verdict.Runs != held || got.Pending == "" {
				t.Errorf("%s: %+v", name, got)
			}
			w.merchant.After = nil // repaired: the same bytes are answered, nothing was lost
			if !held {
				w.activate()
			}
			w.renew()
			w.verify(1, true, "active")
			if w.merchant.Forks != 0 {
				t.Errorf("%s: %d forks", name, w.merchant.Forks)
			}
		}
	}
}

// A license and a notice in one answer must come from the same step: an old
// suspension must not ride on a fresh license, nor an old release.
func TestLicenseAndNoticeOfOneAnswer(t *testing.T) {
	w := newWorld(t, activationtest.Offer{})
	w.activate()
	w.merchant.SetState(code, license.NoticeSuspended)
	var old []byte
	w.merchant.After = func(_ *license.Request, a *activation.Answer) error {
		old = a.Notice
		return nil
	}
	w.renew()
	w.merchant.SetState(code, license.NoticeActive)
	w.merchant.After = func(_ *license.Request, a *activation.Answer) error {
		a.Notice = old
		return nil
	}
	_, err := w.agent.Renew(t.Context(), key())
	w.fails(err, activation.ErrAnswer)
	w.merchant.After = nil
	w.renew()
	w.phase(activation.Active, activation.ReasonValid)
}

// An older key set in an answer is refused even when everything else fits it:
// it may lack a revocation.
func TestAnswerWithOlderKeySet(t *testing.T) {
	w := newWorld(t, activationtest.Offer{})
	w.activate()
	old, err := w.merchant.KeySet(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.merchant.RevokeLicenses("lic-of-somebody-else")
	if err := w.agent.Refresh(t.Context(), "acme"); err != nil {
		t.Fatal(err)
	}
	w.merchant.Alter = func(c *license.Claims) { c.KeySet = 1 }
	w.merchant.After = func(_ *license.Request, a *activation.Answer) error {
		a.KeySet = old
		return nil
	}
	_, err = w.agent.Renew(t.Context(), key())
	w.fails(err, license.ErrKeySetRollback)
	if h := w.held(); h.KeySetVersion != 2 || h.Claims.Seq != 1 {
		t.Errorf("taken all the same: %+v", h)
	}
}

// The answer may come in as a file while the same request is on its way.
func TestFileOvertakesNetwork(t *testing.T) {
	w := newWorld(t, activationtest.Offer{})
	overtake := func(_ *license.Request, a *activation.Answer) error {
		_, err := w.agent.Import(activationtest.Encode(*a))
		return err
	}
	w.merchant.After = overtake
	if h := w.activate(); !h.Verdict.Runs || h.Claims.Seq != 1 {
		t.Errorf("activation: %+v", h)
	}
	if h := w.renew(); h.Claims.Seq != 2 || h.Failures != 0 || h.Pending != "" {
		t.Errorf("renewal: %+v", h)
	}
	w.merchant.After = nil
	w.renew()
	if w.merchant.Forks != 0 {
		t.Errorf("%d forks", w.merchant.Forks)
	}
}

// TestReadsDoNotWait: while a merchant takes its time, checks and status go on,
// and a second request of the same license is refused in words.
func TestReadsDoNotWait(t *testing.T) {
	w := newWorld(t, activationtest.Offer{})
	w.activate()
	arrived, release := make(chan struct{}), make(chan struct{})
	w.merchant.Before = func(*license.Request) error {
		close(arrived)
		<-release
		return nil
	}
	done := make(chan error)
	go func() {
		_, err := w.agent.Renew(context.Background(), key())
		done <- err
	}()
	<-arrived
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 20 {
				if _, err := w.agent.Check("studio", "acme", nonce(byte(i))); err != nil {
					t.Error(err)
				}
				w.agent.Held()
				if _, err := w.agent.Why(key()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if err := w.agent.Tick(); err != nil {
		t.Error(err)
	}
	if err := w.agent.Observed(); err != nil {
		t.Error(err)
	}
	for _, second := range []func() error{
		func() error { _, err := w.agent.Renew(context.Background(), key()); return err },
		func() error { _, err := w.agent.Release(context.Background(), key()); return err },
		func() error {
			_, err := w.agent.OfflineRequest(license.RequestRelease, activation.RequestOptions{Key: key()})
			return err
		},
	} {
		if err := second(); !errors.Is(err, activation.ErrOutstanding) {
			t.Errorf("a second request: %v", err)
		}
	}
	close(release)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if h := w.held(); h.Claims.Seq != 2 || h.Pending != "" {
		t.Errorf("after all: %+v", h)
	}
}

func TestKeysRotateAndAreRevoked(t *testing.T) {
	w := newWorld(t, activationtest.Offer{})
	w.activate()
	w.merchant.RotateKeys(false)
	if err := w.agent.Refresh(t.Context(), "acme"); err != nil {
		t.Fatal(err)
	}
	w.phase(activation.Active, activation.ReasonValid)
	if v := w.held().KeySetVersion; v != 2 {
		t.Errorf("key set version %d", v)
	}
	w.renew() // signed by the new key
	w.merchant.RotateKeys(true)
	if err := w.agent.Refresh(t.Context(), "acme"); err != nil {
		t.Fatal(err)
	}
	for range 2 { // also after a restart, when the license verifies no more
		w.phase(activation.Revoked, activation.ReasonRevokedByKeySet)
		if got := w.held().Verdict.Next; got != activation.NextRenew {
			t.Errorf("next step %q", got)
		}
		w.start()
	}
	w.renew()
	w.phase(activation.Active, activation.ReasonValid)
	w.verify(3, true, "active")
	w.fails(w.agent.Refresh(t.Context(), "nobody"), activation.ErrUnknownIssuer)
}

// A notice whose key is revoked later must not give back what it took.
func TestRevokedNoticeKeyGivesNothingBack(t *testing.T) {
	w := newWorld(t, activationtest.Offer{})
	w.activate()
	w.merchant.SetState(code, license.NoticeSuspended)
	w.renew()
	w.merchant.RevokeNoticeKey()
	if err := w.agent.Refresh(t.Context(), "acme"); err != nil {
		t.Fatal(err)
	}
	w.start()
	w.phase(activation.Suspended, activation.ReasonSuspended)
	if h := w.held(); h.Verdict.Runs {
		t.Errorf("runs again: %+v", h.Verdict)
	}
}

func TestTwoProductsAndTwoVendors(t *testing.T) {
	w := newWorld(t, activationtest.Offer{})
	w.merchant.AddCode("SECOND", activationtest.Offer{Product: "render"})
	other := activationtest.NewMerchant("zenith", w.machine.Clock.Wall)
	other.AddCode("THIRD", activationtest.Offer{})
	agent, err := w.machine.Agent(w.merchant, other)
	if err != nil {
		t.Fatal(err)
	}
	w.agent = agent
	for _, opt := range []activation.ActivateOptions{
		{Issuer: "acme", Code: code},
		{Issuer: "acme", Product: "render", Code: "SECOND"},
		{Issuer: "zenith", Code: "THIRD"},
	} {
		if _, err := agent.Activate(t.Context(), opt); err != nil {
			t.Fatalf("%+v: %v", opt, err)
		}
	}
	_, err = agent.Activate(t.Context(), activation.ActivateOptions{Code: code})
	w.fails(err, activation.ErrUnknownIssuer) // two vendors: name one
	var names []string
	for _, h := range agent.Held() {
		names = append(names, h.Key.Issuer+"/"+h.Key.Product)
	}
	if want := []string{"acme/render", "acme/studio", "zenith/studio"}; !slices.Equal(names, want) {
		t.Fatalf("held %v, want %v", names, want)
	}
	_, err = agent.Check("studio", "", nonce(1))
	w.fails(err, activation.ErrAmbiguousProduct)
	for _, issuer := range []string{"acme", "zenith"} {
		if _, err := agent.Check("studio", issuer, nonce(1)); err != nil {
			t.Error(err)
		}
		if _, _, err := agent.Envelopes("studio", issuer); err != nil {
			t.Error(err)
		}
	}
	if _, err := agent.Check("render", "", nonce(1)); err != nil {
		t.Error(err)
	}
	// Each has a chain of its own.
	if _, err := agent.Renew(t.Context(), activation.Key{Issuer: "acme", Product: "render"}); err != nil {
		t.Fatal(err)
	}
	var seqs []int64
	for _, h := range agent.Held() {
		seqs = append(seqs, h.Claims.Seq)
	}
	if want := []int64{2, 1, 1}; !slices.Equal(seqs, want) {
		t.Errorf("chains at %v, want %v", seqs, want)
	}
	// A vendor whose anchor is taken away is reported, the others run on.
	if agent, err = w.machine.Agent(w.merchant); err != nil {
		t.Fatal(err)
	}
	_, err = agent.Check("studio", "zenith", nonce(1))
	w.fails(err, activation.ErrUnknownIssuer)
	if _, err := agent.Check("studio", "acme", nonce(1)); err != nil {
		t.Error(err)
	}
}

func TestDamagedRecordsAreReported(t *testing.T) {
	for name, damage := range map[string]func(*activation.State){
		"license altered":   func(s *activation.State) { s.Records[0].License[60] ^= 1 },
		"license of others": func(s *activation.State) { s.Records[0].Key.Product = "other" },
		"key set altered":   func(s *activation.State) { s.KeySets["acme"][60] ^= 1 },
		"key set lost":      func(s *activation.State) { delete(s.KeySets, "acme") },
		"notice altered":    func(s *activation.State) { s.Records[0].Notice = []byte("{}") },
	} {
		w := newWorld(t, activationtest.Offer{})
		w.activate()
		state, err := w.machine.Store.Load()
		if err != nil {
			t.Fatal(err)
		}
		damage(&state)
		w.machine.Store = activation.NewMemory()
		if err := w.machine.Store.Apply(activation.Change{Put: state.Records, KeySets: state.KeySets, Clock: &state.Clock}); err != nil {
			t.Fatal(err)
		}
		w.start()
		h := w.held()
		if !errors.Is(h.Problem, activation.ErrDamaged) || h.Verdict.Runs {
			t.Errorf("%s: problem %v, %+v", name, h.Problem, h.Verdict)
		}
		_, err = w.agent.Check(h.Key.Product, "", nonce(1))
		w.fails(err, activation.ErrDamaged)
		// The code, or the merchant, makes it good again.
		if _, err := w.agent.Activate(t.Context(), activation.ActivateOptions{Code: code}); err != nil {
			t.Errorf("%s: activating again: %v", name, err)
		}
		w.verify(1, true, "active")
	}
}

// What is visible from outside is told once when it changes, and not otherwise.
func TestChangesAreTold(t *testing.T) {
	w := newWorld(t, activationtest.Offer{})
	cfg := w.machine.Config(w.merchant)
	changes := 0
	cfg.OnChange = func() { changes++ }
	agent, err := activation.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	w.agent = agent
	w.activate()
	if changes == 0 {
		t.Error("an activation is not told")
	}
	w.machine.Clock.Advance(days)
	w.renew()
	told := changes
	if err := agent.Tick(); err != nil || changes != told {
		t.Errorf("an uneventful tick told %d changes, %v", changes-told, err)
	}
	w.machine.Change(func(d *fingerprint.Device) { d.MAC.Values[0].Text = "00:1B:21:99:99:99" })
	if err := agent.Observed(); err != nil || changes != told+1 {
		t.Errorf("new hardware told %d changes, %v", changes-told, err)
	}
}
