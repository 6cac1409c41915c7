package agent

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"

	"licenseagent.example/activation"
	"licenseagent.example/agent/api"
	"licenseagent.example/agent/seats"
)

// SeatLog is what keeps the seats for the next start: lines that are appended
// one by one and now and then replaced. The zero value keeps nothing.
type SeatLog struct {
	Lines   [][]byte // of the last run in the same boot
	Append  func(line []byte) error
	Replace func(lines [][]byte) error
}

// shortPause is the least time in seconds between two events that say that all
// seats of a license are taken: the list of events is short, and a program that
// asks without pause must not push the others out of it.
const shortPause = 60

// openSeats makes the table of seats and returns the life cycle's view of it.
func (d *Daemon) openSeats(rand io.Reader) error {
	start := make([]byte, 4)
	if _, err := io.ReadFull(rand, start); err != nil {
		return fmt.Errorf("agent: no random bytes: %w", err)
	}
	d.short = map[activation.Key]int64{}
	d.seats, d.restored = seats.New(seats.Config{
		Now: d.now, Start: hex.EncodeToString(start), Append: d.cfg.SeatLog.Append, Replace: d.cfg.SeatLog.Replace, Short: d.seatsShort,
		Failed: func(err error) { d.log.Error("a seat could not be kept for a restart", "error", err) },
	}, d.cfg.SeatLog.Lines)
	d.cfg.Activation.SeatPeak, d.cfg.Activation.SeatPeakTold = d.seats.Peak, d.seats.Told
	return nil
}

// RestoredSeats are the holders that an earlier run of this boot knew. Each
// must be held again (localapi.Server.Hold) or ended.
func (d *Daemon) RestoredSeats() []*seats.Held { return d.restored }

// TakeSeat waits for a seat of a license that runs. Errors: those of resolve,
// an *api.Error of code not-licensed, those of seats.Table.Take.
func (d *Daemon) TakeSeat(ctx context.Context, c seats.Claim, q api.SeatRequest, lang string) (*seats.Held, api.SeatAnswer, error) {
	h, err := d.find(api.KeyRequest{Issuer: q.Issuer, Product: q.Product})
	if err != nil {
		return nil, api.SeatAnswer{}, err
	}
	if h.Claims == nil || !h.Verdict.Runs {
		v := verdict(h.Verdict, lang)
		return nil, api.SeatAnswer{}, &api.Error{Code: api.CodeNotLicensed, Cause: v.Reason, Message: v.Message, Hint: v.NextStep}
	}
	c.Key = h.Key
	held, n, err := d.seats.Take(ctx, c, h.Claims.Seats)
	if err != nil {
		return nil, api.SeatAnswer{}, err
	}
	return held, api.SeatAnswer{Seat: apiSeat(held.Holder), Count: seatCount(h.Key, n)}, nil
}

// Seats lists the seats of every license that runs, and who holds them.
func (d *Daemon) Seats() api.Seats {
	out := api.Seats{Counts: []api.SeatCount{}, Seats: []api.Seat{}}
	counts := d.seats.Counts()
	for _, h := range d.life.Held() {
		if h.Claims == nil {
			continue
		}
		n := counts[h.Key]
		n.Total = h.Claims.Seats
		out.Counts = append(out.Counts, seatCount(h.Key, n))
	}
	for _, h := range d.seats.Holders() {
		out.Seats = append(out.Seats, apiSeat(h))
	}
	return out
}

// reviseSeats tells the table what each license allows now.
func (d *Daemon) reviseSeats(held []activation.Held) {
	totals := map[activation.Key]int64{}
	for _, h := range held {
		if h.Claims != nil && h.Verdict.Runs {
			totals[h.Key] = h.Claims.Seats
		}
	}
	d.seats.Revise(totals)
}

// seatsShort is called when somebody found all seats taken.
func (d *Daemon) seatsShort(k activation.Key, n seats.Count) {
	boot := d.cfg.Boot()
	d.mu.Lock()
	last, told := d.short[k]
	if told && boot-last < shortPause {
		d.mu.Unlock()
		return
	}
	d.short[k] = boot
	d.mu.Unlock()
	h, err := d.find(api.KeyRequest{Issuer: k.Issuer, Product: k.Product})
	if err != nil {
		return // the license went meanwhile
	}
	count := seatCount(k, n)
	d.hub.publish(api.Event{
		Time: d.now(), Kind: api.EventSeats, Issuer: k.Issuer, Product: k.Product,
		Phase: string(h.Verdict.Phase), Runs: h.Verdict.Runs, Reason: h.Verdict.Reason, Seats: &count,
	})
	d.log.Warn("all seats are taken", "issuer", k.Issuer, "product", k.Product, "total", n.Total, "waiting", n.Waiting, "next", "license-agent seats list")
}

func seatCount(k activation.Key, n seats.Count) api.SeatCount {
	return api.SeatCount{Issuer: k.Issuer, Product: k.Product, Total: n.Total, Used: n.Used, Waiting: n.Waiting, Peak: n.Peak}
}

func apiSeat(h seats.Holder) api.Seat {
	return api.Seat{
		ID: h.Seat, Issuer: h.Key.Issuer, Product: h.Key.Product, User: h.User, Account: h.Account, PID: h.PID,
		Since: h.Since, Detached: h.Detached,
	}
}
