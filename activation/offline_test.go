package activation_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"testing"

	"licenseagent.example/activation"
	"licenseagent.example/activation/activationtest"
	"licenseagent.example/activation/license"
)

// file asks for a request file, lets the merchant answer it and returns both.
func (w *world) file(kind string, opt activation.RequestOptions) (request, answer []byte) {
	w.Helper()
	request, err := w.agent.OfflineRequest(kind, opt)
	if err != nil {
		w.Fatal(err)
	}
	answer, err = w.merchant.File(request)
	if err != nil {
		w.Fatal(err)
	}
	return request, answer
}

func (w *world) imports(answer []byte) activation.Held {
	w.Helper()
	h, err := w.agent.Import(answer)
	if err != nil {
		w.Fatal(err)
	}
	return h
}

func TestOfflineFromActivationToRelease(t *testing.T) {
	w := newWorld(t, activationtest.Offer{})
	_, first := w.file(license.RequestActivate, activation.RequestOptions{Code: code})
	if h := w.held(); h.Pending != license.RequestActivate || !h.PendingFile || h.Verdict.Phase != activation.Unactivated {
		t.Fatalf("waiting: %+v", h)
	}
	w.machine.Clock.Advance(3 * days)
	w.start() // the request outlives the process
	h := w.imports(first)
	if h.Key != key() || !h.Verdict.Runs || h.Contact != activationtest.Start {
		t.Fatalf("imported: %+v", h)
	}
	w.verify(1, true, "active")

	_, second := w.file(license.RequestRenew, activation.RequestOptions{Key: key()})
	w.imports(second)
	for _, again := range [][]byte{first, second, second} {
		if _, err := w.agent.Import(again); !errors.Is(err, activation.ErrAlreadyImported) {
			t.Errorf("second import: %v", err)
		}
	}
	_, third := w.file(license.RequestRelease, activation.RequestOptions{Key: key()})
	w.imports(third)
	w.phase(activation.Revoked, activation.ReasonReleased)
	if _, err := w.agent.Import(first); !errors.Is(err, activation.ErrAlreadyImported) {
		t.Errorf("an old answer after the release: %v", err)
	}
	w.phase(activation.Revoked, activation.ReasonReleased)
}

func TestOneOutstandingRequest(t *testing.T) {
	w := newWorld(t, activationtest.Offer{})
	w.merchant.AddCode("OTHER", activationtest.Offer{})
	a, answer := w.file(license.RequestActivate, activation.RequestOptions{Code: code})
	b, err := w.agent.OfflineRequest(license.RequestActivate, activation.RequestOptions{Code: code})
	if err != nil || !bytes.Equal(a, b) {
		t.Fatalf("the same file again: equal %v, %v", bytes.Equal(a, b), err)
	}
	_, err = w.agent.OfflineRequest(license.RequestActivate, activation.RequestOptions{Code: "OTHER"})
	w.fails(err, activation.ErrOutstanding)
	_, err = w.agent.Activate(context.Background(), activation.ActivateOptions{Code: "OTHER"})
	w.fails(err, activation.ErrOutstanding)
	c, err := w.agent.OfflineRequest(license.RequestActivate, activation.RequestOptions{Code: "OTHER", Replace: true})
	if err != nil || bytes.Equal(a, c) {
		t.Fatalf("replacing: %v", err)
	}
	_, err = w.agent.Import(answer)
	w.fails(err, activation.ErrWrongAnswer) // given up
	answer, err = w.merchant.File(c)
	if err != nil {
		t.Fatal(err)
	}
	w.imports(answer)

	r1, err := w.agent.OfflineRequest(license.RequestRenew, activation.RequestOptions{Key: key()})
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{license.RequestRelease, license.RequestRebind} {
		_, err = w.agent.OfflineRequest(kind, activation.RequestOptions{Key: key(), Code: "OTHER"})
		w.fails(err, activation.ErrOutstanding)
	}
	// With a network the very same bytes go out, so the file cannot fork the chain.
	var sent []byte
	w.merchant.Before = func(r *license.Request) error { sent = []byte(r.Nonce); return nil }
	w.renew()
	var req *license.Request
	if req, err = license.OpenRequest(r1); err != nil || req.Nonce != string(sent) {
		t.Errorf("sent %s, the file holds %v, %v", sent, req, err)
	}
	answer, err = w.merchant.File(r1)
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.agent.Import(answer)
	w.fails(err, activation.ErrAlreadyImported)
	if w.merchant.Forks != 0 {
		t.Errorf("%d forks", w.merchant.Forks)
	}
	// A release waits for the renewal that is under way, then is made.
	w.merchant.Before = func(*license.Request) error { return activation.ErrUnreachable }
	_, err = w.agent.Renew(context.Background(), key())
	w.fails(err, activation.ErrUnreachable)
	w.merchant.Before = nil
	if h, err := w.agent.Release(context.Background(), key()); err != nil || h.Verdict.Reason != activation.ReasonReleased {
		t.Errorf("release after an open renewal: %+v, %v", h.Verdict, err)
	}
}

func TestRequestsThatCannotBeMade(t *testing.T) {
	w := newWorld(t, activationtest.Offer{})
	for _, tt := range []struct {
		kind string
		opt  activation.RequestOptions
		want error
	}{
		{license.RequestRenew, activation.RequestOptions{Key: key()}, activation.ErrNotActivated},
		{license.RequestRelease, activation.RequestOptions{Key: key()}, activation.ErrNotActivated},
		{license.RequestActivate, activation.RequestOptions{Key: activation.Key{Issuer: "nobody"}, Code: code}, activation.ErrUnknownIssuer},
		{license.RequestActivate, activation.RequestOptions{}, activation.ErrKind},
		{license.RequestActivate, activation.RequestOptions{Code: "two words"}, activation.ErrKind},
		{"transfer", activation.RequestOptions{Code: code}, activation.ErrKind},
	} {
		_, err := w.agent.OfflineRequest(tt.kind, tt.opt)
		w.fails(err, tt.want)
	}
	if n := len(w.agent.Held()); n != 0 {
		t.Errorf("%d records left behind", n)
	}
}

func TestImportRefusesOtherFiles(t *testing.T) {
	w := newWorld(t, activationtest.Offer{})
	_, mine := w.file(license.RequestActivate, activation.RequestOptions{Code: code})

	other := activationtest.NewMachine("another machine")
	agent, err := other.Agent(w.merchant)
	if err != nil {
		t.Fatal(err)
	}
	req, err := agent.OfflineRequest(license.RequestActivate, activation.RequestOptions{Code: code})
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := w.merchant.File(req)
	if err != nil {
		t.Fatal(err)
	}
	stranger := activationtest.NewMerchant("stranger", w.machine.Clock.Wall)
	forged, err := stranger.KeySet(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var parts map[string]json.RawMessage
	if err := json.Unmarshal(mine, &parts); err != nil {
		t.Fatal(err)
	}
	part := func(change func(map[string]json.RawMessage)) []byte {
		p := map[string]json.RawMessage{}
		for k, v := range parts {
			p[k] = v
		}
		change(p)
		b, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	before, err := w.machine.Store.Load()
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		file []byte
		want error
	}{
		"empty":            {nil, activation.ErrAnswer},
		"not JSON":         {[]byte("<html>"), activation.ErrAnswer},
		"null":             {[]byte("null"), activation.ErrAnswer},
		"array":            {[]byte("[]"), activation.ErrAnswer},
		"strings":          {[]byte(`{"license":"x","keyset":"y"}`), activation.ErrAnswer},
		"too large":        {bytes.Repeat([]byte(" "), activation.MaxAnswer+1), activation.ErrAnswer},
		"other device":     {theirs, activation.ErrWrongAnswer},
		"no key set":       {part(func(p map[string]json.RawMessage) { delete(p, "keyset") }), activation.ErrAnswer},
		"foreign key set":  {part(func(p map[string]json.RawMessage) { p["keyset"] = forged }), activation.ErrAnswer},
		"license altered":  {bytes.Replace(mine, []byte(`"payload":"ey`), []byte(`"payload":"eY`), 1), activation.ErrAnswer},
		"license for note": {part(func(p map[string]json.RawMessage) { p["notice"] = p["license"] }), activation.ErrAnswer},
		"request file":     {req, activation.ErrAnswer},
	} {
		if _, err := w.agent.Import(tt.file); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
	after, err := w.machine.Store.Load()
	if err != nil {
		t.Fatal(err)
	}
	if !equalState(before, after) {
		t.Errorf("refused files changed the state")
	}
	// White space from an editor is harmless; the right file still fits.
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, mine, "", "  "); err != nil {
		t.Fatal(err)
	}
	w.imports(pretty.Bytes())
	// An agent that knows two vendors says that the answer comes from neither.
	cfg := other.Config(stranger, activationtest.NewMerchant("third", w.machine.Clock.Wall))
	two, err := activation.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	_, err = two.Import(mine)
	w.fails(err, activation.ErrUnknownIssuer)
}

// A file with a key set alone brings revocations to machines without network.
func TestImportOfRevocations(t *testing.T) {
	w := newWorld(t, activationtest.Offer{})
	h := w.activate()
	old, err := w.merchant.KeySet(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	w.merchant.RevokeLicenses(h.ID)
	env, err := w.merchant.KeySet(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	got := w.imports(activationtest.Encode(activation.Answer{KeySet: env}))
	if got.Key.Issuer != "acme" {
		t.Errorf("key %v", got.Key)
	}
	w.phase(activation.Revoked, activation.ReasonRevokedByKeySet)
	_, err = w.agent.Import(activationtest.Encode(activation.Answer{KeySet: old}))
	w.fails(err, activation.ErrAnswer)
	w.fails(err, license.ErrKeySetRollback)
	w.start()
	w.phase(activation.Revoked, activation.ReasonRevokedByKeySet)
	w.verify2(false)
}

// verify2 checks that the proof says no, whatever the license says.
func (w *world) verify2(runs bool) {
	w.Helper()
	ans, err := w.agent.Check("studio", "acme", nonce(9))
	if err != nil {
		w.Fatal(err)
	}
	if ans.Verdict.Runs != runs {
		w.Fatalf("runs %v, want %v", ans.Verdict.Runs, runs)
	}
}

// equalState compares what two loads show.
func equalState(a, b activation.State) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}
