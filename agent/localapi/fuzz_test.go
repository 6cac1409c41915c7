package localapi

import (
	"bufio"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"licenseagent.example/agent/api"
)

// whole builds the server that the fuzz targets ask, without a socket.
func whole(tb testing.TB) *Server {
	s, err := New(Config{Licenses: newFake(), Identify: root, Now: time.Now})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// served runs one parsed request with a caller's identity and returns the answer.
func served(s *Server, r *http.Request, c Caller) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	mine, theirs := net.Pipe()
	theirs.Close() // a seat that is taken ends at once
	a := &accepted{Conn: mine, caller: c, owner: &limiter{}}
	r = r.WithContext(withConn(r.Context(), a))
	s.ServeHTTP(taken{w, a}, r)
	return w
}

// taken lets a recorded request take its connection over.
type taken struct {
	*httptest.ResponseRecorder
	conn net.Conn
}

func (t taken) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return t.conn, bufio.NewReadWriter(bufio.NewReader(t.conn), bufio.NewWriter(t.conn)), nil
}

// Whatever bytes arrive, an answer is JSON with a known code or a 200, and a
// user without rights never reaches an administrator's action.
func FuzzRequest(f *testing.F) {
	for _, text := range tricks() {
		f.Add(text)
	}
	for path, body := range bodies() {
		f.Add("POST " + path + " HTTP/1.1\r\nHost: license-agent\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n" + body)
	}
	f.Add("GET /v1/why?product=p&issuer=i HTTP/1.1\r\nHost: license-agent\r\n\r\n")
	f.Add("GET /v1/license?product=%zz HTTP/1.1\r\nHost: license-agent\r\n\r\n")
	s := whole(f)
	l := s.cfg.Licenses.(*fake)
	f.Fuzz(func(t *testing.T, text string) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
		if err != nil || r.URL.Path == api.PathEvents {
			return
		}
		l.mu.Lock()
		l.calls = nil
		l.mu.Unlock()
		w := served(s, r, Caller{User: "uid:1000"})
		for _, name := range l.names() {
			switch name {
			case "activate", "renew", "release", "rebind", "request", "import", "diagnose", "preview":
				t.Fatalf("a user reached %s with %q", name, text)
			}
		}
		if w.Code == http.StatusOK {
			if r.Host != api.Host {
				t.Fatalf("host %q was served", r.Host)
			}
			return
		}
		var e api.ErrorBody
		if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil {
			t.Fatalf("answer %d %q to %q", w.Code, w.Body.String(), text)
		}
		if api.Lookup(e.Error.Code).HTTP != w.Code {
			t.Fatalf("code %s came with status %d", e.Error.Code, w.Code)
		}
	})
}

// A check either is refused or has exactly the members it should have; and
// what is accepted means the same when it is read again.
func FuzzCheckBody(f *testing.F) {
	f.Add([]byte(bodies()[api.PathCheck]))
	f.Add([]byte(`{"product":"p","product":"q","nonce":""}`))
	f.Add([]byte(`{"PRODUCT":"p"}`))
	f.Add([]byte(`{"product":"\ud800"}`))
	f.Add([]byte(`null`))
	f.Add([]byte(`{"nonce":"AA==","product":"p","issuer":"i"}`))
	f.Add([]byte(`{"product":"p" , "nonce":"x"}`))
	f.Add([]byte(`{"product":"a\u0062"}`))
	f.Add([]byte(`{"product":"p","nonce":"x","reread":true}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var q api.CheckRequest
		err := decodeJSON(b, &q)
		if plain, ok := plainCheck(b); ok && (err != nil || plain != q) {
			t.Fatalf("%q is %+v in short and %+v, %v in full", b, plain, q, err)
		}
		if err != nil {
			return
		}
		again, err := json.Marshal(q)
		if err != nil {
			t.Fatal(err)
		}
		var back api.CheckRequest
		if err := decodeJSON(again, &back); err != nil || back != q {
			t.Fatalf("%q became %+v and then %+v, %v", b, q, back, err)
		}
	})
}

// Poll arguments: never longer than the limit, never negative.
func FuzzPollArguments(f *testing.F) {
	f.Add("since=1&wait=30s")
	f.Add("since=18446744073709551615&wait=1h")
	f.Add("wait=-1ns")
	f.Add("since=1&since=2")
	f.Add("wait=9223372036854775807ns")
	f.Fuzz(func(t *testing.T, query string) {
		r := &http.Request{URL: &url.URL{RawQuery: query}}
		_, wait, err := pollArguments(r, time.Minute)
		if err == nil && (wait < 0 || wait > time.Minute) {
			t.Fatalf("%q waits %v", query, wait)
		}
	})
}
