package activation_test

import (
	"context"
	"encoding/base64"
	"errors"
	"testing"

	"licenseagent.example/activation"
	"licenseagent.example/activation/activationtest"
	"licenseagent.example/activation/license"
)

const code = "CODE-7F3K-9Q2M"

// world is one merchant and one machine with an agent.
type world struct {
	*testing.T
	merchant *activationtest.Merchant
	machine  *activationtest.Machine
	agent    *activation.Lifecycle
}

func newWorld(t *testing.T, o activationtest.Offer) *world {
	t.Helper()
	w := &world{T: t, machine: activationtest.NewMachine(t.Name())}
	w.merchant = activationtest.NewMerchant("acme", w.machine.Clock.Wall)
	w.merchant.AddCode(code, o)
	w.start()
	return w
}

// start starts the agent (again) on what the store holds.
func (w *world) start() {
	w.Helper()
	a, err := w.machine.Agent(w.merchant)
	if err != nil {
		w.Fatal(err)
	}
	w.agent = a
}

func (w *world) activate() activation.Held {
	w.Helper()
	h, err := w.agent.Activate(context.Background(), activation.ActivateOptions{Issuer: "acme", Code: code})
	if err != nil {
		w.Fatal(err)
	}
	return h
}

func key() activation.Key { return activation.Key{Issuer: "acme", Product: "studio"} }

func (w *world) renew() activation.Held {
	w.Helper()
	h, err := w.agent.Renew(context.Background(), key())
	if err != nil {
		w.Fatal(err)
	}
	return h
}

// held is the only license.
func (w *world) held() activation.Held {
	w.Helper()
	list := w.agent.Held()
	if len(list) != 1 {
		w.Fatalf("%d licenses held, want 1: %+v", len(list), list)
	}
	return list[0]
}

func (w *world) phase(want activation.Phase, reason string) {
	w.Helper()
	v := w.held().Verdict
	if v.Phase != want || v.Reason != reason {
		w.Fatalf("phase %s (%s), want %s (%s)", v.Phase, v.Reason, want, reason)
	}
}

func (w *world) fails(err, want error) {
	w.Helper()
	if !errors.Is(err, want) {
		w.Fatalf("error %v, want %v", err, want)
	}
}

func nonce(b byte) []byte {
	n := make([]byte, activation.NonceSize)
	n[0] = b
	return n
}

func TestActivateCheckRenewRelease(t *testing.T) {
	w := newWorld(t, activationtest.Offer{})
	if _, err := w.agent.Check("studio", "", nonce(1)); !errors.Is(err, activation.ErrNotActivated) {
		t.Fatalf("check before activation: %v", err)
	}
	h := w.activate()
	if h.Verdict.Phase != activation.Active || h.Key != key() || h.Claims.Seq != 1 || h.Pending != "" {
		t.Fatalf("after activation: %+v", h)
	}
	w.verify(7, true, "active")

	w.machine.Clock.Advance(86400)
	if h := w.renew(); h.Claims.Seq != 2 || h.Contact != w.machine.Clock.Wall() {
		t.Fatalf("after renewal: seq %d contact %d", h.Claims.Seq, h.Contact)
	}

	w.start() // everything is remembered
	w.phase(activation.Active, activation.ReasonValid)
	w.verify(8, true, "active")

	if _, err := w.agent.Release(context.Background(), key()); err != nil {
		t.Fatal(err)
	}
	w.phase(activation.Revoked, activation.ReasonReleased)
	w.verify(9, false, "revoked")
	if h := w.held(); h.NextTry != 0 {
		t.Errorf("a released license still plans a contact at %d", h.NextTry)
	}

	w.machine.Clock.Advance(60)
	w.activate()
	w.phase(activation.Active, activation.ReasonValid)
}

// verify checks an answer as a program does that knows only the trust anchor.
func (w *world) verify(n byte, runs bool, phase string) {
	w.Helper()
	ans, err := w.agent.Check("studio", "", nonce(n))
	if err != nil {
		w.Fatal(err)
	}
	got, err := license.VerifyCheck(w.merchant.Anchor(), license.CheckOptions{
		Product: "studio", Nonce: nonce(n), Now: w.machine.Clock.Wall(),
	}, ans.License, ans.KeySet, ans.Proof)
	if err != nil {
		w.Fatal(err)
	}
	if got.Runs != runs || got.Proof.Phase != phase || got.Proof.Nonce != base64.StdEncoding.EncodeToString(nonce(n)) {
		w.Fatalf("runs %v phase %s, want %v %s", got.Runs, got.Proof.Phase, runs, phase)
	}
}

func TestCheckRefusesOtherNonces(t *testing.T) {
	w := newWorld(t, activationtest.Offer{})
	w.activate()
	for _, n := range []int{0, 1, 31, 33, 64, 4096} {
		if _, err := w.agent.Check("studio", "", make([]byte, n)); !errors.Is(err, activation.ErrNonce) {
			t.Errorf("nonce of %d bytes: %v", n, err)
		}
	}
	for _, p := range []string{"", "other", "Studio"} {
		if _, err := w.agent.Check(p, "", nonce(1)); !errors.Is(err, activation.ErrNotActivated) {
			t.Errorf("product %q: %v", p, err)
		}
	}
	if _, err := w.agent.Check("studio", "somebody", nonce(1)); !errors.Is(err, activation.ErrNotActivated) {
		t.Errorf("other issuer: %v", err)
	}
}

func TestStatesOfTheMerchantFollow(t *testing.T) {
	w := newWorld(t, activationtest.Offer{})
	w.activate()
	for _, step := range []struct {
		state  string
		phase  activation.Phase
		reason string
	}{
		{license.NoticeSuspended, activation.Suspended, activation.ReasonSuspended},
		{license.NoticeActive, activation.Active, activation.ReasonValid},
		{license.NoticeContested, activation.Active, activation.ReasonValid},
		{license.NoticeActive, activation.Active, activation.ReasonValid},
		{license.NoticeRevoked, activation.Revoked, activation.ReasonRevoked},
	} {
		w.merchant.SetState(code, step.state)
		w.renew()
		w.phase(step.phase, step.reason)
		if got := w.held().Contested; got != (step.state == license.NoticeContested) {
			t.Fatalf("state %s: contested %v", step.state, got)
		}
		w.start()
		w.phase(step.phase, step.reason)
	}
}

func TestRefusalIsFinalAndKeepsWhatIsHeld(t *testing.T) {
	w := newWorld(t, activationtest.Offer{})
	_, err := w.agent.Activate(context.Background(), activation.ActivateOptions{Code: "WRONG-CODE"})
	var refused *activation.RefusedError
	if !errors.As(err, &refused) || refused.Code != "unknown-code" {
		t.Fatalf("error %v, want the merchant's refusal", err)
	}
	if list := w.agent.Held(); len(list) != 0 {
		t.Fatalf("a refused activation is remembered: %+v", list)
	}
	w.activate()
	_, err = w.agent.Activate(context.Background(), activation.ActivateOptions{Code: code})
	w.fails(err, activation.ErrAlreadyActivated)
	h, err := w.agent.Activate(context.Background(), activation.ActivateOptions{Code: code, Replace: true})
	if err != nil || h.Claims.Seq != 2 {
		t.Fatalf("replacing: seq %v, %v", h.Claims, err)
	}
	_, err = w.agent.Activate(context.Background(), activation.ActivateOptions{Issuer: "nobody", Code: code})
	w.fails(err, activation.ErrUnknownIssuer)
	_, err = w.agent.Renew(context.Background(), activation.Key{Issuer: "acme", Product: "other"})
	w.fails(err, activation.ErrNotActivated)
}
