package merchant

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"strings"
	"testing"
	"time"

	"licenseagent.example/activation/koogallery"
	"licenseagent.example/activation/koogallery/koogallerytest"
	"licenseagent.example/activation/license"
	"licenseagent.example/activation/protocol"
)

// lost sells a code and activates it at the marketplace in a run whose answer
// nobody got.
func (s *stall) lost(code string, change ...func(*koogallerytest.Code)) string {
	s.t.Helper()
	s.sell(code, change...)
	must(s.client.Activate(context.Background(), code, time.Time{}))(s.t)
	return code
}

// A paid code whose activation's answer was lost, where several products may be
// meant: named by its last characters, with what to do; somebody who has looked
// it up sets it, on any instance, and the next attempt of the buyer succeeds.
func TestLostAnswerIsNamedAndSet(t *testing.T) {
	s := newStall(t)
	code := s.lost("PLTEST000000000071", func(c *koogallerytest.Code) { c.Amount = 7 })
	d, ctx := s.device(1), context.Background()
	for range 2 {
		wantCode(t, "its product is not known", d.activate(code), protocol.CodeUnavailable)
	}
	p := s.trouble(problemPurchase)
	if p == nil || len(s.svc.Open()) != 1 || p.Subject != "…0071" || !strings.Contains(p.Next.EN, "codes sale") || strings.Contains(p.Detail, code) {
		t.Fatalf("open are %+v", s.svc.Open())
	}
	must0(t, s.svc.shareProblems(ctx))
	other := s.service(s.db)
	defer other.Close()
	for _, bad := range []struct {
		which, product string
		amount         int64
		want           error
	}{
		{"…0071", "", 0, ErrInput},
		{"…0071", "OFFI9", 7, ErrInput},
		{"…0071", "OFFI1", -1, ErrInput},
		{"", "OFFI1", 7, ErrInput},
		{"…", "OFFI1", 7, ErrInput},
		{"…0072", "OFFI1", 7, ErrNotFound},
		{"c-none", "OFFI1", 7, ErrNotFound},
		{"PLTEST000000000072", "OFFI1", 7, ErrNotFound},
	} {
		if _, err := other.SetSale(ctx, bad.which, bad.product, bad.amount, ""); !errors.Is(err, bad.want) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	got := must(other.SetSale(By(ctx, "ann"), "…0071", "OFFI1", 7, "order CS1"))(t)
	if got != (Sold{"…0071", "", "OFFI1", 7}) {
		t.Errorf("set: %+v", got)
	}
	must0(t, s.svc.shareProblems(ctx))
	if len(s.svc.Open()) != 0 || s.count(`SELECT COUNT(*) FROM problems`) != 0 {
		t.Errorf("set, and open are %+v", s.svc.Open())
	}
	must0(t, d.activate(code))
	if d.claims.Seats != 7 || d.claims.Edition != "pro" || len(s.svc.Open()) != 0 {
		t.Errorf("%d seats of %q, want 7 of pro; open are %+v", d.claims.Seats, d.claims.Edition, s.svc.Open())
	}
	if n := s.count(`SELECT COUNT(*) FROM audit WHERE actor = 'ann' AND action = 'sale.set' AND subject = '…0071' AND detail LIKE '%order CS1%'`); n != 1 {
		t.Errorf("%d audit rows, want 1", n)
	}
}

// A code that runs with the product's default learns the quantity, its devices
// at their next renewal; a product that was guessed wrongly is set right.
func TestLostQuantityIsSet(t *testing.T) {
	s := newStall(t)
	// What the device asks for names the product, where the vendor has let
	// products of the marketplace be products of his own.
	s.svc.market.Products[1].Spec.Product = "sculptor"
	code, ctx := s.lost("PLTEST000000000073"), context.Background()
	d := s.device(1)
	must0(t, d.do(license.RequestActivate, code, func(r *license.Request) { r.Product = "painter" }))
	id := must(s.svc.Codes(ctx, "", 1))(t)[0].ID
	if p := s.trouble(problemAmount); p == nil || p.Subject != id || d.claims.Seats != 1 {
		t.Fatalf("%d seats, open are %+v", d.claims.Seats, s.svc.Open())
	}
	must(s.svc.SetSale(ctx, id, "", 5, ""))(t)
	must0(t, d.renew())
	if d.claims.Seats != 5 || d.claims.Product != "painter" || len(s.svc.Open()) != 0 {
		t.Errorf("%d seats of %s, want 5 of painter; open are %+v", d.claims.Seats, d.claims.Product, s.svc.Open())
	}
	got := must(s.svc.SetSale(ctx, "0073", "OFFI2", 2, ""))(t) // by its end
	if got != (Sold{"…0073", id, "OFFI2", 2}) {
		t.Errorf("set: %+v", got)
	}
	if i := must(s.svc.Code(ctx, id))(t); i.Devices != 2 || i.Seats != 1 || i.Product != "sculptor" || i.Edition != "" {
		t.Errorf("the code is %+v, want 2 devices of sculptor", i)
	}
	if n := len(s.actions(id)); n == 0 || !strings.Contains(strings.Join(s.actions(id), " "), "sale.set") {
		t.Errorf("actions %q", s.actions(id))
	}
	// Codes that end alike are told apart by the whole.
	s.svc.market.Products[1].Spec.Product = "painter"
	twin := s.lost("PLOTHER00000000073")
	wantCode(t, "its product is not known", s.device(2).activate(twin), protocol.CodeUnavailable)
	if _, err := s.svc.SetSale(ctx, "…0073", "OFFI1", 1, ""); !errors.Is(err, ErrInput) {
		t.Errorf("two codes end alike: %v", err)
	}
	if got = must(s.svc.SetSale(ctx, twin, "OFFI1", 1, ""))(t); got.Code != "" || got.Product != "OFFI1" {
		t.Errorf("the whole code: %+v", got)
	}
	must0(t, s.market.Release(code))
	s.deliver()
	if _, err := s.svc.SetSale(ctx, id, "", 9, ""); !errors.Is(err, ErrState) {
		t.Errorf("a code that is over: %v", err)
	}
	if len(s.svc.Open()) != 0 {
		t.Errorf("open are %+v", s.svc.Open())
	}
	// One that is over before somebody has set it is nobody's business any more.
	gone := s.lost("PLTEST000000000079")
	wantCode(t, "its product is not known", s.device(4).activate(gone), protocol.CodeUnavailable)
	if p := s.trouble(problemPurchase); p == nil {
		t.Fatalf("open are %+v", s.svc.Open())
	}
	must0(t, s.market.Release(gone))
	s.deliver()
	if len(s.svc.Open()) != 0 || s.count(`SELECT COUNT(*) FROM problems`) != 0 {
		t.Errorf("released, and open are %+v", s.svc.Open())
	}
}

// telling is a marketplace whose heartbeats say what was bought.
type telling struct {
	Marketplace
	as koogallery.Heartbeat
}

func (m *telling) Heartbeat(ctx context.Context, code string) (koogallery.Heartbeat, error) {
	h, err := m.Marketplace.Heartbeat(ctx, code)
	h.Product, h.Order, h.Amount = m.as.Product, m.as.Order, m.as.Amount
	return h, err
}

// What an older version took up is found by its last characters, too: those that
// stand with a redeemed code are taken over from there, others are in the seal.
func TestLastCharactersOfOldGoods(t *testing.T) {
	s := newStall(t)
	ctx, redeemed, lost := context.Background(), s.sell("PLTEST000000000a74"), s.lost("PLTEST000000000a75")
	must0(t, s.device(1).activate(redeemed))
	wantCode(t, "its product is not known", s.device(2).activate(lost), protocol.CodeUnavailable)
	must(s.db.write.Exec(`UPDATE goods SET hint = ''`))(t)
	up, _, _ := strings.Cut(string(must(fs.ReadFile(migrations, "migrations/00009_fill_hints.sql"))(t)), "-- +goose Down")
	must(s.db.write.Exec(up))(t)
	if n := s.count(`SELECT COUNT(*) FROM goods WHERE hint = '…0A74'`); n != 1 || s.count(`SELECT COUNT(*) FROM goods WHERE hint = ''`) != 1 {
		t.Errorf("%d hints are taken over, want one of two", n)
	}
	for _, code := range []string{redeemed, lost} {
		end := code[len(code)-4:]
		if got := must(s.svc.SetSale(ctx, end, "OFFI1", 2, ""))(t); got.Hint != "…"+end {
			t.Errorf("%s: %+v", end, got)
		}
	}
}

// Whatever of the marketplace tells the purchase is asked before a human is:
// the heartbeat, the order that it names, a later heartbeat, a callback.
func TestLostAnswerIsToldElsewhere(t *testing.T) {
	line := func(product, amount string) string {
		return `{"orderLineId":"CS1-000001","productInfo":{"productId":"` + product + `","linearValue":"` + amount + `"}}`
	}
	for name, c := range map[string]struct {
		as    koogallery.Heartbeat
		lines string
		told  bool
	}{
		"heartbeat":               {as: koogallery.Heartbeat{Product: "OFFI1", Amount: 4}, told: true},
		"order":                   {as: koogallery.Heartbeat{Order: "CS1"}, lines: line("OFFI1", "4"), told: true},
		"order of equal lines":    {as: koogallery.Heartbeat{Order: "CS1"}, lines: line("OFFI1", "4") + "," + line("OFFI1", "4"), told: true},
		"order of two products":   {as: koogallery.Heartbeat{Order: "CS1"}, lines: line("OFFI1", "4") + "," + line("OFFI2", "4")},
		"order without a product": {as: koogallery.Heartbeat{Order: "CS1"}, lines: `{"orderLineId":"CS1-000001"}`},
		"order that is not known": {as: koogallery.Heartbeat{Order: "CS2"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStall(t)
			s.market.AddOrder("CS1", json.RawMessage(`{"orderId":"CS1","orderLine":[`+c.lines+`]}`))
			s.svc.market.Market = &telling{s.svc.market.Market, c.as}
			d, code := s.device(1), s.lost("PLTEST000000000074")
			err := d.activate(code)
			if !c.told {
				wantCode(t, "nobody tells", err, protocol.CodeUnavailable)
				if s.trouble(problemPurchase) == nil {
					t.Errorf("open are %+v", s.svc.Open())
				}
				return
			}
			must0(t, err)
			if d.claims.Seats != 4 || len(s.svc.Open()) != 0 {
				t.Errorf("%d seats, want 4; open are %+v", d.claims.Seats, s.svc.Open())
			}
		})
	}
	t.Run("later heartbeat", func(t *testing.T) {
		s := newStall(t, func(o *MarketOptions) { o.Products = o.Products[:1] })
		d, code := s.device(1), s.lost("PLTEST000000000075")
		must0(t, d.activate(code))
		if s.trouble(problemAmount) == nil {
			t.Fatalf("open are %+v", s.svc.Open())
		}
		s.svc.market.Market = &telling{s.svc.market.Market, koogallery.Heartbeat{Amount: 4}}
		s.clock.Add(24 * time.Hour)
		must0(t, d.do(license.RequestRenew, "", used(s.today())))
		s.work()
		must0(t, d.renew())
		if d.claims.Seats != 4 || len(s.svc.Open()) != 0 {
			t.Errorf("%d seats, want 4; open are %+v", d.claims.Seats, s.svc.Open())
		}
		// A product that nobody has configured changes nothing, and is named.
		s.svc.market.Market = &telling{s.svc.market.Market, koogallery.Heartbeat{Product: "OFFI9"}}
		s.clock.Add(24 * time.Hour)
		must0(t, d.do(license.RequestRenew, "", used(s.today())))
		s.work()
		if p := s.trouble(problemProduct); p == nil || p.Subject != "OFFI9" || d.claims.Seats != 4 {
			t.Errorf("open are %+v", s.svc.Open())
		}
	})
	t.Run("callback", func(t *testing.T) {
		s := newStall(t)
		d, code := s.device(1), s.lost("PLTEST000000000076")
		wantCode(t, "nobody tells", d.activate(code), protocol.CodeUnavailable)
		s.call(map[string]string{
			"activity": "refreshLicenseCode", "scene": "RENEWAL", "orderId": "CS9", "orderLineId": "CS9-000001", "license": code,
			"productId": "OFFI1", "expireTime": s.clock.Now().Add(1000 * 24 * time.Hour).UTC().Format("20060102150405"),
		})
		s.work()
		if len(s.svc.Open()) != 0 {
			t.Errorf("told, and open are %+v", s.svc.Open())
		}
		must0(t, d.activate(code))
		if d.claims.Edition != "pro" || s.trouble(problemAmount) == nil {
			t.Errorf("edition %q, open are %+v", d.claims.Edition, s.svc.Open())
		}
	})
}
