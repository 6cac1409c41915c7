package api_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"licenseagent.example/agent/api"
)

// constants returns the value of each Code* constant in codes.go.
func constants(t *testing.T) map[string]string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "codes.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	ast.Inspect(f, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok || len(v.Values) != 1 || !strings.HasPrefix(v.Names[0].Name, "Code") {
			return true
		}
		text, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		out[text] = v.Names[0].Name
		return true
	})
	return out
}

// Each constant has exactly one row, an HTTP status that net/http knows, an
// exit code of the documented list and sentences in both languages.
func TestEveryCodeIsComplete(t *testing.T) {
	names := constants(t)
	if len(names) < 30 {
		t.Fatalf("found only %d constants in codes.go: the test looks at the wrong place", len(names))
	}
	spelling := regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`)
	exits := map[int]bool{0: true, 1: true, 2: true, 3: true, 4: true, 5: true, 6: true, 7: true, 130: true}
	rows := api.Codes()
	if len(rows) != len(names) {
		t.Errorf("%d rows for %d constants", len(rows), len(names))
	}
	fallback, _ := api.Sentence(api.CodeInternal, api.English)
	for _, row := range rows {
		if names[row.Code] == "" {
			t.Errorf("row %q has no constant", row.Code)
		}
		if !spelling.MatchString(row.Code) {
			t.Errorf("%q is not lower-case words with hyphens", row.Code)
		}
		if row.HTTP != 0 && http.StatusText(row.HTTP) == "" {
			t.Errorf("%s: %d is no HTTP status", row.Code, row.HTTP)
		}
		if row.HTTP != 0 && row.HTTP < 400 {
			t.Errorf("%s: an error cannot have status %d", row.Code, row.HTTP)
		}
		if !exits[row.Exit] || row.Exit == 0 {
			t.Errorf("%s: exit code %d is not documented for errors", row.Code, row.Exit)
		}
		for _, lang := range []string{api.English, api.Chinese} {
			message, hint := api.Sentence(row.Code, lang)
			if message == "" || hint == "" {
				t.Errorf("%s has no sentence or no next step in %s", row.Code, lang)
			}
			if message == fallback && row.Code != api.CodeInternal {
				t.Errorf("%s falls back to the sentence of %s", row.Code, api.CodeInternal)
			}
			if chinese := strings.ContainsFunc(message, func(r rune) bool { return unicode.Is(unicode.Han, r) }); chinese != (lang == api.Chinese) {
				t.Errorf("%s: %q is not %s", row.Code, message, lang)
			}
		}
	}
}

// A cause with words of its own says something else than its code, in both languages.
func TestCausesHaveTheirOwnWords(t *testing.T) {
	names := constants(t)
	if len(api.Causes()) == 0 {
		t.Fatal("no cause has words of its own")
	}
	for _, pair := range api.Causes() {
		code, cause, found := strings.Cut(pair, "/")
		if !found || names[code] == "" || cause == "" {
			t.Errorf("%q is not code/cause", pair)
		}
		for _, lang := range []string{api.English, api.Chinese} {
			message, hint := api.SentenceFor(code, cause, lang)
			general, next := api.Sentence(code, lang)
			if message == "" || hint == "" || message == general || hint == next {
				t.Errorf("%s in %s: %q %q", pair, lang, message, hint)
			}
			if chinese := strings.ContainsFunc(message, func(r rune) bool { return unicode.Is(unicode.Han, r) }); chinese != (lang == api.Chinese) {
				t.Errorf("%s: %q is not %s", pair, message, lang)
			}
			if other, _ := api.SentenceFor(code, "nothing known", lang); other != general {
				t.Errorf("%s: an unknown cause says %q", code, other)
			}
		}
	}
}

func TestLookupOfAnUnknownCode(t *testing.T) {
	if got := api.Lookup("from-the-future"); got.HTTP != 500 || got.Exit != api.ExitUnexpected {
		t.Errorf("got %+v", got)
	}
	if got := api.Exit(&api.Error{Code: api.CodeRefused}); got != api.ExitRefused {
		t.Errorf("refused ends with %d", got)
	}
	if got := api.Exit(nil); got != api.ExitOK {
		t.Errorf("no error ends with %d", got)
	}
}

func TestErrorText(t *testing.T) {
	e := &api.Error{Code: api.CodeRefused, Cause: "code-used-up", Message: "No."}
	if got := e.Error(); got != "merchant-refused (code-used-up): No." {
		t.Errorf("got %q", got)
	}
	e.Cause = ""
	if got := e.Error(); got != "merchant-refused: No." {
		t.Errorf("got %q", got)
	}
}

func TestLanguage(t *testing.T) {
	for text, want := range map[string]string{
		"": api.English, "C.UTF-8": api.English, "en_US.UTF-8": api.English, "z": api.English, "zhuang": api.English,
		"zh": api.Chinese, "zh_CN.UTF-8": api.Chinese, "zh-CN,zh;q=0.9,en;q=0.8": api.Chinese, "ZH-tw": api.Chinese, " zh;q=1": api.Chinese,
		"en,zh": api.English, "zh.UTF-8": api.Chinese,
	} {
		if got := api.Language(text); got != want {
			t.Errorf("Language(%q) = %s, want %s", text, got, want)
		}
	}
}

// The README's table of exit codes names each exit code that a code can lead to.
func TestReadmeNamesTheExitCodes(t *testing.T) {
	b, err := os.ReadFile("../../README.md")
	if os.IsNotExist(err) {
		t.Log("there is no README.md yet")
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(b), "Exit codes")
	if !ok {
		t.Log("README.md has no section \"Exit codes\" yet")
		return
	}
	if i := strings.Index(section, "\n## "); i >= 0 {
		section = section[:i]
	}
	for _, row := range api.Codes() {
		if !regexp.MustCompile(`\b` + strconv.Itoa(row.Exit) + `\b`).MatchString(section) {
			t.Errorf("the README's section \"Exit codes\" does not mention %d (%s)", row.Exit, row.Code)
		}
	}
}
