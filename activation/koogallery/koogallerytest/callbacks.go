package koogallerytest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"licenseagent.example/activation/koogallery"
)

// Retries of a callback, as documented: 60 tries, one every two minutes.
const (
	Tries     = 60
	TryPeriod = 2 * time.Minute
	// Patience is how long the marketplace waits for an answer.
	Patience = 5 * time.Second
)

// ErrStage is returned when a code is not in a stage that allows a step.
var ErrStage = errors.New("koogallerytest: not in this stage")

// Callback is a call that the marketplace owes the seller.
type Callback struct {
	Body   string    `json:"body"`
	Next   time.Time `json:"next"`
	Tries  int       `json:"tries"`
	Result string    `json:"result"` // of the last try, "" before the first or without an answer
	Done   bool      `json:"done"`
}

// Seller is the seller's production address: it gets the query of the URL and
// the body and returns the result code of the answer, or an error for none.
type Seller func(ctx context.Context, query url.Values, body []byte) (result string, err error)

// Notify queues a callback with the given members.
func (m *Marketplace) Notify(members map[string]string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.notify(members)
}

func (m *Marketplace) notify(members map[string]string) {
	body, err := json.Marshal(members) // sorted and compact, as the marketplace sends it
	if err != nil {
		return // text always encodes
	}
	m.owed = append(m.owed, &Callback{Body: string(body), Next: m.now()})
}

// Deliver makes the calls that are due, in the order they were queued, and
// returns how many the seller took. Wrong results are tried again every two
// minutes, 60 times.
func (m *Marketplace) Deliver(ctx context.Context, key string, seller Seller) int {
	m.mu.Lock()
	now := m.now()
	var due []*Callback
	for _, c := range m.owed {
		if !c.Done && c.Tries < Tries && !c.Next.After(now) {
			c.Tries++
			c.Next = now.Add(TryPeriod)
			m.nonce++
			due = append(due, c)
		}
	}
	first := m.nonce - len(due)
	m.mu.Unlock()
	took := 0
	for i, c := range due {
		// Each try is signed anew: time stamp and nonce are its own.
		query := koogallery.SignCallback(key, fmt.Sprintf("%s-%d", m.session, first+i+1), now, []byte(c.Body))
		call, cancel := context.WithTimeout(ctx, Patience)
		result, err := seller(call, query, []byte(c.Body))
		cancel()
		m.mu.Lock()
		c.Result = result
		c.Done = err == nil && (result == "000000" || result == "000004")
		if c.Done {
			took++
		}
		m.mu.Unlock()
	}
	return took
}

// Owed returns the callbacks so far, the delivered ones included.
func (m *Marketplace) Owed() []Callback {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []Callback
	for _, c := range m.owed {
		list = append(list, *c)
	}
	return list
}

// Redrive makes the calls that were given up due again, as a seller does in
// Seller Center after a repair.
func (m *Marketplace) Redrive() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.owed {
		if !c.Done {
			c.Tries, c.Next = 0, m.now()
		}
	}
}

// step changes a code that is in one of the given stages.
func (m *Marketplace) step(code string, from []Stage, do func(c *Code)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.codes[code]
	if c == nil {
		return fmt.Errorf("%w: no such code", ErrStage)
	}
	m.age(c)
	if !slices.Contains(from, c.Stage) {
		return fmt.Errorf("%w: it is %s", ErrStage, c.Stage)
	}
	do(c)
	return nil
}

// Receive is the buyer's receiving of a code.
func (m *Marketplace) Receive(code string) error {
	return m.step(code, []Stage{Bought}, func(c *Code) { c.Stage = Received })
}

// Renew is a renewal order: the validity ends later, and a frozen code is
// unfrozen. The seller is told.
func (m *Marketplace) Renew(code string, until time.Time) error {
	return m.step(code, []Stage{Active, Expired, Frozen}, func(c *Code) { m.renew(c, until, "RENEWAL") })
}

// Unrenew takes a renewal back.
func (m *Marketplace) Unrenew(code string, until time.Time) error {
	return m.step(code, []Stage{Active}, func(c *Code) { m.renew(c, until, "UNSUBSCRIBE_RENEWAL_PERIOD") })
}

func (m *Marketplace) renew(c *Code, until time.Time, scene string) {
	was := c.Stage
	c.Expires, c.Stage = until, Active
	m.age(c)
	m.orderNo++
	order := fmt.Sprintf("CS%010d", m.orderNo)
	m.notify(map[string]string{
		"activity": "refreshLicenseCode", "scene": scene, "orderId": order, "orderLineId": order + "-000001",
		"license": c.Code, "expireTime": until.UTC().Format(stampForm), "testFlag": "0",
	})
	if was == Frozen && c.Stage == Active {
		m.notify(map[string]string{"activity": "updateLicenseCodeStatus", "license": c.Code, "status": "UNFREEZE", "testFlag": "0"})
	}
}

// Freeze is the end of the grace period of an expired code, or a measure of the
// marketplace. The seller is told.
func (m *Marketplace) Freeze(code string) error {
	return m.step(code, []Stage{Active, Expired}, func(c *Code) {
		c.Stage = Frozen
		m.notify(map[string]string{"activity": "updateLicenseCodeStatus", "license": code, "status": "FREEZE", "testFlag": "0"})
	})
}

// Unfreeze ends a freeze. The seller is told.
func (m *Marketplace) Unfreeze(code string) error {
	return m.step(code, []Stage{Frozen}, func(c *Code) {
		c.Stage = Active
		m.age(c)
		m.notify(map[string]string{"activity": "updateLicenseCodeStatus", "license": code, "status": "UNFREEZE", "testFlag": "0"})
	})
}

// Release is the end of a code. The seller is told.
func (m *Marketplace) Release(code string) error {
	return m.step(code, []Stage{Received, Active, Expired, Frozen}, func(c *Code) {
		c.Stage = Released
		m.notify(map[string]string{"activity": "releaseLicenseCode", "license": code, "orderId": c.Order, "orderLineId": c.Order + "-000001", "testFlag": "0"})
	})
}
