package merchant

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"licenseagent.example/activation/koogallery"
	"licenseagent.example/activation/license"
	"licenseagent.example/fingerprint"
)

// The online License of industrial software: the marketplace makes an instance
// per order, and the customer's software applies for licenses of it with the
// fingerprint of its device. What we return is a code of our own that only that
// device can redeem: a license needs the device's public key, which the
// application does not carry (docs/adr, "what getLicenseAsync returns").

// binding is the only device that may redeem a code: recognised by its
// hardware, or by the id of its device key.
type binding struct {
	Env    fingerprint.EnvKind `json:"env,omitempty"`
	Salt   []byte              `json:"salt,omitempty"`
	Parts  []fingerprint.Part  `json:"parts,omitempty"`
	Device string              `json:"device,omitempty"`
}

// newInstance answers with the id of an instance, the same for every repetition
// of the order; what was ordered is asked afterwards.
func (t *tx) newInstance(f fields) (CallbackAnswer, error) {
	var v [3]string
	for i, name := range []string{"orderId", "orderLineId", "businessId"} {
		var err error
		if v[i], err = f.need(name, 64); err != nil {
			return CallbackAnswer{}, err
		}
	}
	order, line, business := v[0], v[1], v[2]
	a := done()
	a.Instance = business // advised: the business id of the order's first call
	if f.testing() {
		return a, nil
	}
	id := t.svc.instanceID(business)
	sealed, err := t.svc.sealGoods(id, business)
	if err != nil {
		return CallbackAnswer{}, err
	}
	first, err := t.deed(id, sealed, "order", order, line)
	if err != nil {
		return CallbackAnswer{}, err
	}
	if !first {
		g := goods{}
		err := t.row(`SELECT goods, result FROM deeds WHERE name = $1`, t.svc.keyed("order", order, line)).Scan(&g.id, &g.sealed)
		if err != nil {
			return CallbackAnswer{}, fmt.Errorf("merchant: deeds: %w", err)
		}
		a.Instance, err = t.svc.openGoods(&g)
		return a, err
	}
	g := &goods{id: id, kind: goodsInstance, state: goodsActive, standing: standAlive, order: order, line: line, activated: t.now}
	added, err := t.addGoods(g, business)
	if err != nil {
		return CallbackAnswer{}, err
	}
	if !added {
		return CallbackAnswer{}, &fieldError{"businessId was used for another order"}
	}
	if err := t.enqueue(jobOrder, id, "", t.now, ""); err != nil {
		return CallbackAnswer{}, err
	}
	return a, t.audit("marketplace", "market.instance", "order "+clip(order), map[string]any{"line": clip(line)})
}

// instance finds and locks the instance of a callback.
func (t *tx) instance(f fields) (*goods, *CallbackAnswer, error) {
	name, err := f.need("instanceId", 64)
	if err != nil {
		return nil, nil, err
	}
	if f.testing() {
		a := done()
		return nil, &a, nil
	}
	g, err := t.goods(t.svc.instanceID(name))
	if errors.Is(err, ErrNotFound) {
		a := resulted(resultUnknown, "this instance does not exist")
		return nil, &a, nil
	}
	return g, nil, err
}

func (t *tx) refreshInstance(f fields) (CallbackAnswer, error) {
	expires, err := t.moment(f, "expireTime", 20, true)
	if err != nil {
		return CallbackAnswer{}, err
	}
	scenes := []string{"TRIAL_TO_FORMAL", "RENEWAL", "RENEWAL_CHANGE", "UNSUBSCRIBE_RENEWAL_PERIOD"}
	return t.refresh(f, expires, scenes, func() (*goods, *CallbackAnswer, error) { return t.instance(f) })
}

func (t *tx) updateInstance(f fields) (CallbackAnswer, error) {
	return t.update(f, func() (*goods, *CallbackAnswer, error) { return t.instance(f) })
}

func (t *tx) releaseInstance(f fields) (CallbackAnswer, error) {
	return t.release(f, func() (*goods, *CallbackAnswer, error) { return t.instance(f) })
}

// application is the payload of an upload job.
type application struct {
	Event string `json:"event"`
	Code  string `json:"code"` // codes.id
	Name  string `json:"name"` // what the code is derived from, a keyed hash
}

// applyLicense is getLicenseAsync: a license for the device that the call
// carries. The same application gets the same license.
func (t *tx) applyLicense(f fields) (CallbackAnswer, error) {
	event, err := f.need("eventId", 64)
	if err != nil {
		return CallbackAnswer{}, err
	}
	if _, err := t.moment(f, "effectiveTime", 32, true); err != nil {
		return CallbackAnswer{}, err
	}
	expires, err := t.moment(f, "expireTime", 32, false)
	if err != nil {
		return CallbackAnswer{}, err
	}
	print, err := f.may("deviceFingerprint", 1024)
	if err != nil {
		return CallbackAnswer{}, err
	}
	g, a, err := t.instance(f)
	if a != nil || err != nil {
		return answerOf(a), err
	}
	product, ok, waiting, err := t.orderedProduct(g)
	if err != nil {
		return CallbackAnswer{}, err
	}
	switch {
	case g.standing != standAlive, g.expires > 0 && g.expires <= t.now, expires > 0 && expires <= t.now:
		return resulted(resultDates, "outside the valid dates of the order"), nil
	case expires == 0 && g.mode == "PERIOD":
		return resulted(resultNoExpiry, "a license for a period needs expireTime"), nil
	case !ok:
		t.noProduct(g, waiting)
		return resulted(resultInternal, "this product is not set up yet"), nil
	case strings.Trim(print, "| \t") == "" && !product.Unbound:
		return resulted(resultNoDevice, "this product needs the device fingerprint"), nil
	}
	return t.grant(g, product, application{Event: event, Name: t.svc.keyed("license", g.id, event, print)}, print, expires)
}

// orderWait is how many seconds an application waits for what its order says
// before the product is taken for the only one that is configured. The
// marketplace repeats a call for two hours.
const orderWait = 3600

// orderedProduct is the product of an instance. The documents show none in the
// lines of an order, so that one that is not named is the only one that is
// configured, or somebody has to say which. waiting: the order may still say it.
func (t *tx) orderedProduct(g *goods) (product MarketProduct, ok, waiting bool, err error) {
	product, ok = t.svc.market.product(g.product)
	if !ok && g.product == "" {
		var since int64
		err = t.row(`SELECT created FROM jobs WHERE id = $1 AND failed = 0`, jobID(jobOrder, g.id, "")).Scan(&since)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return product, false, false, fmt.Errorf("merchant: jobs: %w", err)
		}
		if waiting = err == nil; !waiting || t.now-since >= orderWait {
			product, ok = t.svc.market.guess("")
		}
	}
	if !ok {
		return product, false, waiting, nil
	}
	t.svc.solvedFor(problemProduct, g.product)
	if t.svc.troubled(problemOrder) {
		return product, true, waiting, t.over(problemID{problemOrder, g.orderLine()})
	}
	return product, true, waiting, nil
}

// noProduct names an instance that applied for a license and has no product here.
// The marketplace asks again, and while it may still say which, nobody needs to.
func (t *tx) noProduct(g *goods, waiting bool) {
	switch {
	case g.product != "":
		t.svc.reportFor(problemProduct, g.product, "an instance of product "+clip(g.product)+" applied for a license")
	case !waiting:
		t.svc.reportFor(problemOrder, g.orderLine(), "an application for a license; the order names no product that could be read")
	}
}

// orderLine names an instance for an operator: its id belongs to the
// marketplace's customer.
func (g *goods) orderLine() string { return g.order + "/" + g.line }

// specOf is what a code of goods entitles to. A license that was applied for is
// for one device; the quantity is how many there may be.
func (g *goods) specOf(p MarketProduct) CodeSpec {
	if g.kind != goodsInstance {
		return p.spec(g.amount)
	}
	s := p.spec(0)
	s.Devices = 1
	return s
}

// grant makes the code of an application and lets it be uploaded.
func (t *tx) grant(g *goods, product MarketProduct, ap application, print string, expires int64) (CallbackAnswer, error) {
	accepted := CallbackAnswer{Code: resultInProgress, Message: "in progress"}
	first, err := t.deed(g.id, ap.Name, "application", ap.Name)
	if err != nil {
		return CallbackAnswer{}, err
	}
	code := grouped(t.svc.derivedCode(ap.Name))
	if !first {
		// An interrupted transfer: the same license again.
		if err := t.row(`SELECT id FROM codes WHERE lookup = $1`, lookup(t.svc.pepper, code)).Scan(&ap.Code); err != nil {
			return CallbackAnswer{}, fmt.Errorf("merchant: application: %w", err)
		}
		return accepted, t.enqueueUpload(g, ap)
	}
	bound, err := t.bind(print, product.Spec.Unidentified)
	if err != nil {
		return CallbackAnswer{}, err
	}
	var issued int64
	if err := t.row(`SELECT COUNT(*) FROM codes WHERE goods = $1 AND goods <> ''`, g.id).Scan(&issued); err != nil {
		return CallbackAnswer{}, fmt.Errorf("merchant: application: %w", err)
	}
	if g.amount > 0 && issued >= g.amount {
		if _, err := t.exec(`DELETE FROM deeds WHERE name = $1`, t.svc.keyed("application", ap.Name)); err != nil {
			return CallbackAnswer{}, err
		}
		return resulted(resultQuota, "the order's quantity is used up"), nil
	}
	one := *g
	if one.expires == 0 || expires > 0 && expires < one.expires {
		one.expires = expires
	}
	if ap.Code, err = t.addForeign(&one, g.specOf(product), lookup(t.svc.pepper, code), codeHint(code), bound); err != nil {
		return CallbackAnswer{}, err
	}
	return accepted, t.enqueueUpload(g, ap)
}

func (t *tx) enqueueUpload(g *goods, ap application) error {
	text, err := marshal(ap)
	if err != nil {
		return err
	}
	return t.enqueue(jobUpload, g.id, ap.Name, t.now, text)
}

// derivedCode is a code of ours made from a keyed hash: the same application
// gives the same code, and no database holds it.
func (s *Service) derivedCode(name string) string {
	mac := hmac.New(sha256.New, s.pepper)
	mac.Write([]byte("code\n" + name))
	symbols := make([]byte, 0, codeSymbols)
	for _, b := range mac.Sum(nil)[:codeSymbols-1] {
		symbols = append(symbols, codeAlphabet[b&31])
	}
	return string(append(symbols, checkSymbol(symbols)))
}

// bind remembers a device as an enrolment does: salted hashes only. What is not
// a fingerprint in the documented form is the id of a device key.
func (t *tx) bind(print string, unidentified bool) (string, error) {
	print = strings.TrimSpace(print)
	if strings.Trim(print, "| ") == "" {
		return "", nil
	}
	parsed, err := fingerprint.Parse(strings.ToUpper(print))
	if err != nil {
		if strings.Contains(print, "|") {
			return "", &fieldError{"deviceFingerprint has not the form mac|disk|board|cpu"}
		}
		return marshal(binding{Device: print})
	}
	e, err := t.enrol("application", parsed.Device(fingerprint.Physical, nil, nil), unidentified)
	if err != nil {
		var r *Refusal
		if errors.As(err, &r) {
			return "", &fieldError{"deviceFingerprint shows nothing that tells this device from others"}
		}
		return "", err
	}
	return marshal(binding{Env: e.Env, Salt: e.Salt, Parts: e.Parts})
}

// bound says whether a device may redeem a code that is bound to one.
func (t *tx) bound(code entitlement, req *license.Request, d fingerprint.Device) (bool, error) {
	var text string
	if err := t.row(`SELECT bound FROM codes WHERE id = $1`, code.id).Scan(&text); err != nil {
		return false, fmt.Errorf("merchant: code: %w", err)
	}
	if text == "" {
		return true, nil
	}
	var b binding
	if err := json.Unmarshal([]byte(text), &b); err != nil {
		return false, fmt.Errorf("merchant: code %s: binding: %w", code.id, err)
	}
	if b.Device != "" {
		return b.Device == req.Device, nil
	}
	p, err := fingerprint.Preset(code.policy)
	if err != nil {
		return false, fmt.Errorf("merchant: code %s: %w", code.id, err)
	}
	d.Env.Kind = b.Env
	c := fingerprint.Compare(p, fingerprint.Enrolled{Env: b.Env, Salt: b.Salt, Parts: b.Parts}, d)
	return c.Outcome == fingerprint.Same || c.Unidentified(), nil
}

// uploadLicense delivers the code of an application.
func (s *Service) uploadLicense(ctx context.Context, j task) error {
	ap, err := payload[application](j)
	if err != nil {
		return err
	}
	err = s.asked(ctx, "upload", ap.Code, func(ctx context.Context) error {
		return s.market.Market.UploadString(ctx, ap.Event, grouped(s.derivedCode(ap.Name)))
	})
	if koogallery.ClassOf(err) == koogallery.Refused {
		s.reportFor(problemUpload, ap.Code, word(err))
	} else if err == nil {
		s.solvedFor(problemUpload, ap.Code)
	}
	return s.settleTask(ctx, j, err, nil)
}

// orderInfo is what is read of an order; members of other names may appear.
type orderInfo struct {
	Lines []struct {
		ID      string          `json:"orderLineId"`
		Mode    string          `json:"chargingMode"`
		Expires string          `json:"expireTime"`
		Product json.RawMessage `json:"productInfo"`
	} `json:"orderLine"`
}

// queryOrder completes an instance by what was ordered.
func (s *Service) queryOrder(ctx context.Context, j task) error {
	g, _, err := s.secretOf(ctx, j.goods)
	if err != nil {
		return err
	}
	var raw json.RawMessage
	err = s.asked(ctx, "order", "", func(ctx context.Context) (err error) {
		raw, err = s.market.Market.Order(ctx, g.order, g.line)
		return err
	})
	return s.settleTask(ctx, j, err, func(t *tx) error {
		g, err := t.goods(j.goods)
		if err != nil {
			return err
		}
		var o orderInfo
		if err := json.Unmarshal(raw, &o); err != nil {
			return t.svc.unreadOrder(err)
		}
		expires := g.expires
		for _, l := range o.Lines {
			if l.ID != "" && l.ID != g.line && len(o.Lines) > 1 {
				continue
			}
			g.mode = l.Mode
			product, amount := productOf(l.Product)
			if product != "" {
				g.product = product
			}
			if amount > 0 {
				g.amount = amount
			}
			if at, err := koogallery.ParseEnd(l.Expires, t.svc.market.Zone); err == nil && expires == 0 {
				expires = at.Unix()
			}
		}
		if err := t.saveGoods(g); err != nil {
			return err
		}
		if t.svc.troubled(problemOrder) {
			if err := t.setRight(g, nil); err != nil {
				return err
			}
		}
		return t.stand(g, g.standing, expires, "marketplace", "market.order", nil)
	})
}

// unreadOrder leaves an instance as it is when its order has another shape than
// the documents show; what it needs most, the end, comes with the application.
func (s *Service) unreadOrder(err error) error {
	s.reportFor(problemAnswer, "", "an order of a shape that is not documented: "+fmt.Sprintf("%T", err))
	return nil
}

// productOf reads the product of an order line, an object or a list of them,
// whose members the license pages do not show.
func productOf(raw json.RawMessage) (id string, amount int64) {
	type product struct {
		ID     json.RawMessage `json:"productId"`
		Amount json.RawMessage `json:"linearValue"`
	}
	var list []product
	if json.Unmarshal(raw, &list) != nil {
		var one product
		if json.Unmarshal(raw, &one) != nil {
			return "", 0
		}
		list = []product{one}
	}
	for _, p := range list {
		f := fields{"id": p.ID, "amount": p.Amount}
		if n, err := strconv.ParseInt(f.text("amount"), 10, 64); err == nil {
			amount = n
		}
		if v := f.text("id"); v != "" {
			id = v
		}
	}
	return id, amount
}

// newName draws the name under which this service holds leases.
func newName(from io.Reader) (string, error) {
	b := make([]byte, 8)
	if _, err := io.ReadFull(from, b); err != nil {
		return "", fmt.Errorf("merchant: drawing a name: %w", err)
	}
	return fmt.Sprintf("%x", b), nil
}
