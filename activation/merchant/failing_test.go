package merchant

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"licenseagent.example/activation/koogallery/koogallerytest"
	"licenseagent.example/activation/license"
	"licenseagent.example/activation/protocol"
)

// However the marketplace answers for a code of another seller, which is not
// documented, the vendor is told which one and what to do.
func TestForeignCodeIsNamedInEveryForm(t *testing.T) {
	type forms = []koogallerytest.Form
	for _, c := range []struct {
		name    string
		forms   forms
		problem string
		told    protocol.Code // the buyer
	}{
		{"as in the current table", nil, problemForeign, protocol.CodeUnavailable},
		{"internal error", forms{{HTTP: 500, Code: "92020001"}}, problemForeign, protocol.CodeUnavailable},
		{"unauthorized", forms{{HTTP: 403, Code: "92020001"}}, problemForeign, protocol.CodeUnavailable},
		{"does not exist", forms{{HTTP: 200, Code: "92020005"}}, problemTyped, protocol.CodeUnknownCode},
		{"invalid", forms{{HTTP: 200, Code: "92020002"}}, problemTyped, protocol.CodeUnknownCode},
		{"active, and not ours", forms{{HTTP: 200, Code: "92020003"}, {HTTP: 403, Code: "92020001"}}, problemForeign, protocol.CodeUnavailable},
		{"active, and does not exist", forms{{HTTP: 200, Code: "92020003"}, {HTTP: 200, Code: "92020005"}}, problemTyped, protocol.CodeUnknownCode},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStall(t)
			var log bytes.Buffer
			s.svc.log = slog.New(slog.NewJSONHandler(&log, nil))
			const code = "PLFOREIGN000000007"
			s.market.SellElsewhere(code, c.forms...)
			wantCode(t, "another seller's", s.device(1).activate(code), c.told)
			p := s.trouble(c.problem)
			if p == nil || len(s.svc.Open()) != 1 || p.Subject != "…0007" || s.metric("license_merchant_problem", "code", c.problem) != 1 {
				t.Fatalf("open are %+v, want %s about …0007", s.svc.Open(), c.problem)
			}
			for _, text := range []string{p.Message.EN, p.Message.ZH} {
				if !strings.Contains(text, "another seller") && !strings.Contains(text, "其他商家") {
					t.Errorf("does not say what it may be: %s", text)
				}
			}
			if text := log.String(); !strings.Contains(text, `"problem":"`+c.problem+`"`) || strings.Contains(text+p.Detail, code) {
				t.Errorf("the log says %s", text)
			}
		})
	}
}

// A code that is taken after all closes what was said of it.
func TestTypedCodeThatIsTakenCloses(t *testing.T) {
	s := newStall(t)
	const code = "PLTEST000000000051"
	s.market.Fail("92020002")
	wantCode(t, "called invalid once", s.device(1).activate(code), protocol.CodeUnknownCode)
	if s.trouble(problemTyped) == nil {
		t.Fatalf("not named: %+v", s.svc.Open())
	}
	must0(t, s.device(1).activate(s.sell(code)))
	if len(s.svc.Open()) != 0 {
		t.Errorf("taken, and open are %+v", s.svc.Open())
	}
}

// Guesses neither fill the list nor hide the newest one, and what does not look
// like a code of KooGallery says nothing.
func TestGuessesDoNotFillTheList(t *testing.T) {
	s := newStall(t)
	for i := range maxTyped + 5 {
		s.clock.Add(time.Minute)
		wantCode(t, "a guess", s.device(1).activate(fmt.Sprintf("PLGUESS%010d", i)), protocol.CodeUnknownCode)
	}
	wantCode(t, "a word", s.device(1).activate("not-a-code-of-theirs"), protocol.CodeUnknownCode)
	open := s.svc.Open()
	newest := false
	for _, p := range open {
		newest = newest || p.Subject == fmt.Sprintf("…%04d", maxTyped+4)
	}
	if len(open) != maxTyped || !newest {
		t.Errorf("%d open, the newest among them %v", len(open), newest)
	}
}

// Internal errors that pass by themselves are nobody's business; those that
// last are named: about everything, or about one code while others succeed.
func TestLastingFailureIsNamed(t *testing.T) {
	for _, answer := range []string{"92020001", "92029876", "APIGW.0201"} {
		t.Run(answer, func(t *testing.T) {
			s, _, d := bought(t)
			fail := func() {
				s.clock.Add(24 * time.Hour)
				must0(t, d.do(license.RequestRenew, "", used(s.today())))
				s.market.Fail(strings.Fields(strings.Repeat(answer+" ", 8))...)
			}
			try := func(pause time.Duration) {
				s.clock.Add(pause)
				must(s.svc.WorkDue(context.Background()))(t)
			}
			fail()
			try(40 * time.Minute)
			if len(s.svc.Open()) != 0 {
				t.Fatalf("at the first failure: %+v", s.svc.Open())
			}
			try(2 * time.Hour)
			p := s.trouble(problemFailing)
			if p == nil || p.Subject != "" || !strings.Contains(p.Detail, answer) {
				t.Fatalf("after two hours: %+v", s.svc.Open())
			}
			for range 8 {
				try(2 * time.Hour)
			}
			if len(s.svc.Open()) != 0 {
				t.Errorf("right again, and open are %+v", s.svc.Open())
			}
		})
	}
	s, _, _ := bought(t)
	for _, problem := range []string{problemFailing, problemForeign} {
		s.svc.failed(problem, "c-bad", "x")
		s.clock.Add(2 * time.Hour)
		s.svc.succeeded("c-other")
		s.svc.failed(problem, "c-bad", "x")
		if p := s.trouble(problem); p == nil || p.Subject != "c-bad" {
			t.Errorf("one code that fails while others do not: %+v", s.svc.Open())
		}
	}
}
