package localapi

import (
	"encoding/base64"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"

	"licenseagent.example/agent/api"
)

// bodies is a valid body for each route that takes one.
func bodies() map[string]string {
	return map[string]string{
		api.PathCheck:    `{"product":"painter","nonce":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}`,
		api.PathSimulate: `{"replace":["disk"]}`,
		api.PathSeats:    `{"product":"painter","user":"alice"}`,
		api.PathActivate: `{"code":"AAAA-BBBB"}`,
		api.PathRenew:    `{}`,
		api.PathRelease:  `{"product":"painter"}`,
		api.PathRebind:   `{"code":"AAAA-BBBB"}`,
		api.PathRequest:  `{"kind":"activate","code":"AAAA-BBBB"}`,
		api.PathImport:   `{"answer":"e30="}`,
	}
}

// The access table in Go is the one in openapi.yaml.
func TestAccessTableIsTheDocument(t *testing.T) {
	b, err := os.ReadFile("../api/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Paths map[string]map[string]struct {
			Access string `yaml:"x-access"`
		} `yaml:"paths"`
	}
	if err := yaml.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	want, got := map[string]string{}, map[string]string{}
	for path, methods := range doc.Paths {
		for method, m := range methods {
			want[strings.ToUpper(method)+" "+path] = m.Access
		}
	}
	for path, r := range (&Server{}).table() {
		got[r.method+" "+path] = r.access.String()
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("access (-openapi.yaml +Go):\n%s", diff)
	}
}

// The whole matrix: route × caller × method. An administrator's route answers
// nobody else, and a wrong method answers nobody at all.
func TestMatrixOfMethodsAndCallers(t *testing.T) {
	user := func(net.Conn) (Caller, error) { return Caller{User: "1000"}, nil }
	for who, identify := range map[string]func(net.Conn) (Caller, error){"admin": root, "user": user} {
		r := start(t, Config{Identify: identify})
		for path, rt := range r.server.table() {
			for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "BREW"} {
				before := len(r.fake.names())
				body := bodies()[path]
				if method != "POST" {
					body = ""
				}
				status, answer := r.call(method, path, body)
				want := http.StatusOK
				switch {
				case method != rt.method:
					want = http.StatusMethodNotAllowed
				case rt.access == admin && who != "admin":
					want = http.StatusForbidden
				}
				if status != want {
					t.Errorf("%s %s as %s: %d, want %d: %s", method, path, who, status, want, answer)
				}
				if calls := len(r.fake.names()); want != http.StatusOK && calls != before {
					t.Errorf("%s %s as %s was refused but reached the licenses", method, path, who)
				}
			}
		}
	}
}

func TestUnknownPaths(t *testing.T) {
	r := start(t, Config{})
	for _, path := range []string{"/", "/v1", "/v1/", "/v2/status", "/v1/status/", "/v1//status", "/V1/STATUS", "/v1/status/../diagnose", "/debug/pprof/", "/v1/%73tatus%00"} {
		status, body := r.call("GET", path, "")
		if status != http.StatusNotFound || errorCode(t, body) != api.CodeNotFound {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
}

func TestBodies(t *testing.T) {
	r := start(t, Config{})
	big := `{"product":"` + strings.Repeat("p", 17<<10) + `"}`
	answer := base64.StdEncoding.EncodeToString(make([]byte, 256<<10))
	for _, c := range []struct {
		name, path, body, code string
		status                 int
	}{
		{"empty object", api.PathCheck, `{}`, api.CodeBadRequest, 400},
		{"no product", api.PathCheck, `{"nonce":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}`, api.CodeBadRequest, 400},
		{"nonce too short", api.PathCheck, `{"product":"p","nonce":"AAEC"}`, api.CodeBadRequest, 400},
		{"nonce too long", api.PathCheck, `{"product":"p","nonce":"` + strings.Repeat("AAAA", 11) + `"}`, api.CodeBadRequest, 400},
		{"nonce not base64", api.PathCheck, `{"product":"p","nonce":"!"}`, api.CodeBadRequest, 400},
		{"nonce with a line end", api.PathCheck, `{"product":"p","nonce":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"}`, "", 200},
		{"unknown member", api.PathCheck, `{"product":"p","isuer":"acme","nonce":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}`, api.CodeBadRequest, 400},
		{"two objects", api.PathRenew, `{}{}`, api.CodeBadRequest, 400},
		{"array", api.PathRenew, `[]`, api.CodeBadRequest, 400},
		{"cut off", api.PathRenew, `{"product":`, api.CodeBadRequest, 400},
		{"wrong type", api.PathRenew, `{"product":1}`, api.CodeBadRequest, 400},
		{"deep", api.PathRenew, strings.Repeat(`{"a":`, 2000) + "1" + strings.Repeat("}", 2000), api.CodeBadRequest, 400},
		{"too large", api.PathCheck, big, api.CodeTooLarge, 413},
		{"answer of 256 KiB", api.PathImport, `{"answer":"` + answer + `"}`, "", 200},
		{"answer over the limit", api.PathImport, `{"answer":"` + answer + strings.Repeat("A", 8<<10) + `"}`, api.CodeTooLarge, 413},
		{"empty answer", api.PathImport, `{"answer":""}`, api.CodeBadRequest, 400},
		{"no code", api.PathActivate, `{"issuer":"acme"}`, api.CodeBadRequest, 400},
		{"unknown kind", api.PathRequest, `{"kind":"steal"}`, api.CodeBadRequest, 400},
	} {
		status, body := r.call("POST", c.path, c.body)
		if status != c.status {
			t.Errorf("%s: status %d, want %d: %.200s", c.name, status, c.status, body)
		} else if c.code != "" && errorCode(t, body) != c.code {
			t.Errorf("%s: %s", c.name, body)
		}
	}
}

func TestQueries(t *testing.T) {
	r := start(t, Config{})
	for path, want := range map[string]int{
		"/v1/why?product=p&issuer=i": 200, "/v1/why?prodct=p": 400, "/v1/why?product=a&product=b": 400,
		"/v1/license?issuer=i": 200, "/v1/events?since=0": 200, "/v1/events?since=-1": 400, "/v1/events?since=1e3": 400,
		"/v1/events?since=0&wait=0s": 200, "/v1/events?wait=-1s": 400, "/v1/events?wait=soon": 400, "/v1/events?after=1": 400,
		"/v1/preview?issuer=acme": 200, "/v1/preview?x=1": 400,
	} {
		r.fake.serial.Store(1)
		if status, body := r.call("GET", path, ""); status != want {
			t.Errorf("%s: %d, want %d: %s", path, status, want, body)
		}
	}
}

// The machine is read before the answer, and only for who asks for that.
func TestReread(t *testing.T) {
	for body, want := range map[string][]string{
		`"}`:                 {"check"},
		`","reread":false}`:  {"check"},
		`","reread":true}`:   {"reread", "check"},
		`","reread":"true"}`: nil,
	} {
		r := start(t, Config{})
		r.call("POST", api.PathCheck, `{"product":"p","nonce":"`+base64.StdEncoding.EncodeToString(make([]byte, 32))+body)
		if got := r.fake.names(); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", body, got, want)
		}
	}
}

func TestCheckAnswerIsJSON(t *testing.T) {
	r := start(t, Config{})
	_, body := r.call("POST", api.PathCheck, bodies()[api.PathCheck])
	var a api.CheckAnswer
	if err := json.Unmarshal([]byte(body), &a); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	license, err := base64.StdEncoding.DecodeString(a.License)
	if err != nil || string(license) != "L:painter" {
		t.Errorf("license %q %v", license, err)
	}
	if a.Proof != "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=" || a.Verdict.Phase != "active" {
		t.Errorf("got %+v", a)
	}
}

func TestLanguageOfTheAnswer(t *testing.T) {
	r := start(t, Config{})
	for header, want := range map[string]string{"": "valid", "Accept-Language: zh-CN\r\n": "有效", "Accept-Language: en\r\n": "valid"} {
		_, body := r.raw("GET /v1/status HTTP/1.1\r\nHost: license-agent\r\n" + header + "\r\n")
		if !strings.Contains(body, want) {
			t.Errorf("%q: %s", header, body)
		}
	}
	_, body := r.raw("GET /v1/nothing HTTP/1.1\r\nHost: license-agent\r\nAccept-Language: zh\r\n\r\n")
	if !strings.Contains(body, "代理程序") {
		t.Errorf("error in %s", body)
	}
}
