package admin

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"licenseagent.example/activation/merchant"
	"licenseagent.example/activation/protocol"
)

// Options are what a Server is made of. All but Log are required.
type Options struct {
	Service *merchant.Service
	Rand    io.Reader
	Clock   func() time.Time
	Log     *slog.Logger // nil: nothing is logged
	Program string       // name and version of the program
}

// Server answers the admin interface.
type Server struct {
	svc  *merchant.Service
	opts Options
	log  *slog.Logger
	mux  *http.ServeMux
}

// New returns a server. A route without an access class is an error: nobody may
// forget the decision.
func New(o Options) (*Server, error) {
	if o.Service == nil || o.Rand == nil || o.Clock == nil {
		return nil, errors.New("admin: Options needs Service, Rand and Clock")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{svc: o.Service, opts: o, log: o.Log, mux: http.NewServeMux()}
	return s, s.register(s.table())
}

func (s *Server) register(table []route) error {
	paths := map[string]map[string]func(*exchange) error{}
	for _, r := range table {
		if r.access.role() == "" || r.serve == nil {
			return fmt.Errorf("admin: nobody decided who may call %s %s", r.method, r.path)
		}
		if paths[r.path] == nil {
			paths[r.path] = map[string]func(*exchange) error{}
		}
		paths[r.path][r.method] = s.guarded(r)
	}
	for path, methods := range paths {
		allow := strings.Join(slices.Sorted(maps.Keys(methods)), ", ")
		s.mux.HandleFunc(path, s.wrap(func(x *exchange) error {
			serve, ok := methods[x.r.Method]
			if !ok {
				x.w.Header().Set("Allow", allow)
				return fault(CodeMethod, "")
			}
			return serve(x)
		}))
	}
	s.mux.HandleFunc("/", s.wrap(func(*exchange) error { return fault(CodeNoRoute, "") }))
	return nil
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// HTTP returns an HTTP server with the limits that keep slow and large clients
// from holding it: the caller adds TLS and listens.
func (s *Server) HTTP() *http.Server {
	return &http.Server{
		Handler: s, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: time.Minute, IdleTimeout: time.Minute,
		MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
}

// caller is who asks.
type caller struct {
	name string
	role merchant.Role
}

// localKey is where Local leaves the caller. The context of a request that came
// over a network is made by net/http and cannot hold it.
type localKey struct{}

// exchange is one request and its answer.
type exchange struct {
	w      http.ResponseWriter
	r      *http.Request
	caller caller
}

// guarded checks the caller before anything of the request is looked at.
func (s *Server) guarded(r route) func(*exchange) error {
	return func(x *exchange) error {
		who, err := s.identify(x.r)
		if err != nil {
			return err
		}
		x.caller = who
		if !who.role.Covers(r.access.role()) {
			return fault(CodeForbidden, fmt.Sprintf("%s has role %s, this needs %s", who.name, who.role, r.access.role()))
		}
		x.r = x.r.WithContext(merchant.By(x.r.Context(), who.name))
		return r.serve(x)
	}
}

// identify returns whose token the request carries.
func (s *Server) identify(r *http.Request) (caller, error) {
	if who, ok := r.Context().Value(localKey{}).(caller); ok {
		return who, nil
	}
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || token == "" {
		return caller{}, fault(CodeNoToken, "")
	}
	info, err := s.svc.Authenticate(r.Context(), token)
	if errors.Is(err, merchant.ErrToken) {
		return caller{}, fault(CodeNoToken, "")
	}
	return caller{info.Name, info.Role}, err
}

// wrap turns errors and panics into error replies and writes the log line. The
// path is logged as its pattern: what stands in a wrong place may be a secret.
func (s *Server) wrap(do func(*exchange) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		start, id := s.opts.Clock(), s.requestID()
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set(headerInterface, "admin/1")
		x := &exchange{w: w, r: r}
		err := func() (err error) {
			defer func() {
				if p := recover(); p != nil {
					s.log.Error("panic", "request", id, "panic", p, "stack", string(debug.Stack()))
					err = errors.New("panic")
				}
			}()
			return do(x)
		}()
		code := protocol.Code("")
		if err != nil {
			e, own := faultOf(err)
			if own {
				s.log.Error("request failed", "request", id, "error", err)
			}
			code = e.Code
			s.fail(x, e, id)
		}
		s.log.Info("admin", "request", id, "route", r.Pattern, "caller", x.caller.name, "code", string(code), "took", s.opts.Clock().Sub(start))
	}
}

func (s *Server) requestID() string {
	b := make([]byte, 8)
	if _, err := io.ReadFull(s.opts.Rand, b); err != nil {
		return "none"
	}
	return hex.EncodeToString(b)
}

func (s *Server) fail(x *exchange, e *Error, id string) {
	spec, lang := Lookup(e.Code), x.r.Header.Get("Accept-Language")
	if e.Code == CodeNoToken {
		x.w.Header().Set("WWW-Authenticate", "Bearer")
	}
	if spec.Retry {
		x.w.Header().Set("Retry-After", "30")
	}
	b, err := json.Marshal(protocol.Problem{Error: protocol.ProblemBody{
		Code: e.Code, Message: e.sentence(lang), Hint: spec.Hint.In(lang), RequestID: id,
	}})
	if err != nil {
		b = nil // strings always can be written
	}
	x.w.Header().Set("Content-Type", contentJSON)
	x.w.WriteHeader(spec.Status)
	_, _ = x.w.Write(append(b, '\n')) // the only error is a client that is gone
}

// reply sends a value as JSON.
func (x *exchange) reply(v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	return x.send(contentJSON, b.Bytes())
}

func (x *exchange) send(kind string, b []byte) error {
	x.w.Header().Set("Content-Type", kind)
	x.w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	_, _ = x.w.Write(b)
	return nil
}

// body reads the whole request body.
func (x *exchange) body() ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(x.r.Body, maxBody+1))
	if err != nil {
		return nil, fault(CodeBadRequest, "the body ended early")
	}
	if len(b) > maxBody {
		return nil, fault(CodeTooLarge, "")
	}
	return b, nil
}

// decode reads the body into v: one JSON object, no unknown member, nothing
// after it. A misspelled member must not become a default.
func (x *exchange) decode(v any) error {
	b, err := x.body()
	if err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return fault(CodeBadRequest, jsonFault(err))
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fault(CodeBadRequest, "something follows the JSON value")
	}
	return nil
}

// jsonFault says what is wrong with a body without repeating what is in it.
func jsonFault(err error) string {
	var typ *json.UnmarshalTypeError
	if errors.As(err, &typ) {
		return "member " + typ.Field + " has another type"
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return "unknown member " + name
	}
	return "no JSON object"
}

// query returns the parameters named; others, and repeated ones, are refused.
func (x *exchange) query(names ...string) (map[string]string, error) {
	got := map[string]string{}
	for name, values := range x.r.URL.Query() {
		if !slices.Contains(names, name) || len(values) != 1 {
			return nil, fault(CodeBadRequest, "parameter "+strconv.QuoteToASCII(name[:min(len(name), 32)]))
		}
		got[name] = values[0]
	}
	return got, nil
}

// number reads a parameter between 0 and most.
func number(q map[string]string, name string, preset, most int64) (int64, error) {
	text, ok := q[name]
	if !ok {
		return preset, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > most {
		return 0, fault(CodeBadValue, fmt.Sprintf("%s: want 0 to %d", name, most))
	}
	return n, nil
}

// Local returns a transport that reaches the server without a network, as the
// operator of the machine: whoever can open the database and the key directory
// needs no token for them.
func (s *Server) Local() http.RoundTripper { return localTransport{s} }

type localTransport struct{ s *Server }

// RoundTrip implements http.RoundTripper. Answers are streamed: an audit log is
// longer than memory should be.
func (t localTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	read, write := io.Pipe()
	w := &localWriter{header: http.Header{}, body: write, started: make(chan struct{})}
	in := r.Clone(context.WithValue(r.Context(), localKey{}, caller{"operator", merchant.RoleAdmin}))
	if in.Body == nil {
		in.Body = http.NoBody
	}
	go func() {
		t.s.ServeHTTP(w, in)
		w.WriteHeader(http.StatusOK)
		_ = write.Close() // never fails, see io.PipeWriter
	}()
	<-w.started
	return &http.Response{
		Status: http.StatusText(w.status), StatusCode: w.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.header, Body: read, ContentLength: -1, Request: r,
	}, nil
}

// localWriter is the http.ResponseWriter of localTransport.
type localWriter struct {
	header  http.Header
	status  int
	body    *io.PipeWriter
	started chan struct{}
}

// Header implements http.ResponseWriter.
func (w *localWriter) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter; only the first call counts.
func (w *localWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
		close(w.started)
	}
}

// Write implements http.ResponseWriter.
func (w *localWriter) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(b)
}
