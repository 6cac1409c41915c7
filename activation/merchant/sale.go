package merchant

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"licenseagent.example/activation/koogallery"
)

// purchase is what an order of the marketplace bought, as far as it is known.
type purchase struct {
	product, order string
	amount         int64
}

// or fills in from another one what this one does not say.
func (p purchase) or(other purchase) purchase {
	return purchase{cmp.Or(p.product, other.product), cmp.Or(p.order, other.order), cmp.Or(p.amount, other.amount)}
}

func (g *goods) purchase() purchase { return purchase{g.product, g.order, g.amount} }

func (g *goods) bought(p purchase) { g.product, g.order, g.amount = p.product, p.order, p.amount }

// Sold is what SetSale has written down.
type Sold struct {
	Hint    string `json:"hint"`    // last characters of the marketplace's code, or order/line of an instance
	Code    string `json:"code"`    // its id here, "" until a device has activated it
	Product string `json:"product"` // of the marketplace
	Amount  int64  `json:"amount"`
}

// maxSoldAmount is as many as CodeSpec.Devices may be.
const maxSoldAmount = 1_000_000_000

// SetSale writes down what a code of the marketplace was bought as, which only
// the answer of its activation tells: when that was lost somebody has to look
// it up in Seller Center. which is the code, its id, its last characters as a
// problem names them, or the order of an instance with a slash and its line. A
// product "" and an amount 0 stay as they are.
func (s *Service) SetSale(ctx context.Context, which, product string, amount int64, reason string) (Sold, error) {
	if product == "" && amount == 0 {
		return Sold{}, fmt.Errorf("%w: want a product, an amount, or both", ErrInput)
	}
	if amount < 0 || amount > maxSoldAmount {
		return Sold{}, fmt.Errorf("%w: amount: want 1 to %d", ErrInput, maxSoldAmount)
	}
	if product != "" {
		if _, ok := s.market.product(product); !ok {
			return Sold{}, fmt.Errorf("%w: product %s is not configured: add [[koogallery.product]] with this id", ErrInput, clip(product))
		}
	}
	id, err := s.soldAs(ctx, strings.TrimSpace(which))
	if err != nil {
		return Sold{}, err
	}
	var out Sold
	err = s.changeLocking(ctx, "code "+id, func(t *tx) error {
		g, err := t.goods(id)
		if err != nil {
			return err
		}
		if g.standing == standReleased {
			return fmt.Errorf("%w: this is not in use", ErrState)
		}
		was := purchase{product: g.product, amount: g.amount}
		g.product, g.amount = cmp.Or(product, g.product), cmp.Or(amount, g.amount)
		if err := t.saveGoods(g); err != nil {
			return err
		}
		codes, known, err := t.applySale(g)
		if err != nil {
			return err
		}
		if !known {
			return fmt.Errorf("%w: which product of the marketplace it is must be said too", ErrInput)
		}
		if out, err = t.soldOf(g); err != nil {
			return err
		}
		detail := map[string]any{"product": clip(g.product), "amount": g.amount, "was_product": clip(was.product), "was_amount": was.amount, "reason": reason}
		if len(codes) == 0 {
			return t.audit(t.by, "sale.set", out.Hint, detail)
		}
		out.Code = codes[0]
		return t.audit(t.by, "sale.set", codes[0], detail)
	})
	return out, err
}

// soldAs finds the goods that an operator means.
func (s *Service) soldAs(ctx context.Context, which string) (string, error) {
	short := strings.TrimPrefix(which, "…")
	switch {
	case strings.Contains(which, "/"):
		// The alphabet of codes is not documented: a slash may stand in one.
		id, err := s.oneGoods(ctx, "this", `SELECT id FROM goods WHERE id = $1`, lookup(s.pepper, which))
		if errors.Is(err, ErrNotFound) {
			return s.orderedAs(ctx, which)
		}
		return id, err
	case short == "" || len(which) > maxForeign:
		return "", fmt.Errorf("%w: want a code of the marketplace, its id or its last characters", ErrInput)
	case strings.HasPrefix(which, "c-"):
		return s.oneGoods(ctx, which, `SELECT goods FROM codes WHERE id = $1 AND goods <> ''`, which)
	case utf8.RuneCountInString(short) > len("0000"):
		return s.oneGoods(ctx, "this code", `SELECT id FROM goods WHERE id = $1`, lookup(s.pepper, which))
	}
	// The last characters of what an older version took up, and no device had
	// redeemed before the upgrade, stand nowhere but in the seal: these are few.
	hint := "…" + strings.ToUpper(short)
	rows, err := s.query(ctx, `SELECT id, sealed, hint FROM goods WHERE kind = 'code' AND hint IN ($1, '') LIMIT $2`, hint, MaxList)
	if err != nil {
		return "", fmt.Errorf("merchant: goods: %w", err)
	}
	type ending struct {
		goods
		hint string
	}
	list, err := collect(rows, func(rows *sql.Rows) (e ending, err error) { return e, rows.Scan(&e.id, &e.sealed, &e.hint) })
	if err != nil {
		return "", err
	}
	var found []string
	for _, e := range list {
		if e.hint == "" {
			code, err := s.openGoods(&e.goods)
			if err != nil {
				return "", err
			}
			e.hint = goodsHint(code)
		}
		if e.hint == hint {
			found = append(found, e.id)
		}
	}
	switch len(found) {
	case 0:
		return "", fmt.Errorf("%w: a code of the marketplace that ends with %s", ErrNotFound, clip(short))
	case 1:
		return found[0], nil
	}
	return "", fmt.Errorf("%w: %d codes end with %s: give the whole code", ErrInput, len(found), clip(short))
}

// orderedAs finds the instance of an order and its line; the line may be left out
// when the order has one only.
func (s *Service) orderedAs(ctx context.Context, which string) (string, error) {
	order, line, _ := strings.Cut(which, "/")
	if order == "" || len(order) > maxForeign || len(line) > maxForeign {
		return "", fmt.Errorf("%w: want the order of an instance, a slash and its line", ErrInput)
	}
	rows, err := s.query(ctx, `SELECT id FROM goods WHERE kind = 'instance' AND order_id = $1 AND ($2 = '' OR order_line = $2) LIMIT 2`, order, line)
	if err != nil {
		return "", fmt.Errorf("merchant: goods: %w", err)
	}
	found, err := collect(rows, func(rows *sql.Rows) (id string, err error) { return id, rows.Scan(&id) })
	switch {
	case err != nil:
		return "", err
	case len(found) == 0:
		return "", fmt.Errorf("%w: no instance of this order was seen here", ErrNotFound)
	case len(found) > 1:
		return "", fmt.Errorf("%w: this order has several lines: give one after the slash", ErrInput)
	}
	return found[0], nil
}

func (s *Service) oneGoods(ctx context.Context, what, query, arg string) (id string, err error) {
	err = s.db.read.QueryRowContext(ctx, query, arg).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("%w: %s is no code of the marketplace that was seen here", ErrNotFound, what)
	}
	if err != nil {
		return "", s.databaseFailed(err)
	}
	return id, nil
}

// setRight closes the problems about a purchase that is known now, or does not
// matter any more. In the database too: another process has them open, perhaps.
func (t *tx) setRight(g *goods, codes []string) error {
	over := g.standing == standReleased
	var list []problemID
	if g.kind == goodsInstance {
		codes = nil // these problems are about codes of which each was bought
	}
	switch {
	case g.product == "" && !over:
	case g.kind == goodsInstance:
		list = append(list, problemID{problemOrder, g.orderLine()})
	default:
		one, err := t.soldOf(g)
		if err != nil {
			return err
		}
		list = append(list, problemID{problemPurchase, one.Hint})
	}
	for _, id := range codes {
		if g.amount > 0 || over {
			list = append(list, problemID{problemAmount, id})
		}
		if over { // no heartbeat comes any more
			list = append(list, problemID{problemStatus, id})
		}
	}
	for _, p := range list {
		if err := t.over(p); err != nil {
			return err
		}
	}
	return nil
}

// soldOf describes goods for an operator.
func (t *tx) soldOf(g *goods) (Sold, error) {
	if g.kind == goodsInstance {
		return Sold{Hint: g.orderLine(), Product: g.product, Amount: g.amount}, nil
	}
	code, err := t.svc.openGoods(g)
	return Sold{Hint: foreignHint(code), Product: g.product, Amount: g.amount}, err
}

// told fills in what goods were bought as, when the marketplace says it later
// than it should. What it said before stays. The caller saves the goods.
func (t *tx) told(g *goods, p purchase) error {
	was := g.purchase()
	g.bought(was.or(p))
	if g.product == was.product && g.amount == was.amount {
		return nil
	}
	codes, known, err := t.applySale(g)
	if err != nil {
		return err
	}
	if !known {
		t.svc.reportFor(problemProduct, g.product, "the marketplace says later that a code is of product "+clip(g.product))
		return nil
	}
	for _, id := range codes {
		err = errors.Join(err, t.audit("marketplace", "sale.set", id, map[string]any{"product": clip(g.product), "amount": g.amount, "was_product": clip(was.product), "was_amount": was.amount}))
	}
	return err
}

// applySale makes the codes that came from goods what these were bought as, and
// lets their devices learn it. It returns the ids of the codes, and whether the
// product is one that is configured; if not, they stay as they are.
func (t *tx) applySale(g *goods) (codes []string, known bool, err error) {
	if codes, err = t.codesOf(g.id); err != nil {
		return nil, false, err
	}
	if len(codes) == 0 {
		return nil, true, t.setRight(g, nil)
	}
	product, ok := t.svc.market.product(g.product)
	if g.product == "" {
		var ours string
		if err := t.row(`SELECT product FROM codes WHERE id = $1`, codes[0]).Scan(&ours); err != nil {
			return nil, false, fmt.Errorf("merchant: code: %w", err)
		}
		product, ok = t.svc.market.guess(ours)
	}
	if !ok {
		return codes, false, nil
	}
	spec := g.specOf(product)
	features, limits, err := spec.columns()
	if err != nil {
		return nil, false, err
	}
	if _, err := t.exec(`UPDATE codes SET product = $1, edition = $2, devices = $3, seats = $4, features = $5, limits = $6, renew = $7, grace = $8,
		policy = $9, unidentified = $10, updated = $11, news = news + 1, news_at = $12 WHERE goods = $13 AND goods <> ''`,
		spec.Product, spec.Edition, spec.Devices, spec.Seats, features, limits, spec.Renew, spec.Grace,
		spec.Policy, flag(spec.Unidentified), t.now, t.now, g.id); err != nil {
		return nil, false, err
	}
	for _, id := range codes {
		t.tell(id)
	}
	return codes, true, t.setRight(g, codes)
}

// troubled says whether a problem is open about anything.
func (s *Service) troubled(code string) bool {
	s.problems.mu.Lock()
	defer s.problems.mu.Unlock()
	return s.problems.count(code) > 0
}

// ordered asks the order what was bought, when neither the activation nor the
// heartbeat has said it. Nothing depends on an answer.
func (s *Service) ordered(ctx context.Context, p purchase) purchase {
	if p.order == "" || p.product != "" && p.amount > 0 {
		return p
	}
	var raw json.RawMessage
	err := s.asked(ctx, "order", "", func(ctx context.Context) (err error) {
		raw, err = s.market.Market.Order(ctx, p.order, "")
		return err
	})
	if err != nil {
		return p
	}
	found, ok := purchaseOf(raw)
	if !ok {
		return p
	}
	return p.or(found)
}

// purchaseOf reads an order of one line, or of lines that agree: which line a
// code came from is not told.
func purchaseOf(raw json.RawMessage) (purchase, bool) {
	var o orderInfo
	if json.Unmarshal(raw, &o) != nil || len(o.Lines) == 0 {
		return purchase{}, false
	}
	var all []purchase
	for _, l := range o.Lines {
		var p purchase
		p.product, p.amount = productOf(l.Product)
		all = append(all, p)
		if p != all[0] {
			return purchase{}, false
		}
	}
	return all[0], true
}

// heardPurchase is what a heartbeat says of it.
func heardPurchase(h koogallery.Heartbeat) purchase { return purchase{h.Product, h.Order, h.Amount} }
