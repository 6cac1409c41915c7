package merchant

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"licenseagent.example/activation/license"
)

func TestCodesAreTypeable(t *testing.T) {
	for range 50 {
		code := must(newCode(rand.Reader))(t)
		if len(code) != 29 || strings.ContainsAny(code, "ILOU") {
			t.Fatalf("code of an unexpected form (%d characters)", len(code))
		}
		plain, own := NormaliseCode(code)
		if !own || grouped(plain) != code {
			t.Fatal("a code is not its own normal form")
		}
		for _, typed := range []string{
			strings.ToLower(code), " " + code + "\r\n", plain, strings.ReplaceAll(code, "-", " "),
			strings.ReplaceAll(code, "-", "\u00a0"), strings.ReplaceAll(code, "0", "o"), strings.ReplaceAll(code, "1", "l"), strings.ReplaceAll(code, "1", "I"),
		} {
			if got, own := NormaliseCode(typed); !own || got != plain {
				t.Fatal("a typed form was not recognised")
			}
		}
	}
}

// TestCheckSymbol makes every single wrong symbol and every swap of two
// different symbols; none may pass.
func TestCheckSymbol(t *testing.T) {
	code, _ := NormaliseCode(must(newCode(rand.Reader))(t))
	tried := 0
	wrong := func(b []byte) {
		tried++
		if _, own := NormaliseCode(string(b)); own {
			t.Errorf("accepted a wrong code")
		}
	}
	for i := range code {
		for _, s := range []byte(codeAlphabet) {
			if b := []byte(code); b[i] != s {
				b[i] = s
				wrong(b)
			}
		}
		for j := i + 1; j < len(code); j++ {
			if b := []byte(code); b[i] != b[j] {
				b[i], b[j] = b[j], b[i]
				wrong(b)
			}
		}
	}
	if tried < 25*31 {
		t.Errorf("only %d tried", tried)
	}
}

func TestForeignCodes(t *testing.T) {
	for typed, want := range map[string]string{" abc-DEF_1 ": "abc-DEF_1", "": "", "12345": "12345", "ÜX": "ÜX"} {
		if got, own := NormaliseCode(typed); own || got != want {
			t.Errorf("NormaliseCode(%q) = %q, %v", typed, got, own)
		}
	}
	one, two := []byte("0123456789abcdef0123456789abcdef"), []byte("0123456789abcdef0123456789abcdeX")
	if lookup(one, "abc") == lookup(two, "abc") || lookup(one, "abc") != lookup(one, " abc ") || lookup(one, "abc") == lookup(one, "ABC") {
		t.Error("the lookup does not separate what it must")
	}
}

func FuzzNormaliseCode(f *testing.F) {
	f.Add("ABCDE-FGHJK-MNPQR-STVWX-YZ012")
	f.Add("\u00a0\u3000ł")
	f.Fuzz(func(t *testing.T, typed string) {
		code, own := NormaliseCode(typed)
		if again, stillOwn := NormaliseCode(code); again != code || stillOwn != own {
			t.Errorf("not stable: %q then %q", code, again)
		}
	})
}

func TestCodeSpecs(t *testing.T) {
	b := newBed(t)
	ctx := context.Background()
	good := func() CodeSpec { return CodeSpec{Product: "painter", Devices: 1, Seats: 1, Policy: "strict"} }
	for name, change := range map[string]func(*CodeSpec){
		"product":        func(s *CodeSpec) { s.Product = "Painter Pro" },
		"edition":        func(s *CodeSpec) { s.Edition = "Ü" },
		"no devices":     func(s *CodeSpec) { s.Devices = 0 },
		"no seats":       func(s *CodeSpec) { s.Seats = 0 },
		"features twice": func(s *CodeSpec) { s.Features = []string{"a", "a"} },
		"65 features":    func(s *CodeSpec) { s.Features = strings.Split(strings.Repeat("f,", 64)+"g", ",") },
		"negative limit": func(s *CodeSpec) { s.Limits = map[string]int64{"a": -1} },
		"policy":         func(s *CodeSpec) { s.Policy = "lax" },
		"days":           func(s *CodeSpec) { s.ValidDays = -1 },
		"end":            func(s *CodeSpec) { s.Ends = license.NoEnd + 1 },
	} {
		s := good()
		change(&s)
		if _, _, err := b.svc.AddCodes(ctx, s, 1); !errors.Is(err, ErrInput) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, n := range []int{0, -1, 100_001} {
		if _, _, err := b.svc.AddCodes(ctx, good(), n); !errors.Is(err, ErrInput) {
			t.Errorf("%d codes: %v", n, err)
		}
	}
	spec := good()
	spec.Features, spec.Limits, spec.Note = []string{"z", "a"}, map[string]int64{"n": 1}, "order 7"
	codes, infos, err := b.svc.AddCodes(ctx, spec, 3)
	must0(t, err)
	list := must(b.svc.Codes(ctx, "painter", 10))(t)
	if len(list) != 3 || len(must(b.svc.Codes(ctx, "other", 10))(t)) != 0 || len(must(b.svc.Codes(ctx, "", 2))(t)) != 2 {
		t.Fatalf("%d codes listed", len(list))
	}
	want := infos[0]
	want.Expires = license.NoEnd
	if diff := cmp.Diff(want, must(b.svc.Code(ctx, infos[0].ID))(t)); diff != "" {
		t.Errorf("code (-want +got):\n%s", diff)
	}
	if !strings.HasSuffix(codes[0], strings.TrimPrefix(infos[0].Hint, "…")) {
		t.Error("the hint is not the end of the code")
	}
	for _, f := range []func() error{
		func() error { return b.svc.Unfreeze(ctx, infos[0].ID, "") },
		func() error {
			return errors.Join(b.svc.Revoke(ctx, infos[0].ID, ""), b.svc.Freeze(ctx, infos[0].ID, ""))
		},
	} {
		if err := f(); !errors.Is(err, ErrState) {
			t.Errorf("wrong state: %v", err)
		}
	}
	if err := b.svc.Freeze(ctx, "c-none", ""); !errors.Is(err, ErrNotFound) {
		t.Errorf("unknown code: %v", err)
	}
	if err := b.svc.Release(ctx, "lic-none", ""); !errors.Is(err, ErrNotFound) {
		t.Errorf("unknown license: %v", err)
	}
}
