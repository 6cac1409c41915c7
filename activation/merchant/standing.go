package merchant

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"licenseagent.example/activation/koogallery"
)

// stand writes what is known of goods now and lets every device learn it: the
// codes that came from them take over standing and end, and their news grows.
// actor and action go into the audit trail. Nothing happens when nothing is new.
func (t *tx) stand(g *goods, standing string, expires int64, actor, action string, detail map[string]any) error {
	if g.standing == standing && g.expires == expires {
		return nil
	}
	from := g.standing
	g.standing, g.expires = standing, expires
	if err := t.saveGoods(g); err != nil {
		return err
	}
	if _, err := t.exec(`UPDATE codes SET market = $1, ends = $2, updated = $3, news = news + 1, news_at = $4
		WHERE goods = $5 AND goods <> ''`,
		standing, expires, t.now, t.now, g.id); err != nil {
		return err
	}
	codes, err := t.codesOf(g.id)
	if err != nil {
		return err
	}
	if standing == standReleased {
		if _, err := t.exec(`UPDATE activations SET status = 'released', reason = 'released-by-marketplace'
			WHERE status = 'active' AND code_id IN (SELECT id FROM codes WHERE goods = $1 AND goods <> '')`, g.id); err != nil {
			return err
		}
		if err := t.setRight(g, codes); err != nil {
			return err
		}
	}
	for _, id := range codes {
		d := map[string]any{"from": from, "to": standing, "ends": expires}
		maps.Copy(d, detail)
		if err := t.audit(actor, action, id, d); err != nil {
			return err
		}
		if standing != standFrozen && t.svc.troubled(problemEnd) {
			if err := t.over(problemID{problemEnd, id}); err != nil {
				return err
			}
		}
		t.tell(id)
	}
	return nil
}

// codesOf is the ids of the codes that came from goods, in order. Every question
// to codes about goods also says that they are not empty, although that is clear:
// the index leaves out the vendor's own codes, and is used only where that is said.
func (t *tx) codesOf(goods string) ([]string, error) {
	return t.strings(`SELECT id FROM codes WHERE goods = $1 AND goods <> '' ORDER BY id`, goods)
}

const (
	// statusNotActivated stands for the error "not activated" where that means
	// frozen; it is no status of the marketplace.
	statusNotActivated koogallery.Status = "not activated"
	// freshActivation is how many seconds after an activation "not activated" is
	// taken for a marketplace that is behind its own answer.
	freshActivation = 3600
)

// heartbeat asks for the standing of goods. What a frozen code answers is not
// documented: "not activated" about one that was activated may be just that,
// when the callback that froze it was lost. About one that is frozen already it
// is no news either way.
func (s *Service) heartbeat(ctx context.Context, g *goods, code string) (koogallery.Heartbeat, error) {
	h, err := s.market.Market.Heartbeat(ctx, code)
	var e *koogallery.Error
	if !errors.As(err, &e) || e.Class != koogallery.NotActivated || g.activated == 0 {
		return h, err
	}
	switch {
	case g.standing == standFrozen:
	case s.market.NotActivated != NotActivatedFrozen:
		return h, err
	case g.checked == 0 && s.clock().Unix()-g.activated < freshActivation:
		return h, &koogallery.Error{Code: e.Code, HTTP: e.HTTP, Class: koogallery.Retry, Hint: "activated a moment ago; asked again"}
	}
	if _, said := s.met.LoadOrStore("heartbeat: not activated", true); !said {
		s.log.Warn("KooGallery calls a code that was activated \"not activated\", which its documents leave open; it counts as frozen", "setting", "koogallery.not_activated")
	}
	return koogallery.Heartbeat{Code: code, Status: statusNotActivated}, nil
}

// heard takes a heartbeat in. It is the marketplace's own word and wins over
// the estimate of the activation and over callbacks that came late or twice;
// what it does not say (the name of the end is not documented) stays.
func (t *tx) heard(g *goods, h koogallery.Heartbeat) error {
	g.checked, g.problem = t.now, ""
	if g.activated == 0 {
		g.activated = t.now
		if !h.Activated.IsZero() {
			g.activated = h.Activated.Unix()
		}
	}
	g.state = goodsActive
	if err := t.told(g, heardPurchase(h)); err != nil {
		return err
	}
	if err := t.saveGoods(g); err != nil {
		return err
	}
	expires := g.expires
	if !h.Expires.IsZero() {
		expires = h.Expires.Unix()
	}
	standing := g.standing
	switch h.Status {
	case koogallery.Alive:
		standing = t.alive(g, h)
	case koogallery.Expired:
		// A frozen code is expired too, and stays called frozen. One that it
		// calls expired before the end it names is frozen, whatever the callbacks said last:
		// an unfreeze that was told late must not rename it.
		switch {
		case standing == standFrozen || standing == standReleased:
		case h.Expires.Unix() > t.now:
			standing = standFrozen
		default:
			standing = standExpired
		}
	case koogallery.Released:
		standing = standReleased
	case koogallery.Frozen, statusNotActivated:
		if standing == standAlive || standing == "" {
			standing = standFrozen
		}
	default:
		if t.svc.market.UnknownStatus == UnknownStatusFrozen && (standing == standAlive || standing == "") {
			standing = standFrozen
		}
	}
	if err := t.stand(g, standing, expires, "marketplace", "market.heartbeat", map[string]any{"status": clip(string(h.Status))}); err != nil {
		return err
	}
	return t.nameDoubts(g, h)
}

// maxDoubts bounds the codes that one problem about heartbeats names: a word that
// is new is new for all of them on the same day.
const maxDoubts = 100

// nameDoubts opens the problems that a heartbeat leaves about a code, and closes
// those that it ends. A code that has no id here yet is named by adopt.
func (t *tx) nameDoubts(g *goods, h koogallery.Heartbeat) error {
	codes, err := t.codesOf(g.id)
	if err != nil {
		return err
	}
	for _, id := range codes {
		if err := t.doubt(problemStatus, id, unknownStatus(h.Status)); err != nil {
			return err
		}
		noEnd := ""
		if h.Status == koogallery.Alive && h.Expires.IsZero() && g.standing == standFrozen && t.svc.market.Thaw == ThawWithExpiry {
			noEnd = "heartbeat: alive, without an end that could be read"
		}
		if err := t.doubt(problemEnd, id, noEnd); err != nil {
			return err
		}
	}
	return nil
}

// unknownStatus says in words that a status is none that is known, "" otherwise.
func unknownStatus(s koogallery.Status) string {
	switch s {
	case koogallery.Alive, koogallery.Expired, koogallery.Released, koogallery.Frozen, statusNotActivated:
		return ""
	}
	return "heartbeat: status " + clip(string(s))
}

// doubt opens a problem about a code, or closes it when there is no detail.
func (t *tx) doubt(problem, id, detail string) error {
	switch {
	case detail == "" && t.svc.troubled(problem):
		return t.over(problemID{problem, id})
	case detail == "", t.svc.named(problem, id) >= maxDoubts:
		return nil
	}
	return t.raise(problem, id, detail)
}

// alive is the standing after a heartbeat "alive".
func (t *tx) alive(g *goods, h koogallery.Heartbeat) string {
	switch {
	case g.standing == standReleased:
		return standReleased // a release is final; a late heartbeat must not undo it
	case g.standing != standFrozen:
		return standAlive
	case t.svc.market.Thaw == ThawAlways,
		t.svc.market.Thaw == ThawWithExpiry && h.Expires.Unix() > t.now:
		return standAlive
	}
	return standFrozen
}

// clip keeps a foreign word short enough for a log line or an audit row.
func clip(s string) string {
	if len(s) > 32 {
		s = s[:32]
	}
	return fmt.Sprintf("%q", s)
}
