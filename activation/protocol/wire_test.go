package protocol

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"licenseagent.example/activation"
	"licenseagent.example/activation/license"
)

func TestAnswerRoundTrip(t *testing.T) {
	ks := []byte(`{"payloadType":"k","payload":"YQ==","signatures":[]}`)
	for name, a := range map[string]Answer{
		"license": {License: []byte(`{"a":1}`), KeySet: ks},
		"notice":  {Notice: []byte(`{"b":2}`), KeySet: ks},
		"both":    {License: []byte(`{"a":1}`), Notice: []byte(`{"b":2}`), KeySet: ks},
		"days":    {License: []byte(`{"a":1}`), KeySet: ks, Calendar: "-03:00"},
	} {
		text := must(EncodeAnswer(a))(t)
		if diff := cmp.Diff(a, must(DecodeAnswer(text))(t)); diff != "" {
			t.Errorf("%s: (-want +got):\n%s", name, diff)
		}
		// Editors, jq and newer services may change the wrapper, never the envelopes.
		var indented bytes.Buffer
		must0(t, json.Indent(&indented, text, "\t", "  "))
		later := bytes.Replace(indented.Bytes(), []byte("{"), []byte(`{"future":[1,{"x":null}],`), 1)
		if diff := cmp.Diff(a, must(DecodeAnswer(later))(t)); diff != "" {
			t.Errorf("%s, indented: (-want +got):\n%s", name, diff)
		}
	}
}

// The usual calendar is not named, so that answers stay as they were.
func TestAnswerWithTheUsualCalendar(t *testing.T) {
	a := Answer{License: []byte(`{"a":1}`), KeySet: []byte(`{}`)}
	plain := must(EncodeAnswer(a))(t)
	a.Calendar = "+08:00"
	if named := must(EncodeAnswer(a))(t); !bytes.Equal(named, plain) || bytes.Contains(named, []byte("calendar")) {
		t.Errorf("%s", named)
	}
}

func TestEncodeAnswerRefuses(t *testing.T) {
	ks := []byte(`{}`)
	for name, a := range map[string]Answer{
		"no key set":      {License: []byte(`{}`)},
		"not JSON":        {License: []byte(`{`), KeySet: ks},
		"not compact":     {License: []byte(`{ }`), KeySet: ks},
		"no calendar":     {License: []byte(`{}`), KeySet: ks, Calendar: "8\",\"x\":\""},
		"larger than max": {License: []byte(`"` + strings.Repeat("x", MaxAnswer) + `"`), KeySet: ks},
	} {
		if _, err := EncodeAnswer(a); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDecodeAnswerRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"empty":          "",
		"text":           "hello",
		"list":           `[]`,
		"null":           `null`,
		"no key set":     `{"license":{}}`,
		"nothing else":   `{"keyset":{}}`,
		"license text":   `{"license":"x","keyset":{}}`,
		"key set list":   `{"license":{},"keyset":[]}`,
		"two documents":  `{"license":{},"keyset":{}}{}`,
		"cut short":      `{"license":{},"keyset":{`,
		"too large":      `{"license":{},"keyset":{}}` + strings.Repeat(" ", MaxAnswer),
		"deep":           `{"license":` + strings.Repeat(`{"a":`, 20000) + strings.Repeat("}", 20001),
		"license number": `{"license":1,"keyset":{}}`,
		"no calendar":    `{"license":{},"keyset":{},"calendar":"8"}`,
		"calendar":       `{"license":{},"keyset":{},"calendar":8}`,
	} {
		if _, err := DecodeAnswer([]byte(text)); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", name, err)
		} else if strings.Contains(err.Error(), "hello") {
			t.Errorf("%s: the error repeats the input: %v", name, err)
		}
	}
}

func FuzzDecodeAnswer(f *testing.F) {
	f.Add([]byte(`{"license":{"a":1},"notice":null,"keyset":{}}`))
	f.Add([]byte(`{"keyset":{},"keyset":[]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		a, err := DecodeAnswer(text)
		if err != nil {
			return
		}
		again := must(EncodeAnswer(a))(t)
		if diff := cmp.Diff(a, must(DecodeAnswer(again))(t)); diff != "" {
			t.Errorf("not stable:\n%s", diff)
		}
	})
}

func TestPaths(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range []string{license.RequestActivate, license.RequestRenew, license.RequestRelease, license.RequestRebind} {
		p := Path(k)
		if p == "" || seen[p] || Kind(p) != k {
			t.Errorf("kind %s has path %q, back %q", k, p, Kind(p))
		}
		seen[p] = true
	}
	if Path("x") != "" || Kind("/x") != "" || Kind("") != "" {
		t.Error("unknown kinds have paths")
	}
}

func TestSpecs(t *testing.T) {
	seen := map[Code]bool{}
	for _, s := range Specs() {
		if seen[s.Code] {
			t.Errorf("%s: twice in the table", s.Code)
		}
		seen[s.Code] = true
		if !regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`).MatchString(string(s.Code)) {
			t.Errorf("%s: not a code", s.Code)
		}
		// The client decides by the status when there is no body: both must agree.
		temporary := s.Status == http.StatusRequestTimeout || s.Status == http.StatusTooEarly || s.Status == http.StatusTooManyRequests || s.Status >= 500
		if s.Retry != temporary || (s.Exit == ExitUnreachable) != s.Retry || s.Exit != ExitUnreachable && s.Exit != ExitRefused {
			t.Errorf("%s: status %d, retry %v, exit %d do not fit", s.Code, s.Status, s.Retry, s.Exit)
		}
		for _, text := range []Text{s.Message, s.Hint} {
			if !strings.HasSuffix(text.EN, ".") || !strings.HasSuffix(text.ZH, "。") {
				t.Errorf("%s: %q / %q are not sentences in two languages", s.Code, text.EN, text.ZH)
			}
			if text.In("zh-CN,zh;q=0.9") != text.ZH || text.In("de") != text.EN || text.In("") != text.EN {
				t.Errorf("%s: language is chosen wrongly", s.Code)
			}
		}
	}
	if got := Lookup("made-up"); got.Code != "made-up" || got.Exit != ExitRefused || got.Message != Lookup(CodeUnknown).Message {
		t.Errorf("unknown code: %+v", got)
	}
}

// TestOpenAPI holds the description for other languages against the code.
func TestOpenAPI(t *testing.T) {
	text := string(must(os.ReadFile("openapi.yaml"))(t))
	var table, enum []string
	for _, s := range Specs() {
		if s.Code == CodeUnknown {
			continue // of the client, never sent
		}
		again := "no"
		if s.Retry {
			again = "yes"
		}
		table = append(table, fmt.Sprintf("%s | %d | %s", s.Code, s.Status, again))
		enum = append(enum, string(s.Code))
		if !strings.Contains(text, fmt.Sprintf("%q: {$ref: \"#/components/responses/Problem\"}", fmt.Sprint(s.Status))) {
			t.Errorf("status %d of %s is not among the responses", s.Status, s.Code)
		}
	}
	find := func(pattern string) (list []string) {
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
			list = append(list, m[1])
		}
		return list
	}
	if diff := cmp.Diff(table, find(`(?m)^ +\| ([a-z-]+ \| \d+ \| (?:yes|no)) \|$`)); diff != "" {
		t.Errorf("table of codes (-code +openapi.yaml):\n%s", diff)
	}
	if diff := cmp.Diff(enum, find(`(?m)^ +- ([a-z-]+)$`)); diff != "" {
		t.Errorf("enum of codes (-code +openapi.yaml):\n%s", diff)
	}
	if diff := cmp.Diff([]string{PathActivations, PathRenewals, PathReleases, PathRebinds, PathKeySet, PathHealth, PathReady}, find(`(?m)^  (/[a-z0-9/]+):$`)); diff != "" {
		t.Errorf("paths (-code +openapi.yaml):\n%s", diff)
	}
	for _, want := range []string{ContentEnvelope, ContentAnswer, ContentError, HeaderIdempotency, license.TypeRequest, license.TypeKeySet, "65,536", "262,144", fmt.Sprintf("maxLength: %d", MaxIdempotencyKey)} {
		if !strings.Contains(text, want) {
			t.Errorf("openapi.yaml does not mention %s", want)
		}
	}
	if MaxRequest != 65536 || MaxAnswer != 262144 {
		t.Errorf("limits %d and %d differ from openapi.yaml", MaxRequest, MaxAnswer)
	}
}

// Agent, merchant service and manual tell a machine and its copy the same, word for
// word: three ways once were three answers.
func TestOneWordForCopies(t *testing.T) {
	en, zh := activation.SettleCopies()
	if hint := Lookup(CodeDeviceMismatch).Hint; hint.EN != en || hint.ZH != zh {
		t.Errorf("the merchant service says %+v", hint)
	}
	for lang, want := range map[string]string{"en": en, "zh-CN": zh} {
		if got := activation.Sentence(activation.NextRebind, lang, activation.Verdict{}); got != want {
			t.Errorf("the agent says %q", got)
		}
	}
	manual := string(must(os.ReadFile("../../installer/README.md"))(t))
	if !strings.Contains(manual, en) {
		t.Errorf("installer/README.md does not say: %s", en)
	}
}
