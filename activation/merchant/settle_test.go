package merchant

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"licenseagent.example/activation/protocol"
)

// A code of another seller is named by its last characters in log, metric and
// list, with the next step, and stays open until somebody says that it is
// settled: no later success can tell. Any instance takes that.
func TestForeignCodeIsNamedAndSettled(t *testing.T) {
	s := newStall(t)
	var log bytes.Buffer
	s.svc.log = slog.New(slog.NewJSONHandler(&log, nil))
	ctx := context.Background()
	const code, last = "PLFOREIGN000000007", "…0007"
	s.market.SellElsewhere(code)
	wantCode(t, "another seller's", s.device(1).activate(code), protocol.CodeUnavailable)
	p := s.trouble(problemForeign)
	if p == nil || p.Subject != last || s.metric("license_merchant_problem", "code", problemForeign) != 1 {
		t.Fatalf("not named by its last characters: %+v", s.svc.Open())
	}
	if text := log.String(); !strings.Contains(text, `"subject":"`+last+`"`) || !strings.Contains(text, "Compare the seller on the buyer's order") || strings.Contains(text, code) {
		t.Errorf("the log says %s", text)
	}
	must0(t, s.device(2).activate(s.sell("PLTEST000000000041"))) // says nothing about the other code
	if s.trouble(problemForeign) == nil {
		t.Fatal("closed by the success of another code")
	}

	other := s.service(s.db)
	defer other.Close()
	must0(t, s.svc.shareProblems(ctx))
	if err := other.Settle(ctx, problemForeign, "…9999", ""); !errors.Is(err, ErrNotFound) {
		t.Errorf("one that is not open: %v", err)
	}
	must0(t, other.Settle(By(ctx, "ann"), problemForeign, last, "buyer told"))
	must0(t, s.svc.shareProblems(ctx))
	if s.trouble(problemForeign) != nil || len(other.Open()) != 0 || s.count(`SELECT COUNT(*) FROM problems`) != 0 {
		t.Errorf("settled and still open: %+v %+v", s.svc.Open(), other.Open())
	}
	if n := s.count(`SELECT COUNT(*) FROM audit WHERE actor = 'ann' AND action = 'problem.settle' AND subject = $1`, last); n != 1 {
		t.Errorf("%d audit rows, want 1", n)
	}
	// Met again it is open again, for all.
	wantCode(t, "once more", s.device(1).activate(code), protocol.CodeUnavailable)
	must0(t, s.svc.shareProblems(ctx))
	if s.trouble(problemForeign) == nil || s.count(`SELECT COUNT(*) FROM problems`) != 1 {
		t.Error("met again and not open")
	}
	// What ends by itself is not settled by word.
	s.svc.report(problemAway, "x")
	if err := s.svc.Settle(ctx, problemAway, "", ""); !errors.Is(err, ErrState) {
		t.Errorf("one that closes by itself: %v", err)
	}
}

// An access key that may not ask for orders is no code of another seller.
func TestKeyWithoutRights(t *testing.T) {
	s := newStall(t)
	s.market.Fail("MKT.0150")
	s.call(map[string]string{"activity": "newInstance", "orderId": "CS7", "orderLineId": "CS7-000001", "businessId": "b"})
	must(s.svc.WorkDue(context.Background()))(t)
	if s.trouble(problemForeign) != nil || s.trouble(problemKey) == nil {
		t.Errorf("%+v", s.svc.Open())
	}
}

// Work that was given up is named, shown with the code, and done once somebody
// has put right what was wrong.
func TestGivenUpWorkIsTriedAgain(t *testing.T) {
	s := newStall(t)
	code := s.sell("PLTEST000000000042")
	must0(t, s.device(1).activate(code))
	id := must(s.svc.Codes(context.Background(), "", 1))(t)[0].ID
	s.market.Fail("92020004") // not received, says the marketplace
	s.work()
	p := s.trouble(problemGivenUp)
	sale := must(s.svc.Sale(context.Background(), id))(t)
	if p == nil || p.Subject != id || p.Detail != "usage: not-received" || sale.Failed != 1 || len(sale.Uses) != 1 || sale.Uses[0].Reported != 0 {
		t.Fatalf("given up: %+v, sale %+v", s.svc.Open(), sale)
	}
	s.work()
	if len(s.market.Usage(code)) != 0 {
		t.Fatal("control: it is tried again by itself")
	}
	must0(t, s.svc.Settle(context.Background(), problemGivenUp, id, ""))
	s.work()
	sale = must(s.svc.Sale(context.Background(), id))(t)
	if len(s.market.Usage(code)) != 1 || sale.Failed != 0 || sale.Uses[0].Reported == 0 || s.trouble(problemGivenUp) != nil {
		t.Errorf("settled: %q, sale %+v, problems %q", s.market.Usage(code), sale, s.problems())
	}
	if f := must(s.svc.Find(context.Background(), "CS1"))(t); len(f.Codes) != 1 || f.Codes[0].ID != id {
		t.Errorf("found by its order: %+v", f)
	}
	own := must(s.svc.Sale(context.Background(), "c-none"))(t)
	if own != nil {
		t.Errorf("a sale of nothing: %+v", own)
	}
}
