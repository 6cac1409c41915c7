package architecture_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestFileLength(t *testing.T) {
	code, tests := 0, 0
	sources(t, func(file string, test bool) {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		n := bytes.Count(b, []byte("\n"))
		if n > 500 {
			t.Errorf("%s has %d lines; split it by idea (the limit is 500)", file, n)
		}
		if test {
			tests += n
		} else {
			code += n
		}
	})
	t.Logf("code %d lines, tests %d lines", code, tests)
	if tests < code {
		t.Errorf("tests (%d lines) are fewer than code (%d lines)", tests, code)
	}
}

// Operating-system files live only where the architecture says.
func TestSystemFilesInTheirPlace(t *testing.T) {
	suffix := regexp.MustCompile(`_(linux|windows|unix|darwin|amd64|arm64)\.(go|s)$`)
	sources(t, func(file string, test bool) {
		if test || !suffix.MatchString(file) {
			return
		}
		for _, dir := range []string{"platform/", "fingerprint/probe/", "fingerprint/collect/", "installer/"} {
			if strings.HasPrefix(file, dir) {
				return
			}
		}
		t.Errorf("%s: files for one operating system live in platform, fingerprint/{probe,collect} and installer", file)
	})
}

// habit walks one parsed file and reports what the house does not do.
func habit(file string, f *ast.File) []string {
	var bad []string
	cmd := strings.Contains(file, "/cmd/") || strings.Contains(file, "/example/") || strings.HasPrefix(file, "agent/bindings/fixture/live/") || strings.HasPrefix(file, "installer/e2e/") || strings.HasPrefix(file, "installer/release/")
	clock := strings.HasPrefix(file, "platform/clock/") || cmd
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil && d.Name.Name == "init" {
				bad = append(bad, "func init: state that nobody passed in")
			}
		case *ast.GenDecl:
			if d.Tok == token.VAR {
				bad = append(bad, globals(d)...)
			}
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		x, ok := sel.X.(*ast.Ident)
		if !ok {
			return true
		}
		switch full := x.Name + "." + sel.Sel.Name; {
		case full == "time.Now" && !clock:
			bad = append(bad, "time.Now: time is passed in as a value")
		case strings.HasPrefix(full, "fmt.Print") && !cmd:
			bad = append(bad, full+": only commands print")
		}
		return true
	})
	return bad
}

// globals lists package variables that are not sentinel errors, embedded files
// or compile-time interface checks.
func globals(d *ast.GenDecl) []string {
	var bad []string
	for _, s := range d.Specs {
		v := s.(*ast.ValueSpec)
		for i, name := range v.Names {
			if name.Name == "version" && v.Values == nil {
				continue // set by the linker (-X main.version)
			}
			if name.Name == "_" || strings.HasPrefix(name.Name, "Err") || strings.HasPrefix(name.Name, "err") {
				continue
			}
			if sel, ok := v.Type.(*ast.SelectorExpr); ok && sel.Sel.Name == "FS" {
				continue
			}
			if i < len(v.Values) {
				if call, ok := v.Values[i].(*ast.CallExpr); ok {
					if sel, ok := call.Fun.(*ast.SelectorExpr); ok && sel.Sel.Name == "MustCompile" {
						continue // a compiled constant
					}
				}
			}
			bad = append(bad, "package variable "+name.Name+": only sentinel errors are global")
		}
	}
	return bad
}

func TestHabits(t *testing.T) {
	sources(t, func(file string, test bool) {
		if test {
			return
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, msg := range habit(file, f) {
			t.Errorf("%s: %s", file, msg)
		}
	})
}

func TestHabitsCanSayNo(t *testing.T) {
	src := `package p
import ("fmt"; "time")
var state = 1
func init() { fmt.Println(time.Now()) }`
	f, err := parser.ParseFile(token.NewFileSet(), "x.go", src, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := habit("store/x.go", f); len(got) != 4 {
		t.Errorf("four bad habits, found %d: %v", len(got), got)
	}
}

// Every package says what it is for; at least 95 % of what is exported is documented.
func TestDocumentation(t *testing.T) {
	type count struct{ all, documented int }
	documented := map[string]bool{}
	total := count{}
	var missing []string
	sources(t, func(file string, test bool) {
		if test {
			return
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		dir := path.Dir(file)
		documented[dir] = documented[dir] || f.Doc != nil
		for _, d := range f.Decls {
			for name, has := range exported(d) {
				total.all++
				if has {
					total.documented++
				} else {
					missing = append(missing, file+": "+name)
				}
			}
		}
	})
	for dir, ok := range documented {
		if !ok {
			t.Errorf("%s has no package comment", dir)
		}
	}
	slices.Sort(missing)
	t.Logf("%d of %d exported declarations documented", total.documented, total.all)
	if total.documented*100 < total.all*95 {
		t.Errorf("documentation below 95 %%; missing:\n%s", strings.Join(missing, "\n"))
	}
}

// exported returns the exported names a declaration introduces and whether each is documented.
func exported(d ast.Decl) map[string]bool {
	out := map[string]bool{}
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && (d.Recv == nil || receiverExported(d.Recv)) {
			out[d.Name.Name] = d.Doc != nil
		}
	case *ast.GenDecl:
		for _, s := range d.Specs {
			switch s := s.(type) {
			case *ast.TypeSpec:
				if s.Name.IsExported() {
					out[s.Name.Name] = d.Doc != nil || s.Doc != nil
				}
			case *ast.ValueSpec:
				for _, n := range s.Names {
					if n.IsExported() {
						out[n.Name] = d.Doc != nil || s.Doc != nil || s.Comment != nil
					}
				}
			}
		}
	}
	return out
}

func receiverExported(r *ast.FieldList) bool {
	typ := r.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	if ix, ok := typ.(*ast.IndexExpr); ok {
		typ = ix.X
	}
	id, ok := typ.(*ast.Ident)
	return ok && id.IsExported()
}

// Tests do not sleep for luck and never pass by skipping: one that lacks root or a
// tool fails and says so.
func TestTestsDoNotSleepOrSkip(t *testing.T) {
	skip := regexp.MustCompile(`\.Skip(f|Now)?\(`)
	sources(t, func(file string, test bool) {
		if !test || path.Dir(file) == "." {
			return
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(b), "\n") {
			if strings.Contains(line, "time.Sleep(") && !strings.Contains(line, "// polls") && !strings.Contains(line, "// stands for") {
				t.Errorf("%s:%d sleeps; wait for the event itself (a polling loop says so with \"// polls\", a slow device with \"// stands for\")", file, i+1)
			}
			if skip.MatchString(line) {
				t.Errorf("%s:%d skips; fail with one sentence that says what is missing, or leave the file out by a build constraint", file, i+1)
			}
		}
	})
}
