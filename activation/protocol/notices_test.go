package protocol_test

import (
	"encoding/base64"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"licenseagent.example/activation"
	"licenseagent.example/activation/protocol"
)

// The client asks as the document says and tells the answers apart.
func TestClientNotices(t *testing.T) {
	var status int
	var kind, body, asked, header string
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked, header = r.Method+" "+r.URL.Path, r.Header.Get("Authorization")
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	defer srv.Close()
	c, err := protocol.NewClient(protocol.Config{
		Base: srv.URL, Proxy: "direct", Now: time.Now, Rand: func() float64 { return 0 },
		Roots: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})),
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name       string
		status     int
		kind, body string
		news       bool
		want       error
	}{
		{"news", 200, protocol.ContentError, `{"news":true,"more":1}`, true, nil},
		{"none", 200, protocol.ContentError, `{"news":false}`, false, nil},
		{"a login page", 200, "text/html", `<html>`, false, activation.ErrAnswer},
		{"half an answer", 200, protocol.ContentError, `{"news":`, false, activation.ErrAnswer},
		{"a redirect", 302, protocol.ContentError, ``, false, activation.ErrAnswer},
		{"later", 503, protocol.ContentError, `{"error":{"code":"unavailable"}}`, false, activation.ErrUnreachable},
	} {
		status, kind, body = tt.status, tt.kind, tt.body
		news, err := c.Notices(t.Context(), "lic-1", []byte("poll"))
		if news != tt.news || !errors.Is(err, tt.want) {
			t.Errorf("%s: %v %v, want %v %v", tt.name, news, err, tt.news, tt.want)
		}
		if asked != "GET /v1/activations/lic-1/notices" || header != "License-Poll "+base64.StdEncoding.EncodeToString([]byte("poll")) {
			t.Fatalf("asked %q with %q", asked, header)
		}
	}
	status, kind, body = 404, protocol.ContentError, `{"error":{"code":"not-found","message":"No.","hint":"Stop."}}`
	_, err = c.Notices(t.Context(), "lic-1", []byte("poll"))
	var refused *activation.RefusedError
	if !errors.As(err, &refused) || refused.Code != "not-found" || refused.RetryAfter != 7*time.Second || errors.Is(err, activation.ErrUnreachable) {
		t.Errorf("switched off: %+v", err)
	}
	srv.Close()
	if _, err := c.Notices(t.Context(), "lic-1", []byte("poll")); !errors.Is(err, activation.ErrUnreachable) {
		t.Errorf("nobody there: %v", err)
	}
}
