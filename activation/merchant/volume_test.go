package merchant

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"licenseagent.example/activation"
	"licenseagent.example/activation/license"
	"licenseagent.example/docs/promise"
)

// fill gives the database of a bed n codes that a marketplace sold, with a device,
// five days of use and ten audit rows for each, as SQL makes them: quickly, and
// without keys. One code in a hundred ends within thirty days, work about one in
// ten waits or was given up, one device in ten thousand is contested. Their last
// characters are digits only, so that many codes end alike.
func (b *bed) fill(n int) {
	b.t.Helper()
	now := b.clock.Now().Unix()
	series := func(n int) string {
		if b.db.postgres {
			return fmt.Sprintf(`WITH n AS (SELECT generate_series(1, %d) AS i) `, n)
		}
		return fmt.Sprintf(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) `, n)
	}
	pattern, info := b.code(func(s *CodeSpec) { s.Devices = 10 })
	d := b.device(1)
	must0(b.t, d.activate(pattern))
	// Columns that tell rows apart; all others are those of one real row.
	copyOf := func(table, key, value string, own map[string]string) string {
		rows := must(b.db.read.Query(`SELECT * FROM ` + table + ` LIMIT 1`))(b.t)
		columns := must(rows.Columns())(b.t)
		must0(b.t, rows.Close())
		list := make([]string, len(columns))
		for i, c := range columns {
			list[i] = "p." + c
			if v, ok := own[c]; ok {
				list[i] = v
			}
		}
		return `INSERT INTO ` + table + ` (` + strings.Join(columns, ", ") + `) ` + series(n) +
			`SELECT ` + strings.Join(list, ", ") + ` FROM n, ` + table + ` p WHERE p.` + key + ` = '` + value + `'`
	}
	built := b.bulk()
	defer built()
	const lastDigits = "'…' || CAST(1000 + n.i % 9000 AS TEXT)"
	text := func(prefix string) string { return "'" + prefix + "' || CAST(n.i AS TEXT)" }
	for _, q := range []string{
		copyOf("codes", "id", info.ID, map[string]string{
			"id": text("c-"), "lookup": text("l"), "hint": lastDigits, "goods": text("g-"), "source": "'koogallery'", "market": "'alive'", "note": text("order-"), "created": fmt.Sprintf("%d + n.i", now-int64(n)),
			"product": "'product-' || CAST(n.i % 7 AS TEXT)", "ends": fmt.Sprintf("CASE WHEN n.i %% 100 = 0 THEN %d + n.i %% %d ELSE 0 END", now+1, 30*day),
		}),
		copyOf("activations", "license_id", d.license, map[string]string{
			"license_id": text("lic-"), "code_id": text("c-"), "device_id": text("dev:"), "created": fmt.Sprintf("%d + n.i", now-int64(n)),
			"contested": fmt.Sprintf("CASE WHEN n.i %% 10000 = 0 THEN %d - n.i ELSE 0 END", now),
		}),
		`INSERT INTO audit (seq, at, actor, action, subject, detail, prev, hash) ` + series(10*n) + fmt.Sprintf(
			`SELECT 1000000 + i, %d, 'operator', 'code.add', 'c-' || CAST(i %% %d AS TEXT), '{"devices":1,"product":"painter"}', '%064d', '%064d' FROM n`, now, n, 1, 2),
		`INSERT INTO goods (` + goodsColumns + `, updated, hint) ` + series(n) + fmt.Sprintf(
			`SELECT 'g-' || CAST(i AS TEXT), 'code', 'sealed', 'active', 'alive', 'OFFI1', 'CS' || CAST(i AS TEXT), 'line', 'PERIOD', 5, 0, %d, 0, '', %d, %d, '', %d, %d, `,
			now+365*day, now, now, now, now) + lastDigits + ` FROM n`,
		`INSERT INTO uses (goods, day, device, reported) ` + series(5*n) + fmt.Sprintf(
			`SELECT 'g-' || CAST(1 + (i - 1) / 5 AS TEXT), '2026-01-0' || CAST(1 + i %% 5 AS TEXT), 'dev:' || CAST(1 + (i - 1) / 5 AS TEXT), %d FROM n`, now),
		`INSERT INTO jobs (id, kind, goods, payload, due, lease, owner, round, attempts, failed, problem, created, updated) ` + series(max(1, n/10)) + fmt.Sprintf(
			`SELECT 'beat-' || CAST(i AS TEXT), 'beat', 'g-' || CAST(1 + (i - 1) * 10 AS TEXT), '{}', %d, 0, '', 1, 1, i %% 2, '', %d, %d FROM n`, now+day, now, now),
	} {
		must(b.db.write.Exec(q))(b.t)
	}
}

// bulk makes the database ready for a lot of rows, and returns what makes it
// what it was: indexes are built afterwards, sorted, and nothing is durable until
// then.
func (b *bed) bulk() (done func()) {
	b.t.Helper()
	before, after := []string{`PRAGMA journal_mode = OFF`, `PRAGMA synchronous = OFF`}, []string{`PRAGMA journal_mode = WAL`, `PRAGMA synchronous = FULL`, `ANALYZE`}
	indexes := `SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL`
	if b.db.postgres {
		// No row looks up the one it refers to: they are right.
		before, after = []string{`SET session_replication_role = replica`, `SET maintenance_work_mem = '512MB'`}, []string{`RESET ALL`, `VACUUM ANALYZE`}
		indexes = `SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = current_schema() AND indexname NOT IN (SELECT conname FROM pg_constraint)`
	}
	b.svc.Close()
	must0(b.t, b.db.Close())
	b.db = must(openDatabase(b.dir, b.dsn))(b.t)
	b.db.write.SetMaxOpenConns(1) // what is set holds for a connection
	for _, name := range []string{"codes", "activations", "audit", "goods", "uses", "jobs"} {
		list := must(b.db.write.Query(indexes+` AND `+map[bool]string{true: "tablename", false: "tbl_name"}[b.db.postgres]+` = $1`, name))(b.t)
		for list.Next() {
			var index, definition string
			must0(b.t, list.Scan(&index, &definition))
			before, after = append(before, `DROP INDEX `+index), append([]string{definition}, after...)
		}
		must0(b.t, errors.Join(list.Err(), list.Close()))
	}
	for _, q := range before {
		must(b.db.write.Exec(q))(b.t)
	}
	return func() {
		b.t.Helper()
		for _, q := range after {
			must(b.db.write.Exec(q))(b.t)
		}
		b.svc.Close()
		must0(b.t, b.db.Close())
		b.open()
	}
}

// adminQueries are what support asks all day, for code number i of a filled
// database.
func (b *bed) adminQueries(i int) map[string]func() error {
	ctx, n, last := context.Background(), strconv.Itoa(i), strconv.Itoa(1000+i%9000)
	return map[string]func() error{
		"codes":                   func() error { return errOf(b.svc.Codes(ctx, "", 100)) },
		"codes of product":        func() error { return errOf(b.svc.Codes(ctx, "product-3", 100)) },
		"code":                    func() error { return errOf(b.svc.Code(ctx, "c-"+n)) },
		"sale":                    func() error { return errOf(b.svc.Sale(ctx, "c-"+n)) },
		"expiring":                func() error { return errOf(b.svc.Expiring(ctx, 30*day, 100)) },
		"devices":                 func() error { return errOf(b.svc.Devices(ctx, "", 100)) },
		"devices of code":         func() error { return errOf(b.svc.Devices(ctx, "c-"+n, 100)) },
		"device":                  func() error { return errOf(b.svc.Device(ctx, "dev:"+n)) },
		"why":                     func() error { return errOf(b.svc.Why(ctx, "lic-"+n, activation.Scenario{})) },
		"contested":               func() error { return errOf(b.svc.Contested(ctx, 100)) },
		"find by note":            func() error { return errOf(b.svc.Find(ctx, "order-"+n)) },
		"find by order":           func() error { return errOf(b.svc.Find(ctx, "CS"+n)) },
		"find by last characters": func() error { return errOf(b.svc.Find(ctx, last)) },
		"codes sale by last characters": func() error { // as far as it reads
			if _, err := b.svc.soldAs(ctx, "…"+last); !errors.Is(err, ErrInput) {
				return err
			}
			return nil // many end alike
		},
		"health":            func() error { return errOf(b.svc.Check(ctx), nil) },
		"find by device":    func() error { return errOf(b.svc.Find(ctx, "dev:"+n)) },
		"history of a code": func() error { return errOf(b.svc.Audit(ctx, "c-"+n, 0, 1000)) },
		"audit from a row":  func() error { return errOf(b.svc.Audit(ctx, "", int64(1000000+i), 1000)) },
	}
}

func errOf[T any](_ T, err error) error { return err }

// TestAdminQueriesAtVolume asks everything that support asks on a full
// database and reports the slowest of each: 10⁶ codes and 10⁷ audit rows in the
// long form. Times decide nothing here: TestAdminQueriesUseIndexes does, and a
// question without an index, the control, shows what it is worth.
func TestAdminQueriesAtVolume(t *testing.T) {
	b := newBed(t)
	n := promise.Size(2_000, 1_000_000)
	rounds := promise.Size(4, 20)
	b.fill(n)
	slowest := map[string]time.Duration{}
	for round := range rounds {
		for name, ask := range b.adminQueries(1 + round*(n/rounds)) {
			start := time.Now()
			must0(t, ask())
			slowest[name] = max(slowest[name], time.Since(start))
		}
	}
	var names []string
	for name := range slowest {
		names = append(names, name)
	}
	sort.Slice(names, func(i, j int) bool { return slowest[names[i]] > slowest[names[j]] })
	for _, name := range names {
		t.Logf("%s at most %v", name, slowest[name].Round(10*time.Microsecond))
	}
	start := time.Now()
	must0(t, errOf(b.svc.query(context.Background(), codeQuery+`WHERE c.edition = $1 ORDER BY c.updated LIMIT 5`, "x")))
	database := map[bool]string{true: "PostgreSQL", false: "SQLite"}[b.db.postgres]
	promise.Reached(t, "P27", fmt.Sprintf("%s: support's %d questions, %d times each, over %d codes sold, %d days of use and %d audit rows: the slowest, %q, at most %v",
		database, len(names), rounds, n, 5*n, 10*n, names[0], slowest[names[0]].Round(10*time.Microsecond)),
		fmt.Sprintf("a question that no index answers: %v", time.Since(start).Round(10*time.Microsecond)))
}

// BenchmarkAdminQueries is the same for docs/performance.md. BENCH_CODES is how
// many codes there are.
func BenchmarkAdminQueries(bench *testing.B) {
	n := 1_000_000
	if text := os.Getenv("BENCH_CODES"); text != "" {
		n = must(strconv.Atoi(text))(bench)
	}
	b := newBed(bench)
	b.fill(n)
	for name := range b.adminQueries(1) {
		bench.Run(strings.ReplaceAll(name, " ", "-"), func(bench *testing.B) {
			for i := 0; bench.Loop(); i++ {
				must0(bench, b.adminQueries(1 + i*7919%n)[name]())
			}
		})
	}
}

// plans collects how the database answers each read.
func (b *bed) plans() *[]string {
	list := new([]string)
	explain, off := "EXPLAIN QUERY PLAN ", ""
	if b.dsn != "" {
		// A small table is read whole because that is faster; ask what happens
		// when it is not.
		explain, off = "EXPLAIN ", "SET enable_seqscan = off; SET enable_sort = off"
	}
	var mu sync.Mutex // background work asks from several goroutines
	b.db.asked = func(query string, args []any) {
		conn := must(b.db.read.Conn(context.Background()))(b.t)
		defer conn.Close()
		if off != "" {
			must(conn.ExecContext(context.Background(), off))(b.t)
		}
		rows := must(conn.QueryContext(context.Background(), explain+query, args...))(b.t)
		defer rows.Close()
		columns := must(rows.Columns())(b.t)
		var plan []string
		for rows.Next() {
			into := make([]any, len(columns))
			var line string
			for i := range into {
				into[i] = new(any)
			}
			into[len(into)-1] = &line
			must0(b.t, rows.Scan(into...))
			plan = append(plan, line)
		}
		mu.Lock()
		defer mu.Unlock()
		*list = append(*list, strings.Join(plan, "\n"))
	}
	return list
}

// Nothing that a marketplace's code asks in its life reads codes, devices or
// the audit log from end to end: a callback has a second, and SQLite one writer.
func TestMarketQueriesUseIndexes(t *testing.T) {
	s := newStall(t)
	plans := s.plans()
	code := s.sell("PLTEST000000000051")
	d := s.device(1)
	must0(t, d.activate(code))
	s.clock.Add(24 * time.Hour)
	must0(t, d.do(license.RequestRenew, "", used(s.today())))
	s.work()
	s.call(freeze(code))
	s.call(unfreeze(code))
	s.call(renewal(code, "CS2", s.clock.Now().Add(9000*time.Hour)))
	s.instanceOf("CS100", "PERIOD", "5")
	s.call(map[string]string{"activity": "releaseLicenseCode", "license": code})
	whole := regexp.MustCompile(`(SCAN (codes|activations|audit|c|a)( |$)|Seq Scan on (codes|activations|audit))`)
	for _, plan := range *plans {
		if whole.MatchString(plan) {
			t.Errorf("reads everything:\n%s", plan)
		}
	}
	// The control: a question that no index answers is seen.
	*plans = nil
	must0(t, s.svc.change(context.Background(), func(t *tx) error {
		return errOf(t.strings(`SELECT id FROM codes WHERE edition = $1`, "x"))
	}))
	if n := len(*plans); n == 0 || !whole.MatchString(strings.Join(*plans, "\n")) {
		t.Errorf("the control was not seen: %q", *plans)
	}
}

// No query of support reads a table from end to end or sorts it: the plans say
// so, on any machine.
func TestAdminQueriesUseIndexes(t *testing.T) {
	b := newBed(t)
	b.fill(1000)
	plans := b.plans()
	whole := regexp.MustCompile(`(?m)(SCAN (c|a|audit|tokens|g|j|u|goods|jobs|uses)( |$)(USING COVERING INDEX)?$|TEMP B-TREE FOR ORDER BY|Seq Scan on (codes|activations|audit|tokens|goods|jobs|uses)|^ *Sort)`)
	for name, ask := range b.adminQueries(5) {
		must0(t, ask())
		if len(*plans) == 0 {
			t.Errorf("%s: no query was seen", name)
		}
		for _, plan := range *plans {
			if whole.MatchString(plan) {
				t.Errorf("%s reads or sorts everything:\n%s", name, plan)
			}
		}
		*plans = nil
	}
	// The control: a question that no index answers is seen.
	must0(t, errOf(b.svc.query(context.Background(), codeQuery+`WHERE c.edition = $1 ORDER BY c.updated LIMIT 5`, "x")))
	if len(*plans) != 1 || !whole.MatchString((*plans)[0]) {
		t.Errorf("the control was not seen: %q", *plans)
	}
}
