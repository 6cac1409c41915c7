package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"licenseagent.example/activation/protocol"
)

// Whatever answers at the address, the client says what it is, follows nowhere
// and gives the token to nobody else.
func TestClientMeetsStrangers(t *testing.T) {
	var leaked atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			leaked.Add(1)
		}
	}))
	defer other.Close()
	ours := func(w http.ResponseWriter) { w.Header().Set(headerInterface, "admin/1") }
	for name, c := range map[string]struct {
		serve http.HandlerFunc
		code  protocol.Code // "" for unreachable
	}{
		"a web page":           {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }, ""},
		"a page not found":     {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "404", 404) }, ""},
		"a redirect":           {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, http.StatusFound) }, ""},
		"ours, with a page":    {func(w http.ResponseWriter, _ *http.Request) { ours(w); _, _ = io.WriteString(w, "<html>") }, ""},
		"ours, error in words": {func(w http.ResponseWriter, _ *http.Request) { ours(w); http.Error(w, "no", 500) }, ""},
		"ours, cut off": {func(w http.ResponseWriter, _ *http.Request) {
			ours(w)
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, "{")
		}, ""},
		"a code from a newer version": {func(w http.ResponseWriter, _ *http.Request) {
			ours(w)
			w.WriteHeader(http.StatusTeapot)
			_, _ = io.WriteString(w, `{"error":{"code":"tea","message":"There is tea.","hint":"Drink.","request_id":"1"},"new":1}`)
		}, "tea"},
	} {
		srv := httptest.NewServer(c.serve)
		client := &Client{Base: srv.URL, Token: "lmt_secret", Transport: http.DefaultTransport}
		err := client.Call(context.Background(), http.MethodGet, PathCodes, "", nil, nil, new(Codes))
		var e *Error
		switch {
		case c.code == "" && !errors.Is(err, ErrUnreachable):
			t.Errorf("%s: %v", name, err)
		case c.code != "" && (!errors.As(err, &e) || e.Code != c.code || e.Error() != "There is tea." || e.Hint != "Drink."):
			t.Errorf("%s: %v", name, err)
		case err != nil && strings.Contains(err.Error(), "lmt_secret"):
			t.Errorf("%s: the error holds the token", name)
		}
		srv.Close()
	}
	if leaked.Load() != 0 {
		t.Error("the token went to another server")
	}
	gone := &Client{Base: "http://127.0.0.1:1", Transport: http.DefaultTransport}
	if err := gone.Call(context.Background(), http.MethodGet, PathCodes, "", nil, nil, new(Codes)); !errors.Is(err, ErrUnreachable) {
		t.Errorf("nobody there: %v", err)
	}
}

// What stands for an id never becomes another path, and languages and tokens
// travel as they should.
func TestClientRequests(t *testing.T) {
	var got *http.Request
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		w.Header().Set(headerInterface, "admin/1")
		_, _ = io.WriteString(w, "{}")
	}))
	defer srv.Close()
	c := &Client{Base: srv.URL, Token: "tok", Lang: "zh-CN", Transport: http.DefaultTransport}
	for _, id := range []string{"c-1", "../tokens", "a/b", "a?x=1", "a#b", "a b", "%2e%2e", "单"} {
		if err := c.Call(context.Background(), http.MethodPost, PathFreeze, id, nil, Reason{"r"}, new(Code)); err != nil {
			t.Fatal(err)
		}
		parts := strings.Split(got.URL.EscapedPath(), "/")
		if len(parts) != 6 || parts[5] != "freeze" || got.URL.RawQuery != "" {
			t.Errorf("%q became %s", id, got.URL)
		}
	}
	if got.Header.Get("Authorization") != "Bearer tok" || got.Header.Get("Accept-Language") != "zh-CN" || got.Header.Get("Content-Type") != contentJSON {
		t.Errorf("headers %v", got.Header)
	}
}

// Panics in a handler become an error reply, and the server goes on.
func TestPanicIsAnError(t *testing.T) {
	d := newDesk(t)
	s := &Server{svc: d.svc, opts: d.server.opts, log: d.server.log, mux: http.NewServeMux()}
	check(t, s.register([]route{{http.MethodGet, "/boom", viewer, func(*exchange) error { panic("boom") }}}))
	for range 2 {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, "/boom", nil)
		r.Header.Set("Authorization", "Bearer "+d.tokens["viewer"])
		s.ServeHTTP(w, r)
		if w.Code != 500 || codeIn(t, w.Body.String()) != CodeInternal || strings.Contains(w.Body.String(), "boom") {
			t.Errorf("%d %s", w.Code, w.Body.String())
		}
	}
	if !strings.Contains(d.log.String(), "boom") {
		t.Error("the log does not tell")
	}
}

// A refusal of the protocol keeps its code, and its sentence in both languages.
func TestRefusalsKeepTheirCodes(t *testing.T) {
	d := newDesk(t)
	made := d.codes(1, func(n *NewCodes) { n.Devices = 1 })
	_, renewal := d.device(made[0].Code, 1)
	req := strings.Replace(string(renewal), `"payload":"`, `"payload":"AAAA`, 1)
	status, text := d.call(d.tokens["support"], "POST", PathRequestAnswer, req)
	code := codeIn(t, text)
	if spec := protocol.Lookup(code); status != spec.Status || code != protocol.CodeBadSignature && code != protocol.CodeBadRequest {
		t.Errorf("an altered file: %d %s", status, text)
	}
	_, text = d.call(d.tokens["support"], "POST", PathRequestAnswer, req, "Accept-Language", "zh-CN")
	var p protocol.Problem
	check(t, json.Unmarshal([]byte(text), &p))
	if p.Error.Message != protocol.Lookup(code).Message.ZH {
		t.Errorf("in Chinese: %s", text)
	}
}
