package merchant

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Kinds and states of goods.
const (
	goodsCode     = "code"     // a code that the marketplace made
	goodsInstance = "instance" // an instance that applies for licenses (online License)

	goodsNew    = "new"    // known, not activated at the marketplace as far as we know
	goodsActive = "active" // activated at the marketplace
)

// Standings: the marketplace's word about what it sold.
const (
	standAlive    = "alive"
	standFrozen   = "frozen"
	standExpired  = "expired"
	standReleased = "released"
)

// instancePrefix tells the ids of instances from those of codes.
const instancePrefix = "i:"

// goods is one thing that a marketplace sold.
type goods struct {
	id, kind, sealed, state, standing string
	product, order, line, mode        string
	amount, estimate, expires         int64
	lease                             int64
	owner                             string
	activated, checked                int64
	problem                           string
	created                           int64
}

const goodsColumns = `id, kind, sealed, state, standing, product, order_id, order_line, mode, amount, estimate, expires,
	lease, owner, activated, checked, problem, created`

func (g *goods) fields() []any {
	return []any{
		&g.id, &g.kind, &g.sealed, &g.state, &g.standing, &g.product, &g.order, &g.line, &g.mode, &g.amount, &g.estimate, &g.expires,
		&g.lease, &g.owner, &g.activated, &g.checked, &g.problem, &g.created,
	}
}

// goods loads and locks one row; ErrNotFound when there is none.
func (t *tx) goods(id string) (*goods, error) {
	g := new(goods)
	q := t.svc.db.locking(`SELECT `+goodsColumns+` FROM goods WHERE id = $1`, "goods")
	err := t.row(q, id).Scan(g.fields()...)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("merchant: goods: %w", err)
	}
	return g, nil
}

// addGoods inserts a row; false when somebody else did meanwhile.
func (t *tx) addGoods(g *goods, secret string) (bool, error) {
	var err error
	if g.sealed, err = t.svc.sealGoods(g.id, secret); err != nil {
		return false, err
	}
	g.created = t.now
	hint := ""
	if g.kind == goodsCode {
		hint = goodsHint(secret)
	}
	n, err := t.exec(`INSERT INTO goods (`+goodsColumns+`, updated, hint) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)
		ON CONFLICT (id) DO NOTHING`,
		g.id, g.kind, g.sealed, g.state, g.standing, g.product, g.order, g.line, g.mode, g.amount, g.estimate, g.expires,
		g.lease, g.owner, g.activated, g.checked, g.problem, g.created, t.now, hint)
	return n == 1, err
}

func (t *tx) saveGoods(g *goods) error {
	n, err := t.exec(`UPDATE goods SET state = $1, standing = $2, product = $3, order_id = $4, order_line = $5, mode = $6, amount = $7,
		estimate = $8, expires = $9, lease = $10, owner = $11, activated = $12, checked = $13, problem = $14, updated = $15 WHERE id = $16`,
		g.state, g.standing, g.product, g.order, g.line, g.mode, g.amount, g.estimate, g.expires, g.lease, g.owner,
		g.activated, g.checked, g.problem, t.now, g.id)
	if err == nil && n != 1 {
		err = fmt.Errorf("merchant: goods: %d rows changed", n)
	}
	return err
}

// instanceID is how the database knows an instance of the marketplace.
func (s *Service) instanceID(instance string) string {
	return instancePrefix + s.keyed("instance", instance)
}

// keyed is an HMAC under the lookup key, with a purpose inside.
func (s *Service) keyed(purpose string, parts ...string) string {
	mac := hmac.New(sha256.New, s.pepper)
	mac.Write([]byte(purpose + "\n" + strings.Join(parts, "\n")))
	return hex.EncodeToString(mac.Sum(nil))
}

// goodsCipher is made from the lookup key, which all instances share and which
// is not in the database: a stolen database shows no code.
func (s *Service) goodsCipher() (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, s.pepper, nil, "license-merchant goods v1", 32)
	if err != nil {
		return nil, fmt.Errorf("merchant: goods: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("merchant: goods: %w", err)
	}
	return cipher.NewGCM(block)
}

// sealGoods encrypts a code or instance id for one row: the row's id is bound
// in, so that nobody swaps two rows.
func (s *Service) sealGoods(id, secret string) (string, error) {
	aead, err := s.goodsCipher()
	if err != nil {
		return "", err
	}
	nonce := make([]byte, aead.NonceSize())
	if _, err := io.ReadFull(s.opts.Rand, nonce); err != nil {
		return "", fmt.Errorf("merchant: goods: %w", err)
	}
	return base64.StdEncoding.EncodeToString(aead.Seal(nonce, nonce, []byte(secret), []byte(id))), nil
}

// openGoods is the code or instance id of a row.
func (s *Service) openGoods(g *goods) (string, error) {
	aead, err := s.goodsCipher()
	if err != nil {
		return "", err
	}
	raw, err := base64.StdEncoding.DecodeString(g.sealed)
	if err != nil || len(raw) < aead.NonceSize() {
		return "", fmt.Errorf("merchant: goods: the row is damaged")
	}
	text, err := aead.Open(nil, raw[:aead.NonceSize()], raw[aead.NonceSize():], []byte(g.id))
	if err != nil {
		return "", fmt.Errorf("merchant: goods: this is not the lookup key the database was written with: %w", err)
	}
	return string(text), nil
}

// foreignHint is what support sees of a marketplace's code. Its length is not
// documented, so that short ones show nothing.
func foreignHint(code string) string {
	if len(code) < 12 {
		return "…"
	}
	return "…" + code[len(code)-4:]
}

// goodsHint is foreignHint as goods.hint has it: support types it in any case.
func goodsHint(code string) string { return strings.ToUpper(foreignHint(code)) }
