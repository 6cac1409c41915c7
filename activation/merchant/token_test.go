package merchant

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// Every role covers itself and the weaker ones; words that are no roles cover
// nothing and are covered by nothing.
func TestRolesCover(t *testing.T) {
	for _, c := range []struct {
		have, want Role
		covers     bool
	}{
		{RoleViewer, RoleViewer, true},
		{RoleViewer, RoleSupport, false},
		{RoleViewer, RoleAdmin, false},
		{RoleSupport, RoleViewer, true},
		{RoleSupport, RoleSupport, true},
		{RoleSupport, RoleAdmin, false},
		{RoleAdmin, RoleViewer, true},
		{RoleAdmin, RoleSupport, true},
		{RoleAdmin, RoleAdmin, true},
		{"", RoleViewer, false},
		{"", "", false},
		{RoleAdmin, "", false},
		{RoleAdmin, "god", false},
		{"god", RoleViewer, false},
		{"ADMIN", RoleViewer, false},
	} {
		if got := c.have.Covers(c.want); got != c.covers {
			t.Errorf("%q covers %q: %v", c.have, c.want, got)
		}
	}
}

// A token is good for its name, role and life; every other spelling of it is not.
func TestTokenLife(t *testing.T) {
	b := newBed(t)
	ctx := context.Background()
	token, info, err := b.svc.AddToken(ctx, "ann@support", RoleSupport, 3600)
	must0(t, err)
	if !strings.HasPrefix(token, tokenPrefix) || len(token) != len(tokenPrefix)+43 || info.Role != RoleSupport || info.Expires-info.Created != 3600 {
		t.Errorf("token of %d characters: %+v", len(token), info)
	}
	if got := must(b.svc.Authenticate(ctx, token))(t); got != info {
		t.Errorf("authenticated as %+v", got)
	}
	for _, other := range []string{"", token[:len(token)-1], token + "A", strings.ToUpper(token), " " + token, hash(token)} {
		if _, err := b.svc.Authenticate(ctx, other); !errors.Is(err, ErrToken) {
			t.Errorf("%.8s… of %d characters: %v", other, len(other), err)
		}
	}
	b.clock.Add(time.Hour - time.Second)
	must(b.svc.Authenticate(ctx, token))(t)
	b.clock.Add(time.Second)
	if _, err := b.svc.Authenticate(ctx, token); !errors.Is(err, ErrToken) {
		t.Errorf("at its end: %v", err)
	}
	var n int
	must0(t, b.db.read.QueryRow(`SELECT COUNT(*) FROM tokens WHERE hash = $1`, token).Scan(&n))
	if n != 0 {
		t.Error("the database holds the token itself")
	}
}

// Names, roles and lives that make no sense are refused before anything is made.
func TestTokensThatCannotBe(t *testing.T) {
	b := newBed(t)
	ctx := context.Background()
	for _, c := range []struct {
		name string
		role Role
		life int64
	}{
		{"", RoleViewer, 3600},
		{"Ann", RoleViewer, 3600},
		{"-ann", RoleViewer, 3600},
		{"ann b", RoleViewer, 3600},
		{strings.Repeat("a", 65), RoleViewer, 3600},
		{"operator", RoleViewer, 3600},
		{"ann\n", RoleViewer, 3600},
		{"ann", "", 3600},
		{"ann", "root", 3600},
		{"ann", RoleViewer, 59},
		{"ann", RoleViewer, 3661 * day},
	} {
		if _, _, err := b.svc.AddToken(ctx, c.name, c.role, c.life); !errors.Is(err, ErrInput) {
			t.Errorf("%q %q %d: %v", c.name, c.role, c.life, err)
		}
	}
	if list := must(b.svc.Tokens(ctx))(t); len(list) != 0 {
		t.Errorf("made: %+v", list)
	}
	if _, err := b.svc.RevokeToken(ctx, "nobody"); !errors.Is(err, ErrNotFound) {
		t.Errorf("revoke nobody: %v", err)
	}
}

// What is done to tokens is in the audit log, under the name of who did it, and
// a revoked name is neither good nor free.
func TestTokensAreAudited(t *testing.T) {
	b := newBed(t)
	ctx := context.Background()
	token, _, err := b.svc.AddToken(ctx, "ann", RoleAdmin, 3600)
	must0(t, err)
	_, _, err = b.svc.AddToken(By(ctx, "ann"), "bob", RoleViewer, 3600)
	must0(t, err)
	if i := must(b.svc.RevokeToken(By(ctx, "bob"), "ann"))(t); i.Revoked == 0 {
		t.Error("not revoked")
	}
	if _, err := b.svc.RevokeToken(ctx, "ann"); !errors.Is(err, ErrState) {
		t.Errorf("revoked twice: %v", err)
	}
	if _, err := b.svc.Authenticate(ctx, token); !errors.Is(err, ErrToken) {
		t.Errorf("a revoked token: %v", err)
	}
	if _, _, err := b.svc.AddToken(ctx, "ann", RoleViewer, 3600); !errors.Is(err, ErrState) {
		t.Errorf("a revoked name again: %v", err)
	}
	var trail []string
	for _, subject := range []string{"ann", "bob"} {
		for _, r := range must(b.svc.Audit(ctx, subject, 0, 10))(t) {
			trail = append(trail, r.Actor+" "+r.Action+" "+r.Subject)
			if strings.Contains(string(r.Detail), tokenPrefix) {
				t.Error("the audit log holds a token")
			}
		}
	}
	if got := strings.Join(trail, "; "); got != "operator token.add ann; bob token.revoke ann; ann token.add bob" {
		t.Error(got)
	}
	if list := must(b.svc.Tokens(ctx))(t); len(list) != 2 || list[0].Name != "ann" || list[1].Revoked != 0 {
		t.Errorf("list: %+v", list)
	}
}
