package merchant

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
	_ "modernc.org/sqlite" // driver "sqlite"
)

//go:embed migrations/*.sql
var migrations embed.FS

// ErrNewer is returned when the database was written by a newer version.
var ErrNewer = errors.New("merchant: the database was written by a newer version")

// Database is an open database: one handle that writes, one that reads.
type Database struct {
	write, read *sql.DB
	postgres    bool
	timeout     time.Duration                  // of one transaction, 0: none
	asked       func(query string, args []any) // told of queries, for tests that look at plans; nil: nobody

	saveOne, saveMany string // statements, see ahead.go

	mu    sync.Mutex
	stmts map[string]*sql.Stmt // prepared on write, by text
}

// OpenSQLite opens or creates the database file, readable by its owner only,
// and brings its schema up to date. WAL lets the commands read and write while
// the service runs; synchronous=FULL makes every commit durable (the WAL mode
// default NORMAL does not: sqlite.org/pragma.html#pragma_synchronous).
func OpenSQLite(ctx context.Context, path string) (*Database, error) {
	d, err := newSQLite(path)
	if err != nil {
		return nil, err
	}
	return d, d.ready(ctx, goose.DialectSQLite3)
}

func newSQLite(path string) (*Database, error) {
	// The file is created here with its final mode: SQLite itself would use
	// 0644 less umask; -wal and -shm inherit the mode of the database.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, PrivateFile)
	if err != nil {
		return nil, fmt.Errorf("merchant: database: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("merchant: database: %w", err)
	}
	// "immediate": a transaction that starts by reading and then writes would
	// otherwise fail with SQLITE_BUSY_SNAPSHOT when another process wrote.
	dsn := fileURI(path) + "?_txlock=immediate" +
		"&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)"
	write, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, fmt.Errorf("merchant: database: %w", err)
	}
	write.SetMaxOpenConns(1)
	read, err := sql.Open("sqlite", dsn+"&_pragma=query_only(1)")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("merchant: database: %w", err), write.Close())
	}
	read.SetMaxOpenConns(4)
	return &Database{write: write, read: read, saveOne: updateSeat(), stmts: map[string]*sql.Stmt{}}, nil
}

// fileURI is a path as SQLite wants it in a URI (sqlite.org/uri.html): a
// Windows drive letter follows a slash.
func fileURI(path string) string {
	slashed := filepath.ToSlash(path)
	if filepath.VolumeName(path) != "" {
		slashed = "/" + slashed
	}
	return "file:" + (&url.URL{Path: slashed}).EscapedPath()
}

// lease is how long an instance of the service may hold rows without a word.
// PostgreSQL ends its transaction then, so that an instance that was cut off
// from the network, or stopped, delays the others no longer than this. One that
// was killed delays nobody: its connection is closed with it.
const lease = 10 * time.Second

// OpenPostgres opens a PostgreSQL database by its connection URL and brings
// its schema up to date. The URL may hold a password: no error repeats it.
func OpenPostgres(ctx context.Context, dsn string) (*Database, error) {
	d, err := newPostgres(dsn, lease)
	if err != nil {
		return nil, err
	}
	return d, d.ready(ctx, goose.DialectPostgres)
}

func newPostgres(dsn string, lease time.Duration) (*Database, error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, errors.New("merchant: the database URL cannot be used")
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = lease / 2
	}
	write := stdlib.OpenDB(*config, stdlib.OptionAfterConnect(func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.Exec(ctx, fmt.Sprintf("SET idle_in_transaction_session_timeout = %d", lease.Milliseconds()))
		var unknown *pgconn.PgError
		if errors.As(err, &unknown) && unknown.Code == "42704" {
			return nil // an engine without it ends such transactions in its own time
		}
		return err
	}))
	write.SetMaxOpenConns(4)
	return &Database{write: write, read: write, postgres: true, timeout: lease, saveOne: updateSeat(), saveMany: updateSeats(), stmts: map[string]*sql.Stmt{}}, nil
}

// bound is the context of one transaction. With a server on the other side of a
// network it ends; SQLite has its own time limit, and a context that can end
// costs it a goroutine per statement.
func (d *Database) bound() (context.Context, context.CancelFunc) {
	if d.timeout == 0 {
		return context.Background(), func() {}
	}
	return context.WithTimeout(context.Background(), d.timeout)
}

func (d *Database) ready(ctx context.Context, dialect goose.Dialect) error {
	err := d.migrate(ctx, dialect, newestSchema)
	if away(err) != "" {
		err = fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if err != nil {
		err = errors.Join(err, d.Close())
	}
	return err
}

// newestSchema stands for the newest schema that this program knows.
const newestSchema = 0

// migrate applies what is missing up to a version. A schema newer than this program is refused
// before anything is written: an old program would corrupt it by omission.
func (d *Database) migrate(ctx context.Context, dialect goose.Dialect, to int64) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return fmt.Errorf("merchant: migrations: %w", err)
	}
	options := []goose.ProviderOption{goose.WithLogger(goose.NopLogger()), goose.WithDisableGlobalRegistry(true)}
	if d.postgres {
		// Instances that start together must not migrate together.
		one, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300))
		if err != nil {
			return fmt.Errorf("merchant: migrations: %w", err)
		}
		options = append(options, goose.WithSessionLocker(one))
	}
	p, err := goose.NewProvider(dialect, d.write, files, options...)
	if err != nil {
		return fmt.Errorf("merchant: migrations: %w", err)
	}
	sources := p.ListSources()
	newest := sources[len(sources)-1].Version
	if to == newestSchema {
		to = newest
	}
	var have int64
	for range migrationTries {
		if have, err = p.GetDBVersion(ctx); err != nil {
			return fmt.Errorf("merchant: migrations: %w", err)
		}
		if have > newest || to > newest {
			return fmt.Errorf("%w: schema %d, this program knows %d", ErrNewer, max(have, to), newest)
		}
		if have == to {
			return nil
		}
		// SQLite has no lock for this: of two programs that start together one
		// finds that the other was faster, and looks again.
		if _, err = p.UpTo(ctx, to); err == nil {
			return nil
		}
	}
	return fmt.Errorf("merchant: migrations: %w", err)
}

// migrationTries is how often somebody else may have been faster.
const migrationTries = 10

// Close closes both handles.
func (d *Database) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var errs []error
	for _, s := range d.stmts {
		errs = append(errs, s.Close())
	}
	d.stmts = map[string]*sql.Stmt{}
	errs = append(errs, d.write.Close())
	if d.read != d.write {
		errs = append(errs, d.read.Close())
	}
	return errors.Join(errs...)
}

// prepared returns the statement for a text, prepared once. It is called
// before the transaction starts or with the text already known: with a single
// connection, preparing inside a transaction would wait for itself.
func (d *Database) prepared(ctx context.Context, query string) (*sql.Stmt, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := d.stmts[query]; s != nil {
		return s, nil
	}
	s, err := d.write.PrepareContext(ctx, query)
	if err == nil {
		d.stmts[query] = s
	}
	return s, err
}

// locking appends FOR UPDATE where several writers exist. SQLite has one
// writer at a time and does not know the clause.
func (d *Database) locking(query, table string) string {
	if !d.postgres {
		return query
	}
	return strings.TrimSpace(query) + " FOR UPDATE OF " + table
}
