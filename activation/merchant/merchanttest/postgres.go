// Package merchanttest gives tests a PostgreSQL of their own when there is one.
package merchanttest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
)

// Variable names the environment variable with the URL of a PostgreSQL database
// (with a query part) in which the tests stand, each in schemas of its own.
const Variable = "MERCHANT_TEST_POSTGRES"

// Schema makes a schema for one test and returns the URL of a database there,
// "" when the tests stand on SQLite.
func Schema(t testing.TB) string {
	t.Helper()
	server := os.Getenv(Variable)
	if server == "" {
		return ""
	}
	name := Name()
	dsn, err := Make(server, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := Drop(server, name); err != nil {
			t.Error(err)
		}
	})
	return dsn
}

// Name is a name for a schema, or a beginning of such names, that nobody else has.
func Name() string { return "t" + strings.ToLower(rand.Text()) }

// Make returns the URL of a schema, which it makes when there is none.
func Make(server, name string) (string, error) {
	err := run(server, func(db *sql.DB) error {
		_, err := db.Exec("CREATE SCHEMA IF NOT EXISTS " + name)
		return err
	})
	return server + "&search_path=" + name, err
}

// Drop removes the schemas whose names begin so.
func Drop(server, begin string) error {
	return run(server, func(db *sql.DB) error {
		var all sql.NullString
		err := db.QueryRow(`SELECT string_agg(nspname, ', ') FROM pg_namespace WHERE starts_with(nspname, $1)`, begin).Scan(&all)
		if err != nil || !all.Valid {
			return err
		}
		_, err = db.Exec("DROP SCHEMA " + all.String + " CASCADE")
		return err
	})
}

func run(server string, do func(db *sql.DB) error) error {
	db, err := sql.Open("pgx", server)
	if err != nil {
		return fmt.Errorf("merchanttest: %w", err)
	}
	if err := db.PingContext(context.Background()); err != nil {
		return errors.Join(fmt.Errorf("merchanttest: %w", err), db.Close())
	}
	return errors.Join(do(db), db.Close())
}
