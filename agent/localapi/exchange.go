package localapi

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strconv"

	"licenseagent.example/agent/api"
)

// exchange is one request and its answer.
type exchange struct {
	s      *Server
	w      http.ResponseWriter
	r      *http.Request
	caller Caller
	counts *counts // nil when no route was found
}

// lang is the language the caller reads.
func (x *exchange) lang() string {
	if v := x.r.Header["Accept-Language"]; len(v) > 0 {
		return api.Language(v[0])
	}
	return api.English
}

// body reads the whole request body, at most limit bytes. The length was
// announced, so that nothing over the limit is read at all.
func (x *exchange) body(limit int64) ([]byte, error) {
	if x.r.ContentLength > limit {
		x.w.Header()["Connection"] = []string{"close"}
		return nil, &api.Error{Code: api.CodeTooLarge}
	}
	b := make([]byte, x.r.ContentLength)
	if _, err := io.ReadFull(x.r.Body, b); err != nil {
		return nil, &api.Error{Code: api.CodeBadRequest}
	}
	return b, nil
}

// decode reads the body into v: one JSON object, no unknown member, nothing after it.
func (x *exchange) decode(v any, limit int64) error {
	b, err := x.body(limit)
	if err != nil {
		return err
	}
	return decodeJSON(b, v)
}

// decodeJSON is the only way a request body becomes a value. A misspelled
// member is an error and not a default, because the default of "issuer" is
// "whichever there is".
func decodeJSON(b []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return &api.Error{Code: api.CodeBadRequest}
	}
	if _, err := dec.Token(); err != io.EOF {
		return &api.Error{Code: api.CodeBadRequest}
	}
	return nil
}

// reply sends v as JSON.
func (x *exchange) reply(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return x.send(http.StatusOK, b)
}

// send writes a JSON answer with its length. The Date header is left out: no
// client may take time from it, and formatting it costs.
func (x *exchange) send(status int, b []byte) error {
	h := x.w.Header()
	h["Content-Type"] = jsonType()
	h["Content-Length"] = []string{strconv.Itoa(len(b))}
	h["Date"] = nil
	if x.counts != nil {
		x.counts.add(status)
	}
	if status != http.StatusOK {
		x.w.WriteHeader(status)
	}
	_, _ = x.w.Write(b) // a peer that went away needs no answer
	return nil
}

func jsonType() []string { return []string{"application/json"} }

// fail answers with the error of err, see translate. Codes, keys and serials
// never reach here: errors carry codes and plain sentences only.
func (x *exchange) fail(err error) {
	e := translate(err, x.lang())
	e.RequestID = x.s.requestID()
	level := slog.LevelDebug
	if status := api.Lookup(e.Code).HTTP; status >= 500 && status != http.StatusBadGateway && x.s.loud.may(e.Code, x.s.cfg.Now()) {
		level = slog.LevelError
	}
	x.s.log.Log(x.r.Context(), level, "request failed", "request", e.RequestID, "path", x.path(), "user", x.caller.User, "code", e.Code, "cause", e.Cause, "error", err)
	b, merr := json.Marshal(api.ErrorBody{Error: *e})
	if merr != nil { // strings only: cannot happen, but an answer is owed
		b = []byte(`{"error":{"code":"internal","message":"The agent failed unexpectedly."}}`)
	}
	status := api.Lookup(e.Code).HTTP
	if status == 0 {
		status = http.StatusInternalServerError
	}
	_ = x.send(status, b)
}

// path is the known path, or "" for an unknown one: the log never repeats text
// that any local user may choose.
func (x *exchange) path() string {
	if _, ok := x.s.routes[x.r.URL.Path]; ok {
		return x.r.URL.Path
	}
	return ""
}

// cannedReply is a whole HTTP answer for a connection that is turned away
// before a request was read.
func cannedReply(code string) []byte {
	info := api.Lookup(code)
	b, err := json.Marshal(api.ErrorBody{Error: *api.NewError(code, api.English)})
	if err != nil {
		return nil
	}
	return []byte("HTTP/1.1 " + strconv.Itoa(info.HTTP) + " " + http.StatusText(info.HTTP) +
		"\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: " + strconv.Itoa(len(b)) + "\r\n\r\n" + string(b))
}
