package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"

	"licenseagent.example/activation/merchant"
	"licenseagent.example/activation/protocol"
	"licenseagent.example/fingerprint"
)

// openapi is the part of openapi.yaml that the Go side must agree with.
type openapi struct {
	Paths map[string]map[string]struct {
		Access     string              `yaml:"x-access"`
		Parameters []map[string]string `yaml:"parameters"`
		Body       struct {
			Content map[string]struct{ Schema map[string]any } `yaml:"content"`
		} `yaml:"requestBody"`
	} `yaml:"paths"`
	Components struct {
		Parameters map[string]map[string]any           `yaml:"parameters"`
		Codes      map[string]struct{ HTTP, Exit int } `yaml:"x-codes"`
		Schemas    map[string]struct {
			Required   []string       `yaml:"required"`
			Properties map[string]any `yaml:"properties"`
		} `yaml:"schemas"`
	} `yaml:"components"`
}

func readDocument(t *testing.T) openapi {
	t.Helper()
	b, err := os.ReadFile("openapi.yaml")
	check(t, err)
	var doc openapi
	check(t, yaml.Unmarshal(b, &doc))
	return doc
}

func TestAccessTableIsTheDocument(t *testing.T) {
	want, got := map[string]string{}, map[string]string{}
	for path, methods := range readDocument(t).Paths {
		for method, m := range methods {
			want[strings.ToUpper(method)+" "+path] = m.Access
		}
	}
	for _, r := range (&Server{}).table() {
		got[r.method+" "+r.path] = string(r.access.role())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("access (-openapi.yaml +Go):\n%s", diff)
	}
}

// Every query parameter of the document is taken by its address, and a name
// that it does not have there is refused.
func TestParametersAreTheDocument(t *testing.T) {
	d, doc := newDesk(t), readDocument(t)
	var all []string
	for name, p := range doc.Components.Parameters {
		if p["in"] == "query" {
			all = append(all, name)
		}
	}
	if len(all) < 6 {
		t.Fatalf("query parameters %q", all)
	}
	for path, methods := range doc.Paths {
		get, ok := methods["get"]
		if !ok {
			continue
		}
		for _, name := range append(all, "none") {
			documented := slices.ContainsFunc(get.Parameters, func(p map[string]string) bool { return p["$ref"] == "#/components/parameters/"+name })
			status, text := d.call(d.tokens[merchant.RoleAdmin], "GET", strings.ReplaceAll(path, "{id}", "c-none")+"?"+name+"=1", "")
			if refused := status == http.StatusBadRequest; refused == documented && (documented || takesQuery(get.Parameters)) {
				t.Errorf("GET %s?%s=1: %d, documented %v: %s", path, name, status, documented, text)
			}
		}
	}
}

// takesQuery says that an address has a parameter beside the id in its path; the
// others do not look at their query.
func takesQuery(list []map[string]string) bool {
	return slices.ContainsFunc(list, func(p map[string]string) bool { return p["$ref"] != "#/components/parameters/id" })
}

func TestCodesAreTheDocument(t *testing.T) {
	got := map[string]struct{ HTTP, Exit int }{}
	for _, s := range Specs() {
		got[string(s.Code)] = struct{ HTTP, Exit int }{s.Status, s.Exit}
		if s.Message.EN == "" || s.Message.ZH == "" || s.Hint.EN == "" || s.Hint.ZH == "" {
			t.Errorf("%s lacks a sentence", s.Code)
		}
	}
	if diff := cmp.Diff(readDocument(t).Components.Codes, got); diff != "" {
		t.Errorf("codes (-openapi.yaml +Go):\n%s", diff)
	}
	for _, p := range merchant.Problems() {
		if p.Message.EN == "" || p.Message.ZH == "" || p.Next.EN == "" || p.Next.ZH == "" {
			t.Errorf("%s lacks a sentence", p.Code)
		}
	}
}

// Every type that travels has the members that the document says.
func TestSchemasAreTheTypes(t *testing.T) {
	schemas := readDocument(t).Components.Schemas
	for name, v := range map[string]any{
		"Version": Version{}, "Health": Health{}, "Problem": merchant.Problem{}, "FindRequest": FindRequest{}, "Found": merchant.Found{}, "Codes": Codes{},
		"NewCodes": NewCodes{}, "MadeCodes": MadeCodes{}, "MadeCode": MadeCode{}, "CodeInfo": merchant.CodeInfo{}, "Code": Code{}, "Reason": Reason{},
		"Devices": Devices{}, "DeviceInfo": merchant.DeviceInfo{}, "Device": Device{}, "Scenario": Scenario{}, "Explanation": merchant.Explanation{},
		"Verdict": merchant.Verdict{}, "PartInfo": merchant.PartInfo{}, "Comparison": fingerprint.Comparison{}, "PartResult": fingerprint.PartResult{},
		"Audit": Audit{}, "AuditRow": merchant.AuditRow{}, "Verified": Verified{}, "Tokens": Tokens{}, "TokenInfo": merchant.TokenInfo{},
		"NewToken": NewToken{}, "MadeToken": MadeToken{}, "Text": protocol.Text{},
		"Settled": Settled{}, "Sale": Sale{}, "Sold": merchant.Sold{}, "SaleInfo": merchant.SaleInfo{}, "UseInfo": merchant.UseInfo{},
	} {
		want := members(reflect.TypeOf(v))
		var got []string
		for member := range schemas[name].Properties {
			got = append(got, member)
		}
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-Go +openapi.yaml):\n%s", name, diff)
		}
	}
}

func members(typ reflect.Type) []string {
	var list []string
	for i := range typ.NumField() {
		f := typ.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			list = append(list, members(f.Type)...)
		case name != "" && name != "-":
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func TestRouteWithoutDecisionIsRefused(t *testing.T) {
	s := &Server{mux: http.NewServeMux()}
	serve := func(*exchange) error { return nil }
	if err := s.register([]route{{"GET", "/x", viewer, serve}}); err != nil {
		t.Fatal(err)
	}
	for _, r := range []route{{"GET", "/y", undecided, serve}, {"GET", "/y", access(9), serve}, {"GET", "/y", viewer, nil}} {
		if err := (&Server{mux: http.NewServeMux()}).register([]route{r}); err == nil {
			t.Errorf("a route with access %d and serve %v was accepted", r.access, r.serve != nil)
		}
	}
	if merchant.Role("").Covers("") || merchant.Role("god").Covers(merchant.RoleViewer) || merchant.RoleAdmin.Covers("") {
		t.Error("a word that is no role covers something")
	}
}

// The whole matrix: route × caller × method. What a caller may not do reaches
// nothing: no row is written to the audit log.
func TestMatrixOfRoutesCallersAndMethods(t *testing.T) {
	d := newDesk(t)
	ctx := context.Background()
	ended, _, err := d.svc.AddToken(ctx, "ended", merchant.RoleAdmin, 60)
	check(t, err)
	d.pass(2 * time.Minute)
	revoked, _, err := d.svc.AddToken(ctx, "revoked", merchant.RoleAdmin, 3600)
	check(t, err)
	_, err = d.svc.RevokeToken(ctx, "revoked")
	check(t, err)
	callers := map[string]string{
		"nobody": "", "a stranger": "lmt_" + strings.Repeat("A", 43), "ended": ended, "revoked": revoked,
		"viewer": d.tokens[merchant.RoleViewer], "support": d.tokens[merchant.RoleSupport], "admin": d.tokens[merchant.RoleAdmin],
	}
	length := func() int64 {
		n, err := d.svc.VerifyAudit(ctx)
		check(t, err)
		return n
	}
	allowed := map[string][]string{}
	for _, r := range d.server.table() {
		allowed[r.path] = append(allowed[r.path], r.method)
	}
	for _, r := range d.server.table() {
		path := strings.ReplaceAll(r.path, "{id}", "c-none")
		for name, token := range callers {
			for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"} {
				if method != r.method && slices.Contains(allowed[r.path], method) {
					continue // another row of the table
				}
				before := length()
				status, text := d.call(token, method, path, "{}")
				want := 0 // whatever the route says about an empty request
				switch {
				case method != r.method:
					want = http.StatusMethodNotAllowed
				case name == "nobody" || name == "a stranger" || name == "ended" || name == "revoked":
					want = http.StatusUnauthorized
				case !merchant.Role(name).Covers(r.access.role()):
					want = http.StatusForbidden
				}
				if want == 0 && (status == 401 || status == 403 && codeIn(t, text) == CodeForbidden || status == 405 || status >= 500) || want != 0 && status != want {
					t.Errorf("%s %s as %s: %d, want %d: %s", method, path, name, status, want, text)
				}
				if want != 0 && length() != before {
					t.Errorf("%s %s as %s was refused but changed something", method, path, name)
				}
			}
		}
	}
	if status, text := d.call("", "GET", "/metrics", ""); status != 404 || codeIn(t, text) != CodeNoRoute {
		t.Errorf("an address that is none: %d %s", status, text)
	}
}

// Bodies and parameters that nobody should send have a code, a sentence and a
// next step, and nothing else happens.
func TestBadInput(t *testing.T) {
	d := newDesk(t)
	admin := d.tokens[merchant.RoleAdmin]
	for _, c := range []struct {
		name, method, path, body string
		code                     protocol.Code
	}{
		{"no JSON", "POST", PathFind, "what", CodeBadRequest},
		{"array", "POST", PathFind, "[]", CodeBadRequest},
		{"unknown member", "POST", PathFind, `{"wat":"x"}`, CodeBadRequest},
		{"two values", "POST", PathFind, `{"what":"x"}{}`, CodeBadRequest},
		{"wrong type", "POST", PathFind, `{"what":1}`, CodeBadRequest},
		{"nothing to find", "POST", PathFind, `{"what":"  "}`, CodeBadValue},
		{"far too long", "POST", PathFind, `{"what":"` + strings.Repeat("x", 300) + `"}`, CodeBadValue},
		{"endless", "POST", PathFind, `{"what":"` + strings.Repeat("x", 200<<10) + `"}`, CodeTooLarge},
		{"no such problem", "POST", PathSettle, `{"code":"bad-code","subject":"c-none"}`, CodeNotFound},
		{"problem of a long name", "POST", PathSettle, `{"code":"` + strings.Repeat("x", 129) + `"}`, CodeBadValue},
		{"sale of nothing", "POST", PathSales, `{"which":"…0001"}`, CodeBadValue},
		{"sale of no code", "POST", PathSales, `{"amount":1}`, CodeBadValue},
		{"sale of less than one", "POST", PathSales, `{"which":"…0001","amount":-1}`, CodeBadValue},
		{"sale of more than can be", "POST", PathSales, `{"which":"…0001","amount":1000000001}`, CodeBadValue},
		{"sale of an unknown product", "POST", PathSales, `{"which":"…0001","product":"OFFI9"}`, CodeBadValue},
		{"sale of an unknown end", "POST", PathSales, `{"which":"…0001","amount":1}`, CodeNotFound},
		{"sale of an unknown id", "POST", PathSales, `{"which":"c-none","amount":1}`, CodeNotFound},
		{"sale of an unknown code", "POST", PathSales, `{"which":"PLNONE0000000001","amount":1}`, CodeNotFound},
		{"no product", "POST", PathCodes, `{"count":1}`, CodeBadValue},
		{"too many", "POST", PathCodes, `{"product":"p","devices":1,"seats":1,"policy":"balanced","count":5001}`, CodeBadValue},
		{"unknown code", "GET", "/admin/v1/codes/c-none", "", CodeNotFound},
		{"unknown device", "GET", "/admin/v1/devices/lic-none", "", CodeNotFound},
		{"limit", "GET", PathCodes + "?limit=10001", "", CodeBadValue},
		{"limit in words", "GET", PathDevices + "?limit=ten", "", CodeBadValue},
		{"unknown parameter", "GET", PathCodes + "?prodct=x", "", CodeBadRequest},
		{"a parameter twice", "GET", PathCodes + "?product=x&product=y", "", CodeBadRequest},
		{"negative days", "GET", PathExpiring + "?days=-1", "", CodeBadValue},
		{"long reason", "POST", "/admin/v1/codes/c-none/freeze", `{"reason":"` + strings.Repeat("r", 1001) + `"}`, CodeBadValue},
		{"no request file", "POST", PathRequestAnswer, `{"hello":"world"}`, protocol.CodeBadRequest},
		{"large request file", "POST", PathRequestExplain, strings.Repeat("x", 70<<10), CodeTooLarge},
		{"scenario in words", "POST", "/admin/v1/devices/lic-none/simulate", `{"offline":"soon"}`, CodeBadValue},
		{"role", "POST", PathTokens, `{"name":"x","role":"god","life":3600}`, CodeBadValue},
		{"name", "POST", PathTokens, `{"name":"operator","role":"viewer","life":3600}`, CodeBadValue},
		{"life", "POST", PathTokens, `{"name":"x","role":"viewer","life":1}`, CodeBadValue},
		{"unknown token", "POST", "/admin/v1/tokens/nobody/revoke", `{}`, CodeNotFound},
	} {
		status, text := d.call(admin, c.method, c.path, c.body)
		if got := codeIn(t, text); got != c.code || status != Lookup(c.code).Status {
			t.Errorf("%s: %d %s, want %s", c.name, status, got, c.code)
		}
		_, text = d.call(admin, c.method, c.path, c.body, "Accept-Language", "zh-CN")
		if !strings.Contains(text, Lookup(c.code).Hint.ZH) {
			t.Errorf("%s in Chinese: %s", c.name, text)
		}
	}
}

func TestDocumentIsServed(t *testing.T) {
	d := newDesk(t)
	status, text := d.call(d.tokens[merchant.RoleViewer], "GET", PathOpenAPI, "")
	want, err := os.ReadFile("openapi.yaml")
	check(t, err)
	if status != 200 || text != string(want) {
		t.Errorf("%d, %d bytes", status, len(text))
	}
	var v Version
	d.get(PathVersion, &v)
	if diff := cmp.Diff(Version{API: "1", Program: "test", Issuer: "vendor.example", Caller: "viewer.person", Role: merchant.RoleViewer}, v); diff != "" {
		t.Error(diff)
	}
	b, err := json.Marshal(v)
	check(t, err)
	if strings.Contains(string(b), "lmt_") {
		t.Error("the version shows a token")
	}
}
