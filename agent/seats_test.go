package agent

import (
	"context"
	"errors"
	"testing"
	"time"

	"licenseagent.example/activation"
	"licenseagent.example/activation/activationtest"
	"licenseagent.example/agent/api"
	"licenseagent.example/agent/seats"
)

// seated is a daemon with a license for two seats.
func seated(t testing.TB, change func(*Config)) *rig {
	t.Helper()
	r := start(t, change)
	r.merchant.AddCode("TWO-SEATS", activationtest.Offer{Product: "mesher", Seats: 2})
	if _, err := r.daemon.Activate(context.Background(), api.ActivateRequest{Code: "TWO-SEATS"}, api.English); err != nil {
		t.Fatal(err)
	}
	return r
}

// take asks for a seat of mesher without waiting.
func (r *rig) take(pid int) (*seats.Held, api.SeatAnswer, error) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return r.daemon.TakeSeat(ctx, seats.Claim{Account: "uid:1000", PID: pid, Birth: "b"}, api.SeatRequest{Product: "mesher"}, api.English)
}

func TestSeatsOfADaemon(t *testing.T) {
	r := seated(t, nil)
	if _, _, err := r.take(1); err != nil {
		t.Fatal(err)
	}
	h, a, err := r.take(2)
	if err != nil || a.Seat.PID != 2 || a.Seat.Product != "mesher" || a.Count.Used != 2 || a.Count.Total != 2 {
		t.Fatalf("%+v %v", a, err)
	}
	serial := r.daemon.Serial()
	for range 3 { // told once a minute, not each time
		if _, _, err := r.take(3); !errors.Is(err, seats.ErrTaken) {
			t.Errorf("one more: %v", err)
		}
	}
	ev := r.daemon.Events(t.Context(), serial)
	if len(ev.Events) != 1 || ev.Events[0].Kind != api.EventSeats || ev.Events[0].Seats == nil || ev.Events[0].Seats.Used != 2 || !ev.Events[0].Runs {
		t.Errorf("events %+v", ev.Events)
	}
	r.machine.Clock.Advance(61)
	if _, _, err := r.take(3); !errors.Is(err, seats.ErrTaken) || r.daemon.Serial() != serial+2 {
		t.Errorf("a minute later: %v, serial %d after %d", err, r.daemon.Serial(), serial)
	}
	l := r.daemon.Status(api.English).Licenses[0]
	why, err := r.daemon.Why(api.KeyRequest{Product: "mesher"}, api.English)
	if l.Seats != 2 || l.SeatsUsed != 2 || err != nil || why.License.SeatsUsed != 2 {
		t.Errorf("status %+v, why %+v %v", l, why.License, err)
	}
	if list := r.daemon.Seats(); len(list.Seats) != 2 || len(list.Counts) != 1 || list.Counts[0].Peak != 2 {
		t.Errorf("%+v", list)
	}
	h.End()
	if _, _, err := r.take(3); err != nil {
		t.Errorf("a seat that came back: %v", err)
	}
	for q, want := range map[api.SeatRequest]error{{Product: "other"}: activation.ErrNotActivated, {Product: "mesher", Issuer: "else"}: activation.ErrNotActivated} {
		if _, _, err := r.daemon.TakeSeat(t.Context(), seats.Claim{}, q, api.English); !errors.Is(err, want) {
			t.Errorf("%+v: %v", q, err)
		}
	}
}

// A license that ends takes its seats, and says why it gives no new one.
func TestSeatsEndWithTheLicense(t *testing.T) {
	r := seated(t, nil)
	h, _, err := r.take(1)
	if err != nil {
		t.Fatal(err)
	}
	lost := make(chan struct{})
	h.OnLost(func() { close(lost) })
	r.machine.Clock.Advance(400 * 86400)
	r.daemon.tell() // as the loop does
	<-lost
	var e *api.Error
	if _, _, err := r.take(2); !errors.As(err, &e) || e.Code != api.CodeNotLicensed || e.Cause == "" || e.Message == "" {
		t.Errorf("after the end: %v", err)
	}
}

// The most seats used in a period reach the merchant with the next renewal, and
// what a lost reply carried is said again.
func TestPeakReachesTheMerchant(t *testing.T) {
	r := seated(t, nil)
	a, _, err := r.take(1)
	if err != nil {
		t.Fatal(err)
	}
	b, _, err := r.take(2)
	if err != nil {
		t.Fatal(err)
	}
	a.End()
	b.End()
	key := activation.Key{Issuer: "acme", Product: "mesher"}
	if n := r.daemon.seats.Peak(key); n != 2 {
		t.Fatalf("peak %d", n)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := r.daemon.Renew(ctx, api.KeyRequest{Product: "mesher"}, api.English); err != nil {
		t.Fatal(err)
	}
	if n := r.daemon.seats.Count(key).Peak; n != 0 {
		t.Errorf("told, and still %d", n)
	}
}

// A new daemon knows the holders of the last one.
func TestSeatLog(t *testing.T) {
	var lines [][]byte
	log := func(c *Config) {
		c.SeatLog = SeatLog{
			Lines:   lines,
			Append:  func(b []byte) error { lines = append(lines, b); return nil },
			Replace: func(l [][]byte) error { lines = l; return nil },
		}
	}
	r := seated(t, log)
	if _, _, err := r.take(7); err != nil {
		t.Fatal(err)
	}
	if len(lines) == 0 {
		t.Fatal("nothing was kept")
	}
	again, err := New(func() Config {
		c := Config{Activation: r.machine.Config(r.merchant)}
		log(&c)
		return c
	}())
	if err != nil {
		t.Fatal(err)
	}
	if back := again.RestoredSeats(); len(back) != 1 || back[0].PID != 7 || again.Seats().Counts[0].Used != 1 {
		t.Errorf("%+v", back)
	}
}
