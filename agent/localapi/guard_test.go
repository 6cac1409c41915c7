package localapi

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"licenseagent.example/agent/api"
	"licenseagent.example/docs/promise"
)

// tricks are requests as browsers, rebound names, relays and proxies send
// them. Each one is complete HTTP/1.1 except for what makes it a trick.
func tricks() map[string]string {
	get := "GET /v1/status HTTP/1.1\r\nHost: license-agent\r\n"
	with := func(h string) string { return get + h + "\r\n\r\n" }
	host := func(h string) string { return "GET /v1/status HTTP/1.1\r\nHost: " + h + "\r\n\r\n" }
	return map[string]string{
		"host localhost":            host("localhost"),
		"host loopback":             host("127.0.0.1"),
		"host loopback v6":          host("[::1]"),
		"host rebound name":         host("attacker.example"),
		"host with port":            host("license-agent:80"),
		"host with dot":             host("license-agent."),
		"host upper case":           host("License-Agent"),
		"host with user":            host("x@license-agent"),
		"host prefix":               host("license-agent.attacker.example"),
		"host empty":                host(""),
		"host two values":           host("license-agent, attacker.example"),
		"host twice":                "GET /v1/status HTTP/1.1\r\nHost: license-agent\r\nHost: attacker.example\r\n\r\n",
		"no host":                   "GET /v1/status HTTP/1.1\r\n\r\n",
		"HTTP/1.0 without host":     "GET /v1/status HTTP/1.0\r\n\r\n",
		"absolute form, other":      "GET http://attacker.example/v1/status HTTP/1.1\r\nHost: license-agent\r\n\r\n",
		"absolute form, ours":       "GET http://license-agent/v1/status HTTP/1.1\r\nHost: license-agent\r\n\r\n",
		"authority form":            "CONNECT license-agent:443 HTTP/1.1\r\nHost: license-agent\r\n\r\n",
		"asterisk form":             "OPTIONS * HTTP/1.1\r\nHost: license-agent\r\n\r\n",
		"origin":                    with("Origin: https://attacker.example"),
		"origin ours":               with("Origin: http://license-agent"),
		"origin null":               with("Origin: null"),
		"origin empty":              with("Origin: "),
		"origin lower case":         with("origin: https://attacker.example"),
		"referer":                   with("Referer: https://attacker.example/page"),
		"referer ours":              with("Referer: http://license-agent/"),
		"fetch metadata":            with("Sec-Fetch-Site: same-origin"),
		"client hints":              with("Sec-CH-UA: \"Browser\""),
		"websocket":                 with("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="),
		"upgrade to h2c":            with("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__"),
		"cookie":                    with("Cookie: a=b"),
		"forwarded for":             with("X-Forwarded-For: 127.0.0.1"),
		"forwarded host":            with("X-Forwarded-Host: license-agent"),
		"forwarded":                 with("Forwarded: for=127.0.0.1"),
		"via":                       with("Via: 1.1 proxy"),
		"method override":           with("X-HTTP-Method-Override: POST"),
		"rewritten path":            with("X-Original-URL: /v1/diagnose"),
		"preflight":                 "OPTIONS /v1/status HTTP/1.1\r\nHost: license-agent\r\nOrigin: https://attacker.example\r\nAccess-Control-Request-Method: POST\r\n\r\n",
		"form from a web page":      "POST /v1/check HTTP/1.1\r\nHost: license-agent\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}",
		"space before the colon":    with("Origin : https://attacker.example"),
		"smuggled length and chunk": "POST /v1/check HTTP/1.1\r\nHost: license-agent\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"two lengths":               "POST /v1/check HTTP/1.1\r\nHost: license-agent\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}x",
	}
}

// passed sends every trick and counts what is refused, and what is answered
// with 200; other tells of everything that is not refused.
func passed(r *rig) (refused, served200 int, other []string) {
	for name, text := range tricks() {
		switch status, body := r.raw(text); {
		case status >= 400 && status < 500:
			refused++
		case status == http.StatusOK:
			served200++
			fallthrough
		default:
			other = append(other, fmt.Sprintf("%s: status %d, body %q", name, status, body))
		}
	}
	return refused, served200, other
}

// P31: no request that a browser, a rebound name or a proxy can produce gets
// past the door. The controls: the same request without the trick is served, so
// the refusals are not those of a server that refuses everything; and a server
// without its guard serves most of the tricks, byte for byte the same.
func TestP31HeaderTricks(t *testing.T) {
	r := start(t, Config{})
	refused, _, other := passed(r)
	for _, o := range other {
		t.Error(o)
	}
	if calls := r.fake.names(); len(calls) != 0 {
		t.Errorf("refused requests reached the licenses: %v", calls)
	}
	if status, body := r.raw("GET /v1/status HTTP/1.1\r\nHost: license-agent\r\nUser-Agent: curl/8.0\r\nAccept: */*\r\n\r\n"); status != 200 {
		t.Errorf("control: an honest request got %d %s", status, body)
	}
	if refused < 30 {
		t.Errorf("only %d variants", refused)
	}
	open := startWith(t, Config{}, func(s *Server) { s.guard = func(*http.Request) bool { return false } })
	_, served200, _ := passed(open)
	if served200 < len(tricks())/2 || len(open.fake.names()) == 0 {
		t.Errorf("control: without the guard only %d tricks are served, %v asked", served200, open.fake.names())
	}
	promise.Reached(t, "P31", fmt.Sprintf("%d of %d Origin/Referer/Host variants refused", refused, len(tricks())), fmt.Sprintf("the same bytes to a server without its guard: %d of them are answered 200", served200))
}

// Foreign is decided before anything else: before the path, the method, the
// identity and the body.
func TestForeignComesFirst(t *testing.T) {
	r := start(t, Config{})
	for _, text := range []string{
		"GET /v1/nothing HTTP/1.1\r\nHost: x\r\n\r\n",
		"DELETE /v1/status HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /v1/activate HTTP/1.1\r\nHost: license-agent\r\nOrigin: null\r\nContent-Length: 99999999\r\n\r\n",
	} {
		status, body := r.raw(text)
		if status != http.StatusForbidden || errorCode(t, body) != api.CodeForeignRequest {
			t.Errorf("%q: %d %s", text, status, body)
		}
	}
	request := httptest.NewRequest(http.MethodGet, "http://attacker.example/v1/status", nil)
	answer := httptest.NewRecorder()
	r.server.ServeHTTP(answer, request) // no connection, hence no identity
	if code := errorCode(t, answer.Body.String()); code != api.CodeForeignRequest {
		t.Errorf("got %s", code)
	}
}

func TestNoIdentityIsRefused(t *testing.T) {
	r := start(t, Config{})
	request := httptest.NewRequest(http.MethodGet, "/v1/status", nil)
	request.Host = api.Host
	answer := httptest.NewRecorder()
	r.server.ServeHTTP(answer, request)
	if code := errorCode(t, answer.Body.String()); code != api.CodeNoIdentity || answer.Code != http.StatusForbidden {
		t.Errorf("got %d %s", answer.Code, code)
	}
	if len(r.fake.names()) != 0 {
		t.Error("a request without identity was served")
	}
}

func TestTracesAreMatchedInCanonicalSpelling(t *testing.T) {
	for _, name := range []string{"origin", "ORIGIN", "sec-fetch-mode", "x-forwarded-proto", "x-real-ip", "dnt"} {
		if !traceOfOthers(http.CanonicalHeaderKey(name)) {
			t.Errorf("%s passes", name)
		}
	}
	for _, name := range []string{"accept", "user-agent", "content-type", "connection", "accept-language", "x-request-id"} {
		if traceOfOthers(http.CanonicalHeaderKey(name)) {
			t.Errorf("%s is refused, though our own clients or curl send it", name)
		}
	}
}

func TestHeadersOverTheLimit(t *testing.T) {
	r := start(t, Config{})
	status, _ := r.raw("GET /v1/status HTTP/1.1\r\nHost: license-agent\r\nX-Big: " + strings.Repeat("a", 9<<10) + "\r\n\r\n")
	if status != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("9 KiB of headers: %d", status)
	}
	if status, _ := r.raw("GET /v1/status HTTP/1.1\r\nHost: license-agent\r\nX-Big: " + strings.Repeat("a", 7<<10) + "\r\n\r\n"); status != 200 {
		t.Errorf("7 KiB of headers: %d", status)
	}
}
