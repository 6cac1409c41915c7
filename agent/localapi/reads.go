package localapi

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"licenseagent.example/agent/api"
)

// statusCache is the rendered status of one language. It is made again when
// something changed or when it is a second old: the effective time and the
// days left move by themselves.
type statusCache struct{ now atomic.Pointer[rendered] }

// rendered is one immutable answer.
type rendered struct {
	serial uint64
	at     time.Time
	body   []byte
	length []string // the Content-Length header
}

// statusAge is how old a rendered status may be: times in it are whole seconds.
const statusAge = time.Second

func (s *Server) version(x *exchange) error { return x.reply(s.cfg.Licenses.Version()) }

// status is the route that programs poll: it writes bytes that are ready.
func (s *Server) status(x *exchange) error {
	lang := x.lang()
	cache := &s.statuses[0]
	if lang == api.Chinese {
		cache = &s.statuses[1]
	}
	now, serial := s.cfg.Now(), s.cfg.Licenses.Serial()
	r := cache.now.Load()
	if age := time.Duration(0); r != nil {
		age = now.Sub(r.at)
		if r.serial != serial || age < 0 || age >= statusAge {
			r = nil
		}
	}
	if r == nil {
		b, err := json.Marshal(s.cfg.Licenses.Status(lang))
		if err != nil {
			return err
		}
		r = &rendered{serial: serial, at: now, body: b, length: []string{strconv.Itoa(len(b))}}
		cache.now.Store(r)
	}
	h := x.w.Header()
	h["Content-Type"] = jsonType()
	h["Content-Length"] = r.length
	h["Date"] = nil
	x.counts.add(http.StatusOK)
	_, _ = x.w.Write(r.body) // a peer that went away needs no answer
	return nil
}

// key reads issuer and product from the query. Anything else in it is an
// error: a misspelled name would silently mean "whichever there is".
func (x *exchange) key() (api.KeyRequest, error) {
	var key api.KeyRequest
	for name, values := range x.r.URL.Query() {
		switch {
		case len(values) != 1:
			return key, &api.Error{Code: api.CodeBadRequest}
		case name == "issuer":
			key.Issuer = values[0]
		case name == "product":
			key.Product = values[0]
		default:
			return key, &api.Error{Code: api.CodeBadRequest}
		}
	}
	return key, nil
}

func (s *Server) files(x *exchange) error {
	key, err := x.key()
	if err != nil {
		return err
	}
	f, err := s.cfg.Licenses.Files(key)
	if err != nil {
		return err
	}
	return x.reply(f)
}

func (s *Server) why(x *exchange) error {
	key, err := x.key()
	if err != nil {
		return err
	}
	e, err := s.cfg.Licenses.Why(key, x.lang())
	if err != nil {
		return err
	}
	return x.reply(e)
}

func (s *Server) simulate(x *exchange) error {
	var q api.SimulateRequest
	if err := x.decode(&q, s.limits.Body); err != nil {
		return err
	}
	e, err := s.cfg.Licenses.Simulate(q, x.lang())
	if err != nil {
		return err
	}
	return x.reply(e)
}

// events waits for the next change. Waiting takes no turn at the gate; the cap
// on connections bounds how many wait.
func (s *Server) events(x *exchange) error {
	since, wait, err := pollArguments(x.r, s.limits.Wait)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(x.r.Context(), wait)
	defer cancel()
	return x.reply(s.cfg.Licenses.Events(ctx, since))
}

// pollArguments reads since and wait. Both may be left out: everything that is
// remembered, at once.
func pollArguments(r *http.Request, longest time.Duration) (since uint64, wait time.Duration, err error) {
	bad := &api.Error{Code: api.CodeBadRequest}
	for name, values := range r.URL.Query() {
		switch {
		case len(values) != 1:
			return 0, 0, bad
		case name == "since":
			if since, err = strconv.ParseUint(values[0], 10, 64); err != nil {
				return 0, 0, bad
			}
		case name == "wait":
			if wait, err = time.ParseDuration(values[0]); err != nil || wait < 0 {
				return 0, 0, bad
			}
		default:
			return 0, 0, bad
		}
	}
	return since, min(wait, longest), nil
}

// check signs a proof over the caller's nonce. The three envelopes travel as
// base64, and the answer is put together by hand: base64 text needs no
// escaping, and running it through a JSON encoder would cost as much as the
// signature's hashing.
func (s *Server) check(x *exchange) error {
	body, err := x.body(s.limits.Body)
	if err != nil {
		return err
	}
	q, ok := plainCheck(body)
	if !ok {
		if err := decodeJSON(body, &q); err != nil {
			return err
		}
	}
	nonce, err := base64.StdEncoding.Strict().DecodeString(q.Nonce)
	if err != nil || len(nonce) != nonceBytes || q.Product == "" {
		return &api.Error{Code: api.CodeBadRequest}
	}
	if q.Reread {
		s.cfg.Licenses.Reread()
	}
	a, err := s.cfg.Licenses.Check(q.Product, q.Issuer, nonce, x.lang())
	if err != nil {
		return err
	}
	kept := s.envelopes(a)
	buf := s.buffers.Get().(*[]byte)
	b := append((*buf)[:0], kept...)
	b = base64.StdEncoding.AppendEncode(b, a.Proof)
	b = append(b, `","verdict":`...)
	b = append(b, a.Verdict...)
	b = append(b, '}')
	err = x.send(http.StatusOK, b)
	*buf = b
	s.buffers.Put(buf)
	return err
}

// leading is the part of a check's answer that stays the same until the license
// or the key set changes. Encoding both anew would cost a fifth of a signature.
type leading struct {
	license, keyset []byte // the slices it was made of; they are never changed in place
	text            []byte
}

func (s *Server) envelopes(a Checked) []byte {
	if l := s.leading.Load(); l != nil && same(l.license, a.License) && same(l.keyset, a.KeySet) {
		return l.text
	}
	b := make([]byte, 0, base64.StdEncoding.EncodedLen(len(a.License)+len(a.KeySet))+64)
	b = append(b, `{"license":"`...)
	b = base64.StdEncoding.AppendEncode(b, a.License)
	b = append(b, `","keyset":"`...)
	b = base64.StdEncoding.AppendEncode(b, a.KeySet)
	b = append(b, `","proof":"`...)
	s.leading.Store(&leading{license: a.License, keyset: a.KeySet, text: b})
	return b
}

// same says whether two slices are the same memory.
func same(a, b []byte) bool {
	return len(a) == len(b) && len(a) > 0 && &a[0] == &b[0]
}

// nonceBytes is the size of a nonce. It is fixed: the device key signs exactly
// one structure, and a caller must not be able to choose more of it than that.
const nonceBytes = 32
