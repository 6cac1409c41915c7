package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

	"licenseagent.example/activation"
	"licenseagent.example/activation/activationtest"
	"licenseagent.example/activation/license"
	"licenseagent.example/agent/api"
)

func held(product string, phase activation.Phase) activation.Held {
	return activation.Held{Key: activation.Key{Issuer: "acme", Product: product}, ID: "lic-" + product, Verdict: activation.Verdict{Phase: phase, Runs: phase == activation.Active}}
}

func TestHubReportsDifferences(t *testing.T) {
	h := newHub(100)
	if ev := h.update([]activation.Held{held("a", activation.Active)}, 1); len(ev) != 0 {
		t.Errorf("the beginning is no change: %+v", ev)
	}
	steps := []struct {
		held []activation.Held
		want []string
	}{
		{[]activation.Held{held("a", activation.Active)}, nil},
		{[]activation.Held{held("a", activation.Grace)}, []string{"verdict a grace"}},
		{[]activation.Held{held("a", activation.Grace), held("b", activation.Active)}, []string{"license b active"}},
		{[]activation.Held{held("b", activation.Active)}, []string{"license a unactivated"}},
		{[]activation.Held{held("b", activation.Active), held("", activation.Unactivated)}, []string{"contact  unactivated"}},
		{[]activation.Held{held("b", activation.Active)}, []string{"contact  "}},
	}
	for i, s := range steps {
		var got []string
		for _, e := range h.update(s.held, int64(i)) {
			got = append(got, fmt.Sprint(e.Kind, " ", e.Product, " ", e.Phase))
		}
		if fmt.Sprint(got) != fmt.Sprint(s.want) {
			t.Errorf("step %d: %v, want %v", i, got, s.want)
		}
	}
	contact := held("b", activation.Active)
	contact.LastError = "x"
	if ev := h.update([]activation.Held{contact}, 9); len(ev) != 1 || ev[0].Kind != api.EventContact {
		t.Errorf("contact: %+v", ev)
	}
	out, _ := h.since(100)
	if len(out.Events) != 6 || out.Serial != 106 || out.Missed {
		t.Errorf("since 100: %+v", out)
	}
	for i, e := range out.Events {
		if e.Serial != uint64(101+i) {
			t.Errorf("serial %d at %d", e.Serial, i)
		}
	}
}

func TestHubSaysWhatWasMissed(t *testing.T) {
	h := newHub(1000)
	h.update(nil, 0)
	for i := range 2 * remembered {
		phase := activation.Active
		if i%2 == 0 {
			phase = activation.Grace
		}
		h.update([]activation.Held{held("a", phase)}, int64(i))
	}
	for since, missed := range map[uint64]bool{
		0:                       false, // asks for the first time
		5:                       true,  // of another run
		1000:                    true,  // forgotten
		1000 + remembered:       false,
		1000 + 2*remembered:     false,
		1000 + 2*remembered + 1: true, // the future: of another run
	} {
		out, _ := h.since(since)
		if out.Missed != missed {
			t.Errorf("since %d: missed %v with %d events", since, out.Missed, len(out.Events))
		}
	}
	if len(h.events) != remembered {
		t.Errorf("%d events are kept", len(h.events))
	}
}

func TestHubWakesEveryWaiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(0)
		h.update(nil, 0)
		got := make(chan api.Events, 8)
		for range 8 {
			go func() { got <- h.wait(t.Context(), 0) }()
		}
		synctest.Wait()
		h.update([]activation.Held{held("a", activation.Active)}, 1)
		for range 8 {
			if e := <-got; len(e.Events) != 1 {
				t.Errorf("got %+v", e)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		go func() { got <- h.wait(ctx, 1) }()
		synctest.Wait()
		cancel()
		if e := <-got; len(e.Events) != 0 || e.Events == nil {
			t.Errorf("after the end: %+v", e)
		}
	})
}

func TestRedactor(t *testing.T) {
	r := NewRedactor()
	r.Hide("Abcd-Efgh-1234")
	r.Hide("ab") // too short to hide
	for in, want := range map[string]string{
		"code Abcd-Efgh-1234 refused": "code [redacted] refused",
		"code ABCD-EFGH-1234 refused": "code [redacted] refused",
		"code AbcdEfgh1234":           "code [redacted]",
		"abcd-efgh-1234":              "[redacted]",
		"about":                       "about",
	} {
		if got := r.Text(in); got != want {
			t.Errorf("%q became %q", in, got)
		}
	}
	if got := r.Error(fmt.Errorf("x: %w", errors.New("ABCDEFGH1234"))); got != "x: [redacted]" {
		t.Errorf("error %q", got)
	}
	if r.Error(nil) != "" {
		t.Error("nil is not empty")
	}
	for i := range 10 * keptSecrets {
		r.Hide(fmt.Sprintf("secret-%06d", i))
	}
	if len(r.secrets) > keptSecrets {
		t.Errorf("%d secrets are kept", len(r.secrets))
	}
}

// Whatever shape a secret has in a log record, it does not come out. The
// control logs the same through the bare handler.
func TestLogIsRedacted(t *testing.T) {
	record := func(log *slog.Logger) {
		log = log.With("with", "SECRET-CODE").WithGroup("g")
		log.Info("message SECRET-CODE", "text", "SECRET-CODE", "err", errors.New("SECRET-CODE"), slog.Group("in", "deep", "SECRET-CODE"),
			"any", struct{ A string }{"SECRET-CODE"}, "number", 7)
	}
	var clean, bare bytes.Buffer
	r := NewRedactor()
	r.Hide("SECRET-CODE")
	record(slog.New(r.Handler(slog.NewJSONHandler(&clean, nil))))
	record(slog.New(slog.NewJSONHandler(&bare, nil)))
	if strings.Contains(clean.String(), "SECRET-CODE") || !strings.Contains(clean.String(), `"number":7`) {
		t.Errorf("log: %s", clean.String())
	}
	if n := strings.Count(bare.String(), "SECRET-CODE"); n != 6 {
		t.Errorf("control: the bare handler shows it %d times", n)
	}
}

// A merchant that quotes the code in its refusal must not put it anywhere.
func TestCodeNeverLeaves(t *testing.T) {
	r := start(t, nil)
	r.merchant.Before = func(req *license.Request) error {
		return &activation.RefusedError{Code: "unknown-code", Message: "There is no code " + req.Code, Hint: "Not " + strings.ReplaceAll(req.Code, "-", ""), Status: 404}
	}
	_, err := r.daemon.Activate(t.Context(), api.ActivateRequest{Code: code}, api.English)
	refused := (*activation.RefusedError)(nil)
	if !errors.As(err, &refused) || refused.Code != "unknown-code" {
		t.Fatalf("got %v", err)
	}
	d, derr := r.daemon.Diagnose(t.Context(), api.English)
	if derr != nil {
		t.Fatal(derr)
	}
	bundle, derr := json.Marshal(d)
	if derr != nil {
		t.Fatal(derr)
	}
	for name, text := range map[string]string{"error": err.Error() + refused.Hint, "log": r.log.String(), "bundle": string(bundle)} {
		if strings.Contains(text, code) || strings.Contains(text, strings.ReplaceAll(code, "-", "")) {
			t.Errorf("%s: %s", name, text)
		}
	}
}

// The bundle reproduces the verdict: the inputs in it give it again.
func TestBundleReproducesTheVerdict(t *testing.T) {
	r := start(t, nil)
	r.activate()
	d, err := r.daemon.Diagnose(t.Context(), api.English)
	if err != nil {
		t.Fatal(err)
	}
	var inputs []activation.Inputs
	if err := json.Unmarshal(d.Inputs, &inputs); err != nil {
		t.Fatal(err)
	}
	if len(inputs) != 1 || string(activation.Decide(inputs[0]).Phase) != d.Status.Licenses[0].Verdict.Phase {
		t.Errorf("inputs %s", d.Inputs)
	}
	text, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range r.machine.Device().Components() {
		for _, v := range c.Values {
			if strings.Contains(string(text)+string(d.Inputs), v.Text) {
				t.Errorf("the bundle holds the %s %q", c.Kind, v.Text)
			}
		}
	}
	if in := inputs[0].License; in.Device.Salt != "" || len(in.Device.Parts) != 0 {
		t.Error("the bundle holds enrolled hashes and their salt")
	}
}

func TestResolve(t *testing.T) {
	r := start(t, nil)
	r.activate()
	for _, q := range []api.KeyRequest{{}, {Product: "painter"}, {Issuer: "acme"}, {Issuer: "acme", Product: "painter"}} {
		if k, err := r.daemon.resolve(q); err != nil || k.Product != "painter" {
			t.Errorf("%+v: %+v %v", q, k, err)
		}
	}
	if _, err := r.daemon.resolve(api.KeyRequest{Product: "other"}); !errors.Is(err, activation.ErrNotActivated) {
		t.Errorf("other: %v", err)
	}
	r.merchant.AddCode("CODE-OTHER", activationtest.Offer{Product: "sculptor"})
	if _, err := r.daemon.Activate(t.Context(), api.ActivateRequest{Code: "CODE-OTHER", Replace: true}, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := r.daemon.resolve(api.KeyRequest{}); !errors.Is(err, activation.ErrAmbiguousProduct) {
		t.Errorf("two licenses: %v", err)
	}
}
