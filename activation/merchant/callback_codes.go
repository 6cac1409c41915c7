package merchant

import (
	"errors"
	"strings"
)

// the answer that changes nothing more
func done() CallbackAnswer { return CallbackAnswer{Code: resultOK, Message: "success."} }

// sold finds and locks the code of a callback. A code that was never activated
// here is documented to be answered "does not exist"; the marketplace then
// repeats the call for two hours. It may be kept instead, see MarketOptions.
func (t *tx) sold(f fields) (*goods, *CallbackAnswer, error) {
	code, err := f.need("license", maxForeign)
	if err != nil {
		return nil, nil, err
	}
	if f.testing() {
		a := done()
		return nil, &a, nil
	}
	code = strings.TrimSpace(code)
	id := lookup(t.svc.pepper, code)
	g, err := t.goods(id)
	if !errors.Is(err, ErrNotFound) {
		return g, nil, err
	}
	if !t.svc.market.KeepUnknown {
		a := resulted(resultUnknown, "this code was not activated here")
		return nil, &a, nil
	}
	g = &goods{id: id, kind: goodsCode, state: goodsNew}
	if _, err := t.addGoods(g, code); err != nil {
		return nil, nil, err
	}
	g, err = t.goods(id)
	return g, nil, err
}

// refreshCode is refreshLicenseCode: a renewal, or one taken back. An order has
// one effect however often it is told.
func (t *tx) refreshCode(f fields) (CallbackAnswer, error) {
	expires, err := t.moment(f, "expireTime", 20, true)
	if err != nil {
		return CallbackAnswer{}, err
	}
	return t.refresh(f, expires, []string{"RENEWAL", "UNSUBSCRIBE_RENEWAL_PERIOD"}, func() (*goods, *CallbackAnswer, error) { return t.sold(f) })
}

// refresh is what renewals of codes and instances have in common.
func (t *tx) refresh(f fields, expires int64, scenes []string, find func() (*goods, *CallbackAnswer, error)) (CallbackAnswer, error) {
	scene, err := f.need("scene", 64)
	if err != nil {
		return CallbackAnswer{}, err
	}
	known := false
	for _, s := range scenes {
		known = known || s == scene
	}
	if !known {
		return CallbackAnswer{}, &fieldError{"scene is unknown"}
	}
	order, err := f.need("orderId", 64)
	if err != nil {
		return CallbackAnswer{}, err
	}
	line, err := f.need("orderLineId", 64)
	if err != nil {
		return CallbackAnswer{}, err
	}
	product, err := f.may("productId", 64)
	if err != nil {
		return CallbackAnswer{}, err
	}
	g, a, err := find()
	if a != nil || err != nil {
		return answerOf(a), err
	}
	first, err := t.deed(g.id, "", "refresh", g.id, order, line, scene)
	if err != nil || !first {
		return done(), err
	}
	if product != "" {
		g.product = product
		if t.svc.troubled(problemPurchase) || t.svc.troubled(problemOrder) {
			if err := t.setRight(g, nil); err != nil {
				return CallbackAnswer{}, err
			}
		}
	}
	// A renewal never shortens: one that arrives after a later one is late.
	word := wordRenew
	if strings.HasPrefix(scene, "UNSUBSCRIBE") {
		word = wordUnrenew
	}
	switch {
	case word == wordUnrenew || expires > g.expires:
		g.problem = ""
	case expires < g.expires:
		word, expires = wordShorter, g.expires
	}
	standing := g.standing
	if standing == standExpired && expires > t.now {
		standing = standAlive
	}
	if err := t.stand(g, standing, expires, "marketplace", "market.refresh", map[string]any{"scene": scene, "order": clip(order)}); err != nil {
		return CallbackAnswer{}, err
	}
	return done(), t.confirm(g, word)
}

func answerOf(a *CallbackAnswer) CallbackAnswer {
	if a == nil {
		return CallbackAnswer{}
	}
	return *a
}

// deed notes that a callback was carried out; false when it was before.
func (t *tx) deed(goods, result, purpose string, parts ...string) (bool, error) {
	n, err := t.exec(`INSERT INTO deeds (name, goods, result, created) VALUES ($1, $2, $3, $4) ON CONFLICT (name) DO NOTHING`,
		t.svc.keyed(purpose, parts...), goods, result, t.now)
	return n == 1, err
}

// updateCode is updateLicenseCodeStatus: freeze and unfreeze.
func (t *tx) updateCode(f fields) (CallbackAnswer, error) {
	return t.update(f, func() (*goods, *CallbackAnswer, error) { return t.sold(f) })
}

func (t *tx) update(f fields, find func() (*goods, *CallbackAnswer, error)) (CallbackAnswer, error) {
	status, err := f.need("status", 32)
	if err != nil {
		return CallbackAnswer{}, err
	}
	// NORMAL is the word of an older interface for the same thing.
	standing := map[string]string{"FREEZE": standFrozen, "UNFREEZE": standAlive, "NORMAL": standAlive}[status]
	if standing == "" {
		return CallbackAnswer{}, &fieldError{"status is FREEZE or UNFREEZE"}
	}
	g, a, err := find()
	if a != nil || err != nil {
		return answerOf(a), err
	}
	if g.standing == standReleased {
		return done(), nil // a freeze that was told late
	}
	if err := t.stand(g, standing, g.expires, "marketplace", "market.update", map[string]any{"status": status}); err != nil {
		return CallbackAnswer{}, err
	}
	word := wordFreeze
	if standing == standAlive {
		word = wordUnfreeze
	}
	return done(), t.confirm(g, word)
}

// releaseCode is releaseLicenseCode: the end, after which nothing comes.
func (t *tx) releaseCode(f fields) (CallbackAnswer, error) {
	return t.release(f, func() (*goods, *CallbackAnswer, error) { return t.sold(f) })
}

func (t *tx) release(f fields, find func() (*goods, *CallbackAnswer, error)) (CallbackAnswer, error) {
	order, err := f.may("orderId", 64)
	if err != nil {
		return CallbackAnswer{}, err
	}
	if _, err := f.may("orderLineId", 64); err != nil {
		return CallbackAnswer{}, err
	}
	g, a, err := find()
	if a != nil || err != nil {
		return answerOf(a), err
	}
	return done(), t.stand(g, standReleased, g.expires, "marketplace", "market.release", map[string]any{"order": clip(order)})
}
