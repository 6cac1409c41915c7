package merchant

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/pressly/goose/v3"
)

// RestoreSQLite makes a database file from a backup, and the key files it holds
// in keyDir. The file must not exist. The caller then opens it, and an epoch.
func RestoreSQLite(ctx context.Context, path string, r io.Reader, keyDir string) (BackupInfo, error) {
	b, err := openBackup(r)
	if err != nil {
		return BackupInfo{}, err
	}
	d, err := newSQLite(path)
	if err != nil {
		return BackupInfo{}, err
	}
	return b.into(ctx, d, goose.DialectSQLite3, keyDir)
}

// RestorePostgres fills an empty PostgreSQL database from a backup.
func RestorePostgres(ctx context.Context, dsn string, r io.Reader, keyDir string) (BackupInfo, error) {
	b, err := openBackup(r)
	if err != nil {
		return BackupInfo{}, err
	}
	d, err := newPostgres(dsn, lease)
	if err != nil {
		return BackupInfo{}, err
	}
	return b.into(ctx, d, goose.DialectPostgres, keyDir)
}

// into brings an empty database to the schema of the backup, fills it in one
// transaction, and then brings it to the schema of this program.
func (b *restore) into(ctx context.Context, d *Database, dialect goose.Dialect, keyDir string) (info BackupInfo, err error) {
	defer func() { err = errors.Join(err, d.Close()) }()
	if _, err := os.Stat(filepath.Join(keyDir, "lookup.key")); err != nil && !b.head.Keys {
		return info, fmt.Errorf("%w: the backup holds no keys and %s has none: put the key directory back first", ErrKeyFile, keyDir)
	}
	if err := d.migrate(ctx, dialect, b.head.Schema); err != nil {
		return info, err
	}
	if err := b.fill(ctx, d, keyDir); err != nil {
		return info, err
	}
	return b.info, d.migrate(ctx, dialect, newestSchema)
}

func (b *restore) fill(ctx context.Context, d *Database, keyDir string) error {
	conn, err := d.write.Conn(ctx)
	if err != nil {
		return fmt.Errorf("merchant: restore: %w", err)
	}
	tables, err := d.tables(ctx, conn)
	if closed := conn.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	t, err := d.write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("merchant: restore: %w", err)
	}
	defer t.Rollback() //nolint:errcheck // after Commit it has nothing to undo
	var anchors int
	if err := t.QueryRowContext(ctx, `SELECT COUNT(*) FROM settings WHERE name = 'anchor'`).Scan(&anchors); err != nil {
		return fmt.Errorf("merchant: restore: %w", err)
	}
	if anchors > 0 {
		return fmt.Errorf("%w: the database is not empty", ErrInitialised)
	}
	for i := len(tables) - 1; i >= 0; i-- { // what the migrations put there
		if _, err := t.ExecContext(ctx, `DELETE FROM `+tables[i]); err != nil {
			return fmt.Errorf("merchant: restore: %w", err)
		}
	}
	if err := b.load(ctx, t, tables, keyDir); err != nil {
		return err
	}
	if err := t.Commit(); err != nil {
		return fmt.Errorf("merchant: restore: %w", err)
	}
	return nil
}

// inserter puts rows of one table into a transaction, many with a statement.
type inserter struct {
	tx    *sql.Tx
	table backupTable
	rows  []any
	count int
}

// insertAtOnce bounds the rows and values of one statement: PostgreSQL takes
// 65535 values, SQLite 32766.
const (
	insertAtOnce = 200
	insertValues = 30000
)

var columnName = regexp.MustCompile(`^[a-z_]{1,63}$`)

func newInserter(t *sql.Tx, table backupTable, known []string) (*inserter, error) {
	bad := !slices.Contains(known, table.Table) || len(table.Columns) == 0
	for _, c := range table.Columns {
		bad = bad || !columnName.MatchString(c)
	}
	if bad {
		return nil, fmt.Errorf("%w: a table that the schema does not have", ErrBackup)
	}
	return &inserter{tx: t, table: table}, nil
}

func (i *inserter) add(ctx context.Context, line []byte) error {
	var row []any
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.UseNumber()
	if err := dec.Decode(&row); err != nil || len(row) != len(i.table.Columns) {
		return fmt.Errorf("%w: a row of %s cannot be read", ErrBackup, i.table.Table)
	}
	for n, v := range row {
		number, ok := v.(json.Number)
		if !ok {
			continue
		}
		whole, err := number.Int64()
		if err != nil {
			return fmt.Errorf("%w: a number of %s is out of range", ErrBackup, i.table.Table)
		}
		row[n] = whole
	}
	i.rows = append(i.rows, row...)
	if i.count++; i.count == insertAtOnce || len(i.rows)+len(row) > insertValues {
		return i.flush(ctx)
	}
	return nil
}

func (i *inserter) flush(ctx context.Context) error {
	if i.count == 0 {
		return nil
	}
	var q strings.Builder
	fmt.Fprintf(&q, "INSERT INTO %s (%s) VALUES ", i.table.Table, strings.Join(i.table.Columns, ", "))
	for n := range i.rows {
		switch {
		case n == 0:
			q.WriteByte('(')
		case n%len(i.table.Columns) == 0:
			q.WriteString("), (")
		default:
			q.WriteByte(',')
		}
		fmt.Fprintf(&q, "$%d", n+1)
	}
	q.WriteByte(')')
	if _, err := i.tx.ExecContext(ctx, q.String(), i.rows...); err != nil {
		return fmt.Errorf("merchant: restore: table %s: %w", i.table.Table, err)
	}
	i.rows, i.count = i.rows[:0], 0
	return nil
}
