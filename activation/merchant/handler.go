package merchant

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"licenseagent.example/activation/license"
	"licenseagent.example/activation/protocol"
)

// Limits of the server, for Server.
const (
	headerTimeout  = 5 * time.Second
	requestTimeout = 15 * time.Second
	idleTimeout    = 60 * time.Second
)

// handler is the HTTP face of a service.
type handler struct {
	svc *Service
}

// Handler returns the HTTP interface of openapi.yaml.
func (s *Service) Handler() http.Handler {
	h := &handler{svc: s}
	mux := http.NewServeMux()
	for _, kind := range []string{license.RequestActivate, license.RequestRenew, license.RequestRelease, license.RequestRebind} {
		mux.HandleFunc(protocol.Path(kind), h.only(http.MethodPost, func(w http.ResponseWriter, r *http.Request) error {
			return h.request(w, r, kind)
		}))
	}
	mux.HandleFunc(protocol.PathNotices("{id}"), h.only(http.MethodGet, h.notices))
	if s.market.sells() || s.market.CallbackKey != "" {
		mux.HandleFunc(CallbackPath, s.serveCallback)
	}
	mux.HandleFunc(protocol.PathKeySet, h.only(http.MethodGet, h.keySet))
	mux.HandleFunc(protocol.PathHealth, h.only(http.MethodGet, h.health))
	mux.HandleFunc(protocol.PathReady, h.only(http.MethodGet, h.ready))
	mux.HandleFunc("/", h.wrap(func(http.ResponseWriter, *http.Request) error { return refuse(protocol.CodeNotFound) }))
	return mux
}

// Server returns an HTTP server for the handler with the limits that keep slow
// and large clients from holding it: the caller adds TLS and listens.
func (s *Service) Server() *http.Server {
	server := &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       requestTimeout,
		WriteTimeout:      2 * requestTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    protocol.MaxHeader,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	server.RegisterOnShutdown(s.hub.end)
	return server
}

// drainLimit is how much of a body that is too large is read and thrown away so
// that its sender gets to read the answer.
const drainLimit = 256 << 10

type action func(w http.ResponseWriter, r *http.Request) error

func (h *handler) only(method string, do action) http.HandlerFunc {
	return h.wrap(func(w http.ResponseWriter, r *http.Request) error {
		if r.Method != method {
			w.Header().Set("Allow", method)
			return refuse(protocol.CodeMethod)
		}
		return do(w, r)
	})
}

// wrap turns errors and panics into error replies and writes the log line.
func (h *handler) wrap(do action) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		start := h.svc.clock()
		id := h.requestID()
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		err := func() (err error) {
			defer func() {
				if p := recover(); p != nil {
					h.svc.log.Error("panic", "request", id, "panic", p, "stack", string(debug.Stack()))
					err = errors.New("panic")
				}
			}()
			return do(w, r)
		}()
		took := h.svc.clock().Sub(start)
		h.svc.metrics.seconds.Observe(took.Seconds())
		code := ""
		if err != nil {
			code = h.fail(w, r, id, err)
		}
		h.svc.log.Info("request", "request", id, "path", known(r.URL.Path), "from", address(r.RemoteAddr), "code", code, "took", took)
	}
}

// known is the path if it is one of ours: anything else, and any query, may
// hold what somebody pasted into the wrong place.
func known(path string) string {
	switch path {
	case protocol.PathKeySet, protocol.PathHealth, protocol.PathReady:
		return path
	}
	if protocol.Kind(path) != "" {
		return path
	}
	if strings.HasSuffix(path, "/notices") {
		return protocol.PathNotices("{id}")
	}
	return "other"
}

func (h *handler) requestID() string {
	b := make([]byte, 8)
	if _, err := io.ReadFull(h.svc.opts.Rand, b); err != nil {
		return "none"
	}
	return hex.EncodeToString(b)
}

// fail writes the error reply and returns its code. What the service itself
// did wrong is in the log, never in the reply.
func (h *handler) fail(w http.ResponseWriter, r *http.Request, id string, err error) string {
	refusal := &Refusal{Code: protocol.CodeInternal}
	switch {
	case errors.As(err, &refusal):
	case errors.Is(err, ErrUnavailable):
		refusal = &Refusal{Code: protocol.CodeUnavailable, After: 30}
	default:
		h.svc.log.Error("request failed", "request", id, "error", err)
	}
	spec := protocol.Lookup(refusal.Code)
	if spec.Retry && refusal.After == 0 && spec.Status >= 500 {
		refusal.After = 60
	}
	if refusal.After > 0 {
		w.Header().Set("Retry-After", strconv.FormatInt(refusal.After, 10))
	}
	lang := r.Header.Get("Accept-Language")
	body, err := json.Marshal(protocol.Problem{Error: protocol.ProblemBody{
		Code: refusal.Code, Message: spec.Message.In(lang), Hint: spec.Hint.In(lang), RequestID: id,
	}})
	if err != nil {
		body = nil
	}
	w.Header().Set("Content-Type", protocol.ContentError)
	w.WriteHeader(spec.Status)
	h.write(w, append(body, '\n'))
	return string(refusal.Code)
}

// write sends a body; the only possible error is a client that is gone.
func (h *handler) write(w io.Writer, body []byte) {
	if _, err := w.Write(body); err != nil {
		h.svc.log.Debug("client gone", "error", err)
	}
}

// request answers one of the four kinds.
func (h *handler) request(w http.ResponseWriter, r *http.Request, kind string) error {
	kindOf, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kindOf != protocol.ContentEnvelope {
		return refuse(protocol.CodeMediaType)
	}
	idem := r.Header.Get(protocol.HeaderIdempotency)
	if len(idem) > protocol.MaxIdempotencyKey {
		return refuse(protocol.CodeBadRequest)
	}
	// Not http.MaxBytesReader: it hangs up at once, and the reset can reach the
	// client before the answer that says why (RFC 9112, section 9.6).
	body, err := io.ReadAll(io.LimitReader(r.Body, protocol.MaxRequest+1))
	if err != nil {
		return refuse(protocol.CodeTimeout)
	}
	if len(body) > protocol.MaxRequest {
		_, _ = io.CopyN(io.Discard, r.Body, drainLimit)
		return refuse(protocol.CodeTooLarge)
	}
	from, guessing := address(r.RemoteAddr), kind == license.RequestActivate || kind == license.RequestRebind
	if guessing {
		wait, err := h.svc.guessWait(r.Context(), from)
		if err != nil {
			return err
		}
		if wait > 0 {
			h.svc.metrics.throttled.Inc()
			return &Refusal{Code: protocol.CodeRateLimited, After: wait}
		}
	}
	answer, err := h.svc.Process(r.Context(), body, kind, idem)
	var refusal *Refusal
	if guessing && errors.As(err, &refusal) && refusal.Code == protocol.CodeUnknownCode {
		if e := h.svc.guessedWrong(r.Context(), from); e != nil {
			return e
		}
	}
	if err != nil {
		return err
	}
	text, err := protocol.EncodeAnswer(answer)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", protocol.ContentAnswer)
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	h.write(w, text)
	return nil
}

// keySet serves the newest key set.
func (h *handler) keySet(w http.ResponseWriter, r *http.Request) error {
	var text string
	err := h.svc.db.read.QueryRowContext(r.Context(), `SELECT envelope FROM keysets ORDER BY version DESC LIMIT 1`).Scan(&text)
	if err != nil {
		h.svc.log.Error("key set", "error", h.svc.databaseFailed(err))
		return refuse(protocol.CodeUnavailable)
	}
	w.Header().Set("Content-Type", protocol.ContentEnvelope)
	w.Header().Set("Cache-Control", "max-age=60")
	h.write(w, []byte(text+"\n"))
	return nil
}

// health says that the process serves.
func (h *handler) health(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", protocol.ContentError)
	h.write(w, []byte(`{"status":"ok"}`+"\n"))
	return nil
}

// ready says that requests would be answered: the database takes writes and a
// key is in use. No row has the name that is written to: nothing has to reach the
// disk for it, but a server that only reads, such as a standby, refuses it.
func (h *handler) ready(w http.ResponseWriter, r *http.Request) error {
	err := h.svc.change(r.Context(), func(t *tx) error {
		if _, err := t.exec(`UPDATE settings SET value = value WHERE name = ''`); err != nil {
			return err
		}
		_, err := t.keys.signer(license.UseLicense, t.now)
		return err
	})
	if err != nil {
		h.svc.log.Error("not ready", "error", err)
		return refuse(protocol.CodeUnavailable)
	}
	return h.health(w, r)
}
