package merchant

import (
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
)

// Role is what a holder of a token may do with the admin API.
type Role string

// The roles. Each may do what the ones before it may.
const (
	RoleViewer  Role = "viewer"  // look
	RoleSupport Role = "support" // issue codes, freeze, release, re-bind, answer files
	RoleAdmin   Role = "admin"   // take codes back for good, make tokens
)

// Roles lists the roles, the weakest first.
func Roles() []Role { return []Role{RoleViewer, RoleSupport, RoleAdmin} }

// Covers says whether a role may do what another one may. The empty role and
// words that are no roles cover nothing.
func (r Role) Covers(other Role) bool {
	have, want := slices.Index(Roles(), r), slices.Index(Roles(), other)
	return want >= 0 && have >= want
}

// ErrToken is returned when a token is not known, revoked or past its end.
var ErrToken = errors.New("merchant: the token is not valid")

// tokenPrefix lets secret scanners find a token in the wrong place.
const tokenPrefix = "lmt_"

// TokenInfo is a token without the token.
type TokenInfo struct {
	Name    string `json:"name"`
	Role    Role   `json:"role"`
	Created int64  `json:"created"`
	Expires int64  `json:"expires"`
	Revoked int64  `json:"revoked"` // 0: not
}

var tokenName = regexp.MustCompile(`^[a-z0-9][a-z0-9._@-]{0,63}$`)

// AddToken makes a token for a person or program, valid for life seconds, and
// returns it: the only time it is seen. ErrInput for a name, role or life that
// cannot be, ErrState when the name is taken.
func (s *Service) AddToken(ctx context.Context, name string, role Role, life int64) (string, TokenInfo, error) {
	switch {
	case !tokenName.MatchString(name) || name == "operator":
		return "", TokenInfo{}, fmt.Errorf("%w: name of a token: want 1 to 64 of a-z 0-9 . _ @ -, not \"operator\"", ErrInput)
	case !role.Covers(RoleViewer):
		return "", TokenInfo{}, fmt.Errorf("%w: role: want viewer, support or admin", ErrInput)
	case life < 60 || life > 3660*day:
		return "", TokenInfo{}, fmt.Errorf("%w: life of a token: want a minute to ten years", ErrInput)
	}
	raw := make([]byte, 32)
	if _, err := io.ReadFull(s.opts.Rand, raw); err != nil {
		return "", TokenInfo{}, fmt.Errorf("merchant: drawing a token: %w", err)
	}
	token := tokenPrefix + base64.RawURLEncoding.EncodeToString(raw)
	var info TokenInfo
	err := s.change(ctx, func(t *tx) error {
		info = TokenInfo{Name: name, Role: role, Created: t.now, Expires: t.now + life}
		n, err := t.exec(`INSERT INTO tokens (name, role, hash, created, expires, revoked) VALUES ($1, $2, $3, $4, $5, 0) ON CONFLICT (name) DO NOTHING`,
			name, string(role), hash(token), info.Created, info.Expires)
		if err != nil {
			return err
		}
		if n == 0 {
			return fmt.Errorf("%w: there is a token named %s; names stay taken, because the audit log keeps them", ErrState, name)
		}
		return t.audit(t.by, "token.add", name, map[string]any{"role": role, "expires": info.Expires})
	})
	return token, info, err
}

const tokenQuery = `SELECT name, role, created, expires, revoked FROM tokens `

func (i *TokenInfo) fields() []any {
	return []any{&i.Name, &i.Role, &i.Created, &i.Expires, &i.Revoked}
}

// Tokens lists the tokens by name.
func (s *Service) Tokens(ctx context.Context) ([]TokenInfo, error) {
	rows, err := s.query(ctx, tokenQuery+`ORDER BY name`)
	if err != nil {
		return nil, fmt.Errorf("merchant: tokens: %w", err)
	}
	return collect(rows, func(rows *sql.Rows) (i TokenInfo, err error) {
		err = rows.Scan(i.fields()...)
		return i, err
	})
}

// RevokeToken ends a token now. ErrNotFound, ErrState when it was revoked before.
func (s *Service) RevokeToken(ctx context.Context, name string) (TokenInfo, error) {
	var i TokenInfo
	err := s.change(ctx, func(t *tx) error {
		err := t.row(t.svc.db.locking(tokenQuery+`WHERE name = $1`, "tokens"), name).Scan(i.fields()...)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return fmt.Errorf("%w: token %s", ErrNotFound, name)
		case err != nil:
			return fmt.Errorf("merchant: token: %w", err)
		case i.Revoked > 0:
			return fmt.Errorf("%w: token %s was revoked before", ErrState, name)
		}
		i.Revoked = t.now
		if _, err := t.exec(`UPDATE tokens SET revoked = $1 WHERE name = $2`, t.now, name); err != nil {
			return err
		}
		return t.audit(t.by, "token.revoke", name, nil)
	})
	return i, err
}

// Authenticate returns whose token this is; ErrToken when it is nobody's now.
func (s *Service) Authenticate(ctx context.Context, token string) (TokenInfo, error) {
	var i TokenInfo
	err := s.db.read.QueryRowContext(ctx, tokenQuery+`WHERE hash = $1`, hash(token)).Scan(i.fields()...)
	if errors.Is(err, sql.ErrNoRows) {
		return i, ErrToken
	}
	if err != nil {
		return i, s.databaseFailed(fmt.Errorf("merchant: token: %w", err))
	}
	if now := s.clock().Unix(); i.Revoked > 0 || i.Expires <= now {
		return TokenInfo{}, ErrToken
	}
	return i, nil
}
