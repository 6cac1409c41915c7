package merchant

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strings"
	"time"

	"licenseagent.example/activation/koogallery"
	"licenseagent.example/activation/license"
	"licenseagent.example/activation/protocol"
)

const (
	// redeemLease is how long one activation at the marketplace may take before
	// somebody else takes over: three calls and their retries, and some time.
	redeemLease = 4 * int64(marketTimeout/time.Second)
	// redeemWait bounds how long a request waits for another one that is
	// redeeming the same code; redeemPoll is how often it looks.
	redeemWait = 10 * time.Second
	redeemPoll = 100 * time.Millisecond
	// maxForeign is the documented length of an authorization code.
	maxForeign = 64
	// redeemers bounds the activations under way: guessed codes must not
	// become a flood at the marketplace.
	redeemers = 16
)

// redeemable says whether a request failed only because nobody has asked the
// marketplace about its code yet.
func (s *Service) redeemable(req *license.Request, err error) bool {
	var r *Refusal
	return s.market.sells() && req.Kind == license.RequestActivate && len(strings.TrimSpace(req.Code)) <= maxForeign &&
		errors.As(err, &r) && r.Code == protocol.CodeUnknownCode
}

// redeem activates a code at the marketplace and makes it a code of this
// service. However many devices and instances try it at once, one of them asks:
// it holds the row's lease. The lease is written before the call, so that a
// crash in between is continued by whoever comes next, and the marketplace's
// "already active" is then our own doing, to be confirmed by a heartbeat.
func (s *Service) redeem(ctx context.Context, typed, wanted string) error {
	code := strings.TrimSpace(typed)
	id := lookup(s.pepper, code)
	deadline := time.NewTimer(redeemWait)
	defer deadline.Stop()
	for {
		g, mine, err := s.claimGoods(ctx, id, code)
		if err != nil || g == nil {
			return err
		}
		if mine {
			return s.redeemMine(ctx, g, code, wanted)
		}
		poll := time.NewTimer(redeemPoll)
		select {
		case <-poll.C:
		case <-deadline.C:
			poll.Stop()
			return &Refusal{Code: protocol.CodeUnavailable, After: 5}
		case <-ctx.Done():
			poll.Stop()
			return ctx.Err()
		}
	}
}

// claimGoods takes the lease of a code. No goods and no error: it was redeemed
// meanwhile.
func (s *Service) claimGoods(ctx context.Context, id, code string) (g *goods, mine bool, err error) {
	err = s.changeLocking(ctx, "code "+id, func(t *tx) error {
		g, mine = nil, false
		one, err := t.goods(id)
		if errors.Is(err, ErrNotFound) {
			one = &goods{id: id, kind: goodsCode, state: goodsNew, lease: t.now + redeemLease, owner: s.name}
			g = one
			mine, err = t.addGoods(one, code)
			return err
		}
		if err != nil {
			return err
		}
		if one.standing == standReleased {
			return refuse(protocol.CodeRevoked)
		}
		have, err := t.codesOf(id)
		if err != nil || len(have) > 0 {
			return err
		}
		g = one
		if mine = one.lease <= t.now; mine {
			one.lease, one.owner = t.now+redeemLease, s.name
			return t.saveGoods(one)
		}
		return nil
	})
	if err != nil {
		g = nil
	}
	return g, mine, err
}

// redeemMine talks to the marketplace as the one who holds the lease. The
// caller may hang up; what the marketplace did must be written down all the same.
func (s *Service) redeemMine(ctx context.Context, g *goods, code, wanted string) error {
	ctx = context.WithoutCancel(ctx)
	select {
	case s.redeeming <- struct{}{}:
		defer func() { <-s.redeeming }()
	default:
		return s.redeemFailed(ctx, g, &Refusal{Code: protocol.CodeUnavailable, After: 10}, "too many activations at once")
	}
	bought := g.purchase()
	confirmed := g.state == goodsActive // before, but its product was not configured
	if !confirmed {
		var info koogallery.Info
		err := s.asked(ctx, "activate", "", func(ctx context.Context) (err error) {
			info, err = s.market.Market.Activate(ctx, code, time.Time{})
			return err
		})
		confirmed = err == nil
		if err != nil && koogallery.ClassOf(err) != koogallery.AlreadyActive {
			s.nameTyped("activate", code, err)
			return s.redeemFailed(ctx, g, redeemRefusal(err), word(err))
		}
		// What only this answer tells is written down before anything else.
		if err == nil {
			bought = purchase{info.Product, info.Order, info.Amount}.or(bought)
			if err := s.changeLocking(ctx, "code "+g.id, func(t *tx) error { return t.activated(g.id, info) }); err != nil {
				return err
			}
		}
	}
	// The estimate in the activation's answer decides nothing: ask.
	var beat *koogallery.Heartbeat
	err := s.asked(ctx, "heartbeat", "", func(ctx context.Context) error {
		h, err := s.heartbeat(ctx, g, code)
		if err == nil {
			beat = &h
		}
		return err
	})
	if err != nil && !confirmed {
		s.nameTyped("heartbeat", code, err)
		return s.redeemFailed(ctx, g, redeemRefusal(err), word(err))
	}
	if beat != nil {
		bought = bought.or(heardPurchase(*beat))
	}
	bought = s.ordered(ctx, bought)
	return s.changeLocking(ctx, "code "+g.id, func(t *tx) error { return t.adopt(g.id, code, wanted, beat, bought) })
}

// redeemRefusal is what the buyer is told.
func redeemRefusal(err error) *Refusal {
	switch koogallery.ClassOf(err) {
	case koogallery.UnknownCode, koogallery.Refused, koogallery.BadCodeInSet:
		return &Refusal{Code: protocol.CodeUnknownCode}
	case koogallery.NotReceived:
		return &Refusal{Code: protocol.CodeNotReceived}
	}
	return &Refusal{Code: protocol.CodeUnavailable, After: 60}
}

// redeemFailed gives the lease back. A code that does not exist leaves nothing
// behind: guesses must not fill the database.
func (s *Service) redeemFailed(ctx context.Context, g *goods, refusal *Refusal, why string) error {
	err := s.change(ctx, func(t *tx) error {
		if refusal.Code == protocol.CodeUnknownCode {
			_, err := t.exec(`DELETE FROM goods WHERE id = $1 AND state = 'new' AND standing = '' AND owner = $2`, g.id, s.name)
			return err
		}
		_, err := t.exec(`UPDATE goods SET lease = 0, owner = '', problem = $1, updated = $2 WHERE id = $3 AND owner = $4`, why, t.now, g.id, s.name)
		return err
	})
	return errors.Join(refusal, err)
}

// activated writes down what the activation told. The lease stays.
func (t *tx) activated(id string, info koogallery.Info) error {
	g, err := t.goods(id)
	if err != nil {
		return err
	}
	g.state, g.activated = goodsActive, t.now
	g.bought(purchase{info.Product, info.Order, info.Amount}.or(g.purchase()))
	if !info.Expires.IsZero() {
		g.estimate = info.Expires.Unix()
	}
	return t.saveGoods(g)
}

// adopt makes activated goods a code of this service.
func (t *tx) adopt(id, code, wanted string, beat *koogallery.Heartbeat, bought purchase) error {
	g, err := t.goods(id)
	if err != nil {
		return err
	}
	g.lease, g.owner, g.state, g.problem = 0, "", goodsActive, ""
	if g.activated == 0 {
		g.activated = t.now
	}
	// What the activation left out, the heartbeat or the order may name; what it
	// named stays.
	g.bought(g.purchase().or(bought))
	if g.standing == "" {
		g.standing = standAlive
	}
	if err := t.saveGoods(g); err != nil {
		return err
	}
	if beat != nil {
		if err := t.heard(g, *beat); err != nil {
			return err
		}
	}
	have, err := t.codesOf(id)
	if err != nil || len(have) > 0 {
		return err
	}
	product, ok := t.svc.market.product(g.product)
	if g.product == "" {
		product, ok = t.svc.market.guess(wanted)
	}
	if !ok {
		// Activated at the marketplace and not forgotten: the next attempt
		// finds it here, once somebody has configured the product.
		if g.product == "" {
			if err := t.raise(problemPurchase, foreignHint(code), "the answer of the activation, which names the product, was lost or does not name it"); err != nil {
				return err
			}
		} else {
			t.svc.reportFor(problemProduct, g.product, "the marketplace sold product "+clip(g.product)+", which this service does not know")
		}
		return &Refusal{Code: protocol.CodeUnavailable, After: 300}
	}
	t.svc.solvedFor(problemProduct, g.product)
	t.svc.solvedFor(problemForeign, foreignHint(code))
	t.svc.solvedFor(problemTyped, foreignHint(code))
	t.svc.solvedFor(problemPurchase, foreignHint(code))
	added, err := t.addForeign(g, product.spec(g.amount), id, foreignHint(code), "")
	if err != nil {
		return err
	}
	if g.amount == 0 {
		if err := t.raise(problemAmount, added, "the answer of the activation, which names the quantity, was lost or does not name it"); err != nil {
			return err
		}
	}
	if beat == nil {
		return t.enqueue(jobConfirm, g.id, "", t.now+30, "")
	}
	return t.nameDoubts(g, *beat)
}

// addForeign inserts a code that stands for goods, with the lookup it is found
// by. bound is the only device that may hold it, "" for any.
func (t *tx) addForeign(g *goods, spec CodeSpec, lookup, hint, bound string) (string, error) {
	features, limits, err := spec.columns()
	if err != nil {
		return "", err
	}
	id, err := t.newID("c-")
	if err != nil {
		return "", err
	}
	id = id[:14]
	if _, err := t.exec(`INSERT INTO codes (id, lookup, hint, source, product, edition, devices, seats, features, limits,
		valid_days, ends, renew, grace, policy, status, note, first_used, created, updated, unidentified, goods, market, bound)
		VALUES ($1, $2, $3, 'koogallery', $4, $5, $6, $7, $8, $9, 0, $10, $11, $12, $13, 'active', $14, 0, $15, $16, $17, $18, $19, $20)`,
		id, lookup, hint, spec.Product, spec.Edition, spec.Devices, spec.Seats, features, limits,
		g.expires, spec.Renew, spec.Grace, spec.Policy, spec.Note, t.now, t.now, flag(spec.Unidentified), g.id, g.standing, bound); err != nil {
		return "", err
	}
	return id, t.audit("marketplace", "code.add", id, map[string]any{
		"product": spec.Product, "market_product": clip(g.product), "order": clip(g.order), "amount": g.amount, "ends": g.expires,
	})
}

// columns are features and limits as the database holds them.
func (c CodeSpec) columns() (features, limits string, err error) {
	list := append([]string{}, c.Features...)
	sort.Strings(list)
	if features, err = marshal(list); err == nil {
		limits, err = marshal(sortedLimits(c.Limits))
	}
	return features, limits, err
}

// checkProducts tries each configured product as an operator's code is tried.
func (s *Service) checkProducts() error {
	signer, err := throwaway(s.opts.Rand)
	if err != nil {
		return err
	}
	for _, p := range s.market.Products {
		if err := p.spec(1).check("vendor", signer); err != nil {
			return fmt.Errorf("marketplace product %q: %w", p.ID, err)
		}
	}
	return nil
}
