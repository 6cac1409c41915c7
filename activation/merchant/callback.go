package merchant

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"licenseagent.example/activation/koogallery"
	"licenseagent.example/activation/protocol"
)

// Result codes of an answer to a callback (KooGallery, "call results").
const (
	resultOK         = "000000"
	resultAuth       = "000001"
	resultParameter  = "000002"
	resultUnknown    = "000003"
	resultInProgress = "000004"
	resultInternal   = "000005"
	resultQuota      = "000900"
	resultDates      = "000901"
	resultNoExpiry   = "000902"
	resultNoDevice   = "000903"
)

// maxCallback bounds the body of a callback: the documented members take less
// than 4 KiB.
const maxCallback = 64 << 10

// CallbackAnswer is what the marketplace is told.
type CallbackAnswer struct {
	Code     string `json:"resultCode"`
	Message  string `json:"resultMsg,omitempty"`
	Instance string `json:"instanceId,omitempty"`
}

func resulted(code, format string, args ...any) CallbackAnswer {
	return CallbackAnswer{Code: code, Message: fmt.Sprintf(format, args...)}
}

// serveCallback answers a call of the marketplace: always HTTP 200 and JSON,
// as every documented example does; the result code says how it went.
func (s *Service) serveCallback(w http.ResponseWriter, r *http.Request) {
	start := s.clock()
	var body []byte
	a, activity := resulted(resultParameter, "POST is needed"), "none"
	if r.Method == http.MethodPost {
		var err error
		body, err = io.ReadAll(io.LimitReader(r.Body, maxCallback+1))
		switch {
		case err != nil:
			a = resulted(resultParameter, "the body could not be read")
		case len(body) > maxCallback:
			a = resulted(resultParameter, "the body is larger than %d bytes", maxCallback)
		default:
			a, activity = s.Callback(r.Context(), r.URL.Query(), body)
		}
	}
	took := s.clock().Sub(start)
	s.metrics.market.callbacks.WithLabelValues(activity, a.Code).Inc()
	s.metrics.market.callbackSeconds.Observe(took.Seconds())
	s.log.Info("callback", "activity", activity, "from", address(r.RemoteAddr), "result", a.Code, "took", took)
	text, err := json.Marshal(a)
	if err != nil {
		text = []byte(`{"resultCode":"` + resultInternal + `"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if s.market.BodySign {
		w.Header().Set("Body-Sign", koogallery.BodySign(s.market.CallbackKey, text))
	}
	if _, err := w.Write(text); err != nil {
		s.log.Debug("marketplace gone", "error", err)
	}
}

// Callback verifies a call of the marketplace and carries it out. The whole
// effect, the nonce included, is one transaction: what was answered is done,
// what failed can be sent again. It returns the answer and the activity, which
// is one of ours or "other".
func (s *Service) Callback(ctx context.Context, query url.Values, body []byte) (CallbackAnswer, string) {
	if s.market.CallbackKey == "" || s.issuer == "" {
		return resulted(resultAuth, "this service takes no calls"), "none"
	}
	call, err := koogallery.VerifyCallback(s.market.CallbackKey, query, body, s.clock())
	switch {
	case errors.Is(err, koogallery.ErrStale):
		s.reportFor(problemCallbackAge, "", s.clock().Sub(call.Time).Round(time.Second).String()+" off")
		return resulted(resultParameter, "timestamp more than 60 seconds off"), "none"
	case errors.Is(err, koogallery.ErrParameter):
		return resulted(resultParameter, "signature, timestamp or nonce missing or malformed"), "none"
	case err != nil:
		s.reportFor(problemCallbackKey, "", "the signature does not match")
		return resulted(resultAuth, "signature does not match"), "none"
	}
	// The pages contradict each other and the sample about both: the log says
	// once which it is.
	if _, said := s.met.LoadOrStore(call.Form+" "+call.Unit, true); !said {
		s.log.Warn("callbacks are signed in this form", "body", call.Form, "timestamp", call.Unit)
	}
	f, err := readFields(body)
	if err != nil {
		return resulted(resultParameter, "the body is not a JSON object"), "none"
	}
	activity := f.text("activity")
	do, known := s.activities()[activity]
	if !known {
		return resulted(resultParameter, "unknown activity"), "other"
	}
	var a CallbackAnswer
	err = s.changeFirst(ctx, s.callbackLock(f), func(t *tx) error {
		fresh, err := t.exec(`INSERT INTO nonces (nonce, seen) VALUES ($1, $2) ON CONFLICT (nonce) DO NOTHING`, hash(call.Nonce), t.now)
		if err != nil {
			return err
		}
		if fresh == 0 {
			a = resulted(resultAuth, "this nonce was used before")
			return nil
		}
		a, err = do(t, f)
		if err == nil && f.text("testFlag") == "1" && a.Code == resultInternal {
			err = errors.New("merchant: a test call failed")
		}
		return err
	})
	var bad *fieldError
	var refusal *Refusal
	switch {
	case errors.As(err, &bad):
		a = resulted(resultParameter, "%s", bad.text)
	case errors.As(err, &refusal) && refusal.Code == protocol.CodeUnavailable, err != nil:
		s.log.Error("callback failed; the marketplace repeats it", "activity", activity, "error", err)
		a = resulted(resultInternal, "not possible now")
	default:
		s.solvedFor(problemCallbackAge, "")
		s.solvedFor(problemCallbackKey, "")
	}
	return a, activity
}

// callbackLock names the rows that a callback locks first, see changeLocking.
func (s *Service) callbackLock(f fields) string {
	if code := strings.TrimSpace(f.text("license")); code != "" {
		return "code " + lookup(s.pepper, code)
	}
	return "code " + s.instanceID(f.text("instanceId"))
}

// activities are the calls that this service answers.
func (s *Service) activities() map[string]func(*tx, fields) (CallbackAnswer, error) {
	return map[string]func(*tx, fields) (CallbackAnswer, error){
		"refreshLicenseCode":      (*tx).refreshCode,
		"updateLicenseCodeStatus": (*tx).updateCode,
		"releaseLicenseCode":      (*tx).releaseCode,
		"newInstance":             (*tx).newInstance,
		"refreshInstance":         (*tx).refreshInstance,
		"updateInstanceStatus":    (*tx).updateInstance,
		"releaseInstance":         (*tx).releaseInstance,
		"getLicenseAsync":         (*tx).applyLicense,
	}
}

// fields are the members of a callback. Members that we do not know are
// ignored: new ones may appear.
type fields map[string]json.RawMessage

func readFields(body []byte) (fields, error) {
	var f fields
	d := json.NewDecoder(bytes.NewReader(body))
	if err := d.Decode(&f); err != nil || f == nil {
		return nil, errors.New("merchant: no JSON object")
	}
	return f, nil
}

// text is a member as text: a string, or a number or truth value as written.
func (f fields) text(name string) string {
	raw, ok := f[name]
	if !ok || len(raw) == 0 || string(raw) == "null" {
		return ""
	}
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	return strings.TrimSpace(string(raw))
}

// testing says whether the call is a trial of the connection: answered, without effect.
func (f fields) testing() bool { return f.text("testFlag") == "1" }

// fieldError is a member that is missing or too long. It undoes the
// transaction: the nonce of a malformed call may come again.
type fieldError struct{ text string }

func (e *fieldError) Error() string { return "merchant: callback: " + e.text }

// need returns a mandatory member of at most limit characters.
func (f fields) need(name string, limit int) (string, error) {
	v := f.text(name)
	if v == "" {
		return "", &fieldError{name + " is missing"}
	}
	return f.may(name, limit)
}

// may returns an optional member of at most limit characters.
func (f fields) may(name string, limit int) (string, error) {
	v := f.text(name)
	if len(v) > limit {
		return "", &fieldError{fmt.Sprintf("%s is longer than %d characters", name, limit)}
	}
	return v, nil
}

// moment reads a time of a callback; 0 when an optional one is absent.
func (t *tx) moment(f fields, name string, limit int, mandatory bool) (int64, error) {
	v, err := f.may(name, limit)
	if err != nil || v == "" && !mandatory {
		return 0, err
	}
	if v == "" {
		return 0, &fieldError{name + " is missing"}
	}
	at, err := koogallery.ParseEnd(v, t.svc.market.Zone)
	if err != nil || at.Unix() <= 0 {
		return 0, &fieldError{name + " has not a documented form of time"}
	}
	return at.Unix(), nil
}
