package merchant

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	checksum "hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// ErrBackup is returned when a file is not a whole backup, or is one of a newer
// version.
var ErrBackup = errors.New("merchant: not a usable backup")

// A backup is a gzip of JSON lines, the same from SQLite and from PostgreSQL, so
// that one can be restored as the other:
//
//	{"license_merchant_backup":1,"schema":3,"created":…,"issuer":"…","keys":true}
//	{"file":"lookup.key","data":"base64"}        files of the key directory
//	{"table":"codes","columns":["id",…]}         then one array per row
//	["c-…",…]
//	{"rows":123,"sha256":"hex of all lines before"}
const backupFormat = 1

type backupHead struct {
	Format  int    `json:"license_merchant_backup"`
	Schema  int64  `json:"schema"`
	Created int64  `json:"created"` // UTC second
	Issuer  string `json:"issuer"`
	Keys    bool   `json:"keys"` // whether files of the key directory follow
}

type backupFile struct {
	File string `json:"file"`
	Data []byte `json:"data"`
}

type backupTable struct {
	Table   string   `json:"table"`
	Columns []string `json:"columns"`
}

type backupEnd struct {
	Rows int64  `json:"rows"`
	Sum  string `json:"sha256"`
}

// BackupInfo says what a backup holds.
type BackupInfo struct {
	Created int64  `json:"created"`
	Issuer  string `json:"issuer"`
	Schema  int64  `json:"schema"`
	Rows    int64  `json:"rows"`
	Files   int    `json:"files"` // of the key directory
}

// sumWriter writes lines and adds them to the checksum.
type sumWriter struct {
	w    io.Writer
	hash checksum.Hash
}

func (s *sumWriter) line(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("merchant: backup: %w", err)
	}
	b = append(b, '\n')
	s.hash.Write(b)
	if _, err := s.w.Write(b); err != nil {
		return fmt.Errorf("merchant: backup: %w", err)
	}
	return nil
}

// Backup writes everything that the service needs to go on elsewhere: all
// tables as they are at one instant, and with keys the files of the key
// directory. It does not hold the service up. Whoever has a backup with keys can
// sign licenses until the keys are revoked: keep it like the root keys.
func (s *Service) Backup(ctx context.Context, w io.Writer, keys bool) (BackupInfo, error) {
	if s.issuer == "" {
		return BackupInfo{}, ErrNotInitialised
	}
	zip := gzip.NewWriter(w)
	out := &sumWriter{w: zip, hash: sha256.New()}
	info := BackupInfo{Created: s.clock().Unix(), Issuer: s.issuer}
	err := s.db.snapshot(ctx, func(conn *sql.Conn) error {
		if err := conn.QueryRowContext(ctx, `SELECT MAX(version_id) FROM goose_db_version`).Scan(&info.Schema); err != nil {
			return fmt.Errorf("merchant: backup: %w", err)
		}
		if err := out.line(backupHead{backupFormat, info.Schema, info.Created, info.Issuer, keys}); err != nil {
			return err
		}
		if keys {
			n, err := s.backupKeys(out)
			if err != nil {
				return err
			}
			info.Files = n
		}
		tables, err := s.db.tables(ctx, conn)
		if err != nil {
			return err
		}
		for _, t := range tables {
			n, err := dumpTable(ctx, conn, t, out)
			if err != nil {
				return err
			}
			info.Rows += n
		}
		return nil
	})
	if err == nil {
		err = out.line(backupEnd{info.Rows, hex.EncodeToString(out.hash.Sum(nil))})
	}
	return info, errors.Join(err, zip.Close())
}

// snapshot runs do on one connection that sees the database as it is now.
func (d *Database) snapshot(ctx context.Context, do func(conn *sql.Conn) error) error {
	conn, err := d.read.Conn(ctx)
	if err != nil {
		return fmt.Errorf("merchant: backup: %w", err)
	}
	defer conn.Close()
	begin := `BEGIN` // deferred: the writer goes on
	if d.postgres {
		begin = `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY`
	}
	if _, err := conn.ExecContext(ctx, begin); err != nil {
		return fmt.Errorf("merchant: backup: %w", err)
	}
	err = do(conn)
	_, end := conn.ExecContext(context.WithoutCancel(ctx), `ROLLBACK`)
	return errors.Join(err, end)
}

func (s *Service) backupKeys(out *sumWriter) (int, error) {
	list, err := os.ReadDir(s.opts.KeyDir)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrKeyFile, err)
	}
	n := 0
	for _, e := range list {
		if !e.Type().IsRegular() {
			continue
		}
		data, err := ReadSecret(filepath.Join(s.opts.KeyDir, e.Name()))
		if err != nil {
			return n, err
		}
		if err := out.line(backupFile{e.Name(), data}); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// tables lists the tables so that each comes after those it refers to.
func (d *Database) tables(ctx context.Context, conn *sql.Conn) ([]string, error) {
	names := `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name <> 'goose_db_version' ORDER BY name`
	refers := `SELECT m.name, f."table" FROM sqlite_master m, pragma_foreign_key_list(m.name) f WHERE m.type = 'table'`
	if d.postgres {
		names = `SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema() AND table_type = 'BASE TABLE'
			AND table_name <> 'goose_db_version' ORDER BY table_name`
		refers = `SELECT c.relname, r.relname FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_class r ON r.oid = k.confrelid
			JOIN pg_namespace n ON n.oid = c.relnamespace WHERE k.contype = 'f' AND n.nspname = current_schema()`
	}
	all, err := pairs(ctx, conn, strings.Replace(names, "SELECT ", "SELECT '', ", 1))
	if err != nil {
		return nil, err
	}
	edges, err := pairs(ctx, conn, refers)
	if err != nil {
		return nil, err
	}
	var order []string
	placed := map[string]bool{}
	for len(order) < len(all) {
		before := len(order)
		for _, t := range all {
			ready := !placed[t[1]]
			for _, e := range edges {
				ready = ready && (e[0] != t[1] || placed[e[1]] || e[1] == t[1])
			}
			if ready {
				placed[t[1]], order = true, append(order, t[1])
			}
		}
		if len(order) == before {
			return nil, errors.New("merchant: backup: the tables refer to each other in a circle")
		}
	}
	return order, nil
}

// pairs returns the rows of a query for two texts.
func pairs(ctx context.Context, conn *sql.Conn, query string) ([][2]string, error) {
	rows, err := conn.QueryContext(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("merchant: backup: %w", err)
	}
	return collect(rows, func(rows *sql.Rows) (p [2]string, err error) {
		err = rows.Scan(&p[0], &p[1])
		return p, err
	})
}

func dumpTable(ctx context.Context, conn *sql.Conn, table string, out *sumWriter) (int64, error) {
	rows, err := conn.QueryContext(ctx, `SELECT * FROM `+table)
	if err != nil {
		return 0, fmt.Errorf("merchant: backup: %w", err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return 0, fmt.Errorf("merchant: backup: %w", err)
	}
	if err := out.line(backupTable{table, columns}); err != nil {
		return 0, err
	}
	values, into := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	var n int64
	for ; rows.Next(); n++ {
		if err := rows.Scan(into...); err != nil {
			return n, fmt.Errorf("merchant: backup: %w", err)
		}
		for i, v := range values {
			switch v := v.(type) {
			case int64, string, nil:
			case []byte:
				values[i] = string(v)
			default:
				return n, fmt.Errorf("merchant: backup: column %s.%s has type %T", table, columns[i], v)
			}
		}
		if err := out.line(values); err != nil {
			return n, err
		}
	}
	return n, rows.Err()
}

// restore is a backup being read.
type restore struct {
	lines *bufio.Reader
	hash  checksum.Hash
	head  backupHead
	info  BackupInfo
}

// maxBackupLine bounds one row.
const maxBackupLine = 4 << 20

func openBackup(r io.Reader) (*restore, error) {
	zip, err := gzip.NewReader(r)
	if err != nil {
		return nil, fmt.Errorf("%w: no gzip file", ErrBackup)
	}
	b := &restore{lines: bufio.NewReaderSize(zip, 1<<16), hash: sha256.New()}
	line, err := b.next()
	if err != nil {
		return nil, err
	}
	if json.Unmarshal(line, &b.head) != nil || b.head.Format == 0 {
		return nil, fmt.Errorf("%w: it does not begin like one", ErrBackup)
	}
	if b.head.Format != backupFormat {
		return nil, fmt.Errorf("%w: format %d, this program knows %d", ErrBackup, b.head.Format, backupFormat)
	}
	b.info = BackupInfo{Created: b.head.Created, Issuer: b.head.Issuer, Schema: b.head.Schema}
	return b, nil
}

// next returns the next line, which the checksum covers.
func (b *restore) next() ([]byte, error) {
	var line []byte
	for {
		part, err := b.lines.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil:
			b.hash.Write(line)
			return line, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, fmt.Errorf("%w: it ends early, after %d rows", ErrBackup, b.info.Rows)
		case len(line) > maxBackupLine:
			return nil, fmt.Errorf("%w: a line is too long", ErrBackup)
		}
	}
}

// load reads the rest: files into keyDir, rows into the transaction.
func (b *restore) load(ctx context.Context, t *sql.Tx, known []string, keyDir string) error {
	var into *inserter
	for {
		sum := hex.EncodeToString(b.hash.Sum(nil))
		line, err := b.next()
		if err != nil {
			return err
		}
		if line[0] == '[' {
			if into == nil {
				return fmt.Errorf("%w: a row before its table", ErrBackup)
			}
			if err := into.add(ctx, line); err != nil {
				return err
			}
			b.info.Rows++
			continue
		}
		if into != nil {
			if err := into.flush(ctx); err != nil {
				return err
			}
			into = nil
		}
		var v struct {
			backupFile
			backupTable
			backupEnd
		}
		if err := json.Unmarshal(line, &v); err != nil {
			return fmt.Errorf("%w: a line cannot be read", ErrBackup)
		}
		switch {
		case v.File != "":
			if err := writeBackupKey(keyDir, v.backupFile); err != nil {
				return err
			}
			b.info.Files++
		case v.Table != "":
			if into, err = newInserter(t, v.backupTable, known); err != nil {
				return err
			}
		case v.Rows != b.info.Rows || v.Sum != sum:
			return fmt.Errorf("%w: it was changed: the checksum or the number of rows differs", ErrBackup)
		default:
			return nil
		}
	}
}

func writeBackupKey(dir string, f backupFile) error {
	if f.File != filepath.Base(f.File) || f.File == "." || f.File == ".." {
		return fmt.Errorf("%w: the name of a key file makes no sense", ErrBackup)
	}
	path := filepath.Join(dir, f.File)
	have, err := ReadSecret(path)
	if err == nil && string(have) == string(f.Data) {
		return nil // an earlier attempt
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return writeSecret(path, f.Data)
}
