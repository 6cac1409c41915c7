package merchant

import (
	"context"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"licenseagent.example/activation/license"
	"licenseagent.example/activation/protocol"
)

// ask is a renewal as Process would queue it, and what became of it.
func (d *device) ask(out *outcome, env []byte) *job {
	d.t.Helper()
	req := must(license.OpenRequest(env))(d.t)
	in := &incoming{req: req, device: must(observed(req))(d.t), body: hash(string(env))}
	return &job{ctx: context.Background(), lock: in.lock(d.bed.svc.pepper), seat: req.License, run: func(t *tx) (err error) {
		*out, err = t.answer(in)
		return err
	}}
}

// A batch answers every request as it would be answered alone: a seat that is
// asked for twice, the same request twice, a license nobody has, and a code that
// is frozen in the middle of the batch.
func TestBatchAnswersLikeOneByOne(t *testing.T) {
	freeze := map[string]func(x *tx, code string) error{
		"a statement": func(x *tx, code string) error {
			_, err := x.exec(`UPDATE codes SET status = 'frozen' WHERE id = $1`, code)
			return err
		},
	}
	if newBed(t).db.postgres { // SQLite has no functions in SQL, and reads nothing ahead
		freeze["a function, whose call does not say what it does"] = func(x *tx, code string) error {
			_, err := x.beside.exec(`CREATE FUNCTION set_aside(TEXT) RETURNS TEXT LANGUAGE SQL AS $$ UPDATE codes SET status = 'frozen' WHERE id = $1 RETURNING id $$`)
			var id string
			return errors.Join(err, x.row(`SELECT set_aside($1)`, code).Scan(&id))
		}
	}
	for name, freeze := range freeze {
		t.Run(name, func(t *testing.T) { testBatch(t, newBed(t), freeze) })
	}
}

func testBatch(t *testing.T, b *bed, freeze func(x *tx, code string) error) {
	ctx := context.Background()
	devices := b.fleet(6)
	slices.SortFunc(devices, func(x, y *device) int { return strings.Compare(x.license, y.license) })
	codeOf := must(b.svc.Device(ctx, devices[3].license))(t).Code

	stranger := b.device(99)
	stranger.license = "lic-00000000000000000000"
	var jobs []*job
	out := make([]outcome, 10)
	add := func(d *device, env []byte) { jobs = append(jobs, d.ask(&out[len(jobs)], env)) }
	add(stranger, stranger.request(license.RequestRenew, ""))
	again := devices[0].request(license.RequestRenew, "")
	add(devices[0], again)
	add(devices[0], again)
	copied := devices[1].copied()
	add(devices[1], devices[1].request(license.RequestRenew, ""))
	add(copied, copied.request(license.RequestRenew, ""))
	add(devices[2], devices[2].request(license.RequestRenew, ""))
	// Sorted between two seats: not what the service does, but what it must stand.
	jobs = append(jobs, &job{ctx: ctx, lock: "seat " + devices[2].license + "~", run: func(x *tx) error {
		if b.db.postgres && (len(x.ahead.unsaved) == 0 || len(x.ahead.read) != 3) {
			t.Errorf("%d seats unsaved, %d read ahead: this test sees no batch", len(x.ahead.unsaved), len(x.ahead.read))
		}
		return freeze(x, codeOf)
	}})
	for _, d := range devices[3:] {
		add(d, d.request(license.RequestRenew, ""))
	}
	if !b.svc.attempt(jobs) {
		t.Fatal(jobs[0].err)
	}

	wantCode(t, "a license nobody has", jobs[0].err, protocol.CodeUnknownLicense)
	for i, j := range jobs[1:] {
		if j.err != nil {
			t.Errorf("job %d: %v", i+1, j.err)
		}
	}
	take := func(d *device, o outcome) string {
		d.take(protocol.Answer{License: []byte(o.license), Notice: []byte(o.notice), KeySet: b.svc.keys.envelope})
		return d.state()
	}
	if out[1] != out[2] || take(devices[0], out[1]) != "license" {
		t.Error("the same request twice in a batch got two answers")
	}
	if a, c := take(devices[1], out[3]), take(copied, out[4]); a != "license" || c != license.NoticeContested {
		t.Errorf("two copies in a batch: %s and %s", a, c)
	}
	if s := take(devices[2], out[5]); s != "license" {
		t.Errorf("before the freeze: %s", s)
	}
	for i, d := range devices[3:] {
		if s := take(d, out[7+i]); s != license.NoticeSuspended {
			t.Errorf("after the freeze: %s", s)
		}
	}
	// What was answered is what the database has: everybody can go on.
	must0(t, b.svc.Unfreeze(ctx, codeOf, ""))
	for i, d := range devices {
		must0(t, d.renew())
		want := "license"
		switch {
		case i == 1:
			want = license.NoticeContested
		case i >= 3: // was suspended
			want = license.NoticeActive
		}
		if d.state() != want {
			t.Errorf("device %d afterwards: %s, want %s", i, d.state(), want)
		}
	}
	must(b.svc.VerifyAudit(ctx))(t)
}

// A seat that cannot be written fails its batch, and the others are then written
// one by one.
func TestBatchWithOneSeatThatCannotBeWritten(t *testing.T) {
	b := newBed(t)
	devices := b.fleet(4)
	var jobs []*job
	out := make([]outcome, len(devices))
	for i, d := range devices {
		jobs = append(jobs, d.ask(&out[i], d.request(license.RequestRenew, "")))
		jobs[i].done = make(chan struct{})
	}
	good := jobs[1].run
	jobs[1].run = func(x *tx) error { // another program deletes the row
		if err := good(x); err != nil {
			return err
		}
		_, err := x.beside.exec(`DELETE FROM activations WHERE license_id = $1`, devices[1].license)
		return errors.Join(err, x.flush(), x.save(&seat{license: devices[1].license}), x.flush())
	}
	b.svc.commit(jobs)
	for i, d := range devices {
		if i == 1 {
			if jobs[i].err == nil {
				t.Error("a seat that is gone was written")
			}
			continue
		}
		if jobs[i].err != nil {
			t.Errorf("its neighbour: %v", jobs[i].err)
			continue
		}
		d.take(protocol.Answer{License: []byte(out[i].license), Notice: []byte(out[i].notice), KeySet: b.svc.keys.envelope})
		if got := must(b.svc.Device(context.Background(), d.license))(t).Seq; got != d.seq {
			t.Errorf("told %d, kept %d", d.seq, got)
		}
	}
	must0(t, devices[1].renew())
}

// aboutSeats is what a statement beside the seats must not name.
func aboutSeats(sql string) bool {
	return regexp.MustCompile(`\b(activations|codes)\b`).MatchString(sql)
}

// Whatever is run beside the seats is written out where it is run, and names no
// table that a seat is read from: then nothing that was read ahead is stale.
func TestBeside(t *testing.T) {
	files := token.NewFileSet()
	seen := 0
	for _, name := range must(filepath.Glob("*.go"))(t) {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		for _, d := range must(parser.ParseFile(files, name, nil, 0))(t).Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			for _, sql := range runBeside(f) {
				seen++
				if sql == "" || aboutSeats(sql) {
					t.Errorf("%s: %s runs %q beside the seats", name, f.Name.Name, sql)
				}
			}
		}
	}
	if seen < 5 {
		t.Errorf("%d statements found: this test sees nothing", seen)
	}
	for _, bad := range []string{
		"t.beside.exec(`UPDATE codes SET x = 1`)",
		"t.beside.row(`SELECT 1 FROM ` + from)",
		"t.beside.query(handed)",
		"sql := `SELECT 1`; if x { sql = handed }; t.beside.query(sql)",
		"b := t.beside; b.exec(`SELECT 1`)",
	} {
		f := must(parser.ParseFile(files, "", "package p\nfunc f(handed string) { from := `activations a`; "+bad+" }", 0))(t).Decls[0].(*ast.FuncDecl)
		if list := runBeside(f); len(list) != 1 || list[0] != "" && !aboutSeats(list[0]) {
			t.Errorf("control: %s passes as %q", bad, list)
		}
	}
}

// runBeside returns the statements that a function runs beside the seats, "" for
// one that is not written out in it.
func runBeside(f *ast.FuncDecl) (list []string) {
	switch f.Name.Name {
	case "exec", "query", "row": // those of tx, after before
		return nil
	case "flush", "seat": // write the seats, and read one after flush
		return nil
	}
	uses := 0
	ast.Inspect(f, func(n ast.Node) bool {
		if at, ok := n.(*ast.SelectorExpr); ok && at.Sel.Name == "beside" {
			uses++
		}
		if call, ok := n.(*ast.CallExpr); ok {
			method, _ := call.Fun.(*ast.SelectorExpr)
			if method == nil {
				return true
			}
			if of, ok := method.X.(*ast.SelectorExpr); ok && of.Sel.Name == "beside" {
				list = append(list, writtenOut(f, call.Args[0]))
			}
		}
		return true
	})
	if uses != len(list) {
		list = append(list, "") // handed on
	}
	return list
}

// writtenOut is the text of an expression: literals, and local variables with
// all that is assigned to them; "" for anything else.
func writtenOut(f *ast.FuncDecl, e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		return e.Value
	case *ast.BinaryExpr:
		if a, b := writtenOut(f, e.X), writtenOut(f, e.Y); a != "" && b != "" {
			return a + b
		}
	case *ast.Ident:
		all := []string{}
		ast.Inspect(f, func(n ast.Node) bool {
			if set, ok := n.(*ast.AssignStmt); ok {
				if to, ok := set.Lhs[0].(*ast.Ident); ok && to.Name == e.Name {
					all = append(all, writtenOut(f, set.Rhs[0]))
				}
			}
			return true
		})
		if !slices.Contains(all, "") {
			return strings.Join(all, "")
		}
	}
	return ""
}
