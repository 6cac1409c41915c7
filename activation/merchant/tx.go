package merchant

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
)

// tx is one transaction of the writer and what its requests share.
type tx struct {
	beside
	now int64 // UTC seconds
	// keys is what this transaction signs with.
	keys   *keyState
	epoch  int64      // of the database, see epoch.go
	by     string     // who asks for the job that runs now: the actor of its audit rows
	rows   []auditRow // audit rows of this transaction, chained by finish
	news   []string   // codes whose devices should learn something
	work   bool       // there are new jobs
	ahead  ahead      // seats read and written for many at once
	failed error      // of a statement whose caller could not be told
}

// tell lets the devices of a code that wait for a notice know after the commit.
func (t *tx) tell(codeID string) { t.news = append(t.news, codeID) }

func (t *tx) exec(query string, args ...any) (int64, error) {
	if err := t.before(); err != nil {
		return 0, err
	}
	return t.beside.exec(query, args...)
}

func (t *tx) query(query string, args ...any) (*sql.Rows, error) {
	if err := t.before(); err != nil {
		return nil, err
	}
	return t.beside.query(query, args...)
}

// row is a single row. A *sql.Row cannot be made with an error of one's own, so
// that one of before is kept for the end of the transaction.
func (t *tx) row(query string, args ...any) *sql.Row {
	t.failed = errors.Join(t.failed, t.before())
	return t.beside.row(query, args...)
}

// beside runs the statements that a batch of renewals needs between its seats
// and that neither read nor change activations or codes: seats stay unsaved and
// read ahead meanwhile. TestBeside holds each of them against that. All others
// go through tx itself, which is right whatever they do.
type beside struct {
	ctx context.Context
	sql *sql.Tx
	svc *Service
}

// stmt returns the prepared form of a hot query, nil for others.
func (t *beside) stmt(query string, args []any) *sql.Stmt {
	if t.svc.db.asked != nil {
		t.svc.db.asked(query, args)
	}
	t.svc.db.mu.Lock()
	defer t.svc.db.mu.Unlock()
	if s := t.svc.db.stmts[query]; s != nil {
		return t.sql.StmtContext(t.ctx, s)
	}
	return nil
}

func (t *beside) exec(query string, args ...any) (int64, error) {
	var res sql.Result
	var err error
	if s := t.stmt(query, args); s != nil {
		res, err = s.ExecContext(t.ctx, args...)
	} else {
		res, err = t.sql.ExecContext(t.ctx, query, args...)
	}
	if err != nil {
		return 0, fmt.Errorf("merchant: %w", err)
	}
	n, err := res.RowsAffected()
	if err != nil {
		return 0, fmt.Errorf("merchant: %w", err)
	}
	return n, nil
}

func (t *beside) query(query string, args ...any) (*sql.Rows, error) {
	if s := t.stmt(query, args); s != nil {
		return s.QueryContext(t.ctx, args...)
	}
	return t.sql.QueryContext(t.ctx, query, args...)
}

func (t *beside) row(query string, args ...any) *sql.Row {
	if s := t.stmt(query, args); s != nil {
		return s.QueryRowContext(t.ctx, args...)
	}
	return t.sql.QueryRowContext(t.ctx, query, args...)
}

// auditRow is one link of the audit chain.
type auditRow struct {
	Seq     int64           `json:"seq"`
	At      int64           `json:"at"`
	Actor   string          `json:"actor"`
	Action  string          `json:"action"`
	Subject string          `json:"subject"`
	Detail  json.RawMessage `json:"detail"`
	Prev    string          `json:"prev"`
	Hash    string          `json:"hash"`
}

// sum is the hash of a row: over its JSON with an empty hash member, so that
// nobody can change, drop or reorder rows without breaking all later ones.
func (r auditRow) sum() (string, error) {
	r.Hash = ""
	b, err := json.Marshal(r)
	if err != nil {
		return "", fmt.Errorf("merchant: audit: %w", err)
	}
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:]), nil
}

// audit notes a row. Details are numbers, names and reasons: never a code,
// never a hardware value. The rows are chained and written by finish, because
// the tip of the chain is one row for all instances of the service: whoever
// holds it while waiting for a seat would stop them all, or lock up with one
// that holds the seat and waits for the tip.
func (t *tx) audit(actor, action, subject string, detail map[string]any) error {
	if detail == nil {
		detail = map[string]any{}
	}
	text, err := json.Marshal(detail)
	if err != nil {
		return fmt.Errorf("merchant: audit: %w", err)
	}
	t.rows = append(t.rows, auditRow{At: t.now, Actor: actor, Action: action, Subject: subject, Detail: text})
	return nil
}

// appendAudit chains the noted rows behind the newest one.
func (t *tx) appendAudit() error {
	if len(t.rows) == 0 {
		return nil
	}
	var tip auditRow
	if err := t.row(t.svc.db.locking(readTip, "tips")).Scan(&tip.Seq, &tip.Hash); err != nil {
		return fmt.Errorf("merchant: audit: %w", err)
	}
	for _, r := range t.rows {
		r.Seq, r.Prev = tip.Seq+1, tip.Hash
		var err error
		if r.Hash, err = r.sum(); err != nil {
			return err
		}
		if _, err := t.exec(insertAudit, r.Seq, r.At, r.Actor, r.Action, r.Subject, string(r.Detail), r.Prev, r.Hash); err != nil {
			return err
		}
		tip = r
	}
	_, err := t.exec(writeTip, tip.Seq, tip.Hash)
	return err
}

const (
	readTip     = `SELECT seq, hash FROM tips WHERE name = 'audit'`
	writeTip    = `UPDATE tips SET seq = $1, hash = $2 WHERE name = 'audit'`
	insertAudit = `INSERT INTO audit (seq, at, actor, action, subject, detail, prev, hash) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`
)

// finish writes what the requests of the transaction share.
func (t *tx) finish() error {
	if err := errors.Join(t.failed, t.flush()); err != nil {
		return err
	}
	if err := t.tidy(); err != nil {
		return err
	}
	return t.appendAudit()
}

// byKey is where a context carries the name of who asks.
type byKey struct{}

// By returns a context whose changes are written to the audit log under a name
// instead of "operator", the name for whoever is at the machine itself.
func By(ctx context.Context, actor string) context.Context {
	return context.WithValue(ctx, byKey{}, actor)
}

func actorOf(ctx context.Context) string {
	if name, ok := ctx.Value(byKey{}).(string); ok {
		return name
	}
	return "operator"
}
