package activation_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"licenseagent.example/activation"
)

// Every constant of reasons.go that is a code is in Codes and has a sentence in
// both languages; the list cannot fall behind the source.
func TestEveryCodeHasBothLanguages(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), "reasons.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	declared := map[string]bool{}
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		name := spec.Names[0].Name
		if !strings.HasPrefix(name, "Reason") && !strings.HasPrefix(name, "Next") {
			return true
		}
		code, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		if declared[code] {
			t.Errorf("code %q is declared twice", code)
		}
		declared[code] = true
		return true
	})
	codes := activation.Codes()
	if len(codes) != len(declared) || len(codes) < 20 {
		t.Fatalf("Codes lists %d, the source declares %d", len(codes), len(declared))
	}
	v := activation.Verdict{Until: t0, Expires: tExp, RenewBy: tRen, GraceUntil: tGrc, DaysLeft: 12}
	seen := map[string]string{}
	for _, c := range codes {
		if !declared[c] {
			t.Errorf("code %q is not declared", c)
		}
		for _, lang := range []string{activation.English, activation.Chinese} {
			s := activation.Sentence(c, lang, v)
			if s == c || s == "" || strings.ContainsAny(s, "{}?") {
				t.Errorf("%s in %s: %q", c, lang, s)
			}
			if other := seen[s]; other != "" {
				t.Errorf("%s and %s say the same in %s", c, other, lang)
			}
			seen[s] = c
			if han := strings.ContainsFunc(s, func(r rune) bool { return unicode.Is(unicode.Han, r) }); han != (lang == activation.Chinese) {
				t.Errorf("%s in %s is the other language: %q", c, lang, s)
			}
		}
	}
}

func TestSentence(t *testing.T) {
	v := activation.Verdict{Expires: tExp, RenewBy: tRen, GraceUntil: tGrc, DaysLeft: 12}
	for _, tt := range []struct{ code, lang, want string }{
		{activation.ReasonEntitlementEnds, "en", "The entitlement ends at 2027-06-01 00:00 UTC, in 12 days."},
		{activation.ReasonEntitlementEnds, "fr-FR", "The entitlement ends at 2027-06-01 00:00 UTC, in 12 days."},
		{activation.ReasonEntitlementEnds, "zh-CN", "授权将于 2027-06-01 00:00 UTC 到期，还剩 12 天。"},
		{activation.ReasonEntitlementEnds, "ZH_cn", "授权将于 2027-06-01 00:00 UTC 到期，还剩 12 天。"},
		{activation.ReasonEntitlementEnds, "zhuang", "The entitlement ends at 2027-06-01 00:00 UTC, in 12 days."},
		{"something-new", "en", "something-new"},
		{"", "en", ""},
	} {
		if got := activation.Sentence(tt.code, tt.lang, v); got != tt.want {
			t.Errorf("%s in %s: %q, want %q", tt.code, tt.lang, got, tt.want)
		}
	}
}

// Every verdict there is names a reason that has a sentence.
func TestVerdictsSpeak(t *testing.T) {
	known := map[string]bool{"": true}
	for _, c := range activation.Codes() {
		known[c] = true
	}
	said := map[string]bool{}
	situations(func(name string, in activation.Inputs) {
		for _, now := range []int64{tNbf - 1, tNbf, tRen, tGrc, tExp - 1, tExp} {
			in.Now = now
			v := activation.Decide(in)
			if v.Reason == "" || !known[v.Reason] || !known[v.Next] {
				t.Fatalf("%s: reason %q next %q", name, v.Reason, v.Next)
			}
			if !v.Runs && v.Next == "" {
				t.Fatalf("%s: %s without a next step", name, v.Reason)
			}
			said[v.Reason], said[v.Next] = true, true
		}
	})
	for _, c := range activation.Codes() {
		if !said[c] && c != activation.ReasonNotActivated {
			t.Errorf("no situation says %q", c)
		}
	}
}
