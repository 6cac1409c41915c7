package merchant

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"licenseagent.example/activation/koogallery/koogallerytest"
	"licenseagent.example/activation/license"
	"licenseagent.example/activation/protocol"
	"licenseagent.example/docs/promise"
)

// trial is one code with its devices on the market.
type trial struct {
	*stall
	code    string
	devices []*device
	wished  [2]bool    // which of them the buyer has tried to activate
	rng     *rand.Rand // nil: in order, without faults
	start   time.Time  // the day that ends are counted from: faults take time, and orders do not end later for it
	blind   bool       // the control: the marketplace is never asked for its own word
	as      string     // the vendor's product that it was sold as
	lost    *lossy     // what the service's own calls go through
	set     int        // purchases that support had to set
}

// lossy loses answers after the marketplace has acted. Which ones follows from
// the request and how often it was made, not from the order in which workers
// make them.
type lossy struct {
	inner  http.RoundTripper
	mu     sync.Mutex
	seed   string // "": nothing is lost
	chance float64
	made   map[string]int
	losses map[string]int // by path
}

func (l *lossy) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := l.inner.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body := ""
	if r.GetBody != nil {
		from, err := r.GetBody()
		if err != nil {
			return nil, err
		}
		text, err := io.ReadAll(from)
		if err != nil {
			return nil, err
		}
		body = string(text)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seed == "" {
		return resp, nil
	}
	call := l.seed + " " + r.URL.Path + " " + body
	l.made[call]++
	h := fnv.New64a()
	fmt.Fprint(h, call, " ", l.made[call])
	if rand.New(rand.NewPCG(h.Sum64(), 1)).Float64() >= l.chance {
		return resp, nil
	}
	l.losses[path.Base(r.URL.Path)]++
	return nil, errors.Join(errors.New("the answer was lost"), resp.Body.Close())
}

// lose makes answers be lost from here on, with a seed of their own; "" none.
func (l *lossy) lose(seed string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seed = seed
}

func (x *trial) chance(p float64) bool { return x.rng != nil && x.rng.Float64() < p }

// events are what happens to a code, drawn once and played twice.
func events(rng *rand.Rand) []string {
	list := []string{"activate 0"}
	kinds := []string{"renew", "renew", "unrenew", "freeze", "unfreeze", "use 0", "use 1", "activate 1", "day"}
	for range 6 + rng.IntN(8) {
		list = append(list, kinds[rng.IntN(len(kinds))])
	}
	if rng.IntN(4) == 0 {
		list = append(list, "release")
	}
	return list
}

// play lets one event happen. What the stage of the code does not allow does
// not happen, in either order.
func (x *trial) play(n int, event string) {
	verb, arg, _ := strings.Cut(event, " ")
	i := 0
	if arg == "1" {
		i = 1
	}
	end := x.start.Truncate(24 * time.Hour).Add(time.Duration(1000+n) * 24 * time.Hour)
	switch verb {
	case "renew":
		_ = x.market.Renew(x.code, end)
	case "unrenew":
		_ = x.market.Unrenew(x.code, end.Add(-200*24*time.Hour))
	case "freeze":
		_ = x.market.Freeze(x.code)
	case "unfreeze":
		_ = x.market.Unfreeze(x.code)
	case "release":
		_ = x.market.Release(x.code)
	case "day":
		x.clock.Add(24 * time.Hour)
	case "activate":
		x.wished[i] = true
		if x.devices[i].license == "" {
			x.send(i, license.RequestActivate, x.code)
		}
	case "use":
		if x.devices[i].license != "" {
			x.send(i, license.RequestRenew, "", used(x.today()))
		}
	}
}

// send is a request of a device, whose answer may be lost: it then sends the
// same bytes again, as an agent does.
func (x *trial) send(i int, kind, code string, change ...func(*license.Request)) {
	d := x.devices[i]
	body := d.request(kind, code, append(change, func(r *license.Request) { r.Product = x.as })...)
	for try := 0; ; try++ {
		a, err := x.svc.Process(context.Background(), body, kind, "")
		var refused *Refusal
		if errors.As(err, &refused) && refused.Code == protocol.CodeUnavailable && try < 20 {
			x.market.Away(false)
			x.clock.Add(time.Minute)
			x.support()
			continue
		}
		if err == nil && x.chance(0.3) && try < 3 {
			continue // the answer was lost
		}
		if err == nil {
			d.take(a)
		}
		return
	}
}

// disturb lets things go wrong between two events.
func (x *trial) disturb() {
	if x.chance(0.2) { // a crash: what a worker held is lost with it
		must(x.svc.claim(context.Background(), jobBatch))(x.t)
		x.bed.close()
		x.bed.open()
	}
	if x.chance(0.2) {
		x.market.Away(x.chance(0.5))
	}
	if x.rng == nil || x.chance(0.5) {
		x.pass()
	}
	if x.chance(0.3) {
		x.clock.Add(time.Duration(x.rng.IntN(5)) * time.Minute)
	}
}

// pass delivers callbacks and does background work: all in order, or with calls
// and answers that are lost, so that calls come late, twice and out of order.
func (x *trial) pass() {
	x.market.Deliver(context.Background(), callbackKey, func(ctx context.Context, q url.Values, body []byte) (string, error) {
		if x.chance(0.4) {
			return "", errors.New("the call was lost")
		}
		result, err := x.seller(ctx, q, body)
		if x.chance(0.3) {
			return "", errors.New("the answer was lost")
		}
		return result, err
	})
	x.catchUp()
}

func (x *trial) catchUp() {
	if x.blind {
		must(x.db.write.Exec(`DELETE FROM jobs WHERE kind IN ('confirm', 'beat')`))(x.t)
	}
	must(x.svc.WorkDue(context.Background()))(x.t)
}

// settle ends all faults and lets everything owed arrive.
func (x *trial) settle() string {
	x.market.Away(false)
	x.rng = nil
	x.lost.lose("")
	x.drain()
	x.support()
	told := x.tell()
	x.drain() // what the devices have just reported
	return x.state() + told
}

// support does what the problem says when the answer that names the purchase
// was lost: looks it up and sets it.
func (x *trial) support() {
	must0(x.t, x.svc.shareProblems(context.Background())) // support may sit at another instance
	bought, _ := x.market.Get(x.code)
	for _, p := range x.svc.Open() {
		if p.Code != problemPurchase && p.Code != problemAmount || p.Subject != foreignHint(x.code) && x.count(`SELECT COUNT(*) FROM codes WHERE id = $1 AND goods = $2`, p.Subject, lookup(x.svc.pepper, x.code)) == 0 {
			continue // about another one
		}
		must(x.svc.SetSale(context.Background(), x.code, bought.Product, bought.Amount, ""))(x.t)
		x.set++
	}
}

// drain lets time pass until no call is owed and no work waits.
func (x *trial) drain() {
	for range 200 {
		x.clock.Add(koogallerytest.TryPeriod)
		x.pass()
		q := must(x.svc.Queue(context.Background()))(x.t)
		open := slices.ContainsFunc(x.market.Owed(), func(c koogallerytest.Callback) bool { return !c.Done })
		if !open && q.Waiting == 0 {
			return
		}
	}
	x.t.Error("calls or work are left over for ever")
}

// tell lets each device that was wanted ask once more.
func (x *trial) tell() (told string) {
	for i, d := range x.devices {
		switch {
		case d.license != "":
			x.send(i, license.RequestRenew, "")
		case x.wished[i]: // refused while it was frozen: the buyer tries again
			x.send(i, license.RequestActivate, x.code)
		}
		if d.claims != nil {
			told += fmt.Sprintf(" device %d runs until %d with %d seats of %s", i, d.claims.Expires, d.claims.Seats, d.claims.Product)
		}
	}
	return told
}

func (x *trial) state() string {
	id := lookup(x.svc.pepper, x.code)
	var standing, market, status, sold, product, edition string
	var expires, ends, amount, seats, devices int64
	err := x.db.read.QueryRow(`SELECT g.standing, g.expires, c.market, c.ends, c.status, g.product, g.amount, c.product, c.edition, c.seats, c.devices
		FROM goods g JOIN codes c ON c.goods = g.id WHERE g.id = $1`, id).
		Scan(&standing, &expires, &market, &ends, &status, &sold, &amount, &product, &edition, &seats, &devices)
	must0(x.t, err)
	var unreported int64
	must0(x.t, x.db.read.QueryRow(`SELECT COUNT(*) FROM uses WHERE goods = $1 AND reported = 0`, id).Scan(&unreported))
	bought := fmt.Sprintf("%d × %s as %s %s for %d on %d", amount, sold, product, edition, seats, devices)
	if standing == standReleased {
		bought = "whatever it was" // nobody looks up what is over
	}
	return fmt.Sprintf("%s %d %s %d %s, %s, %d days untold, told:", standing, expires, market, ends, status, bought, unreported)
}

// run plays the events on a code of its own, with or without a source of
// faults. Codes that are sold as a painter may be either of two products when
// the answer that tells is lost, a sculptor is one only.
func (x *trial) run(n int, list []string) string {
	s := x.stall
	sold := "OFFI1"
	if x.as == "sculptor" {
		sold = "OFFI3"
	}
	s.sell(x.code, func(c *koogallerytest.Code) {
		c.Product, c.Amount, c.Validity = sold, int64(2+n%7), 900*24*time.Hour
	})
	x.start = s.clock.Now()
	for range 2 {
		s.machines++
		x.devices = append(x.devices, s.device(s.machines))
	}
	for n, e := range list {
		x.play(n, e)
		x.disturb()
	}
	return x.settle()
}

// Callbacks that are lost, late, doubled and out of order, devices that retry,
// outages, crashes and answers of the marketplace that are lost after it acted
// end in the state of the orderly world, seats and product included. One part is run
// again with -run 'TestInterleavingsEndAlike/^from-300$'.
func TestInterleavingsEndAlike(t *testing.T) {
	lost, set := map[string]int{}, 0
	differ := func(t *testing.T, from, to int, seed uint64, blind bool) (bad int) {
		s := newStall(t, func(o *MarketOptions) {
			o.Products = append(o.Products, MarketProduct{ID: "OFFI3", Spec: CodeSpec{Product: "sculptor", Limits: map[string]int64{}, Devices: 3}})
		})
		wire := &lossy{inner: s.market.Transport(), chance: 0.3, made: map[string]int{}, losses: lost}
		s.client.HTTP = &http.Client{Transport: wire}
		for i := from; i < to; i++ {
			rng := rand.New(rand.NewPCG(seed, uint64(i)))
			list := events(rng)
			start := s.clock.Now()
			as := []string{"painter", "sculptor"}[i%2]
			orderly := (&trial{stall: s, lost: wire, as: as, code: fmt.Sprintf("PLORDERLY%010d", i)}).run(i, list)
			s.clock.set(start) // the same days
			x := &trial{stall: s, lost: wire, as: as, code: fmt.Sprintf("PLWILD%013d", i), rng: rng, blind: blind}
			wire.lose(fmt.Sprintf("%d %d", seed, i))
			wild := x.run(i, list)
			set += x.set
			if wild != orderly {
				if bad++; !blind {
					t.Errorf("%d of seed %d: %q\n orderly: %s\n wild:    %s", i, seed, list, orderly, wild)
				}
			}
		}
		return bad
	}
	n, tried, bad := promise.Size(6, 1000), 0, 0
	for from := 0; from < n; from += 100 {
		t.Run(fmt.Sprintf("from-%d", from), func(t *testing.T) {
			to := min(n, from+100)
			bad += differ(t, from, to, 1, false)
			tried += to - from
		})
	}
	controls, control := promise.Size(20, 100), 0
	t.Run("control", func(t *testing.T) {
		if control = differ(t, 0, controls, 2, true); control == 0 {
			t.Error("without the marketplace's own word every order of callbacks ends alike: this test sees nothing")
		}
	})
	if tried < n || control == 0 {
		return // only a part was asked for
	}
	for _, call := range []string{"activate", "heartbeat", "software-usage-info"} {
		if lost[call] == 0 {
			t.Errorf("no answer to %s was lost", call)
		}
	}
	if set == 0 {
		t.Error("no purchase had to be set after its answer was lost")
	}
	promise.Reached(t, "P28", fmt.Sprintf("%d interleavings of callbacks, activations, renewals, outages, crashes and lost answers of the marketplace: %d end otherwise than in order", n, bad),
		fmt.Sprintf("no confirming heartbeat: %d of %d end otherwise", control, controls))
}
